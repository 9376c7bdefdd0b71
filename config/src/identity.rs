//! The sections of a tenant's settings about its viewers' identities and links on demand.

use crate::secret::Secret;
use crate::units::TimeSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the gateway tells who a tenant's viewers are.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Cookie with the viewer's token. The cookie that renews it has "_refresh" behind its name and goes to /auth only.
    #[serde(default = "Identity::default_cookie")]
    pub cookie: String,
    /// Domain of both cookies, for a tenant whose viewers go from one of its hosts to another. If unset, each host has its own.
    #[schemars(extend("example" = "example.com"))]
    pub cookie_domain: Option<String>,
    /// Mark cookies Secure on requests without TLS, too: for a gateway whose TLS is done by a proxy in front.
    #[serde(default)]
    pub cookie_secure: bool,
    /// When browsers send the cookies along from other sites' pages: "lax", "strict", or "none" for a frontend on a site of its own.
    #[serde(default)]
    pub same_site: SameSite,
    /// How long a viewer's token is good.
    #[serde(default = "Identity::default_access_ttl")]
    pub access_ttl: TimeSpan,
    /// How long a viewer may stay away and still renew the token. A guest who never renewed one is forgotten a day after it.
    #[serde(default = "Identity::default_refresh_ttl")]
    pub refresh_ttl: TimeSpan,
    /// How long a token can be renewed at all before the viewer must be let in anew.
    #[serde(default = "Identity::default_session_ttl")]
    pub session_ttl: TimeSpan,
    /// How long what renews a token is still good after it was used, for browsers that use it twice at once. It then gives a token and
    /// nothing to renew that with. Used later than that, it ends the viewer's session: somebody else may have it.
    #[serde(default = "Identity::default_refresh_grace")]
    pub refresh_grace: TimeSpan,
    /// How long a one-time link is good, if who makes it doesn't say. That it was used is remembered in Redis, if there is a redis section. Else it
    /// is forgotten when the gateway ends or is replaced, as sessions are, and the link lets in once more until it expires.
    #[serde(default = "Identity::default_magic_ttl")]
    pub magic_ttl: TimeSpan,
    /// Whether POST /auth/guest gives anybody an identity.
    #[serde(default = "yes")]
    pub guests: bool,
    /// Whoever knows it may make one-time links by POST /auth/magic: at least 32 bytes, visible ASCII. If unset, only "gateway auth magic"
    /// makes them.
    #[schemars(extend("example" = { "file": "/etc/streamvault/manager.secret" }))]
    pub manager_secret: Option<Secret>,
    /// The keys of tokens: the first signs, all are accepted. To change one without a gap, put the new one first and take the old one
    /// out when its last one-time link has expired.
    #[schemars(extend("example" = [{ "id": "2026", "algorithm": "EdDSA", "key": { "file": "/etc/streamvault/identity.pem" } }]))]
    pub keys: Vec<IdentityKey>,
}

fn yes() -> bool {
    true
}

impl Identity {
    fn default_cookie() -> String {
        "session".to_owned()
    }

    fn default_access_ttl() -> TimeSpan {
        TimeSpan::seconds(15 * 60)
    }

    fn default_refresh_ttl() -> TimeSpan {
        TimeSpan::seconds(30 * 86_400)
    }

    fn default_session_ttl() -> TimeSpan {
        TimeSpan::seconds(180 * 86_400)
    }

    fn default_refresh_grace() -> TimeSpan {
        TimeSpan::seconds(10)
    }

    fn default_magic_ttl() -> TimeSpan {
        TimeSpan::seconds(15 * 60)
    }
}

/// When browsers send a cookie along from another site's page (RFC 6265bis §5.6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the key's own text says it all, and variants would be listed a second time")]
pub enum SameSite {
    #[default]
    Lax,
    Strict,
    None,
}

/// A key that signs viewers' tokens.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityKey {
    /// The "kid" of tokens, as others read it in /auth/jwks.json.
    #[schemars(extend("example" = "2026"))]
    pub id: String,
    /// HS256 with a secret; ES256 or EdDSA with a private key, whose public part others get from /auth/jwks.json.
    #[schemars(extend("example" = "EdDSA"))]
    pub algorithm: IdentityAlgorithm,
    /// The secret, at least 32 bytes, or the private key as PEM: "openssl genpkey -algorithm ed25519".
    #[schemars(extend("example" = { "file": "/etc/streamvault/identity.pem" }))]
    pub key: Secret,
}

/// How the gateway signs tokens (RFC 7518 §3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the RFC's")]
pub enum IdentityAlgorithm {
    HS256,
    ES256,
    EdDSA,
}

/// Links on demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sign {
    /// How long a link is good, if the request names no time.
    pub ttl: TimeSpan,
    /// The longest time that a request may name.
    pub max_ttl: TimeSpan,
    /// Whether guests get links.
    pub guests: bool,
    /// Bind each link to the address that asked for it. Needs $remote_addr in link.expression, or link.prefix_parameter.
    pub bind_address: bool,
}

impl Default for Sign {
    fn default() -> Self {
        Self {
            ttl: TimeSpan::seconds(4 * 3600),
            max_ttl: TimeSpan::seconds(24 * 3600),
            guests: true,
            bind_address: false,
        }
    }
}
