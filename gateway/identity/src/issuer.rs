//! A tenant's tokens: signed, and believed.

use crate::jws;
use crate::keys::{KeyError, KeyRing, SigningKey};
use crate::subject::Subject;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use viewer::{Rules, TokenError, Verifier, Viewer};

/// Makes and verifies one tenant's tokens. Shared by all threads.
#[derive(Debug)]
pub struct Issuer {
    tenant: String,
    ring: KeyRing,
    access: Verifier,
    magic: Verifier,
}

/// What a one-time link says that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Magic {
    /// Whom it lets in.
    pub subject: Subject,
    /// What it is burnt, or revoked, by.
    pub id: String,
    /// The second since 1970 from which on it is not good.
    pub expires: i64,
}

impl Issuer {
    /// For the tenant of this id. The first key signs, all verify.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn new(tenant: &str, keys: &[SigningKey]) -> Result<Self, KeyError> {
        let ring = KeyRing::new(keys)?;
        // Clocks are those of gateways that share keys; what they sign is for each other.
        let verifier = |audience: String| {
            Verifier::new(Rules {
                issuer: Some(tenant.to_owned()),
                audience: Some(audience),
                leeway: 5,
                ..Rules::new(ring.verifying(keys))
            })
        };
        let (access, magic) = (verifier(tenant.to_owned())?, verifier(magic_audience(tenant))?);
        Ok(Self { tenant: tenant.to_owned(), ring, access, magic })
    }

    /// A viewer's token, from `now` (seconds since 1970) for `ttl`. `sid` names the session; `id` is random. `None` if the key can't sign.
    #[must_use]
    pub fn access(&self, subject: &Subject, sid: &str, id: [u8; 16], now: i64, ttl: Duration) -> Option<String> {
        self.token("at+jwt", self.tenant.clone(), subject, Some(sid), id, now, ttl).map(|(token, _)| token)
    }

    /// The token of a one-time link, and its id. `None` if the key can't sign.
    #[must_use]
    pub fn magic(&self, subject: &Subject, id: [u8; 16], now: i64, ttl: Duration) -> Option<(String, String)> {
        self.token("magic+jwt", magic_audience(&self.tenant), subject, None, id, now, ttl)
    }

    /// Verifies a viewer's token.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, now: i64) -> Result<Arc<Viewer>, TokenError> {
        self.access.verify(token, now)
    }

    /// Verifies the token of a one-time link. Whether it was used, the store knows.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn open_magic(&self, token: &str, now: i64) -> Result<Magic, TokenError> {
        let viewer = self.magic.verify(token, now)?;
        let subject = Subject::from_claims(viewer.claims()).ok_or(TokenError::Claims)?;
        let id = viewer.claim("jti").ok_or(TokenError::Claims)?.into_owned();
        let expires = viewer.claims().get("exp").and_then(Value::as_i64).ok_or(TokenError::Claims)?;
        Ok(Magic { subject, id, expires })
    }

    /// The public keys, for whoever wants to verify viewers' tokens: a key set (RFC 7517), without secrets.
    #[must_use]
    pub fn published(&self) -> Value {
        self.ring.published()
    }

    #[expect(clippy::too_many_arguments, reason = "the two callers above name them all")]
    fn token(
        &self,
        typ: &str,
        audience: String,
        subject: &Subject,
        sid: Option<&str>,
        id: [u8; 16],
        now: i64,
        ttl: Duration,
    ) -> Option<(String, String)> {
        let id = URL_SAFE_NO_PAD.encode(id);
        let mut claims = subject.claims();
        let until = now.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        for (name, value) in [
            ("iss", json!(self.tenant)),
            ("aud", json!(audience)),
            ("iat", json!(now)),
            ("exp", json!(until)),
            ("jti", json!(id)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        if let Some(sid) = sid {
            claims.insert("sid".to_owned(), json!(sid));
        }
        Some((jws::sign(&self.ring, typ, &Value::Object(claims))?, id))
    }
}

/// No tenant's id has a slash.
fn magic_audience(tenant: &str) -> String {
    format!("{tenant}/magic")
}
