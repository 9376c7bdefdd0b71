//! Second step: the host picks the tenant, and the tenant may serve.
//!
//! The settings' own tenants come first, `*` last; between them tenant plugins are asked, once per host and time to live.

use crate::accept::Accepted;
use crate::maintenance;
use crate::plugins::LivePlugins;
use crate::refusal::Refusal;
use crate::tenant::{Tenant, TenantError};
use crate::tenants::Tenants;
use arc_swap::{ArcSwap, ArcSwapOption};
use config::gateway::{Link, LinkSecret, ViewerAlgorithm, ViewerKey, ViewerTokens};
use config::{Secret, SecretError};
use parking_lot::Mutex;
use plugin_host::{Chain, TenantRecord, TenantStatus};
use plugin_package::Hook;
use quick_cache::sync::Cache;
use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Hosts whose tenants are remembered. Anybody can ask for any host, hence a bound.
const MOST_HOSTS: usize = 10_000;
/// How long a failed answer stands, so that a plugin that fails is not asked by every request.
const FAILURE_TTL: Duration = Duration::from_secs(1);
/// Hosts that nobody has had before and that are asked about at once. Anybody can make them up; a plugin's other instances are for
/// the hosts that are known.
const STRANGERS: usize = 4;
/// In a found tenant's folder of secrets: the key of its viewers' tokens, if it has any.
const VIEWER_KEY: &str = "viewer.key";
/// The cookie that holds them.
const VIEWER_COOKIE: &str = "viewer";

/// A request whose tenant is known and serves.
pub(crate) struct Tenanted<'a> {
    pub(crate) accepted: Accepted<'a>,
    pub(crate) tenant: Arc<Tenant>,
    /// No other tenant can be: the settings have this one, and nobody looks for more.
    pub(crate) alone: bool,
}

/// Finds tenants.
pub(crate) struct Directory {
    fixed: ArcSwap<Tenants>,
    found: Cache<String, Arc<Slot>>,
    /// Tenants that were found, by id: one of many domains is made and kept once.
    made: Mutex<HashMap<String, Made>>,
    /// Channels of tenants that were found, by their last records. Kept when the others are forgotten: what is purged is what they had.
    channels: Mutex<HashMap<String, BTreeSet<i64>>>,
    /// Counts changes of plugins: what was answered before one is not believed after it.
    epoch: AtomicU64,
    strangers: Semaphore,
    /// The name under which tenant hooks are asked: there is no tenant yet.
    nobody: Arc<str>,
    ttl: Duration,
    secrets_folder: PathBuf,
}

/// What is known of a host, and who is asking about it.
#[derive(Default)]
struct Slot {
    known: ArcSwapOption<Known>,
    asking: tokio::sync::Mutex<()>,
}

struct Known {
    answer: Result<Option<Arc<Tenant>>, Refusal>,
    /// On the edge's own clock.
    until: Duration,
    epoch: u64,
}

struct Made {
    record: TenantRecord,
    tenant: Arc<Tenant>,
    until: Duration,
}

impl Directory {
    pub(crate) fn new(fixed: Tenants, ttl: Duration, secrets_folder: PathBuf) -> Self {
        Self {
            fixed: ArcSwap::from_pointee(fixed),
            found: Cache::new(MOST_HOSTS),
            made: Mutex::default(),
            channels: Mutex::default(),
            epoch: AtomicU64::new(0),
            strangers: Semaphore::new(STRANGERS),
            nobody: Arc::from(""),
            ttl,
            secrets_folder,
        }
    }

    /// The settings' tenants.
    pub(crate) fn fixed(&self) -> Arc<Tenants> {
        self.fixed.load_full()
    }

    /// Puts other tenants of the settings in their place.
    pub(crate) fn replace(&self, fixed: Arc<Tenants>) {
        self.fixed.store(fixed);
        self.forget();
    }

