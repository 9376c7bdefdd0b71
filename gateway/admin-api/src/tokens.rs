//! Who may ask.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Operations that change nothing.
    Read,
    /// All operations.
    Write,
}

/// The tokens that are good, by their digests: the tokens themselves are not kept.
#[derive(Default)]
pub struct Tokens {
    known: Vec<Known>,
}

struct Known {
    digest: [u8; 32],
    name: Arc<str>,
    role: Role,
}

impl Tokens {
    /// Adds one. `name` is what audit lines call who has it.
    #[must_use]
    pub fn with(mut self, name: &str, role: Role, token: &SecretString) -> Self {
        let digest = Sha256::digest(token.expose_secret()).into();
        self.known.push(Known { digest, name: name.into(), role });
        self
    }

    /// Who sends this `Authorization` (RFC 6750 §2.1), and what it may.
    #[must_use]
    pub fn judge(&self, authorization: Option<&str>) -> Option<(Arc<str>, Role)> {
        let (scheme, token) = authorization?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        // Digests are compared, of one length: where two differ says nothing about the token.
        let digest: [u8; 32] = Sha256::digest(token.trim()).into();
        let known = self.known.iter().find(|known| known.digest == digest)?;
        Some((known.name.clone(), known.role))
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.known.iter().map(|known| (&known.name, known.role))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::{Role, Tokens};

    #[test]
    fn a_token_has_a_name_and_a_role() {
        let tokens = Tokens::default().with("ci", Role::Read, &"aaa".into()).with("ops", Role::Write, &"bbb".into());
        let cases = [
            (None, None),
            (Some(""), None),
            (Some("Bearer"), None),
            (Some("Bearer "), None),
            (Some("aaa"), None),
            (Some("Basic aaa"), None),
            (Some("Bearer aab"), None),
            (Some("Bearer aaa bbb"), None),
            (Some("Bearer aaa"), Some(("ci", Role::Read))),
            (Some("bearer bbb"), Some(("ops", Role::Write))),
        ];
        for (sent, wanted) in cases {
            let judged = tokens.judge(sent);
            assert_eq!(judged.as_ref().map(|(name, role)| (&**name, *role)), wanted, "{sent:?}");
        }
        assert_eq!(Tokens::default().judge(Some("Bearer ")), None, "no token is no good token");
        assert!(!format!("{tokens:?}").contains("aaa"));
    }
}
