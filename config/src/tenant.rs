//! The sections of the gateway's settings that are about tenants.

pub use crate::domain::Domain;
pub use crate::identity::{Identity, IdentityAlgorithm, IdentityKey, SameSite, Sign};
use crate::rates::Rates;
use crate::secret::Secret;
use crate::units::{ByteSize, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One customer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// Name in logs and metrics: up to 64 of a-z, 0-9, "-" and "_".
    #[schemars(extend("example" = "example"))]
    pub id: String,
    /// Hosts that lead to this tenant: names, all names below one ("*.example.com"), or "*" for all that no other
    /// tenant has.
    #[schemars(extend("example" = ["films.example.com", "*.films.example.com"]))]
    pub domains: Vec<Domain>,
    /// What its viewers get.
    #[serde(default)]
    pub status: Status,
    /// Channels whose media it may serve, as Telegram's bots write them; a link to any other is refused, however well it is
    /// signed. May be left out, for all, where there is one tenant only.
    #[schemars(extend("example" = [-1_001_700_000_001_i64]))]
    pub channels: Option<Vec<i64>>,
    /// How its links are signed.
    pub link: Link,
    /// What its maintenance page shows.
    #[serde(default)]
    pub branding: Branding,
    /// Bounds on its viewers; plugins may set tighter ones. With a redis section streams and bytes_per_month are counted over all gateways.
    #[serde(default)]
    pub limits: TenantLimits,
    /// How long browsers must come back by HTTPS only, once they were here by it (Strict-Transport-Security, RFC 6797). If unset, they are not
    /// told.
    #[schemars(extend("example" = "365d"))]
    pub hsts: Option<TimeSpan>,
    /// How often who may ask, where it differs from the gateway's own rates.
    pub rates: Option<Rates>,
    /// How its frontend tells who a viewer is: a signed JSON web token. Plugins see its claims.
    pub viewer: Option<ViewerTokens>,
    /// How the gateway itself tells who a viewer is: guests by POST /auth/guest, others by one-time links (/auth?token=...) that a
    /// manager makes. Plugins see the claims of these tokens, too.
    pub identity: Option<Identity>,
    /// Links on demand: POST /sign gives one to who has an identity, if the policy plugins would let its stream pass.
    pub sign: Option<Sign>,
    /// Other sites whose pages may call /auth and /sign with their viewers' cookies, as browsers write origins. The tenant's own hosts
    /// need not be named.
    #[schemars(extend("example" = ["https://www.example.com"]))]
    #[serde(default)]
    pub origins: Vec<String>,
}

/// What a tenant's viewers get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// what they ask for
    #[default]
    Active,
    /// a maintenance page (503)
    Suspended,
}

/// A tenant's maintenance page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Branding {
    /// Name of the site, plain text.
    #[schemars(extend("example" = "Example Films"))]
    pub name: Option<String>,
    /// A sentence for viewers, plain text.
    #[schemars(extend("example" = "We are back on Monday."))]
    pub message: Option<String>,
    /// http(s) address for help.
    #[schemars(extend("example" = "https://example.com/help"))]
    pub support_url: Option<String>,
}

/// Bounds on a tenant's viewers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantLimits {
    /// Streams at once. A stream is one media on one address, however many requests fetch it.
    #[schemars(extend("example" = 2000))]
    pub streams: Option<u32>,
    /// Bytes a second, all streams together.
    #[schemars(extend("example" = "100MiB"))]
    pub bytes_per_second: Option<ByteSize>,
    /// Streams at once of one viewer.
    #[schemars(extend("example" = 3))]
    pub viewer_streams: Option<u32>,
    /// Bytes a second of one viewer.
    #[schemars(extend("example" = "4MiB"))]
    pub viewer_bytes_per_second: Option<ByteSize>,
    /// Bytes of media in a calendar month (UTC). When they are spent no stream begins any more. Gateways learn of each other's bytes once a
    /// second, and so may send that much more.
    #[schemars(extend("example" = "10TiB"))]
    pub bytes_per_month: Option<ByteSize>,
    /// What becomes of streams that are going on when bytes_per_month is spent.
    pub when_spent: WhenSpent,
}