    /// Forgets what plugins found, and what they are finding at this moment.
    pub(crate) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.found.clear();
        self.made.lock().clear();
    }

    /// A tenant's channels as they were known last; `Some(None)` if it has no list of them.
    pub(crate) fn channels_of(&self, id: &str) -> Option<Option<BTreeSet<i64>>> {
        let fixed = self.fixed().by_id(Some(id)).map(|tenant| tenant.channels());
        fixed.or_else(|| self.channels.lock().get(id).cloned().map(Some))
    }

    /// The tenant of a request. `tick` is the edge's own clock, `now` seconds since 1970.
    pub(crate) async fn resolve<'a>(
        &self,
        accepted: Accepted<'a>,
        plugins: &LivePlugins,
        tick: Duration,
        now: i64,
    ) -> Result<Tenanted<'a>, Refusal> {
        // Read before the plugins are: an answer of older ones must not pass for one of newer ones.
        let epoch = self.epoch.load(Ordering::Acquire);
        let chain = plugins.chain(Hook::Tenant, &self.nobody);
        let alone = chain.is_none();
        let tenant = self.of_host(&accepted.host, chain, epoch, tick).await?.ok_or(Refusal::UnknownHost)?;
        if tenant.serves(now) {
            Ok(Tenanted { accepted, tenant, alone })
        } else {
            Err(Refusal::Suspended { tenant: tenant.id.clone(), page: maintenance::page(&tenant.branding) })
        }
    }

    /// Whether a tenant has the host, by its full name: of `*` and `*.parent` anybody can make up as many as it likes.
    pub(crate) async fn has(&self, host: &str, plugins: &LivePlugins, tick: Duration) -> bool {
        let epoch = self.epoch.load(Ordering::Acquire);
        let fixed = self.fixed();
        if fixed.has(host) || fixed.naming(host).is_some() {
            return fixed.has(host);
        }
        match plugins.chain(Hook::Tenant, &self.nobody) {
            Some(plugins) => {
                let found = self.asked(host, &plugins, epoch, tick).await;
                found.is_ok_and(|tenant| tenant.is_some_and(|tenant| tenant.has_host(host)))
            }
            None => false,
        }
    }

    async fn of_host(
        &self,
        host: &str,
        plugins: Option<Chain>,
        epoch: u64,
        tick: Duration,
    ) -> Result<Option<Arc<Tenant>>, Refusal> {
        let fixed = self.fixed.load();
        if let Some(tenant) = fixed.naming(host) {
            return Ok(Some(tenant.clone()));
        }
        let rest = fixed.of_the_rest().cloned();
        drop(fixed);
        match plugins {
            Some(plugins) => Ok(self.asked(host, &plugins, epoch, tick).await?.or(rest)),
            None => Ok(rest),
        }
    }

    /// What plugins say of a host, at most `ttl` old. Whoever finds it too old asks; the others wait for that one answer.
    async fn asked(
        &self,
        host: &str,
        plugins: &Chain,
        epoch: u64,
        tick: Duration,
    ) -> Result<Option<Arc<Tenant>>, Refusal> {
        let new = || Ok::<_, Infallible>(Arc::default());
        let slot = self.found.get_or_insert_with(host, new).unwrap_or_default();
        let fresh = |slot: &Slot| slot.known.load_full().filter(|known| tick < known.until && known.epoch == epoch);
        if let Some(known) = fresh(&slot) {
            return known.answer.clone();
        }
        let _asking = slot.asking.lock().await;
        if let Some(known) = fresh(&slot) {
            return known.answer.clone();
        }
        let known = slot.known.load().as_ref().is_some_and(|known| matches!(known.answer, Ok(Some(_))));
        let _stranger = if known { None } else { self.strangers.acquire().await.ok() };
        let answer = Box::pin(self.ask(host, plugins, tick)).await;
        let ttl = if answer.is_ok() { self.ttl } else { FAILURE_TTL };
        slot.known.store(Some(Arc::new(Known { answer: answer.clone(), until: tick.saturating_add(ttl), epoch })));
        answer
    }

    fn note_channels(&self, record: &TenantRecord) {
        let mut channels = self.channels.lock();
        if channels.len() < MOST_HOSTS || channels.contains_key(&record.id) {
            channels.insert(record.id.clone(), record.channels.iter().copied().collect());
        }
    }

    async fn ask(&self, host: &str, plugins: &Chain, tick: Duration) -> Result<Option<Arc<Tenant>>, Refusal> {
        // Anybody can make hosts fail. That a plugin fails is told, and not too often, by the plugins' own log.
        let failed = |reason: String| {
            tracing::debug!(host, reason, "no tenant could be found");
            Refusal::TenantUnavailable
        };
        let fixed = self.fixed();
        let taken = |id: &str| fixed.by_id(Some(id)).is_some();
        let Some(record) = plugins.tenant(host, &taken).await.map_err(|error| failed(error.to_string()))? else {
            return Ok(None);
        };
        self.note_channels(&record);
        if let Some(made) = self.made.lock().get(&record.id)
            && made.record == record
            && tick < made.until
        {
            return Ok(Some(made.tenant.clone()));
        }
        let folder = self.secrets_folder.join(&record.id);
        let wanted = record.clone();
        let built = tokio::task::spawn_blocking(move || build(wanted, &folder)).await;
        let tenant = built.map_err(|_| Refusal::Internal("a tenant's secrets could not be read"))?;
        let tenant = Arc::new(tenant.map_err(|error| {
            tracing::warn!("{error}");
            failed(error.to_string())
        })?);
        let mut made = self.made.lock();
        if made.len() >= MOST_HOSTS {
            made.retain(|_, made| tick < made.until);
        }
        let until = tick.saturating_add(self.ttl);
        made.insert(record.id.clone(), Made { record, tenant: tenant.clone(), until });
        Ok(Some(tenant))
    }
}

/// Reads the tenant's secrets. Only its own folder is looked into, whatever the plugin says.
fn build(record: TenantRecord, folder: &Path) -> Result<Tenant, TenantError> {
    let id = record.id.clone();
    let failed = |error: SecretError| TenantError { id: id.clone(), reason: error.to_string() };
    if record.status == TenantStatus::Suspended {
        // Its page is shown whether or not its secrets are still there; nothing is ever signed with this one.
        let nobodys = Secret::inline(format!("{:032x}", rand::random::<u128>())).map_err(failed)?;
        let link = Link::with_secrets(vec![LinkSecret { id: "none".to_owned(), secret: nobodys, scheme: None }]);
        return Tenant::found(record, &link, None);
    }
    let read = |name: &str| Secret::from_file(folder.join(name));
    let secrets: Result<Vec<_>, SecretError> = record
        .link_secrets
        .iter()
        .map(|id| Ok(LinkSecret { id: id.clone(), secret: read(id)?, scheme: None }))
        .collect();
    let link = Link::with_secrets(secrets.map_err(failed)?);
    let viewer = match read(VIEWER_KEY) {
        Ok(key) => {
            let key = ViewerKey { id: VIEWER_KEY.to_owned(), algorithm: ViewerAlgorithm::HS256, key };
            Some(ViewerTokens::with_keys(vec![key], VIEWER_COOKIE))
        }
        Err(SecretError::File { source, .. }) if source.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    Tenant::found(record, &link, viewer.as_ref())
}
