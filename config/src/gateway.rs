//! The sections of the gateway's settings. The doc comments are the text of `gateway.example.toml`.

use crate::address::{ListenAddress, PeerAddress};
pub use crate::admin::{Admin, AdminRole, AdminToken, TenantStore};
pub use crate::certificates::{
    Acme, AcmeChallenge, CertificateStore, Certificates, ExternalAccount, Proxies, TrustedProxy,
};
pub use crate::connections::Connections;
pub use crate::daily::DailyReport;
pub use crate::peers::{PeerMember, Peers};
pub use crate::plugins::{FailPolicy, Hook, Isolation, Plugin, PluginLimits, Plugins, TrustedKey};
pub use crate::rates::{RateLimit, Rates, RouteRates};
pub use crate::redis_section::{Redis, RedisCluster, RedisSentinel};
use crate::secret::Secret;
pub use crate::tenant::{
    Branding, Domain, Identity, IdentityAlgorithm, IdentityKey, KeySet, Link, LinkSecret, OtherScheme, SameSite,
    Scheme, Sign, Status, Tenant, TenantLimits, ViewerAlgorithm, ViewerKey, ViewerTokens, WhenSpent,
};
use crate::traces::Traces;
use crate::units::{ByteSize, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Settings of the gateway, the public edge that checks signed links and serves byte ranges out of its slice cache.
///
/// Times have a unit (500ms, 30s, 5m, 4h, 2d), sizes too (64KiB, 1MiB, 10GiB). Paths are absolute. A secret is
/// "the text itself", { file = "/path" } or { env = "NAME" }. Check the file with
/// "gateway check --config FILE".
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewaySettings {
    /// Where viewers connect: addresses of the form 127.0.0.1:8080, 0.0.0.0:443 or unix:/path, each with TLS if it says so, as in
    /// { address = "0.0.0.0:443", tls = { certificate = "/path.pem", key = "/path.key" } }, or tls = {} where "certificates" has them
    /// all. { address = "0.0.0.0:80", https_port = 443 } sends viewers there.
    #[serde(default = "default_listen")]
    pub listen: Vec<Listener>,
    /// Certificates by the name that a client asks for: from files, and from an ACME server.
    #[serde(default)]
    pub certificates: Certificates,
    /// Proxies in front that are believed when they say where a viewer connects from.
    #[serde(default)]
    pub proxies: Proxies,
    /// Threads that serve viewers. If unset, one for each core.
    #[schemars(extend("example" = 4))]
    pub threads: Option<NonZeroUsize>,
    /// The operator's listener: metrics, health, and the API that "gateway admin" speaks. Never expose it to viewers.
    #[serde(default)]
    pub admin: Admin,
    /// The worker hive, from which the gateway gets what its cache lacks.
    pub hive: HiveLink,
    /// Other gateways that this one shares its cache with. Without it, this one is alone.
    pub peers: Option<Peers>,
    /// The slice cache on disk.
    #[serde(default)]
    pub cache: Cache,
    /// What must not be served: see "gateway takedown --help".
    #[serde(default)]
    pub takedown: Takedown,
    /// What one viewer may ask for, and how long it may take.
    #[serde(default)]
    pub limits: Limits,
    /// Viewers' connections: how many there may be, and how long one may take to say what it wants.
    #[serde(default)]
    pub connections: Connections,
    /// Logs. Results of commands go to standard output, the program's own log to standard error.
    #[serde(default)]
    pub log: Log,
    /// What is told of each day (of UTC): bandwidth, viewers, hit ratio, dead links, storage. "gateway report" shows it.
    #[serde(default)]
    pub report: DailyReport,
    /// Where the gateway tells what requests' time went to. Without it, nowhere. Changed by a restart or an upgrade.
    pub traces: Option<Traces>,
    /// What all plugins share. Each plugin has a table of its own, "plugin" below.
    #[serde(default)]
    pub plugins: Plugins,
    /// How often who may ask, for tenants that don't say otherwise. Changed on SIGHUP, together with tenants. With a redis section rates hold
    /// over all gateways together, without one for each.
    #[serde(default)]
    pub rates: Rates,
    /// Where plugins keep what they remember, by which gateways tell each other of purges and takedowns, and where they count rates, streams
    /// and months together. Without it, plugins remember in the gateway's memory, and each gateway is told and counts by itself. Shared by
    /// all gateways that name it. One of url, cluster and sentinel says where it is.
    pub redis: Option<Redis>,
    /// A plugin: a WebAssembly component that decides about requests. What is left out is as its own plugin.toml says. Changed on
    /// SIGHUP, together with tenants, while the gateway runs.
    #[serde(default)]
    pub plugin: Vec<Plugin>,
    /// Tenants that the admin API makes and changes.
    #[serde(default)]
    pub tenants: TenantStore,
    /// Whose links are served: one such table for each customer, at least one, unless tenants.folder is set. The host of a request picks
    /// the tenant.
    #[serde(default)]
    #[schemars(extend("x-shown" = true))]
    pub tenant: Vec<Tenant>,
}

fn default_listen() -> Vec<Listener> {
    vec![Listener::plain(ListenAddress::Tcp(loopback(8080)))]
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// One public address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// IP address and port, or unix:/path.
    pub address: ListenAddress,
    /// TLS; without it, plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// Without TLS: speak HTTP/2 too, to clients that know beforehand (h2c), as a proxy in front is.
    #[serde(default)]
    pub h2c: bool,
    /// Without TLS: send viewers to HTTPS on this port. Challenges of certificates are answered all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub https_port: Option<u16>,
    /// Each connection begins with a line of the PROXY protocol (1 or 2), which says where it really comes from. Only those of
    /// proxies.trusted are taken.
    #[serde(default)]
    pub proxy_protocol: bool,
}

impl Listener {
    /// Plain HTTP/1 on this address.
    #[must_use]
    pub fn plain(address: ListenAddress) -> Self {
        Self { address, tls: None, h2c: false, https_port: None, proxy_protocol: false }
    }
}

/// TLS on an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// PEM file with a certificate and its chain. Of several addresses' the first one's is shown to clients that name no host, or one
    /// that there is no certificate for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// Files of a TLS certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate and its chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// How to reach the worker hive.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HiveLink {
    /// unix:/path or host:port.
    #[serde(default = "HiveLink::default_address")]
    pub address: PeerAddress,
    /// Several hives, in the place of address, written alike at all gateways: each film has one that is asked first, and
    /// the next one is asked when that can't answer. They share their sessions through Redis, or see the same channels.
    #[schemars(with = "Vec<String>", extend("example" = ["10.0.0.1:9000", "10.0.0.2:9000"]))]
    #[serde(default)]
    pub addresses: Vec<PeerAddress>,
    /// The token that gateway and hive share: visible ASCII without spaces, the same in the hive's settings.
    #[schemars(extend("example" = { "file": "/etc/streamvault/hive.token" }))]
    pub token: Secret,
    /// Speak HTTP/2 without TLS (h2c) to the hive. HTTP/1.1 costs less on a unix socket.
    #[serde(default)]
    pub http2: bool,
    /// How long connecting may take.
    #[serde(default = "seconds::<2>")]
    pub connect_timeout: TimeSpan,
    /// How long the hive may take until the headers of its answer.
    #[serde(default = "seconds::<20>")]
    pub response_timeout: TimeSpan,
    /// How long a body may stay without a new byte.
    #[serde(default = "seconds::<20>")]
    pub idle_timeout: TimeSpan,
    /// How long a transfer is tried again after it broke before the viewer sees an error. Covers a restart of the hive.
    #[serde(default = "seconds::<20>")]
    pub retry_window: TimeSpan,
    /// Idle connections kept open.
    #[serde(default = "HiveLink::default_max_idle")]
    pub max_idle: usize,
}

