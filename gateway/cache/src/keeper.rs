//! Room on the disk: the eviction queue over all versions, and whose slice goes when the cache is full.

use crate::evict::{Key, Sieve, Verdict};
use crate::handover::Withheld;
use crate::shared::Shared;
use crate::stats::{Count, Counters};
use crate::version::Version;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Bytes written between two looks at the free space.
const FREE_CHECK: u64 = 16 * 1024 * 1024;

#[derive(Default)]
struct Slot {
    version: Weak<Version>,
    /// Entries in the queue; the slot is used again once a retired version has none.
    entries: u32,
    retired: bool,
}

struct Queue {
    sieve: Sieve,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Entries of retired versions, which cost memory until the hand or a sweep meets them.
    stale: usize,
}

/// See the module. Its lock is taken before a version's, never after.
pub(crate) struct Keeper {
    queue: Mutex<Queue>,
    max_size: AtomicU64,
    min_free: AtomicU64,
    written: Count,
    /// Versions that are spared as another process had their files open when last looked at. Taken alone.
    lent: Mutex<Vec<Weak<Version>>>,
}

impl Keeper {
    pub(crate) fn new(max_size: u64, min_free: u64) -> Self {
        let queue = Queue { sieve: Sieve::new(), slots: Vec::new(), free: Vec::new(), stale: 0 };
        let (max_size, min_free) = (AtomicU64::new(max_size), AtomicU64::new(min_free));
        let (queue, written, lent) = (Mutex::new(queue), Count::default(), Mutex::default());
        let keeper = Self { queue, max_size, min_free, written, lent };
        keeper.look_at_space();
        keeper
    }

    /// Sets other bounds. The next `make_room` keeps to them.
    pub(crate) fn bound(&self, max_size: u64, min_free: u64) {
        self.max_size.store(max_size, Ordering::Relaxed);
        self.min_free.store(min_free, Ordering::Relaxed);
        self.look_at_space();
    }

    fn min_free(&self) -> u64 {
        self.min_free.load(Ordering::Relaxed)
    }

    /// Queues slices that have come to the disk.
    pub(crate) fn insert(&self, version: &Arc<Version>, slices: &[u32]) {
        if slices.is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        // A slot is given back when its version is retired, which comes after its doom: none may be taken then.
        if version.is_doomed() {
            return;
        }
        let slot = *version.slot.get_or_init(|| queue.register(Arc::downgrade(version)));
        for &slice in slices {
            queue.sieve.insert(Key { version: slot, slice });
        }
        if let Some(slot) = queue.slots.get_mut(slot as usize) {
            slot.entries += u32::try_from(slices.len()).unwrap_or(u32::MAX);
        }
    }

    /// A doomed version's entries are forgotten: when the hand meets them, or all at once if they are many.
    pub(crate) fn retire(&self, version: &Version) {
        let mut queue = self.queue.lock();
        let Some(&at) = version.slot.get() else { return };
        let Some(slot) = queue.slots.get_mut(at as usize).filter(|slot| !slot.retired) else { return };
        slot.retired = true;
        slot.version = Weak::new();
        let entries = slot.entries;
        queue.stale += entries as usize;
        if entries == 0 {
            queue.free.push(at);
        }
        if queue.stale > 1024 && queue.stale > queue.sieve.len() / 2 {
            queue.sweep();
        }
    }

    /// The next `make_room` looks at the free space, however little was written since the last look.
    pub(crate) fn look_at_space(&self) {
        self.written.set(FREE_CHECK);
    }

    /// Spares a version's slices while another process has its files open.
    pub(crate) fn lend(&self, version: &Arc<Version>) {
        if !version.lent.swap(true, Ordering::Relaxed) {
            self.lent.lock().push(Arc::downgrade(version));
        }
    }

    /// Takes in what another process has done to files that it had open and has closed since. Blocks.
    pub(crate) fn look_at_lent(&self, shared: &Shared) {
        let lent = std::mem::take(&mut *self.lent.lock());
        for version in lent.iter().filter_map(Weak::upgrade).filter(|version| !version.is_doomed()) {
            let looked = shared.files(&version, false).and_then(|files| {
                let settled = shared.store.settled(&files, version.geometry)?;
                Ok(settled.map(|slices| (files, slices)))
            });
            match looked {
                Ok(None) => self.lent.lock().push(Arc::downgrade(&version)),
                Ok(Some((files, slices))) => {
                    let adopted: Vec<u32> = version.with(|claims, doom| {
                        let is_new = |slice: &u32| doom.is_none() && claims.adopt(*slice);
                        slices.into_iter().filter(is_new).collect()
                    });
                    self.insert(&version, &adopted);
                    shared.measure(&version, &files);
                    version.lent.store(false, Ordering::Relaxed);
                }
                // Evictions of it will fail alike.
                Err(error) => {
                    shared.disk_error(&error);
                    version.lent.store(false, Ordering::Relaxed);
                }
            }
        }
    }

    /// Books written bytes. True if `make_room` has something to do, or to look at.
    pub(crate) fn is_due(&self, counters: &Counters, wrote: u64) -> bool {
        self.written.add(wrote);
        self.is_over(counters) || (self.min_free() > 0 && self.written.get() >= FREE_CHECK)
    }

