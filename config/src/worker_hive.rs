//! The sections of the hive's settings. The doc comments are the text of `worker-hive.example.toml`.

use crate::address::ListenAddress;
pub use crate::gateway::LogFormat;
use crate::secret::Secret;
use crate::traces::Traces;
use crate::units::{ByteSize, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

/// Where gateway and hive meet on one machine.
pub(crate) const SOCKET: &str = "/run/streamvault/hive.sock";

/// Settings of the worker hive, the pool of Telegram sessions behind the gateway.
///
/// Times have a unit (500ms, 30s, 5m, 4h, 2d), sizes too (64KiB, 1MiB, 10GiB). Paths are absolute. A secret is
/// "the text itself", { file = "/path" } or { env = "NAME" }. Check the file with
/// "worker-hive check --config FILE".
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HiveSettings {
    /// Where gateways connect: unix:/path, or an IP address and port. There is no TLS here: across machines, use a
    /// private network.
    #[serde(default = "HiveSettings::default_listen")]
    pub listen: ListenAddress,
    /// The token that gateway and hive share: visible ASCII without spaces, the same in the gateway's settings.
    #[schemars(extend("example" = { "file": "/etc/streamvault/hive.token" }))]
    pub token: Secret,
    /// The operator's listener: /metrics and /healthz, and /v1/sessions and /v1/hives, which name the sessions and how they
    /// fare. It asks nobody for a token: keep it on this machine or in a private network.
    #[serde(default)]
    pub admin: Admin,
    /// Where Telegram sessions are kept.
    #[serde(default)]
    pub store: Store,
    /// Where the manifests of virtual files are kept.
    #[serde(default)]
    pub catalog: Catalog,
    /// What Telegram is told about this program.
    #[serde(default)]
    pub telegram: Telegram,
    /// How Telegram is reached.
    #[serde(default)]
    pub route: Route,
    /// How bytes are fetched.
    #[serde(default)]
    pub pool: Pool,
    /// What is remembered about messages.
    #[serde(default)]
    pub cache: LocationCache,
    /// Other hives that have the same sessions. Without it there are none: this hive runs every session of its store alone.
    pub redis: Option<SharedLeases>,
    /// The log, on standard error.
    #[serde(default)]
    pub log: Log,
    /// Where the hive tells what requests' time went to. Without it, nowhere.
    pub traces: Option<Traces>,
}

impl HiveSettings {
    fn default_listen() -> ListenAddress {
        ListenAddress::Unix(PathBuf::from(SOCKET))
    }
}

/// The operator's listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// IP address and port.
    #[schemars(with = "String")]
    pub address: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9091)) }
    }
}

/// Where sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// Folder of the session store. Whoever can read it, and the key if there is one, can act as the accounts in it.
    pub folder: PathBuf,
    /// File of the key that secrets in the store are encrypted with, its owner's alone (mode 0600); "worker-hive keygen"
    /// makes one. The environment variable STREAMVAULT_STORE_KEY may hold the key instead. Without either, secrets are
    /// kept as they are. Sessions without encryption are encrypted at the next run.
    #[schemars(extend("example" = "/etc/streamvault/store.key"))]
    pub key_file: Option<PathBuf>,
}

impl Default for Store {
    fn default() -> Self {
        Self { folder: PathBuf::from("/var/lib/streamvault"), key_file: None }
    }
}

/// The catalog of virtual files: which messages' documents, joined, are one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Catalog {
    /// Its file. Without it: catalog.sqlite in the store's folder.
    #[schemars(extend("example" = "/var/lib/streamvault/catalog.sqlite"))]
    pub file: Option<PathBuf>,
}

