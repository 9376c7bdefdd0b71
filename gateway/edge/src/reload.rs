//! Live change: all that can change while requests run, anew from the same settings file. Checked first, all or nothing.

mod error;

pub(crate) use error::{HandedOver, ReloadError};

use crate::connections::Connections;
use crate::directory::Directory;
use crate::edge::cache_config;
use crate::live::Live;
use crate::log_level::{self, LogLevel};
use crate::managed::{Managed, conflict, together};
use crate::plugins::{LivePlugins, PluginsError};
use crate::rates::{RateBook, RateChoices};
use crate::tenants::Tenants;
use cache::Cache;
use config::{ConfigError, Difference, Flat, GatewaySettings, Loaded, gateway};
use parking_lot::Mutex;
use plugin_host::Change;
use plugin_package::{Hook, Spec, Trust};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// How often it is looked whether a change is done that is under way.
const LOOK: Duration = Duration::from_millis(10);

/// What a reload can change, by the beginnings of keys; all else wants a restart.
const LIVE: &[&str] = &[
    "tenant",
    "plugin",
    "plugins.watch",
    "plugins.trusted_keys",
    "plugins.require_signature",
    "limits.max_ranges",
    "limits.write_timeout",
    "limits.keepalive",
    "limits.min_send_rate",
    "connections.max",
    "connections.max_per_address",
    "connections.handshake_timeout",
    "connections.head_timeout",
    "connections.body_timeout",
    "rates",
    "log.level",
    "admin.token",
    "admin.tokens",
    "admin.open_metrics",
    "admin.audit",
    "cache.max_size",
    "cache.min_free",
    "cache.inactive",
    "cache.scrub_rate",
    "cache.metadata_ttl",
    "cache.stale_while_revalidate",
    "cache.stale_if_error",
    "cache.not_found_ttl",
    "cache.gone_ttl",
    "cache.first_run",
    "cache.max_run",
    "cache.orphan_budget",
    "cache.fill_patience",
    "cache.lock_age",
    "cache.disk_patience",
];

/// Whether a reload is enough for a setting.
pub(crate) fn is_live(key: &str) -> bool {
    LIVE.iter().any(|live| key.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
}

/// Changes what can be changed while the gateway runs. One change at a time.
pub(crate) struct Reloader {
    file: PathBuf,
    pub(crate) plugins: Arc<LivePlugins>,
    pub(crate) directory: Arc<Directory>,
    live: Arc<Live>,
    connections: Arc<Connections>,
    rates: Arc<RateBook>,
    cache: Cache,
    log: LogLevel,
    /// Tenants that the admin API makes.
    pub(crate) managed: Option<Managed>,
    /// What was last asked for.
    wanted: Mutex<Wanted>,
    /// The settings in force.
    running: Mutex<Flat>,
    /// The plugins' folders as they were when they were read first.
    looked: Looks,
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// What is changed here from now on another process would not know.
    handed_over: AtomicBool,
}

#[derive(Clone)]
struct Wanted {
    specs: Vec<Spec>,
    trust: Trust,
    watch: Option<Duration>,
    tenants: Vec<gateway::Tenant>,
}

/// The parts that a reload changes.
pub(crate) struct Parts {
    pub(crate) plugins: Arc<LivePlugins>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) live: Arc<Live>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) rates: Arc<RateBook>,
    pub(crate) cache: Cache,
    pub(crate) log: LogLevel,
    pub(crate) managed: Option<Managed>,
    pub(crate) looked: Looks,
}

/// What a reload came to.
pub(crate) struct Reloaded {
    /// In force now.
    pub(crate) changed: Vec<Difference>,
    /// In force after a restart.
    pub(crate) restart: Vec<Difference>,
    pub(crate) plugins: Vec<Change>,
}

/// How a plugin's folder looks from outside.
type Look = Vec<Option<(SystemTime, u64, u64)>>;
/// Several, with the folders.
pub(crate) type Looks = Vec<(PathBuf, Look)>;

impl Reloader {
    pub(crate) fn new(file: PathBuf, settings: &GatewaySettings, trust: Trust, parts: Parts) -> Self {
        let Parts { plugins, directory, live, connections, rates, cache, log, managed, looked } = parts;
        let (wanted, running) = (Mutex::new(Wanted::new(settings, trust)), Mutex::new(Flat::of(settings)));
        Self {
            file,
            plugins,
            directory,
            live,
            connections,
            rates,
            cache,
            log,
            managed,
            wanted,
            running,
            looked,
            changing: tokio::sync::Mutex::default(),
            handed_over: AtomicBool::new(false),
        }
    }

