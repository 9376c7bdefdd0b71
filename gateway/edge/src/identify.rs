//! Sixth step: who the viewer is, if the tenant's frontend signed a token that says so.

use crate::entitle::Authorized;
use crate::remote::Remote;
use config::gateway::{ViewerAlgorithm, ViewerTokens};
use http::HeaderMap;
use http::header::HeaderName;
use std::sync::Arc;
use viewer::{Algorithm, Key, Rules, Verifier, Viewer, find_token};

/// Bytes of the longest name that streams are counted under. A longer `sub` is nobody's account.
const LONGEST_NAME: usize = 256;

/// How a tenant tells who a viewer is.
pub(crate) struct Tokens {
    header: HeaderName,
    cookie: Option<String>,
    verifier: Verifier,
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
        };
        let header = settings.header.parse().map_err(|_| "viewer.header is no header's name".to_owned())?;
        let verifier = Verifier::new(rules).map_err(|error| format!("viewer: {error}"))?;
        Ok(Self { header, cookie: settings.cookie.clone(), verifier })
    }
}

/// Looks for the viewer's token and verifies it. Never refuses: whoever has no name is somebody else's choice.
pub(crate) fn identify(authorized: Authorized<'_>, now: i64) -> Identified<'_> {
    let identity = authorized.tenant.tokens.as_ref().map_or(Identity::Anonymous, |tokens| {
        match tokens.find(&authorized.accepted.head.headers) {
            None => Identity::Anonymous,
            Some(token) => tokens.verifier.verify(token, now).map_or(Identity::Invalid, Identity::Verified),
        }
    });
    let (viewer, named_by) = viewer(&identity, authorized.accepted.remote);
    Identified { authorized, identity, viewer, named_by }
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