/// What Telegram is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telegram {
    /// The application's id, from my.telegram.org/apps, for all sessions. Without it, each session goes on with the id
    /// that it was made with, which Telegram likes best.
    #[schemars(extend("example" = 12345))]
    pub api_id: Option<i32>,
    /// The application's hash, from the same page. Needed to sign in, not to serve.
    #[schemars(extend("example" = { "file": "/etc/streamvault/api.hash" }))]
    pub api_hash: Option<Secret>,
    /// Device name that the account's list of sessions shows.
    pub device_model: String,
    /// System that the list shows.
    pub system_version: String,
    /// Version that the list shows.
    pub app_version: String,
    /// Language that Telegram answers in.
    pub lang_code: String,
    /// Other data-centres than Telegram's own: a relay, Telegram's test servers or a simulator, as in
    /// { id = 2, address = "127.0.0.1:4430" }. Each id once.
    #[schemars(extend("example" = [{ "id": 2, "address": "127.0.0.1:4430" }]))]
    pub data_centres: Vec<DataCentre>,
    /// File with the RSA public keys of those, if they have others than Telegram's: PEM, "BEGIN RSA PUBLIC KEY". Only
    /// for a simulator or a test; a relay has Telegram's.
    #[schemars(extend("example" = "/etc/streamvault/simulator.pem"))]
    pub rsa_keys: Option<PathBuf>,
}

impl Default for Telegram {
    fn default() -> Self {
        Self {
            api_id: None,
            api_hash: None,
            device_model: "streamvault".to_owned(),
            system_version: "Linux".to_owned(),
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            lang_code: "en".to_owned(),
            data_centres: Vec::new(),
            rsa_keys: None,
        }
    }
}

/// The address of a data-centre.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataCentre {
    /// Telegram's number for it.
    pub id: i32,
    /// IP address and port.
    #[schemars(with = "String")]
    pub address: SocketAddr,
}

/// How Telegram is reached, by sessions that have no route of their own ("worker-hive sessions route"). Nothing ever goes
/// another way: while a proxy is down, the sessions that use it are.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// A proxy: socks5://user:password@host:port or http://user:password@host:port, with or without user and password, or
    /// an MTProxy as mtproxy://secret@host:port or as a tg://proxy or https://t.me/proxy link. Without one, straight to
    /// Telegram. What stands for something else in a URL is written as %XX in user and password.
    #[schemars(extend("example" = { "file": "/etc/streamvault/route" }))]
    pub url: Option<Secret>,
    /// IP version: "4", "6", or "any" for whichever connects first. An address that is given as such, of a proxy or a
    /// data-centre, is used whatever its version.
    pub ip: IpVersion,
    /// Local addresses that connections leave from, at most one of each IP version.
    #[schemars(with = "Vec<String>", extend("example" = ["203.0.113.7"]))]
    pub bind: Vec<IpAddr>,
}

/// IP versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpVersion {
    /// IPv4 alone.
    #[default]
    #[serde(rename = "4")]
    V4,
    /// IPv6 alone.
    #[serde(rename = "6")]
    V6,
    /// Both.
    #[serde(rename = "any")]
    Any,
}