fn seconds<const COUNT: u64>() -> TimeSpan {
    TimeSpan::seconds(COUNT)
}

impl HiveLink {
    fn default_address() -> PeerAddress {
        PeerAddress::Unix(PathBuf::from(crate::worker_hive::SOCKET))
    }

    /// Where hives listen, at least one.
    #[must_use]
    pub fn all(&self) -> &[PeerAddress] {
        if self.addresses.is_empty() { std::slice::from_ref(&self.address) } else { &self.addresses }
    }

    fn default_max_idle() -> usize {
        32
    }
}

/// The slice cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Folder on a file system that knows holes (ext4, xfs, btrfs). Made if its parent exists.
    pub folder: PathBuf,
    /// Bytes of a slice: a power of two from 64KiB to 8MiB. Another size than before empties the cache.
    pub slice_size: ByteSize,
    /// Most bytes on disk, as the file system counts them.
    pub max_size: ByteSize,
    /// Bytes that stay free on the file system, whatever max_size says.
    pub min_free: ByteSize,
    /// Films that nobody watches for so long leave the disk. If unset, they stay until room is needed.
    #[schemars(extend("example" = "30d"))]
    pub inactive: Option<TimeSpan>,
    /// Bytes a second that are read and checked against their checksums beside all else, a round a day; 0B for none.
    pub scrub_rate: ByteSize,
    /// How long the size and version of a media are trusted before the hive is asked again. 0s has every request wait for
    /// the hive.
    pub metadata_ttl: TimeSpan,
    /// How long after metadata_ttl a film is still served without waiting, while the hive is asked. 0s has the first viewer
    /// wait for its answer. A film that was deleted or edited is found out that much later at most.
    pub stale_while_revalidate: TimeSpan,
    /// How long after metadata_ttl what is on disk is still served when the hive can't be asked, or takes more than a second.
    /// Counts from the gateway's start for films that nobody has asked for since. 0s has viewers wait, and then fail.
    pub stale_if_error: TimeSpan,
    /// How long it is remembered that a film isn't there.
    pub not_found_ttl: TimeSpan,
    /// How long it is remembered that a film is gone.
    pub gone_ttl: TimeSpan,
    /// Slices asked of the hive at once when a viewer starts or seeks. Doubles as the viewer reads on.
    pub first_run: u32,
    /// Most slices asked of the hive at once.
    pub max_run: u32,
    /// Slices that are still fetched after the last viewer left.
    pub orphan_budget: u32,
    /// The request from which on a slice is kept, up to 255. With 1 every slice is; with more, what few ask for passes through
    /// the disk without pushing anything out, and is asked of the hive again the next time.
    pub min_uses: u8,
    /// Requests to the hive at once, for all films. Who needs one more waits in line, but for slices that somebody fetches
    /// already.
    pub max_fills: u32,
    /// Requests to the hive at once for one film.
    pub max_fills_per_media: u32,
    /// How long a viewer waits in that line before it is answered that the service is busy.
    pub fill_patience: TimeSpan,
    /// A request to the hive that has brought no byte for so long is ended and made anew, if others wait for it than who
    /// caused it. Twice as long after each time that this brought nothing either.
    pub lock_age: TimeSpan,
    /// How often new slices and purges are brought to the device (fsync), so that they survive a power cut; "0s" leaves that to the
    /// kernel. They survive the end of the process in any case.
    pub sync_interval: TimeSpan,
    /// How long a viewer waits for the disk before its bytes come from the hive instead. After eight failures or waits in a row the
    /// disk is passed by, and asked every second or oftener whether it is well again.
    pub disk_patience: TimeSpan,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("/var/cache/streamvault"),
            slice_size: ByteSize::mib(1),
            max_size: ByteSize::gib(10),
            min_free: ByteSize::gib(1),
            inactive: None,
            scrub_rate: ByteSize::mib(4),
            metadata_ttl: TimeSpan::seconds(30),
            stale_while_revalidate: TimeSpan::seconds(10),
            stale_if_error: TimeSpan::seconds(3600),
            not_found_ttl: TimeSpan::seconds(10),
            gone_ttl: TimeSpan::seconds(60),
            first_run: 4,
            max_run: 32,
            orphan_budget: 2,
            min_uses: 1,
            max_fills: 256,
            max_fills_per_media: 64,
            fill_patience: TimeSpan::seconds(20),
            lock_age: TimeSpan::seconds(10),
            sync_interval: TimeSpan::seconds(5),
            disk_patience: TimeSpan::seconds(2),
        }
    }
}

