//! Tokens in compact form (RFC 7515 §3.1), signed by a ring's first key.

use crate::keys::KeyRing;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// `typ` says what a token is for, beside its audience (RFC 8725 §3.11).
pub(crate) fn sign(ring: &KeyRing, typ: &str, claims: &Value) -> Option<String> {
    let (kid, alg) = ring.head()?;
    let header = json!({ "alg": alg, "kid": kid, "typ": typ });
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut token = format!("{}.{}", encode(&header), encode(claims));
    let signature = ring.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Some(token)
}
