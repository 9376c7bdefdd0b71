//! The store in memory: a lock for each namespace, a clock, and who clears up after namespaces that nobody uses.

use crate::kv::MemoryBounds;
use crate::space::{Ledger, Space};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How often one caller clears up for all; and when the store is full.
const SWEEP_MS: u64 = 30_000;
const SWEEP_FULL_MS: u64 = 1_000;

/// Expired entries of one namespace that a sweep clears away: some milliseconds of work at most.
const SWEEP_MOST: usize = 2_000;

/// A store in memory.
///
/// Each namespace has its own lock, so that plugins and tenants don't wait for each other. Nothing runs in the background:
/// every operation clears a little of its own namespace, and now and then one caller passes through all.
#[derive(Debug)]
pub(crate) struct Memory {
    start: Instant,
    ledger: Arc<Ledger>,
    spaces: Mutex<HashMap<Box<str>, Arc<Mutex<Space>>>>,
    /// Milliseconds since `start` of the last sweep.
    swept: AtomicU64,
}

impl Memory {
    #[expect(clippy::disallowed_methods, reason = "the store's clock; `Space` takes `now`")]
    pub(crate) fn new(bounds: MemoryBounds) -> Self {
        Self {
            start: Instant::now(),
            ledger: Arc::new(Ledger::new(bounds)),
            spaces: Mutex::new(HashMap::new()),
            swept: AtomicU64::new(0),
        }
    }

    /// Milliseconds, monotonic.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn space(&self, id: &str) -> Arc<Mutex<Space>> {
        let mut spaces = self.spaces.lock();
        if let Some(space) = spaces.get(id) {
            return Arc::clone(space);
        }
        let space = Arc::new(Mutex::new(Space::new(Arc::clone(&self.ledger))));
        spaces.insert(id.into(), Arc::clone(&space));
        space
    }

    /// Clears up everywhere if it is time to.
    pub(crate) fn sweep_sometimes(&self, now: u64) {
        self.sweep(now, SWEEP_MS);
    }

    /// The same, for a caller who found no room; true if it may try again.
    pub(crate) fn sweep_for_room(&self, now: u64) -> bool {
        self.sweep(now, SWEEP_FULL_MS)
    }

    fn sweep(&self, now: u64, pause: u64) -> bool {
        let swept = self.swept.load(Ordering::Relaxed);
        let due = now.saturating_sub(swept) >= pause;
        if !due || self.swept.compare_exchange(swept, now, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return false;
        }
        // Lock order: the map, then one namespace. Who holds a namespace never asks for the map.
        self.spaces.lock().retain(|_, space| {
            let handed_out = Arc::strong_count(space) > 1;
            let Some(mut space) = space.try_lock() else { return true };
            space.prune(now, SWEEP_MOST);
            handed_out || !space.is_empty()
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, SWEEP_MS};
    use crate::kv::{KvBounds, MemoryBounds};
    use std::sync::Arc;

    const BOUNDS: KvBounds = KvBounds { keys: 10, value: 100 };

    #[test]
    fn abandoned_namespaces_go_and_used_ones_stay() {
        let memory = Memory::new(MemoryBounds::default());
        let used = memory.space("used");
        for (id, until) in [("short", 5), ("long", SWEEP_MS * 2)] {
            memory.space(id).lock().set(0, BOUNDS, "k", b"v", until).unwrap();
        }
        memory.sweep_sometimes(SWEEP_MS - 1);
        assert_eq!(memory.spaces.lock().len(), 3, "too early");
        memory.sweep_sometimes(SWEEP_MS);
        assert_eq!(memory.spaces.lock().len(), 2);
        assert_eq!(memory.ledger.taken().0, 1);
        assert!(Arc::ptr_eq(&used, &memory.space("used")));
        assert_eq!(memory.space("long").lock().get(SWEEP_MS, BOUNDS, "k"), Ok(Some(b"v".to_vec())));
        drop(used);
        assert!(memory.sweep_for_room(SWEEP_MS * 2));
        assert!(memory.spaces.lock().is_empty());
        assert_eq!(memory.ledger.taken(), (0, 0));
    }
}
