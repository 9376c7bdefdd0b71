//! What a store holds: the facts of the call at hand, and what the guest has used up in it.

use crate::counters::Counters;
use crate::failure::Halt;
use crate::request::Request;
use plugin_kv::Namespace;
use plugin_package::{Limits, Settings, Visible};
use std::sync::Arc;
use std::time::Duration;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Store operations in one call: more is a flood.
pub(crate) const MOST_KV_OPERATIONS: u32 = 64;
/// Log lines in one call, whatever the limit a second is.
const MOST_LOG_LINES: u32 = 64;
/// One tick of the epoch.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// What a table's element costs.
const TABLE_ELEMENT: usize = size_of::<usize>();

/// What all instances of one generation share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plugin: Arc<str>,
    pub(crate) settings: Settings,
    pub(crate) visible: Visible,
    pub(crate) limits: Limits,
    pub(crate) counters: Arc<Counters>,
}

/// Data of one store.
pub(crate) struct State {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tenant: Arc<str>,
    pub(crate) kv: Namespace,
    pub(crate) call: Call,
    pub(crate) memory: Memory,
    wasi: Option<Box<(WasiCtx, ResourceTable)>>,
}

/// What lasts for one call.
#[derive(Default)]
pub(crate) struct Call {
    /// The request that handles stand for.
    pub(crate) request: Option<Arc<Request>>,
    ticks: u64,
    kv_operations: u32,
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
        Self { shared, tenant, kv, call: Call::default(), memory: Memory { most, ..Memory::default() }, wasi: None }
    }

    /// One more operation on the store.
    pub(crate) fn kv_operation(&mut self) -> Result<(), Halt> {
        if self.call.kv_operations >= MOST_KV_OPERATIONS {
            return Err(Halt::Excess("more than 64 store operations in one call"));
        }
        self.call.kv_operations += 1;
        self.shared.counters.kv_operations.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
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
    /// The first tick of a call may come at once, so that one more than the limit is granted: a guest has at least
    /// `limits.time` and at most a tick more. Time in which it waits for the store is one tick, not running time.
    pub(crate) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        self.call.ticks += 1;
        let most = u64::try_from(self.shared.limits.time.as_millis()).unwrap_or(u64::MAX);
        if self.call.ticks > most {
            return Err(Halt::Time.into());
        }
        // tokio's own yield lets timers and sockets of this thread run in between; a mere wake would not.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    }
}

/// Sums up what memories and tables of one instance take.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    most: usize,
    pub(crate) used: usize,
    pending: usize,
    /// The guest was refused some since this was last taken.
    pub(crate) refused: bool,
}

impl Memory {
    fn grow(&mut self, more: usize) -> bool {
        self.pending = 0;
        match self.used.checked_add(more) {
            Some(used) if used <= self.most => {
                self.used = used;
                self.pending = more;
                true
            }
            _ => {
                self.refused = true;
                false
            }
        }
    }

    fn undo(&mut self) {
        self.used = self.used.saturating_sub(self.pending);
        self.pending = 0;
        self.refused = true;
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ELEMENT)))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.undo();
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

    #[test]
    fn what_the_engine_could_not_give_is_taken_back() {
        let mut memory = Memory { most: 1_000, ..Memory::default() };
        assert!(memory.memory_growing(0, 600, None).unwrap());
        memory.memory_grow_failed(wasmtime::Error::msg("no room")).unwrap();
        assert_eq!(memory.used, 0);
    }
}