/// What must not be served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Takedown {
    /// File with the list, made by "gateway takedown init". A gateway whose file is missing or damaged does not start. If unset, nothing can be
    /// taken down here.
    #[schemars(extend("example" = "/var/lib/streamvault/takedowns"))]
    pub file: Option<PathBuf>,
}

/// Bounds on viewers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Most ranges of one request that are answered as such; with more of them the whole file is sent.
    pub max_ranges: usize,
    /// How long a viewer may take no bytes at all before its connection is closed.
    pub write_timeout: TimeSpan,
    /// How long an idle connection stays open for the next request.
    pub keepalive: TimeSpan,
    /// Bytes a second that a viewer over HTTP/1 must take at least, or its connection is closed. In the place of
    /// write_timeout, which counts if this is unset.
    #[schemars(extend("example" = "4KiB"))]
    pub min_send_rate: Option<ByteSize>,
    /// How long running transfers may go on after SIGTERM. The gateway ends as soon as none is left, and cuts what outlasts this.
    pub drain: TimeSpan,
    /// How long the process that was replaced by an upgrade (SIGQUIT) may go on to serve the connections it has. It ends as soon as none is
    /// left. As long as the longest film, or who watches it meets a cut.
    pub upgrade_drain: TimeSpan,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_ranges: 16,
            write_timeout: TimeSpan::seconds(60),
            keepalive: TimeSpan::seconds(75),
            min_send_rate: None,
            drain: TimeSpan::seconds(30),
            upgrade_drain: TimeSpan::seconds(4 * 3600),
        }
    }
}

/// The gateway's logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// error, warn, info, debug or trace, also by module, as in "info,cache=debug".
    pub level: String,
    /// Form of the program's own log.
    pub format: LogFormat,
    /// Where the access log goes, one JSON object a line: "stdout", "stderr", "off" or { file = "/path" }.
    pub access: AccessLog,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text, access: AccessLog::Stdout }
    }
}

/// Form of the program's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// for people
    Text,
    /// one object a line
    Json,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessLog {
    // Without doc comments: the key's own text says it all, and variants would be listed a second time.
    #[expect(missing_docs, reason = "see above")]
    Stdout,
    #[expect(missing_docs, reason = "see above")]
    Stderr,
    #[expect(missing_docs, reason = "see above")]
    Off,
    #[expect(missing_docs, reason = "see above")]
    File(PathBuf),
}
