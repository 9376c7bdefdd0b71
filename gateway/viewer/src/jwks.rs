//! Key sets that issuers publish (RFC 7517).

use crate::rules::{Key, PublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Bytes of the longest key set that is read. Those of large issuers have some 10 KiB.
pub const LONGEST_KEY_SET: usize = 64 << 10;

/// Why a text is no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// More than 64 KiB.
    #[error("longer than 64 KiB")]
    TooLong,
    /// Not JSON of that form.
    #[error("no key set in JSON")]
    Malformed,
    /// No key in it can verify tokens by RS256, ES256 or `EdDSA`.
    #[error("without a public key for RS256, ES256 or EdDSA")]
    Empty,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Entry>,
}

/// One key. What is of the wrong type makes the entry useless, not the set.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Key(Box<Fields>),
    Other(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Fields {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default, rename = "use")]
    purpose: Option<String>,
    #[serde(default)]
    key_ops: Option<Vec<String>>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
}

/// The keys of a set that can verify tokens, in its order. What is for encryption, of another algorithm or of an unknown kind is passed
/// over, and so is a shared secret: who publishes one lets everybody sign. A key without a `kid` is called by its place, `#0`.
///
/// # Errors
/// [`KeySetError`].
pub fn read_key_set(text: &[u8]) -> Result<Vec<Key>, KeySetError> {
    if text.len() > LONGEST_KEY_SET {
        return Err(KeySetError::TooLong);
    }
    let set: Set = serde_json::from_slice(text).map_err(|_| KeySetError::Malformed)?;
    let mut keys: Vec<Key> = Vec::new();
    for (place, entry) in set.keys.into_iter().enumerate() {
        let Entry::Key(fields) = entry else { continue };
        let Some(public) = public(&fields) else { continue };
        let id = fields.kid.filter(|kid| !kid.is_empty()).unwrap_or_else(|| format!("#{place}"));
        // Of two of one name a token could not say which.
        if keys.iter().all(|key| key.id != id) {
            keys.push(Key::public(id, public));
        }
    }
    if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(keys) }
}

fn public(fields: &Fields) -> Option<PublicKey> {
    let signs = fields.purpose.as_deref().is_none_or(|purpose| purpose == "sig");
    let verifies = fields.key_ops.as_ref().is_none_or(|all| all.iter().any(|one| one == "verify"));
    let is_for = |name: &str| fields.alg.as_deref().is_none_or(|alg| alg == name);
    let number = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
    if !signs || !verifies {
        return None;
    }
    match (fields.kty.as_str(), fields.crv.as_deref()) {
        ("RSA", _) if is_for("RS256") => {
            Some(PublicKey::Rsa { modulus: number(&fields.n)?, exponent: number(&fields.e)? })
        }
        ("EC", Some("P-256")) if is_for("ES256") => {
            let (x, y) = (number(&fields.x)?, number(&fields.y)?);
            (x.len() == 32 && y.len() == 32).then(|| PublicKey::P256([&[4], &x[..], &y[..]].concat()))
        }
        ("OKP", Some("Ed25519")) if is_for("EdDSA") || is_for("Ed25519") => {
            number(&fields.x).filter(|x| x.len() == 32).map(PublicKey::Ed25519)
        }
        _ => None,
    }
}