/// How bytes are fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// Most connections of a session to each data-centre, opened one at a time while chunks wait and each brings more.
    /// Telegram bounds the speed of each one; above some 20 it closes them.
    pub connections_per_session: usize,
    /// Connections of a session to each data-centre that are there before anybody needs them, as far as
    /// connections_per_session allows.
    pub connections_min: usize,
    /// Streams that one session carries at once.
    pub streams_per_session: usize,
    /// The same for premium sessions, if that is less.
    pub streams_premium: usize,
    /// The same for sessions without premium, if that is less.
    pub streams_standard: usize,
    /// Streams that may wait for a place at once. More are told at once to come back later.
    pub queue: usize,
    /// Of a hundred calls, how many may be second tries for a chunk that a viewer waits for and that takes much longer
    /// than usual. 0 for none.
    pub hedges_percent: usize,
    /// Chunks in flight when a stream starts.
    pub window_start: usize,
    /// Most chunks in flight of one stream. Times the chunk, this is the memory a stream may take.
    pub window_max: usize,
    /// Bytes asked for by one call: a power of two from 4KiB to 512KiB.
    pub chunk: ByteSize,
    /// Bytes asked for by the first call of a stream, smaller so that a seek is answered soon: likewise, up to chunk.
    pub first_chunk: ByteSize,
    /// Bytes that all streams together may hold beyond one chunk each. Bounds the hive's memory however many viewers come.
    pub buffer: ByteSize,
    /// How long connecting to a data-centre, with the handshake, may take before it is tried again.
    pub connect_timeout: TimeSpan,
    /// How often a connection is pinged. One that answers nothing within call_timeout after a ping is made anew.
    pub keep_alive: TimeSpan,
    /// Connections that were not needed for this long are closed, but for one of a session to each data-centre.
    pub idle: TimeSpan,
    /// How long one call may take before it is made again elsewhere.
    pub call_timeout: TimeSpan,
    /// How long a chunk, or a lookup with the first chunk after it, may take with all its tries from whichever session.
    /// At least call_timeout, and less than the gateway's response_timeout and idle_timeout, so that a fault is told
    /// before nobody listens any more.
    pub chunk_deadline: TimeSpan,
    /// How long a request waits for a place when every session carries streams_per_session streams, before it is told
    /// to come back later. Not longer than chunk_deadline.
    pub retry_window: TimeSpan,
    /// Longest pause asked by Telegram (FLOOD_WAIT) that a stream waits out. After a longer one it goes elsewhere or ends.
    pub max_flood_wait: TimeSpan,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            connections_per_session: 8,
            connections_min: 4,
            streams_per_session: 15,
            streams_premium: 15,
            streams_standard: 15,
            queue: 256,
            hedges_percent: 3,
            window_start: 4,
            window_max: 32,
            chunk: ByteSize::kib(512),
            first_chunk: ByteSize::kib(64),
            buffer: ByteSize::mib(512),
            connect_timeout: TimeSpan::seconds(8),
            keep_alive: TimeSpan::seconds(30),
            idle: TimeSpan::seconds(600),
            call_timeout: TimeSpan::seconds(5),
            chunk_deadline: TimeSpan::seconds(15),
            retry_window: TimeSpan::seconds(10),
            max_flood_wait: TimeSpan::seconds(10),
        }
    }
}

/// What is remembered about messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LocationCache {
    /// How long the file behind a message is trusted before Telegram is asked again.
    pub location_ttl: TimeSpan,
    /// How long a message without a file stays known as such.
    pub negative_ttl: TimeSpan,
}

impl Default for LocationCache {
    fn default() -> Self {
        Self { location_ttl: TimeSpan::seconds(30), negative_ttl: TimeSpan::seconds(5) }
    }
}

/// A Redis, Valkey or compatible server, in which hives agree on who runs which session: Telegram revokes a session that is
/// used from two places.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedLeases {
    /// redis://host:port/db, redis://user:password@host:port/db or redis+unix:///path. One server: neither TLS nor a Redis
    /// Cluster is supported. A secret, since it may hold a password.
    #[schemars(extend("example" = { "file": "/etc/streamvault/redis.url" }))]
    pub url: Secret,
    /// First part of every key, the same for all hives that share sessions.
    #[serde(default = "SharedLeases::default_prefix")]
    pub prefix: String,
    /// What the other hives call this one: letters, digits, dashes and underscores. If unset, the machine's name.
    #[schemars(extend("example" = "hive-1"))]
    pub hive: Option<String>,
    /// How long a session stays a hive's that is not heard of any more, the same for all hives: a dead hive's sessions
    /// are taken over after it.
    #[serde(default = "SharedLeases::default_lease")]
    pub lease: TimeSpan,
    /// What the hive does with its sessions while Redis is away: "keep" goes on, and two hives use one session if Redis is
    /// away for one of them only; "stop" lets go, so that an outage of Redis ends every stream.
    #[serde(default)]
    pub when_away: WhenAway,
}

impl SharedLeases {
    fn default_prefix() -> String {
        "sv".to_owned()
    }

    fn default_lease() -> TimeSpan {
        TimeSpan::seconds(15)
    }
}

/// What a hive does while Redis is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenAway {
    // Without doc comments: the key's own text says it all.
    #[default]
    #[expect(missing_docs, reason = "see above")]
    Keep,
    #[expect(missing_docs, reason = "see above")]
    Stop,
}

/// The hive's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// error, warn, info, debug or trace, also by module, as in "info,pool=debug".
    pub level: String,
    /// Its form.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}
