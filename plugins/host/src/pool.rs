//! Warm instances: one pool for each plugin, tenant and generation, so that no tenant's data is ever in a memory that
//! serves another.

use crate::counters::Counters;
use crate::engine::IDLE;
use crate::failure::Failure;
use crate::generation::Generation;
use crate::guest::Instance;
use parking_lot::Mutex;
use plugin_kv::Namespace;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The instances of one generation for one tenant.
pub(crate) struct Pool {
    tenant: Arc<str>,
    kv: Namespace,
    /// One permit for each instance that may be in a call: who finds none waits in line.
    permits: Arc<Semaphore>,
    /// The one used last is at the back and is used first: its memory is in the processor's caches.
    idle: Mutex<VecDeque<Instance>>,
}

impl Pool {
    pub(crate) fn new(tenant: Arc<str>, kv: Namespace, instances: u32) -> Self {
        let most = usize::try_from(instances).unwrap_or(Semaphore::MAX_PERMITS);
        Self { tenant, kv, permits: Arc::new(Semaphore::new(most)), idle: Mutex::new(VecDeque::new()) }
    }

    /// An instance, for one call. Waits while there are none; whoever calls bounds the wait. Dropping the future or the
    /// lease gives everything back.
    pub(crate) async fn lease(self: Arc<Self>, generation: &Arc<Generation>) -> Result<Lease, Failure> {
        let counters = &generation.shared.counters;
        let mut waited = false;
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                wait(counters, &mut waited);
                Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Failure::Busy)?
            }
        };
        let warm = if generation.warm() { self.idle.lock().pop_back() } else { None };
        let instance = match warm {
            Some(instance) => {
                counters.idle.fetch_sub(1, Relaxed);
                instance
            }
            None => {
                let place = place(generation, &mut waited).await?;
                let made =
                    generation.template.instantiate(&generation.shared, &self.tenant, self.kv.clone(), place).await?;
                counters.created.fetch_add(1, Relaxed);
                made
            }
        };
        counters.busy.fetch_add(1, Relaxed);
        Ok(Lease { instance: Some(instance), generation: Arc::clone(generation), pool: self, _permit: permit })
    }

    /// Lets idle instances go that nobody has used since; returns them, to be dropped outside of the lock.
    fn stale(&self, before: Duration) -> Vec<Instance> {
        let mut idle = self.idle.lock();
        let fresh = idle.partition_point(|instance| instance.idle_since <= before);
        idle.drain(..fresh).collect()
    }

    fn is_empty(&self) -> bool {
        self.idle.lock().is_empty()
    }

    /// True if nothing would be lost with it: no instance, and nobody but the map refers to it.
    pub(crate) fn is_unused(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1 && self.is_empty()
    }

    /// Lets instances go that have been idle since then or longer.
    pub(crate) fn shed(&self, counters: &Counters, before: Duration) -> usize {
        let stale = self.stale(before);
        let count = stale.len();
        let shed = u64::try_from(count).unwrap_or(u64::MAX);
        counters.idle.fetch_sub(shed, Relaxed);
        counters.retired.fetch_add(shed, Relaxed);
        count
    }

    /// The instance that has been idle for longest.
    fn pop_oldest(&self) -> Option<Instance> {
        self.idle.lock().pop_front()
    }
}

/// Counts a call that waits, once however often it does.
fn wait(counters: &Counters, waited: &mut bool) {
    if !*waited {
        counters.waits.fetch_add(1, Relaxed);
    }
    *waited = true;
}

/// A place among the instances of one generation and among those of all plugins, for as long as an instance lives.
pub(crate) struct Place {
    _ours: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Place {
    /// One that is not counted, for an instance that serves nobody.
    pub(crate) fn spare() -> Option<Self> {
        let spare = || Arc::new(Semaphore::new(1)).try_acquire_owned().ok();
        Some(Self { _ours: spare()?, _all: spare()? })
    }
}

/// How many instances there may be, and who waits for one.
pub(crate) struct Places {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Places {
    pub(crate) fn new(most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS).max(1);
        Self { permits: Arc::new(Semaphore::new(most)), waiting: AtomicUsize::new(0) }
    }

    fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }

    /// Waits for one. `evict` takes an idle instance away, whose place then is free. From before that until the wait is over, instances
    /// that come out of a call are let go instead of kept warm (`Lease::give_back`), so that none is missed.
    async fn take(&self, evict: impl FnOnce() -> Option<Instance> + Send) -> Result<OwnedSemaphorePermit, Failure> {
        let _waiting = self.wait();
        drop(evict());
        Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Failure::Busy)
    }

    fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, SeqCst);
        Waiting(&self.waiting)
    }

    fn is_waited_for(&self) -> bool {
        self.waiting.load(SeqCst) > 0
    }
}

/// If there is none, idle instances make room: the generation's own, or anybody's.
async fn place(generation: &Arc<Generation>, waited: &mut bool) -> Result<Place, Failure> {
    let (host, counters) = (&generation.host, &generation.shared.counters);
    let ours = match generation.places.try_take() {
        Some(ours) => ours,
        None => {
            wait(counters, waited);
            generation.places.take(|| generation.evict()).await?
        }
    };
    let all = match host.places.try_take() {
        Some(all) => all,
        None => {
            wait(counters, waited);
            host.places.take(|| host.registry.evict()).await?
        }
    };
    Ok(Place { _ours: ours, _all: all })
}

impl Generation {
    /// True if somebody waits for the place of one of its instances.
    fn is_waited_for(&self) -> bool {
        self.places.is_waited_for() || self.host.places.is_waited_for()
    }

    /// Takes one idle instance away from whichever pool has one.
    fn evict(&self) -> Option<Instance> {
        let instance = self.pools().iter().find_map(|pool| pool.pop_oldest())?;
        self.shared.counters.idle.fetch_sub(1, Relaxed);
        self.shared.counters.retired.fetch_add(1, Relaxed);
        Some(instance)
    }
}

/// An instance on loan. It is thrown away unless it is given back: a guest that was left in the middle of a call, or that
/// trapped, is in no state to serve anybody else.
pub(crate) struct Lease {
    instance: Option<Instance>,
    generation: Arc<Generation>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    pub(crate) fn instance(&mut self) -> Option<&mut Instance> {
        self.instance.as_mut()
    }

    /// Keeps the instance for the next call, unless it has served its time or somebody waits for its place.
    pub(crate) fn give_back(mut self) {
        let Some(mut instance) = self.instance.take() else { return };
        let generation = &self.generation;
        let counters = &generation.shared.counters;
        counters.busy.fetch_sub(1, Relaxed);
        let worn = instance.calls >= generation.shared.limits.calls;
        if worn || !generation.warm() || generation.is_retired() || generation.is_waited_for() {
            counters.retired.fetch_add(1, Relaxed);
            return;
        }
        instance.idle_since = generation.host.now();
        self.keep(instance);
    }

    /// Who came to wait, or retired the generation, before the instance was there to be found did not find it.
    fn keep(&self, instance: Instance) {
        let generation = &self.generation;
        let counters = &generation.shared.counters;
        counters.idle.fetch_add(1, Relaxed);
        self.pool.idle.lock().push_back(instance);
        if generation.is_waited_for() {
            drop(generation.evict());
        }
        if generation.is_retired() {
            self.pool.shed(counters, Duration::MAX);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.instance.is_some() {
            let counters = &self.generation.shared.counters;
            counters.busy.fetch_sub(1, Relaxed);
            counters.discarded.fetch_add(1, Relaxed);
        }
    }
}

/// All generations, to find idle instances in.
#[derive(Default)]
pub(crate) struct Registry {
    generations: Mutex<Vec<Weak<Generation>>>,
}

impl Registry {
    pub(crate) fn add(&self, generation: &Arc<Generation>) {
        let mut generations = self.generations.lock();
        generations.retain(|known| known.strong_count() > 0);
        generations.push(Arc::downgrade(generation));
    }

    fn live(&self) -> Vec<Arc<Generation>> {
        self.generations.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Lets instances go that have had no work for a while; all idle ones of a generation that is out of service.
    pub(crate) fn sweep(&self, now: Duration) {
        for generation in self.live() {
            let before = now.checked_sub(IDLE);
            if generation.is_retired() {
                generation.shed(Duration::MAX);
            } else if let Some(before) = before {
                generation.shed(before);
            }
        }
    }

    /// Takes one idle instance away from whichever generation has one.
    fn evict(&self) -> Option<Instance> {
        self.live().into_iter().find_map(|generation| generation.evict())
    }
}

/// One call that waits for a place.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