    fn is_over(&self, counters: &Counters) -> bool {
        // What a fill has written of a slice that isn't whole may count twice: never too little.
        let on_disk = counters.bytes_on_disk.get().saturating_sub(counters.bytes_unfreed.get());
        on_disk.saturating_add(counters.bytes_coming.get()) > self.max_size.load(Ordering::Relaxed)
    }

    /// Evicts until the cache is within its bounds, or until all that is left is in use. Returns the versions it took
    /// slices from. Blocks.
    pub(crate) fn make_room(&self, shared: &Shared) -> Vec<Arc<Version>> {
        let mut touched: Vec<Arc<Version>> = Vec::new();
        let mut deficit = self.deficit(shared);
        while self.is_over(&shared.counters) || deficit > 0 {
            let Some(freed) = self.evict_one(shared, &mut touched) else { break };
            deficit = deficit.saturating_sub(freed);
        }
        touched
    }

    /// Evicts at least so many bytes, bounds or not: the disk is full of others' files. Blocks.
    pub(crate) fn give_up(&self, shared: &Shared, bytes: u64) -> Vec<Arc<Version>> {
        let (mut touched, mut freed) = (Vec::new(), 0);
        while freed < bytes {
            let Some(more) = self.evict_one(shared, &mut touched) else { break };
            freed += more;
        }
        touched
    }

    fn deficit(&self, shared: &Shared) -> u64 {
        if self.min_free() == 0 || self.written.get() < FREE_CHECK {
            return 0;
        }
        self.written.set(0);
        match shared.store.free_space() {
            Ok(free) => self.min_free().saturating_sub(free),
            Err(error) => {
                shared.disk_error(&error);
                0
            }
        }
    }

    fn evict_one(&self, shared: &Shared, touched: &mut Vec<Arc<Version>>) -> Option<u64> {
        let store = &shared.store;
        let (version, slice, cleared) = loop {
            let (version, slice) = self.queue.lock().evict()?;
            // A failure costs room, not correctness: the slice is missing for this process, and its checksum guards the next.
            let cleared = shared.files(&version, false).and_then(|files| {
                store.clear(&files, version.geometry, slice).inspect_err(|error| shared.disk_error(error))?;
                Ok(files)
            });
            match &cleared {
                // The hand goes past its other slices, and back to it when the list of the lent is looked at anew.
                Err(error) if Withheld::of(error).is_some() => self.spare(&version, slice),
                _ => break (version, slice, cleared),
            }
        };
        shared.counters.evicted.add(1);
        let len = version.geometry.len(slice) as u64;
        let unfreed = if cleared.is_ok() { 0 } else { len };
        version.measure(|| store.blocks(&*cleared?), unfreed);
        version.settle(slice);
        if !touched.iter().any(|seen| Arc::ptr_eq(seen, &version)) {
            touched.push(version);
        }
        Some(len)
    }
}

impl Keeper {
    /// Takes an eviction back: the slice is as it was.
    fn spare(&self, version: &Arc<Version>, slice: u32) {
        self.lend(version);
        if version.with(|claims, doom| doom.is_none() && claims.restore(slice)) {
            self.insert(version, &[slice]);
        }
        version.settle(slice);
    }
}

impl Queue {
    fn register(&mut self, version: Weak<Version>) -> u32 {
        let slot = Slot { version, entries: 0, retired: false };
        if let Some(at) = self.free.pop() {
            self.slots[at as usize] = slot;
            return at;
        }
        self.slots.push(slot);
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    fn evict(&mut self) -> Option<(Arc<Version>, u32)> {
        let Self { sieve, slots, free, stale } = self;
        let mut taken = None;
        sieve.evict(|key| {
            let Some(slot) = slots.get_mut(key.version as usize) else { return Verdict::Gone };
            let version = slot.version.upgrade();
            let verdict = version.as_ref().map_or(Verdict::Gone, |version| {
                version.with(|claims, doom| match doom {
                    Some(_) => Verdict::Gone,
                    // The eviction would be stuck as well, and the next one with it.
                    None if version.is_stuck() || version.lent.load(Ordering::Relaxed) => Verdict::Spare,
                    None => claims.judge(key.slice),
                })
            });
            if verdict != Verdict::Spare {
                slot.entries = slot.entries.saturating_sub(1);
                if slot.retired {
                    *stale = stale.saturating_sub(1);
                    if slot.entries == 0 {
                        free.push(key.version);
                    }
                }
            }
            if verdict == Verdict::Evict {
                taken = version.map(|version| (version, key.slice));
            }
            verdict
        });
        taken
    }

    fn sweep(&mut self) {
        let Self { sieve, slots, stale, .. } = self;
        if *stale == sieve.len() {
            // All of it was purged.
            *sieve = Sieve::new();
        }
        sieve.retain(|key| slots.get(key.version as usize).is_some_and(|slot| !slot.retired));
        for at in 0..self.slots.len() {
            let slot = &mut self.slots[at];
            if slot.retired && slot.entries > 0 {
                slot.entries = 0;
                self.free.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
        self.stale = 0;
    }
}
