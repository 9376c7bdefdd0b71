//! The sections of the hive's settings. The doc comments are the text of `worker-hive.example.toml`.

use crate::address::ListenAddress;
pub use crate::gateway::LogFormat;
use crate::secret::Secret;
use crate::units::{ByteSize, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
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
    /// The operator's listener: /metrics and /healthz.
    #[serde(default)]
    pub admin: Admin,
    /// Where Telegram sessions are kept.
    #[serde(default)]
    pub store: Store,
    /// What Telegram is told about this program.
    #[serde(default)]
    pub telegram: Telegram,
    /// How bytes are fetched.
    #[serde(default)]
    pub pool: Pool,
    /// What is remembered about messages.
    #[serde(default)]
    pub cache: LocationCache,
    /// The log, on standard error.
    #[serde(default)]
    pub log: Log,
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
    /// Folder of the session store. Whoever can read it can act as the accounts in it.
    pub folder: PathBuf,
}

impl Default for Store {
    fn default() -> Self {
        Self { folder: PathBuf::from("/var/lib/streamvault") }
    }
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

/// How bytes are fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// Connections of a session to each data-centre. Telegram bounds the speed of each one; above some 20 it closes them.
    pub connections_per_session: usize,
    /// Streams that one session carries at once.
    pub streams_per_session: usize,
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
            connections_per_session: 4,
            streams_per_session: 15,
            window_start: 4,
            window_max: 12,
            chunk: ByteSize::kib(512),
            first_chunk: ByteSize::kib(64),
            buffer: ByteSize::mib(512),
            connect_timeout: TimeSpan::seconds(8),
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