/// What becomes of running streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenSpent {
    /// they go on to the end of their requests
    #[default]
    Finish,
    /// they are cut at once
    Cut,
}

/// Tokens that say who a viewer is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewerTokens {
    /// Header with the token: bare, or after "Bearer".
    #[serde(default = "ViewerTokens::default_header")]
    pub header: String,
    /// Cookie with the token, where there is no such header.
    #[schemars(extend("example" = "viewer"))]
    pub cookie: Option<String>,
    /// The "iss" it must have.
    #[schemars(extend("example" = "https://example.com"))]
    pub issuer: Option<String>,
    /// The "aud" it must have.
    #[schemars(extend("example" = "films"))]
    pub audience: Option<String>,
    /// How far the frontend's clock may be off.
    #[serde(default = "ViewerTokens::default_leeway")]
    pub leeway: TimeSpan,
    /// The keys that sign tokens; a token's "kid" picks one by its id. At least one, unless there is a jwks.
    #[schemars(extend("example" = [{ "id": "2026", "algorithm": "HS256", "key": { "file": "/etc/streamvault/viewer.key" } }]))]
    #[serde(default)]
    pub keys: Vec<ViewerKey>,
    /// The key set (JWKS, RFC 7517) that the issuer publishes: its keys for RS256, ES256 and EdDSA count beside these. Needs issuer.
    pub jwks: Option<KeySet>,
}

/// Where an issuer's keys are published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySet {
    /// https address of the key set. Asked at the start, every refresh, and for a key that is not in it yet.
    #[schemars(extend("example" = "https://login.example.com/.well-known/jwks.json"))]
    pub url: Option<String>,
    /// A file in its place.
    #[schemars(extend("example" = "/etc/streamvault/issuer.jwks.json"))]
    pub file: Option<PathBuf>,
    /// PEM file of certificates that may vouch for the address. If unset, those that the system trusts.
    #[schemars(extend("example" = "/etc/streamvault/issuer-ca.pem"))]
    pub ca: Option<PathBuf>,
    /// How old the keys may be before they are asked for again.
    #[serde(default = "KeySet::default_refresh")]
    pub refresh: TimeSpan,
    /// How old they may be while they can't be had anew; after that none of them counts.
    #[serde(default = "KeySet::default_stale")]
    pub stale: TimeSpan,
}

impl KeySet {
    fn default_refresh() -> TimeSpan {
        TimeSpan::seconds(3600)
    }

    fn default_stale() -> TimeSpan {
        TimeSpan::seconds(86_400)
    }
}

impl ViewerTokens {
    /// The default rules with these keys, and this cookie beside the header.
    #[must_use]
    pub fn with_keys(keys: Vec<ViewerKey>, cookie: &str) -> Self {
        Self {
            header: Self::default_header(),
            cookie: Some(cookie.to_owned()),
            issuer: None,
            audience: None,
            leeway: Self::default_leeway(),
            keys,
            jwks: None,
        }
    }

    fn default_header() -> String {
        "authorization".to_owned()
    }

    fn default_leeway() -> TimeSpan {
        TimeSpan::seconds(10)
    }
}

/// A key that signs viewers' tokens.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewerKey {
    /// The "kid" of tokens.
    #[schemars(extend("example" = "2026"))]
    pub id: String,
    /// HS256, HS384 or HS512 with a shared secret; RS256, ES256 or EdDSA with a public key.
    #[schemars(extend("example" = "HS256"))]
    pub algorithm: ViewerAlgorithm,
    /// The shared secret, at least 32 bytes, or the public key as PEM.
    #[schemars(extend("example" = { "file": "/etc/streamvault/viewer.key" }))]
    pub key: Secret,
}

