//! Signs links as a frontend would, by nginx's documentation and without our own link crate.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The secret of every stack's tenant.
pub const SECRET: &str = "harness secret";

const PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'?').add(b'<').add(b'>').add(b'`');

/// `base64url(md5("{expires}{path} {secret}"))` without padding.
#[must_use]
pub fn token(path: &str, expires: i64, secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Md5::digest(format!("{expires}{path} {secret}")))
}

/// A decoded path as it stands in a URL.
#[must_use]
pub fn path_escape(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// Path and query of a signed link to a decoded path.
#[must_use]
pub fn sign(path: &str, expires: i64) -> String {
    format!("{}?md5={}&expires={expires}", path_escape(path), token(path, expires, SECRET))
}
