//! Sixth step: who the viewer is, if the tenant's frontend signed a token that says so.

use crate::entitle::Authorized;
use crate::flow::Incoming;
use crate::identities::Identities;
use crate::remote::Remote;
use crate::tenant::Tenant;
use config::gateway::{ViewerAlgorithm, ViewerTokens};
use http::HeaderMap;
use http::header::HeaderName;
use key_sets::{KeySet, Source};
use std::sync::Arc;
use std::time::Duration;
use viewer::{Algorithm, Key, Rules, TokenError, Verifier, Viewer, find_token};

/// Bytes of the longest name that streams are counted under. A longer `sub` is nobody's account.
const LONGEST_NAME: usize = 256;

/// How a tenant tells who a viewer is.
pub(crate) struct Tokens {
    header: HeaderName,
    cookie: Option<String>,
    verifier: Arc<Verifier>,
    /// The keys that its issuer publishes.
    published: Option<Arc<KeySet>>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// No token, or the tenant knows none.
    Anonymous,
    /// A token that did not verify. What to make of it is a policy's choice.
    Invalid,
    /// A token that holds.
    Verified(Arc<Viewer>),
}

/// A request whose viewer is known as far as can be.
pub(crate) struct Identified<'a> {
    pub(crate) authorized: Authorized<'a>,
    pub(crate) identity: Identity,
    /// Whom streams are counted under unless a policy says otherwise.
    pub(crate) viewer: Arc<str>,
    pub(crate) named_by: NamedBy,
}

/// Who a viewer is.
pub(crate) struct Who {
    pub(crate) identity: Identity,
    /// Whom streams, and rates, are counted under.
    pub(crate) viewer: Arc<str>,
    pub(crate) named_by: NamedBy,
}

impl Who {
    pub(crate) fn of(self, authorized: Authorized<'_>) -> Identified<'_> {
        let Self { identity, viewer, named_by } = self;
        Identified { authorized, identity, viewer, named_by }
    }
}

/// Who gave a viewer its name. Names of different kinds never mean the same viewer, however they are spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedBy {
    Address,
    Token,
    Policy,
}

impl NamedBy {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Token => "token",
            Self::Policy => "policy",
        }
    }
}

impl Tokens {
    /// Whether a header or a cookie of this name carries tokens: credentials, and nobody else's business.
    pub(crate) fn is_header(&self, name: &str) -> bool {
        self.header.as_str().eq_ignore_ascii_case(name)
    }

    pub(crate) fn is_cookie(&self, name: &str) -> bool {
        self.cookie.as_deref() == Some(name)
    }

    /// The token that a request carries, believed or not.
    pub(crate) fn find<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        find_token(headers, Some(&self.header), self.cookie.as_deref())
    }

    pub(crate) fn new(settings: &ViewerTokens) -> Result<Self, String> {
        let keys = settings.keys.iter().map(|key| {
            let algorithm = match key.algorithm {
                ViewerAlgorithm::HS256 => Algorithm::Hs256,
                ViewerAlgorithm::HS384 => Algorithm::Hs384,
                ViewerAlgorithm::HS512 => Algorithm::Hs512,
                ViewerAlgorithm::RS256 => Algorithm::Rs256,
                ViewerAlgorithm::ES256 => Algorithm::Es256,
                ViewerAlgorithm::EdDSA => Algorithm::EdDsa,
            };
            Key::new(key.id.clone(), algorithm, key.key.expose().to_owned())
        });
        let rules = Rules {
            keys: keys.collect(),
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            leeway: u32::try_from(settings.leeway.get().as_secs()).unwrap_or(u32::MAX),
            published: settings.jwks.is_some(),
        };
        let header = settings.header.parse().map_err(|_| "viewer.header is no header's name".to_owned())?;
        let verifier = Verifier::new(rules).map_err(|error| format!("viewer: {error}"))?;
        let published =
            settings.jwks.as_ref().map(key_set).transpose().map_err(|error| format!("viewer.jwks: {error}"))?;
        let (verifier, published) = (Arc::new(verifier), published.map(Arc::new));
        Ok(Self { header, cookie: settings.cookie.clone(), verifier, published })
    }

    /// Looks after the keys that the issuer publishes. `tick` is the edge's own clock.
    pub(crate) async fn tend(&self, tick: Duration) {
        if let Some(published) = &self.published {
            published.tend(&self.verifier, tick).await;
        }
    }

    /// Goes on with the published keys of those that these replace.
    pub(crate) fn adopt(&self, before: &Self) {
        if let (Some(published), Some(before)) = (&self.published, &before.published) {
            published.adopt(before, &self.verifier);
        }
    }

    /// Has the issuer asked soon, whatever is known of it.
    pub(crate) fn look_again(&self) {
        if let Some(published) = &self.published {
            published.look_again();
        }
    }

    /// Has the issuer asked for a key that is not known. True if there may be new ones.
    async fn renew(&self, tick: Duration) -> bool {
        match &self.published {
            Some(published) => published.renew(&self.verifier, tick).await,
            None => false,
        }
    }
}

