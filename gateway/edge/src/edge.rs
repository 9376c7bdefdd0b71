//! Everything a request needs, built once from the settings.

use crate::access_log::AccessLogger;
use crate::acts::{self, Acts};
use crate::certificates::{Certificates, CertificatesError};
use crate::clock;
use crate::connections::Connections;
use crate::crowd::Crowd;
use crate::daily::Daily;
use crate::directory::Directory;
use crate::identities::Identities;
use crate::kin::Kin;
use crate::labels::Labelled;
use crate::lifecycle::Lifecycle;
use crate::live::Live;
use crate::log_level::LogLevel;
use crate::log_writer::WriterGuard;
use crate::managed::{self, Managed, ManagedError};
use crate::metrics::{Elsewhere, Metrics, Rows};
use crate::observe::Observer;
use crate::place::PlaceFile;
use crate::plugin_metrics;
use crate::plugins::{LivePlugins, PluginsError};
use crate::predecessor::{Predecessor, SuccessionError};
use crate::proxies::Proxies;
use crate::rates::{self, RateBook};
use crate::redis_server::server;
use crate::reload::{Parts, Reloader, looks, warn_of_lists};
use crate::sign_outs::{self, SignOuts};
use crate::takedown::Takedowns;
use crate::tenant::TenantError;
use crate::tenant_metrics;
use crate::traced::Traced;
use broadcast::Broadcast;
use cache::{Cache, CacheConfig, CacheStats};
use config::{GatewaySettings, PeerAddress};
use hive_client::{HiveAddress, HiveClient, HiveConfig};
use limits::{LimitStats, Limiter};
use peers::{Peers, PeersError};
use secrecy::SecretString;
use slice::SliceOrigin;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use takedown::FileError;
use tokio_util::sync::CancellationToken;
use traces::TracesError;

/// The edge's parts.
pub(crate) struct Edge {
    pub(crate) directory: Arc<Directory>,
    pub(crate) plugins: Arc<LivePlugins>,
    pub(crate) reloader: Reloader,
    pub(crate) observer: Observer,
    pub(crate) limiter: Limiter,
    pub(crate) rates: Arc<RateBook>,
    pub(crate) labelled: Labelled,
    pub(crate) cache: Cache,
    /// Bytes of a slice.
    pub(crate) slice_size: u64,
    /// A check of the cache is under way.
    pub(crate) verifying: AtomicBool,
    pub(crate) takedowns: Arc<Takedowns>,
    pub(crate) acts: Acts,
    pub(crate) sign_outs: Arc<SignOuts>,
    pub(crate) identities: Identities,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) proxies: Proxies,
    pub(crate) hive: HiveClient,
    /// The fleet, if the gateway is one of several.
    pub(crate) peers: Option<Peers>,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: AccessLogger,
    pub(crate) live: Arc<Live>,
    pub(crate) daily: Daily,
    pub(crate) traced: Traced,
    pub(crate) crowd: Crowd,
    pub(crate) lifecycle: Arc<Lifecycle>,
    pub(crate) connections: Arc<Connections>,
    /// Ends transfers that outlast the drain.
    pub(crate) closing: CancellationToken,
}

