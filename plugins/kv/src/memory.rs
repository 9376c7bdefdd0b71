//! The store in memory: a lock for each namespace, a clock, and who clears up after namespaces that nobody uses.

use crate::kv::MemoryBounds;
use crate::space::{Account, Ledger, Space};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How often one caller clears up for all; and when the store is full.
const SWEEP_MS: u64 = 30_000;
const SWEEP_FULL_MS: u64 = 1_000;

/// Expired entries that one caller clears away, and namespaces that it looks at, together: some milliseconds of work at most. The
/// next caller goes on where it stopped.
const SWEEP_MOST: usize = 4_000;

/// Every namespace by its id, every plugin's account by its name, and the namespace that a sweep stopped at.
#[derive(Debug, Default)]
struct Spaces {
    by_id: BTreeMap<Arc<str>, Arc<Mutex<Space>>>,
    accounts: HashMap<Box<str>, Arc<Account>>,
    resume: Option<Arc<str>>,
}

/// A store in memory.
///
/// Each namespace has its own lock, so that plugins and tenants don't wait for each other. Nothing runs in the background:
/// every operation clears a little of its own namespace, and now and then one caller passes through all.
#[derive(Debug)]
pub(crate) struct Memory {
    start: Instant,
    ledger: Arc<Ledger>,
    spaces: Mutex<Spaces>,
    /// Milliseconds since `start` of the last sweep.
    swept: AtomicU64,
}

impl Memory {
    #[expect(clippy::disallowed_methods, reason = "the store's clock; `Space` takes `now`")]
    pub(crate) fn new(bounds: MemoryBounds) -> Self {
        Self {
            start: Instant::now(),
            ledger: Arc::new(Ledger::new(bounds)),
            spaces: Mutex::default(),
            swept: AtomicU64::new(0),
        }
    }

    /// Milliseconds, monotonic.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The namespace of this id, which one plugin has.
    pub(crate) fn space(&self, plugin: &str, id: &str) -> Arc<Mutex<Space>> {
        let mut spaces = self.spaces.lock();
        if let Some(space) = spaces.by_id.get(id) {
            return Arc::clone(space);
        }
        let account = spaces.accounts.entry(plugin.into()).or_insert_with(|| {
            // Plugins come and go by the gateway's settings: a handful.
            Arc::new(Account::new(Arc::clone(&self.ledger)))
        });
        let space = Arc::new(Mutex::new(Space::new(Arc::clone(account))));
        spaces.by_id.insert(id.into(), Arc::clone(&space));
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
        let mut spaces = self.spaces.lock();
        let (cleared, done) = spaces.sweep(now, SWEEP_MOST);
        if !done {
            // The rest is due at once, and somebody else's work.
            self.swept.store(now.saturating_sub(SWEEP_MS), Ordering::Relaxed);
        }
        cleared > 0
    }
}

impl Spaces {
    /// Clears up, from where it last stopped, until `most` is done; how many entries went, and whether all was seen.
    fn sweep(&mut self, now: u64, most: usize) -> (usize, bool) {
        let (mut left, mut cleared) = (most, 0);
        let from = self.resume.take().map_or(Bound::Unbounded, Bound::Included);
        let mut empty = Vec::new();
        for (id, space) in self.by_id.range::<Arc<str>, _>((from, Bound::Unbounded)) {
            if left == 0 {
                self.resume = Some(Arc::clone(id));
                break;
            }
            left -= 1;
            let handed_out = Arc::strong_count(space) > 1;
            // Who is in there clears up on his way.
            let Some(mut space) = space.try_lock() else { continue };
            let gone = space.prune(now, left);
            (left, cleared) = (left - gone, cleared + gone);
            if !handed_out && space.is_empty() {
                empty.push(Arc::clone(id));
            } else if left == 0 {
                // There may be more in this one.
                self.resume = Some(Arc::clone(id));
                break;
            }
        }
        for id in empty {
            self.by_id.remove(&id);
        }
        (cleared, self.resume.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::{Memory, SWEEP_MOST, SWEEP_MS};
    use crate::kv::{KvBounds, MemoryBounds};
    use std::sync::Arc;

    const BOUNDS: KvBounds = KvBounds { keys: 10_000, value: 100 };

    #[test]
    fn abandoned_namespaces_go_and_used_ones_stay() {
        let memory = Memory::new(MemoryBounds::default());
        let used = memory.space("p", "p:used");
        for (id, until) in [("p:short", 5), ("p:long", SWEEP_MS * 2)] {
            memory.space("p", id).lock().set(0, BOUNDS, "k", b"v", until).unwrap();
        }
        memory.sweep_sometimes(SWEEP_MS - 1);
        assert_eq!(memory.spaces.lock().by_id.len(), 3, "too early");
        memory.sweep_sometimes(SWEEP_MS);
        assert_eq!(memory.spaces.lock().by_id.len(), 2);
        assert_eq!(memory.ledger.taken().0, 1);
        assert!(Arc::ptr_eq(&used, &memory.space("p", "p:used")));
        assert_eq!(memory.space("p", "p:long").lock().get(SWEEP_MS, BOUNDS, "k"), Ok(Some(b"v".to_vec())));
        drop(used);
        assert!(memory.sweep_for_room(SWEEP_MS * 2));
        assert!(memory.spaces.lock().by_id.is_empty());
        assert_eq!(memory.ledger.taken(), (0, 0));
    }

    #[test]
    fn one_caller_clears_so_much_and_the_next_goes_on() {
        let memory = Memory::new(MemoryBounds::default());
        for tenant in 0..10 {
            let space = memory.space("p", &format!("p:{tenant}"));
            for key in 0..1_000 {
                space.lock().set(0, BOUNDS, &key.to_string(), b"", 5).unwrap();
            }
        }
        let mut left = 10_000;
        for _ in 0..3 {
            assert!(left > 0);
            memory.sweep_sometimes(SWEEP_MS);
            let now = memory.ledger.taken().0;
            assert!(left - now <= SWEEP_MOST as u64, "{left} to {now}");
            left = now;
        }
        assert_eq!((left, memory.spaces.lock().by_id.len()), (0, 0));
        // All is seen: the next one is due in half a minute.
        memory.space("p", "p:1").lock().set(SWEEP_MS, BOUNDS, "k", b"", SWEEP_MS + 1).unwrap();
        memory.sweep_sometimes(SWEEP_MS + 1);
        assert_eq!(memory.ledger.taken().0, 1);
        memory.sweep_sometimes(SWEEP_MS * 2);
        assert_eq!(memory.ledger.taken().0, 0);
    }
}