    /// Leaves settings and tenants to another process: changes are refused from now on, and none is under way when this returns. Blocks. False: one
    /// took longer than `patience`; nothing is changed then.
    #[must_use]
    pub(crate) fn hand_over(&self, patience: Duration) -> bool {
        self.handed_over.store(true, Ordering::Release);
        let mut waited = Duration::ZERO;
        while self.changing.try_lock().is_err() {
            if waited >= patience {
                self.take_back();
                return false;
            }
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
        true
    }

    /// They are this one's again.
    pub(crate) fn take_back(&self) {
        self.handed_over.store(false, Ordering::Release);
    }

    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    /// To be asked by whoever holds [`Self::changing`].
    pub(crate) fn may_change(&self) -> Result<(), HandedOver> {
        if self.is_handed_over() { Err(HandedOver) } else { Ok(()) }
    }

    /// For a process that takes another one's place: does what that one was told to do after this one had read the settings.
    pub(crate) async fn catch_up(&self) {
        match self.differences().await {
            Ok(differences) if differences.is_empty() => {}
            Ok(_) => {
                if let Err(error) = self.reload("the process that was replaced").await {
                    tracing::error!("the settings have changed meanwhile, and are not good: {error}");
                }
            }
            Err(error) => tracing::error!("the settings can't be read again: {error}"),
        }
    }

    /// The settings file.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// The settings in force.
    pub(crate) fn running(&self) -> Flat {
        self.running.lock().clone()
    }

    /// What the file has otherwise than what is in force.
    pub(crate) async fn differences(&self) -> Result<Vec<Difference>, ReloadError> {
        let loaded = self.read().await?;
        Ok(self.running().differences(&Flat::of(&loaded.settings)))
    }

    /// Reads the settings again and puts all of them in force that can be while the gateway runs. Settings that are not good change nothing. A plugin
    /// that can't be loaded keeps its old generation. `who` asked for it.
    pub(crate) async fn reload(&self, who: &str) -> Result<Reloaded, ReloadError> {
        let _one = self.changing.lock().await;
        self.may_change()?;
        let loaded = self.read().await?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let settings = loaded.settings;
        // All that can be wrong is found before anything is changed.
        let wanted = Wanted::new(&settings, plugin_package::trust(&settings.plugins).map_err(PluginsError::from)?);
        let managed = self.managed.as_ref().map(Managed::tenants).unwrap_or_default();
        // Whom the settings would put out by mistake. Who is not served as it is keeps nobody from anything.
        let (fixed, now_in_settings) = (self.directory.fixed(), self.settings_tenants());
        let is_served =
            |id: &str| fixed.by_id(Some(id)).is_some() && now_in_settings.iter().all(|known| known.id != id);
        let mut served = managed.iter().filter(|tenant| is_served(&tenant.id));
        if let Some(taken) = served.find_map(|tenant| conflict(tenant, &wanted.tenants)) {
            return Err(ReloadError::Taken(taken));
        }
        let tenants = Tenants::new(&together(&wanted.tenants, managed))?;
        let filter = log_level::filter(&settings.log.level)?;
        let new = Flat::of(&settings);
        let differences = self.running().differences(&new);
        // No tenant may be served without its policy, neither one that comes nor one that goes: who goes, goes before the plugins
        // change, and who comes, comes after.
        let before = self.directory.fixed();
        tenants.adopt(&before);
        tenants.look_again();
        self.directory.replace(Arc::new(before.also_in(&tenants)));
        let old = self.cache.adjusted();
        let changes = match self.cache.adjust(cache_config(&settings.cache)) {
            Ok(()) => self.load(wanted.clone()).await,
            Err(error) => Err(error.into()),
        };
        let plugins = match changes {
            Ok(changes) => changes,
            Err(error) => {
                self.directory.replace(before);
                // It was good before.
                let _ = self.cache.adjust(old);
                return Err(error);
            }
        };
        self.directory.replace(Arc::new(tenants));
        *self.wanted.lock() = wanted;
        self.live.adopt(&settings);
        self.connections.adopt(&settings);
        self.rates.replace(RateChoices::new(&settings.rates));
        self.log.set(filter);
        self.running.lock().adopt(&new, is_live);
        warn_of_lists(&self.plugins, &self.directory);
        let (changed, restart) = differences.into_iter().partition(|difference| is_live(&difference.key));
        let reloaded = Reloaded { changed, restart, plugins };
        reloaded.tell(who);
        Ok(reloaded)
    }

    /// Secrets are read from files.
    async fn read(&self) -> Result<Loaded<GatewaySettings>, ReloadError> {
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || config::load::<GatewaySettings>(&file)).await;
        let died = |error| ConfigError::Unreadable { file: self.file.clone(), source: std::io::Error::other(error) };
        Ok(read.map_err(died)??)
    }

