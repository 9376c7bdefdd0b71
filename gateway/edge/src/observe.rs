//! Tells observe plugins what has ended: gathered while requests end, handed over in batches, never waited for.

use crate::access_log::Entry;
use crate::edge::Edge;
use crate::facts::message_id;
use crate::outcome::Outcome;
use crate::plugins::LivePlugins;
use futures_util::StreamExt;
use parking_lot::Mutex;
use plugin_host::{Finished, Media};
use plugin_package::Hook;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often batches are handed over.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);
/// Requests of one batch at most.
const BATCH: usize = 256;
/// Requests that wait at most, all tenants together. More are dropped: a plugin that can't follow must not cost memory.
const WAITING: usize = 50_000;

/// Requests of one tenant that wait at most: one that is busy does not use up what others have.
const WAITING_OF_ONE: usize = 10_000;
/// Tenants that are told at once: a plugin that is slow for one is no reason for others to wait.
const AT_ONCE: usize = 8;

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
    tenants: HashMap<Arc<str>, VecDeque<Finished>>,
    count: usize,
}

impl Observer {
    /// Notes a request that ended.
    pub(crate) fn note(&self, tenant: &Arc<str>, finished: Finished) {
        let mut waiting = self.waiting.lock();
        let full = waiting.count >= WAITING
            || waiting.tenants.get(tenant).is_some_and(|waiting| waiting.len() >= WAITING_OF_ONE);
        if full {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.count += 1;
        waiting.tenants.entry(tenant.clone()).or_default().push_back(finished);
    }

    /// Requests that nobody was told of, because too many waited.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Hands over all that waits. Failures are the host's to count. Dropping the future loses the batches that are under way, and
    /// no others.
    pub(crate) async fn deliver(&self, plugins: &LivePlugins) {
        let _one = self.delivering.lock().await;
        let tenants: Vec<Arc<str>> = self.waiting.lock().tenants.keys().cloned().collect();
        futures_util::stream::iter(tenants)
            .for_each_concurrent(AT_ONCE, async |tenant| {
                while let Some(batch) = self.batch(&tenant) {
                    if let Some(chain) = plugins.chain(Hook::Observe, &tenant) {
                        chain.observe(batch).await;
                    }
                }
            })
            .await;
    }

    fn batch(&self, tenant: &Arc<str>) -> Option<Vec<Finished>> {
        let mut waiting = self.waiting.lock();
        let queue = waiting.tenants.get_mut(tenant)?;
        let batch: Vec<Finished> = queue.drain(..queue.len().min(BATCH)).collect();
        if queue.is_empty() {
            waiting.tenants.remove(tenant);
        }
        waiting.count = waiting.count.saturating_sub(batch.len());
        Some(batch)
    }
}

impl Edge {
    /// Notes a request that ended, if it had a tenant and a media and somebody wants to know.
    pub(crate) fn tell_observers(&self, entry: &Entry, outcome: Outcome, now: SystemTime, duration: Duration) {
        let (Some(tenant), Some(message)) = (&entry.tenant, &entry.message) else { return };
        if self.plugins.chain(Hook::Observe, tenant).is_none() {
            return;
        }
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let finished = Finished {
            request_id: entry.request_id.as_str().to_owned(),
            time: milliseconds(now.duration_since(UNIX_EPOCH).unwrap_or_default()),
            media: Media { chat_id: message.chat_id, message_id: message_id(message.message_id) },
            viewer: entry.viewer.as_deref().unwrap_or_default().to_owned(),
            status: entry.status,
            outcome: outcome.word().to_owned(),
            cache: entry.cache.unwrap_or_default().to_owned(),
            bytes: entry.bytes,
            milliseconds: u32::try_from(milliseconds(duration)).unwrap_or(u32::MAX),
        };
        self.observer.note(tenant, finished);
    }
}
