//! The engine that all plugins share: its limits, its clock, and what components are linked with.

use crate::aside::Aside;
use crate::bindings::streamvault::plugin as imports;
use crate::code::CodeCache;
use crate::pool::{Places, Registry};
use crate::state::{State, TICK};
use plugin_kv::Kv;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// Stack of a guest. A guest in Rust needs a few kilobytes; what recurses without end should find out early.
const GUEST_STACK: usize = 512 << 10;
/// Stack of a fiber: the guest's, and what host calls need on top of it.
const FIBER_STACK: usize = GUEST_STACK + (512 << 10);
/// Largest memory that a manifest may ask for (`limits.memory`).
const LARGEST_MEMORY: usize = 1 << 30;
/// Core instances, memories and tables of one component: the guest's module, adapters, and what wires them. There are as many of
/// each as there can be instances, so that who has a place among the instances never lacks one for its memory.
const CORE_INSTANCES: u32 = 16;
const MEMORIES: u32 = 2;
const TABLES: u32 = 8;
/// How long an instance may wait for work before it is let go.
pub(crate) const IDLE: Duration = Duration::from_secs(30);
/// How often those are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// What the host may use. Nothing in it can be changed while it runs.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Folder for compiled code: made with mode 0700 if absent. Refused if anybody else could write to it, as what it holds is
    /// run as it is.
    pub code_folder: PathBuf,
    /// Instances at once, all plugins and tenants together: 1 to 10,000. Each takes address space, and memory once it runs. One
    /// generation of one plugin gets at most half of them.
    pub instances: u32,
}

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The folder for compiled code can't be used. Says why.
    #[error("{folder}: {reason}", folder = folder.display())]
    CodeFolder {
        /// The folder.
        folder: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The engine can't run here. Says why.
    #[error("the engine for plugins can't run here: {0}")]
    Engine(String),
    /// A thread could not be started.
    #[error("no thread for plugins: {0}")]
    Thread(#[source] std::io::Error),
}

/// The engine, what guests are linked with, and what all plugins share. Lives as long as any plugin.
pub struct Host {
    pub(crate) engine: Engine,
    pub(crate) plain: Linker<State>,
    pub(crate) with_wasi: Linker<State>,
    pub(crate) kv: Kv,
    pub(crate) code: CodeCache,
    /// Those of [`HostConfig::instances`].
    pub(crate) places: Places,
    pub(crate) most_instances: u32,
    pub(crate) registry: Registry,
    /// Where calls run that take long.
    pub(crate) aside: Aside,
    /// Compiling takes a core for a while: one at a time.
    pub(crate) compiler: Arc<Semaphore>,
    /// Milliseconds since the start, more or less: what idle instances are dated by.
    pub(crate) ticks: Arc<AtomicU64>,
    /// Generations that are not dropped yet.
    pub(crate) generations: Arc<AtomicUsize>,
    pub(crate) next_generation: AtomicU64,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("code", &self.code).finish_non_exhaustive()
    }
}

impl Host {
    /// Starts the engine and three threads: a clock that ticks every millisecond, one that lets idle instances go, and one for calls
    /// that take long. Call it after any fork. All end soon after the host is dropped.
    ///
    /// # Errors
    /// A [`HostError`]; none of them leaves a thread behind.
    pub fn new(config: HostConfig, kv: Kv) -> Result<Arc<Self>, HostError> {
        let code = CodeCache::open(&config.code_folder)
            .map_err(|reason| HostError::CodeFolder { folder: config.code_folder.clone(), reason })?;
        let engine = engine(config.instances)?;
        let (plain, with_wasi) = linkers(&engine).map_err(|error| HostError::Engine(format!("{error:#}")))?;
        let host = Arc::new(Self {
            engine,
            plain,
            with_wasi,
            kv,
            code,
            places: Places::new(config.instances),
            most_instances: config.instances,
            registry: Registry::default(),
            aside: Aside::start().map_err(HostError::Thread)?,
            compiler: Arc::new(Semaphore::new(1)),
            ticks: Arc::new(AtomicU64::new(0)),
            generations: Arc::new(AtomicUsize::new(0)),
            next_generation: AtomicU64::new(1),
        });
        start_clock(&host)?;
        start_sweeper(&host)?;
        Ok(host)
    }

