//! Refresh tokens: what renews a viewer's token, once.

use crate::keys::hash;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};
use std::fmt;

/// One refresh token. Wiped on drop, never printed.
pub struct RefreshToken {
    session: [u8; 16],
    secret: [u8; 32],
}

impl Drop for RefreshToken {
    fn drop(&mut self) {
        self.session.zeroize();
        self.secret.zeroize();
    }
}

impl ZeroizeOnDrop for RefreshToken {}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken")
    }
}

impl RefreshToken {
    /// The first of a session. Both are random.
    #[must_use]
    pub fn first(session: [u8; 16], secret: [u8; 32]) -> Self {
        Self { session, secret }
    }

    /// The one after this. `secret` is random.
    #[must_use]
    pub fn next(&self, secret: [u8; 32]) -> Self {
        Self { session: self.session, secret }
    }

    /// Out of a cookie: 64 characters of base64url, nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        let (session, secret) = bytes.split_first_chunk()?;
        Some(Self { session: *session, secret: secret.try_into().ok()? })
    }

    /// As it stands in a cookie.
    #[must_use]
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(Zeroizing::new([&self.session[..], &self.secret[..]].concat()))
    }

    /// The session's name in tokens and stores: 22 characters.
    #[must_use]
    pub fn sid(&self) -> String {
        URL_SAFE_NO_PAD.encode(hash(&self.session).get(..16).unwrap_or_default())
    }

    pub(crate) fn secret_hash(&self) -> [u8; 32] {
        hash(&self.secret)
    }
}