/// How a token is signed (RFC 7518 §3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the RFC's")]
pub enum ViewerAlgorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    ES256,
    EdDSA,
}

/// How links are signed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// What is hashed, as in nginx's secure_link_md5: $secure_link_expires, $uri, $remote_addr, and $secret for the
    /// secret.
    #[serde(default = "Link::default_expression")]
    pub expression: String,
    /// The hash.
    #[serde(default)]
    pub scheme: Scheme,
    /// Refuse tokens whose last character has stray bits, which nginx lets pass.
    #[serde(default)]
    pub strict: bool,
    /// Query parameter of the token.
    #[serde(default = "Link::default_token_parameter")]
    pub token_parameter: String,
    /// Query parameter of the time at which the link expires, in seconds since 1970.
    #[serde(default = "Link::default_expires_parameter")]
    pub expires_parameter: String,
    /// Query parameter of the id by which a link can be revoked ("gateway auth revoke"). Expressions must then begin with it and a
    /// blank: "$arg_id $secure_link_expires$uri $secret". If unset, such links have none.
    #[schemars(extend("example" = "id"))]
    pub id_parameter: Option<String>,
    /// Query parameter of tokens that open everything below a path, as playlists need them; also as the first segment of the path,
    /// after a "~". If unset, there are none.
    #[schemars(extend("example" = "st"))]
    pub prefix_parameter: Option<String>,
    /// How links are signed by secrets with the other scheme. What is left out is as is usual for that scheme.
    #[serde(default)]
    pub other: OtherScheme,
    /// How long after its expiry a link may still be used, if a policy plugin names a later expiry for the request.
    #[serde(default)]
    pub grace: TimeSpan,
    /// The secrets: the first signs, all are accepted. To change one without a gap, put the new one first and take the
    /// old one out when its last link has expired.
    pub secrets: Vec<LinkSecret>,
}

impl Link {
    /// The default rules with these secrets.
    #[must_use]
    pub fn with_secrets(secrets: Vec<LinkSecret>) -> Self {
        Self {
            expression: Self::default_expression(),
            scheme: Scheme::default(),
            strict: false,
            token_parameter: Self::default_token_parameter(),
            expires_parameter: Self::default_expires_parameter(),
            id_parameter: None,
            prefix_parameter: None,
            other: OtherScheme::default(),
            grace: TimeSpan::default(),
            secrets,
        }
    }

    fn default_expression() -> String {
        "$secure_link_expires$uri $secret".to_owned()
    }

    fn default_token_parameter() -> String {
        "md5".to_owned()
    }

    fn default_expires_parameter() -> String {
        "expires".to_owned()
    }
}

/// How links are signed by the scheme that is not link.scheme.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtherScheme {
    /// What is hashed.
    #[schemars(extend("example" = "$secure_link_expires$uri $secret"))]
    pub expression: Option<String>,
    /// Query parameter of the token: md5 or sig, if it is left out.
    #[schemars(extend("example" = "md5"))]
    pub token_parameter: Option<String>,
}

/// The hash of signed links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Scheme {
    /// base64url(md5(expression)), as nginx's secure_link_md5 has it
    #[default]
    #[serde(rename = "nginx-md5")]
    NginxMd5,
    /// base64url(hmac-sha256(secret, expression))
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
}

/// One secret of signed links.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkSecret {
    /// Name in logs: up to 64 of a-z, 0-9, "-" and "_".
    #[schemars(extend("example" = "2026-01"))]
    pub id: String,
    /// The secret.
    #[schemars(extend("example" = { "file": "/etc/streamvault/link.secret" }))]
    pub secret: Secret,
    /// The hash of its links, if it is another than link.scheme: so links of both are good while one moves from one to the other.
    #[schemars(extend("example" = "nginx-md5"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
}
