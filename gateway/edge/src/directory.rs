//! Second step: the host picks the tenant, and the tenant may serve.
//!
//! The settings' own tenants come first, `*` last; between them tenant plugins are asked, once per host and time to live.

use crate::accept::Accepted;
use crate::maintenance;
use crate::refusal::Refusal;
use crate::tenant::{Tenant, TenantError};
use crate::tenants::Tenants;
use arc_swap::{ArcSwap, ArcSwapOption};
use config::Secret;
use config::gateway::{Link, LinkSecret, ViewerAlgorithm, ViewerKey, ViewerTokens};
use plugin_host::{Chain, TenantRecord};
use quick_cache::sync::Cache;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Hosts whose tenants are remembered. Anybody can ask for any host, hence a bound.
const MOST_HOSTS: usize = 10_000;
/// How long a failed answer stands, so that a plugin that fails is not asked by every request.
const FAILURE_TTL: Duration = Duration::from_secs(1);
/// In a found tenant's folder of secrets: the key of its viewers' tokens, if it has any.
const VIEWER_KEY: &str = "viewer.key";
/// The cookie that holds them.
const VIEWER_COOKIE: &str = "viewer";

/// A request whose tenant is known and serves.
pub(crate) struct Tenanted<'a> {
    pub(crate) accepted: Accepted<'a>,
    pub(crate) tenant: Arc<Tenant>,
}

/// Finds tenants.
pub(crate) struct Directory {
    fixed: ArcSwap<Tenants>,
    found: Cache<String, Arc<Slot>>,
    ttl: Duration,
    secrets_folder: PathBuf,
}

/// What is known of a host, and who is asking about it.
#[derive(Default)]
struct Slot {
    known: ArcSwapOption<Known>,
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Known {
    answer: Result<Option<Arc<Tenant>>, Refusal>,
    /// On the edge's own clock.
    until: Duration,
}

impl Directory {
    pub(crate) fn new(fixed: Tenants, ttl: Duration, secrets_folder: PathBuf) -> Self {
        Self { fixed: ArcSwap::from_pointee(fixed), found: Cache::new(MOST_HOSTS), ttl, secrets_folder }
    }

    /// The settings' tenants.
    pub(crate) fn fixed(&self) -> Arc<Tenants> {
        self.fixed.load_full()
    }

    /// Puts other tenants of the settings in their place, and forgets what plugins found.
    pub(crate) fn replace(&self, fixed: Tenants) {
        self.fixed.store(Arc::new(fixed));
        self.found.clear();
    }

    /// The tenant of a request. `tick` is the edge's own clock, `now` seconds since 1970.
    pub(crate) async fn resolve<'a>(
        &self,
        accepted: Accepted<'a>,
        plugins: Option<Chain>,
        tick: Duration,
        now: i64,
    ) -> Result<Tenanted<'a>, Refusal> {
        let tenant = self.of_host(&accepted.host, plugins, tick).await?.ok_or(Refusal::UnknownHost)?;
        if tenant.serves(now) {
            Ok(Tenanted { accepted, tenant })
        } else {
            Err(Refusal::Suspended { tenant: tenant.id.clone(), page: maintenance::page(&tenant.branding) })
        }
    }

    async fn of_host(
        &self,
        host: &str,
        plugins: Option<Chain>,
        tick: Duration,
    ) -> Result<Option<Arc<Tenant>>, Refusal> {
        let fixed = self.fixed.load();
        if let Some(tenant) = fixed.naming(host) {
            return Ok(Some(tenant.clone()));
        }
        let rest = fixed.of_the_rest().cloned();
        drop(fixed);
        match plugins {
            Some(plugins) => Ok(self.asked(host, &plugins, tick).await?.or(rest)),
            None => Ok(rest),
        }
    }

    /// What plugins say of a host, at most `ttl` old. Whoever finds it too old asks; the others wait for that one answer.
    async fn asked(&self, host: &str, plugins: &Chain, tick: Duration) -> Result<Option<Arc<Tenant>>, Refusal> {
        let slot = match self.found.get(host) {
            Some(slot) => slot,
            None => self
                .found
                .get_or_insert_with(host, || Ok::<_, std::convert::Infallible>(Arc::default()))
                .unwrap_or_default(),
        };
        let fresh = |slot: &Slot| slot.known.load_full().filter(|known| tick < known.until);
        if let Some(known) = fresh(&slot) {
            return known.answer.clone();
        }
        let _asking = slot.asking.lock().await;
        if let Some(known) = fresh(&slot) {
            return known.answer.clone();
        }
        let answer = self.ask(host, plugins).await;
        let ttl = if answer.is_ok() { self.ttl } else { FAILURE_TTL };
        slot.known.store(Some(Arc::new(Known { answer: answer.clone(), until: tick.saturating_add(ttl) })));
        answer
    }

    async fn ask(&self, host: &str, plugins: &Chain) -> Result<Option<Arc<Tenant>>, Refusal> {
        let failed = |reason: String| {
            tracing::warn!(host, reason, "no tenant could be found");
            Refusal::TenantUnavailable
        };
        let fixed = self.fixed();
        let taken = |id: &str| fixed.by_id(Some(id)).is_some();
        let Some(record) = plugins.tenant(host, &taken).await.map_err(|error| failed(error.to_string()))? else {
            return Ok(None);
        };
        let folder = self.secrets_folder.join(&record.id);
        let built = tokio::task::spawn_blocking(move || build(record, &folder)).await;
        let tenant = built.map_err(|_| Refusal::Internal("a tenant's secrets could not be read"))?;
        tenant.map(|tenant| Some(Arc::new(tenant))).map_err(|error| failed(error.to_string()))
    }
}

/// Reads the tenant's secrets. Only its own folder is looked into, whatever the plugin says.
fn build(record: TenantRecord, folder: &Path) -> Result<Tenant, TenantError> {
    let read = |name: &str| {
        Secret::from_file(folder.join(name)).map_err(|e| TenantError { id: record.id.clone(), reason: e.to_string() })
    };
    let secrets: Result<Vec<_>, _> =
        record.link_secrets.iter().map(|id| Ok(LinkSecret { id: id.clone(), secret: read(id)? })).collect();
    let link = Link::with_secrets(secrets?);
    let viewer = if folder.join(VIEWER_KEY).exists() {
        let key = ViewerKey { id: VIEWER_KEY.to_owned(), algorithm: ViewerAlgorithm::HS256, key: read(VIEWER_KEY)? };
        Some(ViewerTokens::with_keys(vec![key], VIEWER_COOKIE))
    } else {
        None
    };
    Tenant::found(record, &link, viewer.as_ref())
}
