//! Keys and tokens made by another implementation (`tests/tokens`), and a smith for tokens that none would make.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use std::{fs, path::Path};
use viewer::{Algorithm, Key, Rules, Verifier};

/// A time at which the tokens of `pyjwt.txt` hold.
pub(crate) const NOW: i64 = 1_800_000_000;

/// A file of `tests/tokens`.
pub(crate) fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokens").join(name)).unwrap()
}

/// The key of each algorithm.
pub(crate) fn key(algorithm: Algorithm) -> Key {
    let name = match algorithm {
        Algorithm::Rs256 => "rs256.pem",
        Algorithm::Es256 => "es256.pem",
        Algorithm::EdDsa => "eddsa.pem",
        _ => "shared.txt",
    };
    Key::new(algorithm.name(), algorithm, file(name))
}

/// The token of each algorithm.
pub(crate) fn token(algorithm: Algorithm) -> String {
    let line = |line: &str| line.strip_prefix(algorithm.name()).map(|rest| rest.trim().to_owned());
    file("pyjwt.txt").lines().find_map(line).unwrap()
}

/// A verifier of these keys that asks for neither issuer nor audience, without leeway.
pub(crate) fn verifier(keys: Vec<Key>) -> Verifier {
    Verifier::new(Rules { keys, issuer: None, audience: None, leeway: 0, published: false }).unwrap()
}

/// A token over any header and any claims, signed with HS256 by any secret.
pub(crate) fn forge(header: &str, claims: &str, secret: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// A token with these claims, signed by the shared secret.
pub(crate) fn signed(claims: &str) -> String {
    forge(r#"{"alg":"HS256","typ":"JWT"}"#, claims, file("shared.txt").as_bytes())
}
