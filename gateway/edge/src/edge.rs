//! Everything a request needs, built once from the settings.

use crate::access_log::AccessLogger;
use crate::metrics::{Elsewhere, Metrics, Rows};
use crate::tenant::{TenantError, Tenants};
use cache::{Cache, CacheConfig, CacheStats};
use config::{GatewaySettings, PeerAddress};
use hive_client::{HiveAddress, HiveClient, HiveConfig};
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use tracing_appender::non_blocking::WorkerGuard;

/// The edge's parts.
pub(crate) struct Edge {
    pub(crate) tenants: Tenants,
    pub(crate) cache: Cache,
    pub(crate) hive: HiveClient,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: AccessLogger,
    pub(crate) limits: Limits,
}

/// Bounds on one viewer.
pub(crate) struct Limits {
    pub(crate) max_ranges: usize,
    pub(crate) write_timeout: Duration,
    pub(crate) keepalive: Duration,
    pub(crate) min_send_rate: Option<usize>,
}

/// The edge could not be built from settings that are valid by themselves.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EdgeError {
    #[error(transparent)]
    Tenant(#[from] TenantError),
    #[error("cache: {0}")]
    Cache(#[from] cache::OpenError),
    #[error("hive.token holds characters that can't stand in a header")]
    Token(#[from] http::header::InvalidHeaderValue),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("log.access: {0}")]
    AccessLog(#[from] std::io::Error),
}

impl Edge {
    /// Opens the cache and the access log; connects nowhere. The guard flushes the access log when dropped.
    pub(crate) fn new(settings: &GatewaySettings) -> Result<(Arc<Self>, Option<WorkerGuard>), EdgeError> {
        let tenants = Tenants::new(&settings.tenant)?;
        let hive = HiveClient::new(hive_config(&settings.hive))?;
        let cache = Cache::open(cache_config(&settings.cache), Arc::new(hive.clone()))?;
        let (access_log, guard) = AccessLogger::open(&settings.log.access)?;
        let limits = Limits {
            max_ranges: settings.limits.max_ranges,
            write_timeout: settings.limits.write_timeout.get(),
            keepalive: settings.limits.keepalive.get(),
            min_send_rate: settings
                .limits
                .min_send_rate
                .map(|rate| usize::try_from(rate.bytes()).unwrap_or(usize::MAX)),
        };
        Ok((Arc::new(Self { tenants, cache, hive, metrics: Metrics::new()?, access_log, limits }), guard))
    }

    /// Prometheus' text format, with what cache, hive client and log counted themselves.
    pub(crate) fn metrics_text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let stats = self.cache.stats();
        self.metrics.text(&Elsewhere {
            log_dropped: self.access_log.dropped(),
            cache_events: cache_events(&stats),
            cache_state: cache_state(&stats),
            hive: self.hive.stats().snapshot(),
        })
    }
}

fn hive_config(settings: &config::gateway::HiveLink) -> HiveConfig {
    HiveConfig {
        address: match &settings.address {
            PeerAddress::Unix(path) => HiveAddress::Unix(path.clone()),
            tcp @ PeerAddress::Tcp { .. } => HiveAddress::Tcp(tcp.to_string()),
        },
        token: SecretString::from(settings.token.expose()),
        http2: settings.http2,
        connect_timeout: settings.connect_timeout.get(),
        response_timeout: settings.response_timeout.get(),
        idle_timeout: settings.idle_timeout.get(),
        retry_window: settings.retry_window.get(),
        max_idle: settings.max_idle,
    }
}

fn cache_config(settings: &config::gateway::Cache) -> CacheConfig {
    CacheConfig {
        // The settings' own check keeps it far below 4 GiB; the cache checks again.
        slice_size: u32::try_from(settings.slice_size.bytes()).unwrap_or(u32::MAX),
        max_size: settings.max_size.bytes(),
        min_free: settings.min_free.bytes(),
        meta_ttl: settings.metadata_ttl.get(),
        first_run: settings.first_run,
        max_run: settings.max_run,
        orphan_budget: settings.orphan_budget,
        ..CacheConfig::new(settings.folder.clone())
    }
}

fn cache_events(stats: &CacheStats) -> Rows {
    vec![
        ("hits", stats.hits),
        ("partials", stats.partials),
        ("misses", stats.misses),
        ("joins", stats.joins),
        ("bypasses", stats.bypasses),
        ("fills", stats.fills),
        ("fill_failures", stats.fill_failures),
        ("directs", stats.directs),
        ("describes", stats.describes),
        ("changed", stats.changed),
        ("purged", stats.purged),
        ("evicted", stats.evicted),
        ("checksum_failures", stats.checksum_failures),
        ("sidecars_dropped", stats.sidecars_dropped),
        ("disk_errors", stats.disk_errors),
        ("bytes_read", stats.bytes_read),
        ("bytes_filled", stats.bytes_filled),
        ("bytes_direct", stats.bytes_direct),
    ]
}

fn cache_state(stats: &CacheStats) -> Rows {
    vec![
        ("bytes_held", stats.bytes_held),
        ("slices", stats.slices),
        ("media", stats.media),
        ("running_fills", stats.running_fills),
    ]
}
