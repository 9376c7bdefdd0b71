//! One version of one plugin in memory: its code, its settings, its pools.

use crate::aside::Lane;
use crate::counters::Counters;
use crate::engine::Host;
use crate::guest::Template;
use crate::load::{self, LoadError};
use crate::pool::{Place, Places, Pool};
use crate::state::Shared;
use parking_lot::RwLock;
use plugin_kv::{KvBounds, Namespace};
use plugin_package::{Hook, Isolation, Manifest, Package};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::time::Duration;

/// One version of one plugin.
pub(crate) struct Generation {
    /// Counts up over all plugins; what logs and statistics call it.
    pub(crate) number: u64,
    pub(crate) host: Arc<Host>,
    /// As it was on disk, without the component: what tells whether a reload changes anything.
    pub(crate) package: Arc<Package>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) template: Template,
    /// At most half of all instances: one plugin, however many tenants ask it, leaves some to the others.
    pub(crate) places: Places,
    pools: RwLock<HashMap<Arc<str>, Arc<Pool>>>,
    retired: AtomicBool,
    _alive: Alive,
}

impl Generation {
    /// Compiles the package, and starts one instance to see that it can be: the smoke test. `package.wasm` is empty after it.
    pub(crate) async fn load(
        host: &Arc<Host>,
        mut package: Package,
        counters: &Arc<Counters>,
    ) -> Result<Arc<Self>, LoadError> {
        let wasm = std::mem::take(&mut package.wasm);
        let template = load::load(host, package.manifest.hook, wasm).await?;
        let shared = Arc::new(Shared {
            plugin: Arc::from(package.name.as_str()),
            hook: package.manifest.hook,
            settings: package.settings.clone(),
            visible: package.manifest.visible.clone(),
            limits: package.manifest.limits.clone(),
            counters: Arc::clone(counters),
            lane: Lane::new(Arc::clone(&host.ticks)),
        });
        let generation = Arc::new(Self {
            number: host.next_generation.fetch_add(1, Relaxed),
            host: Arc::clone(host),
            package: Arc::new(package),
            shared,
            template,
            places: Places::new(host.most_instances / 2),
            pools: RwLock::default(),
            retired: AtomicBool::new(false),
            _alive: Alive::new(&host.generations),
        });
        generation.smoke_test().await?;
        host.registry.add(&generation);
        Ok(generation)
    }

    /// Outside of the count of instances: a gateway that uses all of them must still be able to load a better plugin.
    async fn smoke_test(&self) -> Result<(), LoadError> {
        let place = Place::spare().ok_or(LoadError::Stopping)?;
        let nobody: Arc<str> = Arc::from("");
        let kv = self.namespace(&nobody).map_err(LoadError::Name)?;
        let started = self.template.instantiate(&self.shared, &nobody, kv, place);
        match tokio::time::timeout(self.shared.limits.wall, started).await {
            Ok(Ok(_instance)) => Ok(()),
            Ok(Err(failure)) => Err(LoadError::Start(failure)),
            Err(_) => Err(LoadError::Start(crate::Failure::Wall)),
        }
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.package.manifest
    }

    /// True if instances serve more than one call.
    pub(crate) fn warm(&self) -> bool {
        self.package.manifest.isolation == Isolation::Warm
    }

    /// The pool of a tenant (the empty name: the gateway as a whole), made when first asked for.
    pub(crate) fn pool(&self, tenant: &Arc<str>) -> Result<Arc<Pool>, String> {
        if let Some(pool) = self.pools.read().get(tenant) {
            return Ok(Arc::clone(pool));
        }
        let kv = self.namespace(tenant)?;
        let made = || Arc::new(Pool::new(Arc::clone(tenant), kv, self.shared.limits.instances));
        Ok(Arc::clone(self.pools.write().entry(Arc::clone(tenant)).or_insert_with(made)))
    }

    fn namespace(&self, tenant: &str) -> Result<Namespace, String> {
        let bounds = KvBounds { keys: self.shared.limits.kv_keys, value: self.shared.limits.kv_value };
        let tenant = (self.manifest().hook != Hook::Tenant && !tenant.is_empty()).then_some(tenant);
        self.host.kv.namespace(&self.shared.plugin, tenant, bounds).map_err(|error| error.to_string())
    }

    pub(crate) fn pools(&self) -> Vec<Arc<Pool>> {
        self.pools.read().values().cloned().collect()
    }

    /// Lets instances go that have been idle since then or longer, and pools that nobody uses any more.
    pub(crate) fn shed(&self, before: Duration) {
        for pool in self.pools() {
            pool.shed(&self.shared.counters, before);
        }
        self.pools.write().retain(|_, pool| !pool.is_unused());
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Acquire)
    }

    /// Out of service: running calls end on it, and no instance stays.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Release);
        self.shed(Duration::MAX);
    }

    /// Back in service.
    pub(crate) fn revive(&self) {
        self.retired.store(false, Release);
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        // So that the gauge of idle instances, which outlives the generation, is right.
        self.retire();
    }
}

/// Counts generations from birth to drop.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, AcqRel);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, AcqRel);
    }
}