    /// Generations that are still in memory: those in service, the ones kept for a rollback, and old ones with running calls.
    #[must_use]
    pub fn live_generations(&self) -> usize {
        self.generations.load(std::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) fn now(&self) -> Duration {
        let ticks = self.ticks.load(std::sync::atomic::Ordering::Relaxed);
        Duration::from_millis(ticks)
    }
}

fn engine(instances: u32) -> Result<Engine, HostError> {
    let mut pooling = PoolingAllocationConfig::new();
    // One more of each, so that a new generation can be tried while the old one uses all of its share.
    let slots = instances.saturating_add(1);
    pooling
        .total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots.saturating_mul(MEMORIES))
        .total_tables(slots.saturating_mul(TABLES))
        .total_stacks(slots)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memory_size(LARGEST_MEMORY)
        // Cleared by writing instead of giving the pages back: cheaper up to about this size.
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(16 << 10)
        .async_stack_keep_resident(16 << 10);
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    match Engine::new(&config) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!(%error, "no address space for a pool of plugin instances: each is allocated on its own, which is slower");
            let mut config = settings();
            config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
            config.memory_reservation(0).memory_reservation_for_growth(1 << 20).memory_guard_size(64 << 10);
            Engine::new(&config).map_err(|error| HostError::Engine(format!("{error:#}")))
        }
    }
}

fn settings() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // Sizes that no limit here was made for; no guest needs more than 32 bits of them.
        .wasm_memory64(false)
        // On by default, and paid for by every call; nothing in the contract is concurrent.
        .concurrency_support(false)
        // One plugin at a time, on one thread: viewers' requests need the others.
        .parallel_compilation(false)
        .wasm_backtrace_max_frames(None)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(FIBER_STACK);
    config
}

fn linkers(engine: &Engine) -> wasmtime::Result<(Linker<State>, Linker<State>)> {
    let mut plain = Linker::new(engine);
    imports::requests::add_to_linker::<_, HasSelf<State>>(&mut plain, |state| state)?;
    imports::log::add_to_linker::<_, HasSelf<State>>(&mut plain, |state| state)?;
    imports::kv::add_to_linker::<_, HasSelf<State>>(&mut plain, |state| state)?;
    imports::clock::add_to_linker::<_, HasSelf<State>>(&mut plain, |state| state)?;
    imports::random::add_to_linker::<_, HasSelf<State>>(&mut plain, |state| state)?;
    imports::config::add_to_linker::<_, HasSelf<State>>(&mut plain, |state| state)?;
    let mut with_wasi = plain.clone();
    wasmtime_wasi::p2::add_to_linker_async(&mut with_wasi)?;
    Ok((plain, with_wasi))
}

/// A thread of its own, as a task would tick late just when a guest holds the thread that it runs on.
fn start_clock(host: &Arc<Host>) -> Result<(), HostError> {
    let engine = host.engine.weak();
    let ticks = Arc::clone(&host.ticks);
    let tick = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            ticks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new().name("plugin-clock".to_owned()).spawn(tick).map(drop).map_err(HostError::Thread)
}

/// Not the clock's work: freeing instances takes longer than a tick.
fn start_sweeper(host: &Arc<Host>) -> Result<(), HostError> {
    let host: Weak<Host> = Arc::downgrade(host);
    let sweep = move || {
        while let Some(host) = host.upgrade() {
            host.registry.sweep(host.now());
            drop(host);
            std::thread::sleep(SWEEP);
        }
    };
    std::thread::Builder::new().name("plugin-sweeper".to_owned()).spawn(sweep).map(drop).map_err(HostError::Thread)
}