fn key_set(settings: &config::gateway::KeySet) -> Result<KeySet, key_sets::SetupError> {
    let source = match (&settings.url, &settings.file) {
        (Some(url), _) => Source::Url { url: url.clone(), ca: settings.ca.clone() },
        (None, file) => Source::File(file.clone().unwrap_or_default()),
    };
    KeySet::new(source, settings.refresh.get(), settings.stale.get())
}

/// Looks for the viewer's token and verifies it. Never refuses: whoever has no name is somebody else's choice.
pub(crate) async fn identify<'a>(
    authorized: Authorized<'a>,
    identities: &Identities,
    incoming: &Incoming<'_>,
) -> Identified<'a> {
    who(&authorized.tenant, identities, incoming).await.of(authorized)
}

/// By the frontend's token, if that holds, else by the gateway's own.
pub(crate) async fn who(tenant: &Tenant, identities: &Identities, incoming: &Incoming<'_>) -> Who {
    let (at_hand, lacks_key) = who_at_hand(tenant, identities, incoming);
    let tokens = tenant.tokens.as_ref().filter(|_| lacks_key);
    match tokens {
        Some(tokens) if Box::pin(tokens.renew(incoming.tick)).await => who_at_hand(tenant, identities, incoming).0,
        _ => at_hand,
    }
}

/// The same by the keys that are there: asks nobody. True if the frontend's token names a key that its issuer may have.
pub(crate) fn who_at_hand(tenant: &Tenant, identities: &Identities, incoming: &Incoming<'_>) -> (Who, bool) {
    let (headers, now) = (&incoming.head.headers, incoming.now);
    let judge = |verdict: Result<Arc<Viewer>, TokenError>| match verdict {
        Ok(viewer) if !identities.has_revoked(&tenant.id, &viewer, now) => Identity::Verified(viewer),
        Ok(_) | Err(_) => Identity::Invalid,
    };
    let frontends = tenant.tokens.as_ref().and_then(|tokens| Some((tokens, tokens.find(headers)?)));
    let (mut identity, mut lacks_key) = (Identity::Anonymous, false);
    if let Some((tokens, token)) = frontends {
        let verdict = tokens.verifier.verify(token, now);
        lacks_key = tokens.published.is_some() && matches!(verdict, Err(TokenError::UnknownKey));
        identity = judge(verdict);
    }
    if !matches!(identity, Identity::Verified(_))
        && let Some(own) = &tenant.own
        && let Some(token) = own.find(headers)
    {
        identity = judge(own.verify(token, now));
    }
    let (viewer, named_by) = viewer(&identity, incoming.remote);
    (Who { identity, viewer, named_by }, lacks_key)
}

/// The verified `sub`, else the address (of IPv6 its /64).
fn viewer(identity: &Identity, remote: Option<&Remote>) -> (Arc<str>, NamedBy) {
    let sub = match identity {
        Identity::Verified(viewer) => viewer.sub().filter(|sub| sub.len() <= LONGEST_NAME),
        Identity::Anonymous | Identity::Invalid => None,
    };
    match (sub, remote) {
        (Some(sub), _) => (sub.into(), NamedBy::Token),
        (None, Some(remote)) => (remote.household.clone(), NamedBy::Address),
        (None, None) => ("-".into(), NamedBy::Address),
    }
}
