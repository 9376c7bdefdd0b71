//! What the gateway itself knows of viewers: its tokens for each tenant, sessions, and what was revoked.

use crate::redis_server::server;
use config::GatewaySettings;
use config::gateway::{self, IdentityAlgorithm};
use http::HeaderMap;
use identity::{Issuer, Kind, Revoked, SessionRules, SignAlgorithm, SigningKey, Store};
use redis_link::AddressError;
use std::sync::Arc;
use std::time::Duration;
use viewer::{TokenError, Viewer, find_token};

/// How long a guest who never renewed may stay away, beyond its first token: back the next day, it is the same one.
const FIRST: Duration = Duration::from_secs(86_400);

/// What tenants share.
#[derive(Clone)]
pub(crate) struct Identities {
    pub(crate) store: Store,
    pub(crate) revoked: Arc<Revoked>,
}

/// A tenant's own tokens.
pub(crate) struct OwnTokens {
    pub(crate) issuer: Issuer,
    pub(crate) rules: SessionRules,
    pub(crate) settings: gateway::Identity,
    pub(crate) refresh_cookie: String,
}

impl Identities {
    /// In Redis, if the settings name one. Connects nowhere yet.
    pub(crate) fn new(settings: &GatewaySettings) -> Result<Self, AddressError> {
        let store = match &settings.redis {
            Some(redis) => Store::redis(server(redis)?, &redis.prefix, redis.timeout.get()),
            None => Store::in_memory(),
        };
        Ok(Self { store, revoked: Arc::default() })
    }

    /// Whether a token that holds was revoked: by its own id, or with its session.
    pub(crate) fn has_revoked(&self, tenant: &str, viewer: &Viewer, now: i64) -> bool {
        let revoked = |claim: &str, kind| {
            viewer
                .claims()
                .get(claim)
                .and_then(|id| id.as_str())
                .is_some_and(|id| self.revoked.has(tenant, kind, id, now))
        };
        revoked("sid", Kind::Session) || revoked("jti", Kind::Token)
    }
}

impl OwnTokens {
    pub(crate) fn new(tenant: &str, settings: &gateway::Identity) -> Result<Self, String> {
        let key = |key: &gateway::IdentityKey| SigningKey {
            id: key.id.clone(),
            algorithm: match key.algorithm {
                IdentityAlgorithm::HS256 => SignAlgorithm::Hs256,
                IdentityAlgorithm::ES256 => SignAlgorithm::Es256,
                IdentityAlgorithm::EdDSA => SignAlgorithm::EdDsa,
            },
            material: key.key.expose().into(),
        };
        let keys: Vec<SigningKey> = settings.keys.iter().map(key).collect();
        let issuer = Issuer::new(tenant, &keys).map_err(|error| format!("identity: {error}"))?;
        let rules = SessionRules {
            first_ttl: settings.access_ttl.get().saturating_add(FIRST),
            refresh_ttl: settings.refresh_ttl.get(),
            session_ttl: settings.session_ttl.get(),
            grace: settings.refresh_grace.get(),
        };
        let refresh_cookie = format!("{}_refresh", settings.cookie);
        Ok(Self { issuer, rules, settings: settings.clone(), refresh_cookie })
    }

    /// The viewer's token that a request carries, believed or not.
    pub(crate) fn find<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        find_token(headers, None, Some(&self.settings.cookie))
    }

    /// What renews it.
    pub(crate) fn find_refresh<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        find_token(headers, None, Some(&self.refresh_cookie))
    }

    pub(crate) fn is_cookie(&self, name: &str) -> bool {
        name == self.settings.cookie || name == self.refresh_cookie
    }

    /// Whom a token speaks of.
    pub(crate) fn verify(&self, token: &str, now: i64) -> Result<Arc<Viewer>, TokenError> {
        self.issuer.verify(token, now)
    }
}
