//! The sections of the gateway's settings that are about TLS, and about proxies in front.

use crate::gateway::Tls;
use crate::secret::Secret;
use crate::text::text_value;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Certificates by the name that a client asks for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Certificates {
    /// More certificates from files, beside those of the addresses, as in [{ certificate = "/etc/streamvault/films.pem", key =
    /// "/etc/streamvault/films.key" }]; each is for the names in it. All files are read again when they change. For names that they have
    /// nothing is ordered.
    #[schemars(extend("example" = [{ "certificate": "/etc/streamvault/films.pem", "key": "/etc/streamvault/films.key" }]))]
    pub files: Vec<Tls>,
    /// Where ordered certificates and the account's key are kept: "folder", or "redis", for gateways that share them (who can read
    /// that Redis has the keys; challenges are over HTTP only).
    pub store: CertificateStore,
    /// The folder. Made if its parent exists; readable by the gateway only.
    pub folder: PathBuf,
    /// Order certificates for tenants' domains from an ACME server. Without it, none are ordered.
    pub acme: Option<Acme>,
}

impl Default for Certificates {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            store: CertificateStore::Folder,
            folder: PathBuf::from("/var/lib/streamvault/certificates"),
            acme: None,
        }
    }
}

/// Where ordered certificates are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CertificateStore {
    /// a folder of this gateway
    Folder,
    /// Redis
    Redis,
}

/// An ACME server, and the account there.
///
/// Ordered are certificates for the domains of tenants: those written out in the settings, ahead of time, and those that a tenant plugin
/// knows, when the first client asks. Never for "*" and "*.example.com", as anybody can make up such names: give them files.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// Address of the server's directory.
    #[serde(default = "Acme::default_directory")]
    pub directory: String,
    /// That you agree to the server's terms of service: must be true.
    #[schemars(extend("example" = true))]
    pub terms_agreed: bool,
    /// Mail addresses that the server may write to.
    #[schemars(extend("example" = ["ops@example.com"]))]
    #[serde(default)]
    pub contact: Vec<String>,
    /// Ways to prove a name, tried in this order: "tls-alpn-01" needs port 443 to lead here, "http-01" port 80.
    #[serde(default = "Acme::default_challenges")]
    pub challenges: Vec<AcmeChallenge>,
    /// Most orders in an hour, for all names.
    #[serde(default = "Acme::default_orders")]
    pub orders_per_hour: u32,
    /// PEM file with the root that vouches for the server itself. If unset, the system's roots.
    #[schemars(extend("example" = "/etc/streamvault/acme-root.pem"))]
    pub root: Option<PathBuf>,
    /// The account that the server gave you, where it wants one (external account binding).
    #[schemars(extend("example" = { "id": "kid-1", "key": { "file": "/etc/streamvault/eab.key" } }))]
    pub external_account: Option<ExternalAccount>,
}

impl Acme {
    fn default_directory() -> String {
        "https://acme-v02.api.letsencrypt.org/directory".to_owned()
    }

    fn default_challenges() -> Vec<AcmeChallenge> {
        vec![AcmeChallenge::TlsAlpn01, AcmeChallenge::Http01]
    }

    fn default_orders() -> u32 {
        20
    }
}

/// How a name is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the RFCs'")]
pub enum AcmeChallenge {
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    #[serde(rename = "http-01")]
    Http01,
}

/// An account at the authority that exists already.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    /// Id of its key.
    pub id: String,
    /// The key, base64url, as the server gives it.
    pub key: Secret,
}

/// Proxies in front of the gateway that are believed when they say where a viewer connects from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Proxies {
    /// Their addresses or networks, as in ["127.0.0.1", "10.0.0.0/8"]; "unix" for who connects to a unix socket. Nobody else is believed.
    #[schemars(with = "Vec<String>", extend("example" = ["127.0.0.1", "10.0.0.0/8", "unix"]))]
    pub trusted: Vec<TrustedProxy>,
    /// Header that they put the viewer's address into: x-forwarded-for, of which the last address counts that is none of theirs, or one
    /// with a single address, as cf-connecting-ip (Cloudflare) or x-real-ip. "x-forwarded-proto: https" is believed, too.
    pub header: String,
}

impl Default for Proxies {
    fn default() -> Self {
        Self { trusted: Vec::new(), header: "x-forwarded-for".to_owned() }
    }
}

/// A proxy's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Whoever connects to a unix socket.
    Unix,
    /// An address, or all of a network.
    Net(IpNet),
}

/// It is neither an address nor a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address; write \"127.0.0.1\", \"10.0.0.0/8\", \"2001:db8::/32\" or \"unix\"")]
pub struct TrustedProxyError;

impl FromStr for TrustedProxy {
    type Err = TrustedProxyError;

    fn from_str(text: &str) -> Result<Self, TrustedProxyError> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        net.map(|net| Self::Net(net.trunc())).map_err(|_| TrustedProxyError)
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("unix"),
            Self::Net(net) => net.fmt(f),
        }
    }
}

text_value!(TrustedProxy, "an address or network such as \"127.0.0.1\" or \"10.0.0.0/8\", or \"unix\"");
