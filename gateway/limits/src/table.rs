//! Who is known: viewers in shards, each with its streams, and tenants.
//!
//! A viewer without streams is forgotten as soon as its bucket is full again, when forgetting changes nothing. Until then it
//! waits in its shard's queue, and at most [`LINGER`]. There is no clock behind this: each admission to a shard brings the
//! time along and clears a few whose time has come, and whoever reads the figures clears all.
//!
//! Lock order: a shard, then the tenants, then a bucket.

use crate::{
    limiter::{Full, StreamId},
    scope::{Key, Pace, Tenant, Viewer},
};
use parking_lot::Mutex;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

const SHARDS: usize = 32;
/// Viewers that may wait in one shard until they are forgotten, some 300 bytes each. Beyond it those go whose buckets
/// are fullest in time, which forgives the least.
const MAX_IDLE: usize = 2048;
/// How long a viewer is remembered at most. At the lowest rate an empty bucket fills in 64 s.
const LINGER: Duration = Duration::from_secs(600);
/// Viewers cleared by one admission: more than the one it may add, so that the queue shrinks.
const CLEAR: usize = 4;
/// Tenants known before idle ones are looked for.
const TENANTS: usize = 64;

#[derive(Debug)]
pub(crate) struct Table {
    shards: Vec<Mutex<Shard>>,
    tenants: Mutex<Tenants>,
}

#[derive(Debug, Default)]
struct Shard {
    viewers: HashMap<Key, Entry>,
    /// Who may be idle and from when on it can be forgotten. A viewer is in it at most once; those that came back are left
    /// where they are until their turn.
    idle: BinaryHeap<Reverse<(Duration, Key)>>,
    /// The latest time that was heard of.
    clock: Duration,
}

#[derive(Debug)]
struct Entry {
    viewer: Arc<Viewer>,
    /// Requests of each stream, at least one.
    streams: HashMap<StreamId, u32>,
    /// From when on it can be forgotten, if it has no streams.
    due: Duration,
    queued: bool,
}

#[derive(Debug)]
struct Tenants {
    known: HashMap<Key, Arc<Tenant>>,
    clear_at: usize,
}

/// One request's place.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) viewer: Arc<Viewer>,
    /// Whether it opened its stream.
    pub(crate) first: bool,
}

impl Table {
    pub(crate) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self { shards, tenants: Mutex::new(Tenants { known: HashMap::new(), clear_at: TENANTS }) }
    }

    /// Counts a request; `tenant` is its tenant's key, asked for only if the viewer is new.
    pub(crate) fn admit(
        &self,
        key: Key,
        tenant: impl FnOnce() -> Key,
        stream: StreamId,
        (viewer_bound, tenant_bound): (Option<u32>, Option<u32>),
        now: Duration,
    ) -> Result<Admitted, Full> {
        let Some(shard) = self.shards.get(key.shard(SHARDS)) else { return Err(Full::Viewer) };
        let mut shard = shard.lock();
        shard.clock = shard.clock.max(now);
        shard.clear(CLEAR);
        if let Some(entry) = shard.viewers.get_mut(&key) {
            if let Some(requests) = entry.streams.get_mut(&stream) {
                *requests = requests.saturating_add(1);
                return Ok(Admitted { viewer: Arc::clone(&entry.viewer), first: false });
            }
            room(entry.streams.len(), viewer_bound)?;
            entry.viewer.tenant.join(tenant_bound).then_some(()).ok_or(Full::Tenant)?;
            entry.streams.insert(stream, 1);
            return Ok(Admitted { viewer: Arc::clone(&entry.viewer), first: true });
        }
        room(0, viewer_bound)?;
        let tenant = self.tenants.lock().get(tenant(), now);
        tenant.join(tenant_bound).then_some(()).ok_or(Full::Tenant)?;
        let viewer = Arc::new(Viewer { tenant, pace: Pace::default() });
        let streams = HashMap::from([(stream, 1)]);
        shard.viewers.insert(key, Entry { viewer: Arc::clone(&viewer), streams, due: Duration::ZERO, queued: false });
        Ok(Admitted { viewer, first: true })
    }

    /// Gives a request's place back. True if it was the last of its stream.
    pub(crate) fn release(&self, key: Key, stream: StreamId) -> bool {
        let Some(shard) = self.shards.get(key.shard(SHARDS)) else { return false };
        shard.lock().release(key, stream)
    }

    /// Clears everything whose time has come; returns how many viewers and tenants are left.
    pub(crate) fn clear(&self, now: Duration) -> (usize, usize) {
        let viewers = self.shards.iter().map(|shard| {
            let mut shard = shard.lock();
            shard.clock = shard.clock.max(now);
            shard.clear(usize::MAX);
            shard.viewers.len()
        });
        let viewers = viewers.sum();
        let mut tenants = self.tenants.lock();
        tenants.clear(now);
        (viewers, tenants.known.len())
    }
}

fn room(streams: usize, bound: Option<u32>) -> Result<(), Full> {
    if bound.is_some_and(|bound| streams >= bound as usize) { Err(Full::Viewer) } else { Ok(()) }
}

impl Shard {
    fn release(&mut self, key: Key, stream: StreamId) -> bool {
        let Some(entry) = self.viewers.get_mut(&key) else { return false };
        let Some(requests) = entry.streams.get_mut(&stream) else { return false };
        *requests -= 1;
        if *requests > 0 {
            return false;
        }
        entry.streams.remove(&stream);
        entry.viewer.tenant.leave();
        if entry.streams.is_empty() {
            entry.due = entry.viewer.pace.full_at().min(self.clock.saturating_add(LINGER));
            if entry.queued {
                return true;
            }
            if entry.due <= self.clock {
                self.viewers.remove(&key);
                return true;
            }
            // The map of a viewer that had many streams at once would keep its size.
            entry.streams = HashMap::new();
            entry.queued = true;
            self.idle.push(Reverse((entry.due, key)));
            if self.idle.len() > MAX_IDLE {
                self.forget_next(Duration::MAX);
            }
        }
        true
    }

    fn clear(&mut self, most: usize) {
        for _ in 0..most {
            match self.idle.peek() {
                Some(Reverse((due, _))) if *due <= self.clock => self.forget_next(self.clock),
                _ => return,
            }
        }
    }

    /// Takes the next one out of the queue, and forgets it if it is idle and due by `time`.
    fn forget_next(&mut self, time: Duration) {
        let Some(Reverse((_, key))) = self.idle.pop() else { return };
        let Some(entry) = self.viewers.get_mut(&key) else { return };
        entry.queued = false;
        if !entry.streams.is_empty() {
            return;
        }
        if entry.due <= time {
            self.viewers.remove(&key);
        } else {
            entry.queued = true;
            self.idle.push(Reverse((entry.due, key)));
        }
    }
}

impl Tenants {
    fn get(&mut self, key: Key, now: Duration) -> Arc<Tenant> {
        if self.known.len() >= self.clear_at && !self.known.contains_key(&key) {
            self.clear(now);
            self.clear_at = TENANTS.max(self.known.len() * 2);
        }
        Arc::clone(self.known.entry(key).or_default())
    }

    /// Nobody can join a tenant meanwhile: viewers get theirs here, under the same lock.
    fn clear(&mut self, now: Duration) {
        self.known.retain(|_, tenant| Arc::strong_count(tenant) > 1 || tenant.pace.full_at() > now);
    }
}
