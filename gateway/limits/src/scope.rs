//! What a viewer and a tenant have: a name of fixed length, a count, a bucket.

use crate::bucket::Bucket;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// Stands for a tenant, or for a viewer of one. Names come from tokens and plugins and may be long: by digest each takes
/// 32 bytes, none can be made to meet another, and none is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key([u8; 32]);

impl Key {
    pub(crate) fn tenant(tenant: &str) -> Self {
        Self(Sha256::digest(tenant).into())
    }

    /// The length goes in first: no tenant's name can run over into its viewers'.
    pub(crate) fn viewer(tenant: &str, viewer: &str) -> Self {
        let hash = Sha256::new().chain_update((tenant.len() as u64).to_le_bytes());
        Self(hash.chain_update(tenant).chain_update(viewer).finalize().into())
    }

    /// One of `shards`.
    pub(crate) fn shard(&self, shards: usize) -> usize {
        usize::from(self.0[0]) % shards
    }
}

/// Bytes per second, of the newest request that had a bound.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Option<Bucket>>);

impl Pace {
    pub(crate) fn set(&self, rate: u64, now: Duration) {
        let mut bucket = self.0.lock();
        match bucket.as_mut() {
            Some(bucket) => bucket.set_rate(rate, now),
            None => *bucket = Some(Bucket::new(rate, now)),
        }
    }

    pub(crate) fn take(&self, bytes: u64, now: Duration) -> Duration {
        self.0.lock().as_mut().map_or(Duration::ZERO, |bucket| bucket.take(bytes, now))
    }

    pub(crate) fn give_back(&self, bytes: u64, now: Duration) {
        if let Some(bucket) = self.0.lock().as_mut() {
            bucket.give_back(bytes, now);
        }
    }

    /// When forgetting it changes nothing.
    pub(crate) fn full_at(&self) -> Duration {
        self.0.lock().as_ref().map_or(Duration::ZERO, Bucket::full_at)
    }
}

/// A tenant's streams and bytes.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    streams: AtomicU32,
    pub(crate) pace: Pace,
}

impl Tenant {
    /// Counts a stream, unless that would be more than `bound`.
    pub(crate) fn join(&self, bound: Option<u32>) -> bool {
        let bound = bound.unwrap_or(u32::MAX);
        let more = |streams: u32| (streams < bound).then_some(streams + 1);
        self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(crate) fn leave(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A viewer's bytes, and its tenant. Its streams are the table's, which counts them under its lock.
#[derive(Debug)]
pub(crate) struct Viewer {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) pace: Pace,
}
