//! Tenants that the admin API makes: in a folder, and shared with other gateways if the settings say so.

use crate::admin::audit;
use crate::clock;
use crate::directory::Directory;
use crate::live::Live;
use crate::redis_server::server;
use crate::reload::Reloader;
use crate::tenant::Tenant;
use crate::tenants::Tenants;
use admin_api::Problem;
use async_trait::async_trait;
use broadcast::{Away, Broadcast, Cursor, Listener, Posted};
use config::{GatewaySettings, gateway, tenant_problems};
use http::StatusCode;
use parking_lot::Mutex;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tenant_store::{Entry, Folder, Opened, Sealer, StoreError, Unsealed};

/// Most tenants of one gateway.
const MOST: usize = 10_000;
/// How long a link secret is accepted after another one has taken its place, unless the operator says otherwise: longer than links usually live.
pub(crate) const KEEP: Duration = Duration::from_secs(24 * 3600);
/// The time between two looks for secrets whose time is over.
pub(crate) const PRUNE: Duration = Duration::from_secs(1);

/// The tenants, deleted ones too.
pub(crate) struct Managed {
    folder: Folder,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// Those that can't be read, and why.
    broken: Mutex<BTreeMap<String, String>>,
    way: Option<(Broadcast, Sealer)>,
}

/// The tenants can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManagedError {
    #[error("tenants.folder: {0}")]
    Store(#[from] StoreError),
    #[error("redis: {0}")]
    Redis(#[from] redis_link::AddressError),
}

impl Managed {
    /// Reads them. Connects nowhere.
    pub(crate) fn open(settings: &GatewaySettings) -> Result<Option<Self>, ManagedError> {
        let Some(path) = &settings.tenants.folder else { return Ok(None) };
        let (folder, Opened { entries, broken }) = Folder::open(path)?;
        for (id, reason) in &broken {
            tracing::error!(tenant = id, reason, "can't be read and is not served");
        }
        let way = match (&settings.redis, &settings.tenants.key) {
            (Some(redis), Some(key)) => {
                let prefix = format!("{}-tenants", redis.prefix);
                let way = Broadcast::at(server(redis)?, &prefix, redis.timeout.get(), Cursor::default());
                Sealer::new(&SecretString::from(key.expose())).map(|sealer| (way, sealer))
            }
            _ => None,
        };
        let mut managed = BTreeMap::new();
        for entry in entries {
            let taken = entry.tenant(now()).ok().and_then(|tenant| conflict(&tenant, &settings.tenant));
            if let Some(taken) = taken.filter(|_| !entry.record.deleted) {
                tracing::error!("{taken}: the settings' own tenant is served");
            }
            managed.insert(entry.id.clone(), entry);
        }
        Ok(Some(Self { folder, entries: Mutex::new(managed), broken: Mutex::new(broken), way }))
    }

    /// Each that is not deleted, as the settings would have it.
    pub(crate) fn tenants(&self) -> Vec<gateway::Tenant> {
        let entries = self.entries.lock();
        let alive = entries.values().filter(|entry| !entry.record.deleted);
        let now = now();
        alive.filter_map(|entry| entry.tenant(now).ok()).collect()
    }

    /// Each that is not deleted.
    pub(crate) fn alive(&self) -> Vec<Entry> {
        self.entries.lock().values().filter(|entry| !entry.record.deleted).cloned().collect()
    }

    /// Those that can't be read, and why.
    pub(crate) fn broken(&self) -> BTreeMap<String, String> {
        self.broken.lock().clone()
    }

    async fn save(&self, entry: &Entry) -> Result<(), Problem> {
        let (folder, saved) = (self.folder.clone(), entry.clone());
        let done = tokio::task::spawn_blocking(move || folder.save(&saved)).await;
        let failed = |error: String| {
            tracing::error!(error, "a tenant could not be saved");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "it could not be saved, and nothing was changed; see the log",
            )
        };
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn sealed(&self, entry: &Entry) -> Option<Posted> {
        let (_, sealer) = self.way.as_ref()?;
        let text = sealer.seal(entry, rand::random())?;
        Some(Posted { key: entry.id.clone(), rank: entry.record.version, firm: entry.record.deleted, text })
    }

    /// Tells the other gateways. Those that can't be reached now learn it from the board.
    async fn tell(&self, entry: &Entry) {
        let (Some((way, _)), Some(posted)) = (&self.way, self.sealed(entry)) else { return };
        let told = async {
            way.post(std::slice::from_ref(&posted)).await?;
            way.publish(&posted.text).await
        };
        if let Err(error) = told.await {
            tracing::warn!(%error, tenant = entry.id, "other gateways learn of a changed tenant when Redis is back");
        }
    }
}

/// What a tenant wants that another one has.
pub(crate) fn conflict(tenant: &gateway::Tenant, others: &[gateway::Tenant]) -> Option<String> {
    others.iter().find_map(|other| {
        if other.id == tenant.id {
            return Some(format!("there is a tenant {} already", tenant.id));
        }
        let domain = tenant.domains.iter().find(|domain| other.domains.contains(domain))?;
        Some(format!("{domain}, which tenant {} wants, leads to tenant {} already", tenant.id, other.id))
    })
}

/// All tenants that can be served together: the settings' own first.
pub(crate) fn together(settings: &[gateway::Tenant], managed: Vec<gateway::Tenant>) -> Vec<gateway::Tenant> {
    let mut all = settings.to_vec();
    for tenant in managed {
        match conflict(&tenant, &all).or_else(|| Tenant::new(&tenant).err().map(|error| error.to_string())) {
            None => all.push(tenant),
            Some(reason) => tracing::error!(tenant = tenant.id, reason, "is not served"),
        }
    }
    all
}

impl Reloader {
    /// Changes one tenant of the API's: checked, saved, in force, told to other gateways, in this order. Gives it as it was and as it is.
    pub(crate) async fn change_tenant(
        &self,
        id: &str,
        change: impl FnOnce(Option<&Entry>) -> Result<Entry, Problem>,
    ) -> Result<(Option<Entry>, Entry), Problem> {
        let Some(managed) = &self.managed else {
            return Err(Problem::conflict(
                "set tenants.folder in the settings: tenants that the API makes are kept there",
            ));
        };
        let _one = self.changing.lock().await;
        self.may_change()?;
        if let Some(reason) = managed.broken.lock().get(id) {
            return Err(Problem::conflict(format!("what is in tenants.folder of it can't be read: {reason}")));
        }
        let settings = self.settings_tenants();
        if settings.iter().any(|tenant| tenant.id == id) {
            return Err(Problem::conflict(format!("tenant {id} stands in the settings file: change it there")));
        }
        let before = managed.entries.lock().get(id).cloned();
        let after = change(before.as_ref())?;
        if !after.record.deleted {
            let is_new = before.as_ref().is_none_or(|entry| entry.record.deleted);
            // What is left of deleted ones takes no place.
            if is_new && managed.entries.lock().values().filter(|entry| !entry.record.deleted).count() >= MOST {
                return Err(Problem::conflict(format!("there are {MOST} tenants already")));
            }
            let mut others = settings;
            others.extend(managed.tenants().into_iter().filter(|tenant| tenant.id != id));
            check(&after, &others)?;
        }
        managed.save(&after).await?;
        managed.entries.lock().insert(id.to_owned(), after.clone());
        self.serve_managed();
        managed.tell(&after).await;
        Ok((before.filter(|entry| !entry.record.deleted), after))
    }

    /// Puts the tenants of settings and API in force.
    fn serve_managed(&self) {
        let managed = self.managed.as_ref().map(Managed::tenants).unwrap_or_default();
        match Tenants::new(&together(&self.settings_tenants(), managed)) {
            Ok(tenants) => {
                // Issuers that did not change are not asked anew.
                tenants.adopt(&self.directory.fixed());
                self.directory.replace(Arc::new(tenants));
            }
            Err(error) => tracing::error!("tenants were not changed: {error}"),
        }
    }

    /// Drops link secrets whose time is over. First of all they are accepted no more; then they go from the disk. Other gateways do the same by themselves.
    pub(crate) async fn prune_secrets(&self, live: &Live) {
        let Some(managed) = &self.managed else { return };
        let now = now();
        let due = || managed.entries.lock().values().filter_map(|entry| entry.pruned(now)).collect::<Vec<_>>();
        if due().is_empty() {
            return;
        }
        let _one = self.changing.lock().await;
        // As they are by now.
        let due = due();
        managed.entries.lock().extend(due.iter().map(|entry| (entry.id.clone(), entry.clone())));
        self.serve_managed();
        if self.is_handed_over() {
            // The folder is the other process's, which does the same.
            return;
        }
        for entry in due {
            if managed.save(&entry).await.is_err() {
                tracing::warn!(
                    tenant = entry.id,
                    "link secrets that are over stay on disk until the tenant is changed"
                );
            }
            let left: Vec<&str> = entry.record.secrets.iter().map(|note| note.id.as_str()).collect();
            let line = audit::local("tenantSecretsPrune", &format!("tenant:{}", entry.id), serde_json::json!(left));
            live.audit(&line).await;
        }
    }

    /// Follows what other gateways do to tenants, for as long as the gateway runs.
    pub(crate) async fn follow_tenants(&self) {
        match self.managed.as_ref().and_then(|managed| managed.way.as_ref()) {
            Some((way, _)) => way.follow(self).await,
            None => std::future::pending().await,
        }
    }

    /// Learns before anybody is served what other gateways did.
    ///
    /// # Errors
    /// Redis is away.
    pub(crate) async fn catch_up_with_tenants(&self) -> Result<(), Away> {
        match self.managed.as_ref().and_then(|managed| managed.way.as_ref()) {
            Some((way, _)) => way.catch_up(self).await,
            None => Ok(()),
        }
    }

    async fn learn(&self, sealed: &[String]) {
        let Some(managed) = &self.managed else { return };
        let Some((_, sealer)) = &managed.way else { return };
        let _one = self.changing.lock().await;
        let (mut news, mut ours) = (false, Vec::new());
        for text in sealed {
            let Some(Unsealed(entry)) = sealer.open(text) else {
                tracing::error!(
                    "a tenant in Redis was sealed by another key: tenants.key must be alike at all gateways"
                );
                continue;
            };
            // What is over by itself makes no difference.
            let entry = entry.pruned(now()).unwrap_or(entry);
            let known = managed.entries.lock().get(&entry.id).cloned();
            let known = known.map(|known| known.pruned(now()).unwrap_or(known));
            match known {
                Some(known) if !entry.supersedes(&known) => {
                    if known.supersedes(&entry) {
                        ours.push(known);
                    }
                }
                // Who has the folder by now hears of it as well.
                _ if self.is_handed_over() => {
                    managed.entries.lock().insert(entry.id.clone(), entry);
                    news = true;
                }
                _ => match managed.save(&entry).await {
                    Ok(()) => {
                        tracing::info!(tenant = entry.id, version = entry.record.version, "changed by another gateway");
                        managed.broken.lock().remove(&entry.id);
                        managed.entries.lock().insert(entry.id.clone(), entry);
                        news = true;
                    }
                    Err(_) => continue,
                },
            }
        }
        if news {
            self.serve_managed();
        }
        for entry in ours {
            managed.tell(&entry).await;
        }
    }
}

fn now() -> u64 {
    u64::try_from(clock::unix()).unwrap_or(0)
}

fn check(entry: &Entry, others: &[gateway::Tenant]) -> Result<(), Problem> {
    let wrong = |errors: Vec<(String, String)>| {
        let detail = errors.iter().map(|(key, message)| format!("{key}: {message}")).collect::<Vec<_>>().join("; ");
        Problem { errors, ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    };
    let tenant = entry.tenant(now()).map_err(|error| wrong(vec![("link.secrets".to_owned(), error.to_string())]))?;
    let problems = tenant_problems(&tenant);
    if !problems.is_empty() {
        return Err(wrong(problems));
    }
    Tenant::new(&tenant).map_err(|error| wrong(vec![("link".to_owned(), error.reason)]))?;
    match conflict(&tenant, others) {
        Some(taken) => Err(Problem::conflict(taken)),
        None => Ok(()),
    }
}

#[async_trait]
impl Listener for Reloader {
    /// Both sides learn what the other has.
    async fn joined(&self) -> Result<(), Away> {
        let Some(managed) = &self.managed else { return Ok(()) };
        let Some((way, _)) = &managed.way else { return Ok(()) };
        let own: Vec<Entry> = managed.entries.lock().values().cloned().collect();
        let posted: Vec<Posted> = own.iter().filter_map(|entry| managed.sealed(entry)).collect();
        let all = way.post(&posted).await?;
        self.learn(&all).await;
        Ok(())
    }

    async fn heard(&self, body: &str, own: bool) {
        if !own {
            self.learn(&[body.to_owned()]).await;
        }
    }

    /// What was missed stands on the board.
    async fn missed(&self) {
        if let Err(error) = self.joined().await {
            tracing::warn!(%error, "tenants that other gateways changed are learnt when Redis is back");
        }
    }

    async fn reached(&self, _place: &Cursor) {}
}

/// The directory of a start.
pub(crate) fn directory(
    settings: &GatewaySettings,
    managed: Option<&Managed>,
) -> Result<Directory, crate::tenant::TenantError> {
    let all = together(&settings.tenant, managed.map(Managed::tenants).unwrap_or_default());
    let folder = settings.plugins.secrets_folder.clone();
    Ok(Directory::new(Tenants::new(&all)?, settings.plugins.tenant_ttl.get(), folder))
}

/// The tenants of settings and folder, for a directory that is there.
pub(crate) fn served(
    settings: &GatewaySettings,
    managed: Option<&Managed>,
) -> Result<Arc<Tenants>, crate::tenant::TenantError> {
    let all = together(&settings.tenant, managed.map(Managed::tenants).unwrap_or_default());
    Ok(Arc::new(Tenants::new(&all)?))
}
