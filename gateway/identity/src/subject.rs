//! Whom a token speaks of.

use serde_json::{Map, Value, json};

/// Bytes of the longest name, as long as streams are counted under.
const LONGEST_NAME: usize = 256;
/// Bytes of all claims as JSON: a cookie holds 4 KiB, with everything else that a token says.
const MOST_CLAIMS: usize = 1024;
/// What the issuer says itself.
const RESERVED: [&str; 9] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "guest"];

/// A viewer, as tokens name it.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    name: String,
    guest: bool,
    claims: Map<String, Value>,
}

/// Nobody can be called so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// Empty, too long, or with control characters.
    #[error("a subject has 1 to {LONGEST_NAME} bytes and no control characters")]
    Name,
    /// A claim that is the issuer's own to make.
    #[error("the claim {0:?} is the gateway's own")]
    Reserved(String),
    /// Too many claims, or too long ones.
    #[error("the claims have more than {MOST_CLAIMS} bytes as JSON")]
    Claims,
}

impl Subject {
    /// A guest. `name` is random: nobody may be taken for somebody else.
    #[must_use]
    pub fn guest(name: [u8; 16]) -> Self {
        let digits: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name: format!("guest-{digits}"), guest: true, claims: Map::new() }
    }

    /// Somebody whom a manager vouches for.
    ///
    /// # Errors
    /// [`SubjectError`]. A name that begins with `guest-` is refused, too: guests have those.
    pub fn named(name: &str, claims: Map<String, Value>) -> Result<Self, SubjectError> {
        let fits = (1..=LONGEST_NAME).contains(&name.len()) && !name.chars().any(char::is_control);
        if !fits || name.starts_with("guest-") {
            return Err(SubjectError::Name);
        }
        if let Some(claim) = claims.keys().find(|claim| RESERVED.contains(&claim.as_str())) {
            return Err(SubjectError::Reserved(claim.clone()));
        }
        if Value::Object(claims.clone()).to_string().len() > MOST_CLAIMS {
            return Err(SubjectError::Claims);
        }
        Ok(Self { name: name.to_owned(), guest: false, claims })
    }

    /// The `sub` of tokens.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether nobody vouches for it.
    #[must_use]
    pub fn is_guest(&self) -> bool {
        self.guest
    }

    pub(crate) fn claims(&self) -> Map<String, Value> {
        let mut claims = self.claims.clone();
        claims.insert("sub".to_owned(), json!(self.name));
        claims.insert("guest".to_owned(), json!(self.guest));
        claims
    }

    /// Out of the claims of a token of ours: what is not the issuer's own.
    pub(crate) fn from_claims(claims: &Map<String, Value>) -> Option<Self> {
        let (Value::String(name), guest) = (claims.get("sub")?, claims.get("guest") == Some(&Value::Bool(true))) else {
            return None;
        };
        let own = |(claim, _): &(&String, &Value)| !RESERVED.contains(&claim.as_str());
        let claims = claims.iter().filter(own).map(|(claim, value)| (claim.clone(), value.clone())).collect();
        Some(Self { name: name.clone(), guest, claims })
    }

    /// As a store keeps it.
    pub(crate) fn to_text(&self) -> String {
        Value::Object(self.claims()).to_string()
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Self::from_claims(serde_json::from_str::<Value>(text).ok()?.as_object()?)
    }
}
