//! From the settings file to what each part takes.

use config::{HiveSettings, ListenAddress, Secret};
use mtproto::ClientConfig;
use pool::PoolConfig;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long transfers under way may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);

/// What a hive is started with.
#[derive(Clone, Debug)]
pub struct HiveOptions {
    /// Where gateways connect.
    pub listen: ListenAddress,
    /// Where metrics and health are read.
    pub admin: SocketAddr,
    /// What gateways must present.
    pub token: Secret,
    /// Folder of the session files.
    pub store: PathBuf,
    /// Connections to Telegram.
    pub client: ClientConfig,
    /// Sessions and streams.
    pub pool: PoolConfig,
    /// How long transfers under way may go on when the hive is told to stop.
    pub drain: Duration,
}

impl From<HiveSettings> for HiveOptions {
    fn from(settings: HiveSettings) -> Self {
        let telegram = settings.telegram;
        let pool = settings.pool;
        let addresses = telegram.data_centres.iter().map(|dc| (dc.id, dc.address)).collect();
        Self {
            listen: settings.listen,
            admin: settings.admin.address,
            token: settings.token,
            store: settings.store.folder,
            client: ClientConfig {
                addresses: Arc::new(addresses),
                connections: pool.connections_per_session,
                connect_timeout: pool.connect_timeout.get(),
                call_timeout: pool.call_timeout.get(),
                device_model: telegram.device_model,
                system_version: telegram.system_version,
                app_version: telegram.app_version,
                lang_code: telegram.lang_code,
                ..ClientConfig::default()
            },
            pool: PoolConfig {
                streams_per_session: pool.streams_per_session,
                window_start: pool.window_start,
                window_max: pool.window_max,
                chunk: u32::try_from(pool.chunk.bytes()).unwrap_or(mtproto::MAX_CHUNK),
                first_chunk: u32::try_from(pool.first_chunk.bytes()).unwrap_or(mtproto::MAX_CHUNK),
                deadline: pool.chunk_deadline.get(),
                buffer: usize::try_from(pool.buffer.bytes()).unwrap_or(usize::MAX),
                max_flood_wait: pool.max_flood_wait.get(),
                location_ttl: settings.cache.location_ttl.get(),
                negative_ttl: settings.cache.negative_ttl.get(),
                ..PoolConfig::default()
            },
            drain: DRAIN,
        }
    }
}
