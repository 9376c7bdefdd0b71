//! Signs links as a frontend would, by nginx's documentation and without our own link crate.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use sha2::Sha256;

/// The link secret of the tenant that stacks have where none is named.
pub const SECRET: &str = "harness secret";
/// The `kid` of tenants' keys for viewers' tokens.
pub(crate) const VIEWER_KEY_ID: &str = "first";

/// The link secret of a tenant that is named.
pub(crate) fn link_secret(tenant: &str) -> String {
    format!("link secret of {tenant}")
}

/// The shared key of a tenant's viewer tokens.
pub(crate) fn viewer_key(tenant: &str) -> String {
    format!("viewer key of {tenant}, 32 bytes or more")
}

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

/// A JSON web token, HS256 (RFC 7515, 7519), over claims that are JSON.
#[must_use]
pub fn viewer_token(claims: &str, key: &str) -> String {
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else { return signed };
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::viewer_token;

    #[test]
    fn tokens_are_as_other_libraries_sign_them() {
        // By Python's hmac and base64.
        let token = viewer_token(r#"{"sub":"a"}"#, "viewer key of a, 32 bytes or more");
        assert_eq!(
            token,
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhIn0.evxlwBYr4htiAl2k_CHW5wMEdf6vIhrPxcOLqnzbB2A"
        );
    }
}