    /// The tenants of the settings.
    pub(crate) fn settings_tenants(&self) -> Vec<gateway::Tenant> {
        self.wanted.lock().tenants.clone()
    }

    /// Loads plugins anew from their folders, by the settings as they were read last.
    async fn load(&self, wanted: Wanted) -> Result<Vec<Change>, ReloadError> {
        let changes = self.plugins.load(wanted.specs, wanted.trust).await?;
        self.directory.forget();
        Ok(changes)
    }

    /// Looks at the plugins' folders until the end of days, and loads what changed once it has come to rest.
    pub(crate) async fn watch(&self) {
        // What changed while this process started is news, too.
        let mut loaded = self.looked.clone();
        let mut before = loaded.clone();
        loop {
            let period = self.wanted.lock().watch;
            tokio::time::sleep(period.unwrap_or(Duration::from_secs(5))).await;
            if period.is_none() {
                continue;
            }
            let now = self.look().await;
            // A folder that still changes is being copied.
            if now != loaded && now == before {
                let _one = self.changing.lock().await;
                let wanted = self.wanted.lock().clone();
                if let Err(error) = self.load(wanted).await {
                    tracing::error!("changed plugins were not loaded: {error}");
                }
                loaded.clone_from(&now);
            }
            before = now;
        }
    }

    async fn look(&self) -> Looks {
        let specs = self.wanted.lock().specs.clone();
        tokio::task::spawn_blocking(move || looks(&specs)).await.unwrap_or_default()
    }
}

impl Wanted {
    fn new(settings: &GatewaySettings, trust: Trust) -> Self {
        let watch = settings.plugins.watch.map(config::TimeSpan::get);
        let specs = plugin_package::specs(&settings.plugin);
        Self { specs, trust, watch, tenants: settings.tenant.clone() }
    }
}

impl Reloaded {
    fn tell(&self, who: &str) {
        tracing::info!(changed = self.changed.len(), "the settings were read again, for {who}");
        for difference in &self.changed {
            tracing::info!("{difference}");
        }
        for difference in &self.restart {
            tracing::warn!("{difference}: in force after a restart");
        }
    }
}

/// A tenant without a list of channels opens none where there may be others: said where it can still be read.
pub(crate) fn warn_of_lists(plugins: &LivePlugins, directory: &Directory) {
    if plugins.chain(Hook::Tenant, &Arc::from("")).is_none() {
        return;
    }
    for tenant in directory.fixed().all().iter().filter(|tenant| tenant.has_no_list()) {
        tracing::error!(
            tenant = &*tenant.id,
            "has no channels and serves nothing: with a tenant plugin each tenant must name its own"
        );
    }
}

/// How the plugins' folders look now. Blocks.
pub(crate) fn looks(specs: &[Spec]) -> Looks {
    specs.iter().map(|spec| (spec.folder.clone(), look(&spec.folder))).collect()
}

/// Time, size and inode of each file in a folder, by name.
fn look(folder: &Path) -> Look {
    use std::os::unix::fs::MetadataExt;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    let seen = |file: PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    files.into_iter().map(seen).collect()
}

#[cfg(test)]
mod tests {
    use super::{LIVE, is_live};

    #[test]
    fn keys_are_live_by_their_beginnings() {
        for (key, live) in [
            ("tenant[a].domains", true),
            ("plugin[p].settings", true),
            ("plugins.watch", true),
            ("plugins.instances", false),
            ("tenants.folder", false),
            ("limits.max_ranges", true),
            ("log.level", true),
            ("log.format", false),
            ("admin.token", true),
            ("admin.tokens[ci].role", true),
            ("admin.address", false),
            ("cache.max_size", true),
            ("cache.folder", false),
            ("hive.token", false),
        ] {
            assert_eq!(is_live(key), live, "{key}");
        }
    }

    #[test]
    fn what_is_live_is_a_setting() {
        let example = config::example::<config::GatewaySettings>();
        for key in LIVE {
            let name = key.rsplit('.').next().unwrap_or(key);
            let there = example.lines().any(|line| {
                let line = line.trim_start_matches(['#', ' ', '[']).trim_start_matches("Example: ");
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', ']', '.']))
            });
            assert!(there, "{key}");
        }
    }
}