/// The edge could not be built from settings that are valid by themselves.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EdgeError {
    #[error(transparent)]
    Tenant(#[from] TenantError),
    #[error(transparent)]
    Managed(#[from] ManagedError),
    #[error(transparent)]
    Plugins(#[from] PluginsError),
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    #[error("cache: {0}")]
    Cache(#[from] cache::OpenError),
    #[error("takedown.file: {0}")]
    Takedown(#[from] FileError),
    #[error("redis: {0}")]
    Redis(#[from] redis_link::AddressError),
    #[error("what tenants sent this month: {0}")]
    Rates(std::io::Error),
    #[error("hive.token holds characters that can't stand in a header")]
    Token(#[from] http::header::InvalidHeaderValue),
    #[error(transparent)]
    Certificates(#[from] CertificatesError),
    #[error("peers: {0}")]
    Peers(#[from] PeersError),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("log.access: {0}")]
    AccessLog(#[from] std::io::Error),
    #[error("traces: {0}")]
    Traces(#[from] TracesError),
    #[error("report.folder: {0}")]
    Report(std::io::Error),
}

impl Edge {
    /// Opens the cache and the access log, and loads plugins; connects nowhere. `file` is where the settings came from, and
    /// will be read again. From `predecessor` the folders are taken right before those are opened that one process alone may have: what fails before
    /// has touched none of them. From then on its acts are heard. The guard flushes the access log when dropped.
    pub(crate) fn new(
        settings: &GatewaySettings,
        file: &Path,
        log: LogLevel,
        predecessor: Option<&Predecessor>,
    ) -> Result<(Arc<Self>, Option<WriterGuard>), EdgeError> {
        let looked = looks(&plugin_package::specs(&settings.plugin));
        let plugins = Arc::new(load_plugins(settings)?);
        let mut managed = Managed::open(settings)?;
        let directory = Arc::new(managed::directory(settings, managed.as_ref())?);
        warn_of_lists(&plugins, &directory);
        let certificates = Arc::new(Certificates::new(settings, &directory, &plugins)?);
        let trust = plugin_package::trust(&settings.plugins).map_err(PluginsError::from)?;
        let hive = HiveClient::new(hive_config(&settings.hive))?;
        let peers = peers(settings, &hive)?;
        let origin: Arc<dyn SliceOrigin> = match &peers {
            Some(peers) => Arc::new(peers.clone()),
            None => Arc::new(hive.clone()),
        };
        let (access_log, guard) = AccessLogger::open(&settings.log.access)?;
        let traced = Traced::new(settings)?;
        if let Some(predecessor) = predecessor {
            predecessor.take_folders()?;
            // It may have changed some while plugins were compiled here.
            managed = Managed::open(settings)?;
            directory.replace(managed::served(settings, managed.as_ref())?);
        }
        // Before the cache, whose folder takes its time: what its operators take down meanwhile is written down here.
        let takedowns = Arc::new(Takedowns::open(&settings.takedown)?);
        let heard = takedowns.clone();
        let kin = Arc::new(Kin::new(move |body| acts::at_once(&heard, body)));
        if let Some(predecessor) = predecessor {
            predecessor.listen(&kin)?;
        }
        let rates = Arc::new(RateBook::new(settings, clock::unix()).map_err(EdgeError::Rates)?);
        let cache = Cache::open(cache_config(&settings.cache), origin)?;
        let live = Arc::new(Live::new(settings));
        let connections = Arc::new(Connections::new(settings));
        let parts = Parts {
            plugins: plugins.clone(),
            directory: directory.clone(),
            live: live.clone(),
            connections: connections.clone(),
            rates: rates.clone(),
            cache: cache.clone(),
            log,
            managed,
            looked,
        };
        let reloader = Reloader::new(file.to_owned(), settings, trust, parts);
        let place = PlaceFile::new(&settings.cache.folder);
        let way = settings
            .redis
            .as_ref()
            .map(|redis| Ok(Broadcast::at(server(redis)?, &redis.prefix, redis.timeout.get(), place.read())));
        let way = way.transpose().map_err(EdgeError::Redis)?;
        let identities = Identities::new(settings)?;
        let sign_outs_way = settings.redis.as_ref().map(sign_outs::way).transpose().map_err(EdgeError::Redis)?;
        let acts = Acts::new(cache.clone(), takedowns.clone(), identities.revoked.clone(), way, place, kin.clone());
        let edge = Self {
            directory,
            plugins,
            reloader,
            observer: Observer::default(),
            limiter: Limiter::new(),
            rates,
            labelled: Labelled::new(),
            cache,
            slice_size: settings.cache.slice_size.bytes(),
            verifying: AtomicBool::new(false),
            takedowns,
            sign_outs: Arc::new(SignOuts::new(identities.revoked.clone(), sign_outs_way, acts.kin.clone())),
            acts,
            identities,
            certificates,
            proxies: Proxies::new(&settings.proxies),
            hive,
            peers,
            metrics: Metrics::new()?,
            access_log,
            live,
            traced,
            daily: Daily::open(&settings.report).map_err(EdgeError::Report)?,
            crowd: Crowd::default(),
            lifecycle: Arc::new(Lifecycle::new(&settings.limits)),
            connections,
            closing: CancellationToken::new(),
        };
        Ok((Arc::new(edge), guard))
    }

    /// The cache's counters and gauges, by their names in the metrics.
    pub(crate) fn cache_figures(&self) -> (Rows, Rows) {
        let stats = self.cache.stats();
        (cache_events(&stats), cache_state(&stats))
    }

    /// Prometheus' text format, with what cache, hive client and log counted themselves.
    pub(crate) fn metrics_text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let stats = self.cache.stats();
        let limits = self.limiter.stats(clock::tick());
        let (certificate_events, certificate_state) = self.certificates.figures();
        let (connection_events, connection_state) = self.connections.figures();
        let hives = self.hive.health();
        let out_of_reach = hives.iter().filter(|(_, left_alone)| *left_alone).count();
        let mut text = self.metrics.text(&Elsewhere {
            log_dropped: self.access_log.dropped(),
            observe_dropped: self.observer.dropped(),
            limit_events: limit_events(&limits),
            limit_state: vec![("streams", limits.streams), ("viewers", limits.viewers), ("tenants", limits.tenants)],
            cache_events: cache_events(&stats),
            cache_state: cache_state(&stats),
            hive: self.hive.stats().snapshot(),
            hives: vec![("named", hives.len() as u64), ("out_of_reach", out_of_reach as u64)],
            peers: self.peers.as_ref().map(|peers| peers.stats().snapshot()).unwrap_or_default(),
            fleet: self.peers.as_ref().map(fleet).unwrap_or_default(),
            certificate_events,
            certificate_state,
            connection_events,
            connection_state,
        })?;
        tenant_metrics::write(&self.daily.ledger.totals(), &mut text);
        plugin_metrics::write(&self.plugins.stats(), &mut text);
        rates::write_metrics(&self.rates.rates.stats(), &mut text);
        Ok(text)
    }
}

/// Reads and compiles every plugin. One that can't be loaded fails its requests, not the gateway.
fn load_plugins(settings: &GatewaySettings) -> Result<LivePlugins, PluginsError> {
    let live = LivePlugins::new(settings)?;
    let specs = plugin_package::specs(&settings.plugin);
    let trust = plugin_package::trust(&settings.plugins).map_err(PluginsError::from)?;
    // The server's own runtimes don't exist yet.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(PluginsError::Runtime)?;
    runtime.block_on(live.load(specs, trust))?;
    Ok(live)
}

fn limit_events(stats: &LimitStats) -> Rows {
    let waited = u64::try_from(stats.waited.as_millis()).unwrap_or(u64::MAX);
    vec![
        ("refused_viewer", stats.refused_viewer),
        ("refused_tenant", stats.refused_tenant),
        ("waited_milliseconds", waited),
    ]
}

fn hive_config(settings: &config::gateway::HiveLink) -> HiveConfig {
    HiveConfig {
        addresses: settings.all().iter().map(hive_address).collect(),
        token: SecretString::from(settings.token.expose()),
        http2: settings.http2,
        connect_timeout: settings.connect_timeout.get(),
        response_timeout: settings.response_timeout.get(),
        idle_timeout: settings.idle_timeout.get(),
        retry_window: settings.retry_window.get(),
        max_idle: settings.max_idle,
        hop: None,
    }
}

/// The fleet in front of the hive, if there is one.
fn peers(settings: &GatewaySettings, hive: &HiveClient) -> Result<Option<Peers>, PeersError> {
    let Some(peers) = &settings.peers else { return Ok(None) };
    let member = |member: &config::gateway::PeerMember| peers::Member {
        address: hive_address(&member.address),
        weight: member.weight,
    };
    let config = peers::PeersConfig {
        own: hive_address(&peers.own),
        members: peers.members.iter().map(member).collect(),
        token: SecretString::from(peers.token.expose()),
        connect_timeout: peers.connect_timeout.get(),
        patience: peers.patience.get(),
        // One that lives may wait for the hive for as long as this gateway would.
        response_timeout: settings.hive.response_timeout.get() + settings.hive.retry_window.get(),
        max_idle: peers.max_idle,
        max_transfers: usize::try_from(settings.cache.max_fills / 2).unwrap_or(usize::MAX),
    };
    Peers::new(config, Arc::new(hive.clone())).map(Some)
}

fn fleet(peers: &Peers) -> Rows {
    let (others, out_of_reach) = peers.reach();
    vec![("others", others as u64), ("out_of_reach", out_of_reach as u64)]
}

fn hive_address(address: &PeerAddress) -> HiveAddress {
    match address {
        PeerAddress::Unix(path) => HiveAddress::Unix(path.clone()),
        tcp @ PeerAddress::Tcp { .. } => HiveAddress::Tcp(tcp.to_string()),
    }
}

pub(crate) fn cache_config(settings: &config::gateway::Cache) -> CacheConfig {
    CacheConfig {
        // The settings' own check keeps it far below 4 GiB; the cache checks again.
        slice_size: u32::try_from(settings.slice_size.bytes()).unwrap_or(u32::MAX),
        max_size: settings.max_size.bytes(),
        min_free: settings.min_free.bytes(),
        inactive: settings.inactive.map(config::TimeSpan::get),
        scrub_rate: settings.scrub_rate.bytes(),
        meta_ttl: settings.metadata_ttl.get(),
        stale_while_revalidate: settings.stale_while_revalidate.get(),
        stale_if_error: settings.stale_if_error.get(),
        not_found_ttl: settings.not_found_ttl.get(),
        gone_ttl: settings.gone_ttl.get(),
        first_run: settings.first_run,
        max_run: settings.max_run,
        orphan_budget: settings.orphan_budget,
        min_uses: settings.min_uses,
        max_fills: settings.max_fills,
        max_fills_per_media: settings.max_fills_per_media,
        fill_patience: settings.fill_patience.get(),
        lock_age: settings.lock_age.get(),
        sync_interval: settings.sync_interval.get(),
        disk_patience: settings.disk_patience.get(),
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
        ("stale", stats.stale),
        ("fills", stats.fills),
        ("fill_failures", stats.fill_failures),
        ("unadmitted", stats.unadmitted),
        ("fills_abandoned", stats.fills_abandoned),
        ("fill_waits", stats.fill_waits),
        ("fill_refusals", stats.fill_refusals),
        ("directs", stats.directs),
        ("describes", stats.describes),
        ("revalidated", stats.revalidated),
        ("negatives", stats.negatives),
        ("changed", stats.changed),
        ("purged", stats.purged),
        ("evicted", stats.evicted),
        ("expired", stats.expired),
        ("bytes_scrubbed", stats.scrubbed),
        ("checksum_failures", stats.checksum_failures),
        ("sidecars_dropped", stats.sidecars_dropped),
        ("disk_errors", stats.disk_errors),
        ("disk_timeouts", stats.disk_timeouts),
        ("synced", stats.synced),
        ("bytes_read", stats.bytes_read),
        ("bytes_filled", stats.bytes_filled),
        ("bytes_direct", stats.bytes_direct),
    ]
}

fn cache_state(stats: &CacheStats) -> Rows {
    vec![
        ("bytes_held", stats.bytes_held),
        ("bytes_on_disk", stats.bytes_on_disk),
        ("bytes_coming", stats.bytes_coming),
        ("bytes_unfreed", stats.bytes_unfreed),
        ("slices", stats.slices),
        ("media", stats.media),
        ("running_fills", stats.running_fills),
        ("waiting_fills", stats.waiting_fills),
        ("disk_stuck", stats.disk_stuck),
        ("disk_sick", stats.disk_sick),
    ]
}
