//! What a store holds: the facts of the call at hand, and what the guest has used up in it.

use crate::aside::Lane;
use crate::counters::Counters;
use crate::failure::Halt;
use crate::request::Request;
use crate::running::Running;
use plugin_kv::Namespace;
use plugin_package::{Hook, Limits, Settings, Visible};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Store operations in one call: more is a flood.
const MOST_KV_OPERATIONS: u32 = 64;
/// The same for observe hooks, which hear of 256 requests at once and let no viewer wait.
const MOST_KV_OPERATIONS_OF_OBSERVERS: u32 = 2_048;
/// Log lines in one call, whatever the limit a second is.
const MOST_LOG_LINES: u32 = 64;
/// Random bytes at once.
pub(crate) const MOST_RANDOM_BYTES: u32 = 1_024;
/// Parameters that one URL may be asked without.
pub(crate) const MOST_WITHOUT: usize = 32;
/// One tick of the epoch.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// What a table's element costs.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// What all instances of one generation share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plugin: Arc<str>,
    pub(crate) hook: Hook,
    pub(crate) settings: Settings,
    pub(crate) visible: Visible,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
    pub(crate) lane: Lane,
}

/// Data of one store.
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tenant: Arc<str>,
    pub(crate) kv: Namespace,
    pub(crate) call: Call,
    pub(crate) memory: Memory,
    pub(crate) running: Running,
    wasi: Option<Box<(WasiCtx, ResourceTable)>>,
}

/// What lasts for one call.
#[derive(Default)]
pub(crate) struct Call {
    /// The request that handles stand for.
    pub(crate) request: Option<Arc<Request>>,
    kv_operations: u32,
    /// Bytes of all arguments of imports.
    bytes: u64,
    log_lines: u32,
}

impl Call {
    pub(crate) fn of(request: Option<Arc<Request>>) -> Self {
        Self { request, ..Self::default() }
    }
}

impl State {
    pub(crate) fn new(shared: Arc<Shared>, tenant: Arc<str>, kv: Namespace) -> Self {
        let most = usize::try_from(shared.limits.memory).unwrap_or(usize::MAX);
        let memory = Memory { most, ..Memory::default() };
        Self { shared, tenant, kv, call: Call::default(), memory, running: Running::default(), wasi: None }
    }

    /// Makes the call at hand the only one that the guest knows of.
    pub(crate) fn begin(&mut self, request: Option<Arc<Request>>) {
        self.call = Call::of(request);
        self.memory.refused = false;
        self.running.reset();
    }

    /// One more operation on the store, with so many bytes of keys and values. The guest's time stands still from here to
    /// [`State::answered`].
    pub(crate) fn kv_operation(&mut self, bytes: usize) -> Result<(), Halt> {
        let (most, excess) = match self.shared.hook {
            Hook::Observe => (MOST_KV_OPERATIONS_OF_OBSERVERS, "more than 2,048 store operations in one call"),
            _ => (MOST_KV_OPERATIONS, "more than 64 store operations in one call"),
        };
        if self.call.kv_operations >= most {
            return Err(Halt::Excess(excess));
        }
        self.handed_over(bytes)?;
        self.call.kv_operations += 1;
        self.shared.counters.kv_operations.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.running.stop();
        Ok(())
    }

    /// The store has answered: the guest goes on.
    pub(crate) fn answered<T>(&mut self, answer: T) -> T {
        self.running.go_on();
        answer
    }

    /// Adds up what the guest hands over in one call. The engine bounds each import's arguments by themselves, and the reply.
    pub(crate) fn handed_over(&mut self, bytes: usize) -> Result<(), Halt> {
        self.call.bytes = self.call.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.call.bytes > self.shared.limits.hostcall_bytes {
            return Err(Halt::Excess("limits.hostcall_bytes"));
        }
        Ok(())
    }

    /// True if the guest may write one more line.
    pub(crate) fn log_line(&mut self, second: u64) -> bool {
        self.call.log_lines = self.call.log_lines.saturating_add(1);
        let most = if self.call.log_lines > MOST_LOG_LINES { 0 } else { self.shared.limits.log_lines };
        self.shared.counters.may_log(second, most)
    }

    /// Called once a tick while the guest runs. It gives its thread away each time, and ends when its time is used up.
    ///
    /// A guest has at least `limits.time`, and at most what it does until the tick after that. See [`Running`] for what counts.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        self.running.stop();
        self.shared.lane.ran(self.running.used());
        if self.running.used() >= self.shared.limits.time {
            return Err(Halt::Time.into());
        }
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(self.running.pause())))
    }
}

/// Sums up what memories and tables of one instance take.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    most: usize,
    pub(crate) used: usize,
    /// The guest was refused some since this was last taken.
    pub(crate) refused: bool,
}

impl Memory {
    fn grow(&mut self, more: usize) -> bool {
        match self.used.checked_add(more) {
            Some(used) if used <= self.most => {
                self.used = used;
                true
            }
            _ => {
                self.refused = true;
                false
            }
        }
    }

    /// What was granted and could not be had stays counted: the engine also calls this for what was never asked for, so that taking
    /// something back would let a guest count its memory down.
    fn failed(&mut self) {
        self.refused = true;
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.failed();
        Ok(())
    }

    fn instances(&self) -> usize {
        64
    }

    fn tables(&self) -> usize {
        64
    }

    fn memories(&self) -> usize {
        16
    }
}

impl WasiView for State {
    /// Made when first used: no arguments, no environment, no files, no network, output goes nowhere.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(|| {
            let mut builder = WasiCtx::builder();
            builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
            builder.max_random_size(u64::from(MOST_RANDOM_BYTES));
            Box::new((builder.build(), ResourceTable::new()))
        });
        WasiCtxView { ctx: &mut wasi.0, table: &mut wasi.1 }
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;
    use wasmtime::ResourceLimiter;

    #[test]
    fn memories_and_tables_are_summed() {
        let mut memory = Memory { most: 1_000, ..Memory::default() };
        assert!(memory.memory_growing(0, 600, None).unwrap());
        assert!(memory.table_growing(0, 50, None).unwrap());
        assert!(!memory.refused);
        assert!(!memory.memory_growing(600, 601, None).unwrap());
        assert!(memory.refused && memory.used == 1_000);
        assert!(!memory.table_growing(50, usize::MAX, None).unwrap());
    }

    /// The engine tells of failures that it never asked about before, and of those after it was granted something.
    #[test]
    fn nothing_is_ever_taken_back() {
        let mut memory = Memory { most: 1_000, ..Memory::default() };
        assert!(memory.memory_growing(0, 600, None).unwrap());
        memory.table_grow_failed(wasmtime::Error::msg("overflow")).unwrap();
        memory.memory_grow_failed(wasmtime::Error::msg("no room")).unwrap();
        assert!(memory.refused && memory.used == 600);
        assert!(!memory.memory_growing(600, 1_200, None).unwrap());
    }
}
