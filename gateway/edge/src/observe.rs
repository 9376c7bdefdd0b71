//! Tells observe plugins what has ended: gathered while requests end, handed over in batches, never waited for.

use crate::access_log::Entry;
use crate::edge::Edge;
use crate::facts::message_id;
use crate::outcome::Outcome;
use crate::plugins::LivePlugins;
use parking_lot::Mutex;
use plugin_host::{Finished, Media};
use plugin_package::Hook;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often batches are handed over.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);
/// Requests of one batch at most.
const BATCH: usize = 256;
/// Requests that wait at most, all tenants together. More are dropped: a plugin that can't follow must not cost memory.
const WAITING: usize = 50_000;

/// What waits to be told.
#[derive(Default)]
pub(crate) struct Observer {
    waiting: Mutex<Waiting>,
    /// One hand-over at a time, so that a tenant's batches come in order.
    delivering: tokio::sync::Mutex<()>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    tenants: HashMap<Arc<str>, Vec<Finished>>,
    count: usize,
}

impl Observer {
    /// Notes a request that ended.
    pub(crate) fn note(&self, tenant: &Arc<str>, finished: Finished) {
        let mut waiting = self.waiting.lock();
        if waiting.count >= WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.count += 1;
        waiting.tenants.entry(tenant.clone()).or_default().push(finished);
    }

    /// Requests that nobody was told of, because too many waited.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Hands over all that waits. Failures are the host's to count.
    pub(crate) async fn deliver(&self, plugins: &LivePlugins) {
        let _one = self.delivering.lock().await;
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for (tenant, mut finished) in waiting.tenants {
            let Some(chain) = plugins.chain(Hook::Observe, &tenant) else { continue };
            while !finished.is_empty() {
                let rest = finished.split_off(finished.len().min(BATCH));
                chain.observe(std::mem::replace(&mut finished, rest)).await;
            }
        }
    }
}

impl Edge {
    /// Notes a request that ended, if it had a tenant and a media and somebody wants to know.
    pub(crate) fn tell_observers(&self, entry: &Entry, outcome: Outcome, now: SystemTime, duration: Duration) {
        let (Some(tenant), Some(media)) = (&entry.tenant, &entry.media) else { return };
        if self.plugins.chain(Hook::Observe, tenant).is_none() {
            return;
        }
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let finished = Finished {
            request_id: entry.request_id.clone(),
            time: milliseconds(now.duration_since(UNIX_EPOCH).unwrap_or_default()),
            media: Media { chat_id: media.chat_id, message_id: message_id(media.message_id) },
            viewer: entry.viewer.clone().unwrap_or_default(),
            status: entry.status,
            outcome: outcome.word().to_owned(),
            cache: entry.cache.unwrap_or_default().to_owned(),
            bytes: entry.bytes,
            milliseconds: u32::try_from(milliseconds(duration)).unwrap_or(u32::MAX),
        };
        self.observer.note(tenant, finished);
    }
}
