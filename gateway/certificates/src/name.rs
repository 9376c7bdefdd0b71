//! Names that certificates are for.

use std::fmt;
use std::str::FromStr;

/// Bytes of the longest name (RFC 1035 §2.3.4, without the final dot).
const LONGEST: usize = 253;
/// Bytes of the longest label.
const LONGEST_LABEL: usize = 63;
/// Ends of names that no public authority vouches for (RFC 6761, RFC 6762, RFC 8375). `test` is not among them: authorities of tests do.
const NEVER: [&str; 6] = ["localhost", "local", "invalid", "onion", "home.arpa", "internal"];

/// A DNS name in lower case, of two labels at least, that an authority could vouch for: no address, no wildcard.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(String);

/// It is no name that a certificate could be ordered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a public DNS name")]
pub struct NotAName;

impl ServerName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| {
            (1..=LONGEST_LABEL).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let last = text.rsplit('.').next().unwrap_or_default();
        let fits = text.len() <= LONGEST && text.contains('.') && text.split('.').all(label);
        let name = text.to_ascii_lowercase();
        let never =
            NEVER.iter().any(|end| name == *end || name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.')));
        // The last label of an address is a number, that of a name never is (RFC 3696 §2).
        if fits && !never && !last.bytes().all(|b| b.is_ascii_digit()) { Ok(Self(name)) } else { Err(NotAName) }
    }
}

/// The wildcard that stands for a name: `*.example.com` for `films.example.com` (RFC 6125 §6.4.3: one label, the first).
pub(crate) fn wildcard_of(name: &str) -> Option<String> {
    let (_, rest) = name.split_once('.')?;
    rest.contains('.').then(|| format!("*.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::{ServerName, wildcard_of};

    #[test]
    fn names_are_told_from_what_nobody_vouches_for() {
        for (text, name) in [
            ("Films.Example.COM", "films.example.com"),
            ("films.example.com.", "films.example.com"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("a_b.example.com", "a_b.example.com"),
            ("notlocal.example", "notlocal.example"),
        ] {
            assert_eq!(text.parse::<ServerName>().unwrap().as_str(), name);
        }
        let long = format!("{}.example.com", "x".repeat(64));
        let longer = format!("{}com", "abcdefg.".repeat(32));
        for text in [
            "",
            ".",
            "com",
            "192.0.2.7",
            "a..b",
            "-a.example",
            "a-.example",
            "*.example.com",
            "é.example",
            "a b.example",
            "localhost",
            "films.localhost",
            "nas.local",
            "a.home.arpa",
            "::1",
            "a/b.example",
            &long,
            &longer,
        ] {
            assert!(text.parse::<ServerName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert_eq!(wildcard_of("a.example.com").as_deref(), Some("*.example.com"));
        assert_eq!(wildcard_of("b.a.example.com").as_deref(), Some("*.a.example.com"));
        assert_eq!(wildcard_of("example.com"), None);
        assert_eq!(wildcard_of("com"), None);
    }
}
