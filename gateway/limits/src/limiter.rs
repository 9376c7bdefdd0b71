//! The face: bounds in, a permit out.

use crate::{
    bucket::MIN_RATE,
    scope::{Key, Viewer},
    stats::{Counters, LimitStats},
    table::Table,
};
use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// The largest piece that is worth waiting for on its own.
const MAX_PIECE: u64 = 256 * 1024;

/// What a request may at most. `None` is no bound.
///
/// Each request brings its own. How many streams it may join is judged by its bounds alone; the rate of its viewer's (and its
/// tenant's) bucket becomes its rate, for the requests under way too: the newest word of the policy holds, whether it
/// is tighter or wider. A request without a rate is not paced, not charged, and leaves the others' rate alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Streams at once of the viewer. 0 refuses every new stream.
    pub viewer_streams: Option<u32>,
    /// Streams at once of the tenant.
    pub tenant_streams: Option<u32>,
    /// Bytes a second of the viewer, all its streams together. Less than 1,024 counts as 1,024.
    pub viewer_rate: Option<u64>,
    /// Bytes a second of the tenant, on the same terms.
    pub tenant_rate: Option<u64>,
}

impl Bounds {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// One media on one address: what counts as a stream of a viewer, however many requests fetch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamId {
    /// The channel.
    pub chat_id: i64,
    /// The message in it.
    pub message_id: i32,
    /// The client's address, `None` behind a unix socket.
    pub address: Option<IpAddr>,
}

/// No room for one more stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Full {
    /// The viewer streams as much as it may.
    #[error("the viewer has as many streams as it may")]
    Viewer,
    /// The tenant does.
    #[error("the tenant has as many streams as it may")]
    Tenant,
}

/// Counts streams and paces bytes. One for the whole process, shared by its threads.
#[derive(Debug)]
pub struct Limiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    table: Table,
    counters: Counters,
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

impl Limiter {
    /// A limiter that knows nobody.
    #[must_use]
    pub fn new() -> Self {
        Self { shared: Arc::new(Shared { table: Table::new(), counters: Counters::default() }) }
    }

    /// Admits a request of `viewer`, which is a viewer of `tenant`, for as long as the permit lives. Names may have any
    /// length; the same viewer of two tenants is two viewers.
    ///
    /// A request with at least one bound counts as a stream of both, and joins its stream if that is going on already, even
    /// if the bounds have become tighter since. Without any bound it is not counted at all. `now` is a clock that never goes
    /// back, the same for all calls; 0 may be anywhere.
    ///
    /// # Errors
    /// [`Full`] if it would open one stream too many. Nothing is counted then, except the refusal.
    pub fn admit(
        &self,
        tenant: &str,
        viewer: &str,
        stream: StreamId,
        bounds: &Bounds,
        now: Duration,
    ) -> Result<Permit, Full> {
        if bounds.is_none() {
            return Ok(Permit { held: None });
        }
        let Shared { table, counters } = &*self.shared;
        let key = Key::viewer(tenant, viewer);
        let most = (bounds.viewer_streams, bounds.tenant_streams);
        let admitted = table.admit(key, || Key::tenant(tenant), stream, most, now).inspect_err(|full| {
            let refused = match full {
                Full::Viewer => &counters.refused_viewer,
                Full::Tenant => &counters.refused_tenant,
            };
            refused.fetch_add(1, Ordering::Relaxed);
        })?;
        if admitted.first {
            counters.streams.fetch_add(1, Ordering::Relaxed);
        }
        let viewer = admitted.viewer;
        if let Some(rate) = bounds.viewer_rate {
            viewer.pace.set(rate, now);
        }
        if let Some(rate) = bounds.tenant_rate {
            viewer.tenant.pace.set(rate, now);
        }
        let (viewer_rate, tenant_rate) = (bounds.viewer_rate, bounds.tenant_rate);
        let shared = Arc::clone(&self.shared);
        Ok(Permit { held: Some(Held { shared, key, stream, viewer, viewer_rate, tenant_rate }) })
    }

    /// The figures. Also clears what the time `now` has made clearable, so that a limiter nobody comes to any more
    /// doesn't keep its last visitors.
    #[must_use]
    pub fn stats(&self, now: Duration) -> LimitStats {
        let (viewers, tenants) = self.shared.table.clear(now);
        self.shared.counters.snapshot(viewers, tenants)
    }
}

/// A request's place among its viewer's and its tenant's streams. Dropping it gives the place back.
#[derive(Debug)]
#[must_use = "the place is given back when the permit is dropped"]
pub struct Permit {
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    shared: Arc<Shared>,
    key: Key,
    stream: StreamId,
    viewer: Arc<Viewer>,
    viewer_rate: Option<u64>,
    tenant_rate: Option<u64>,
}

impl Permit {
    /// Books `bytes` that are about to be sent with the viewer, and returns how long to wait. Then [`Permit::take_of_tenant`].
    ///
    /// Ask both for every piece, the first one too, and send none before its time: then viewer and tenant get at most a burst
    /// (one second of their rate, at least 64 KiB) and their rate from there on, whatever the number of their requests
    /// and however often they reconnect. Requests of a bucket queue up by piece, so pieces of equal size make equal shares.
    /// A piece that isn't sent after all stays booked here: part of it may have gone out, and leaving early must buy nothing.
    #[must_use]
    pub fn take_of_viewer(&self, bytes: u64, now: Duration) -> Duration {
        let Some(held) = &self.held else { return Duration::ZERO };
        let wait = held.viewer_rate.map_or(Duration::ZERO, |_| held.viewer.pace.take(bytes, now));
        held.waited(wait)
    }

    /// Books them with the tenant, and returns how long to wait. Ask for it once the viewer's part has been waited for: what a viewer may not send yet
    /// is then no debt of the tenant's, and nobody else waits for it.
    #[must_use]
    pub fn take_of_tenant(&self, bytes: u64, now: Duration) -> Duration {
        let Some(held) = &self.held else { return Duration::ZERO };
        let wait = held.tenant_rate.map_or(Duration::ZERO, |_| held.viewer.tenant.pace.take(bytes, now));
        held.waited(wait)
    }

    /// Gives back what was booked with the tenant for a piece that did not go out: else one viewer, asking and leaving over and over,
    /// would use up what others have. What the viewer owes stays.
    pub fn give_back(&self, bytes: u64, now: Duration) {
        let Some(held) = &self.held else { return };
        if held.tenant_rate.is_some() {
            held.viewer.tenant.pace.give_back(bytes, now);
        }
    }

    /// How many bytes to book and send at once: an eighth of a second's worth, 256 bytes to 256 KiB, so that the body flows
    /// and streams take turns often. `None` if nothing paces this request.
    #[must_use]
    pub fn piece(&self) -> Option<usize> {
        let held = self.held.as_ref()?;
        let rate = held.viewer_rate.into_iter().chain(held.tenant_rate).min()?;
        usize::try_from((rate.max(MIN_RATE) / 8).clamp(MIN_RATE / 4, MAX_PIECE)).ok()
    }
}

impl Held {
    fn waited(&self, wait: Duration) -> Duration {
        if !wait.is_zero() {
            self.shared.counters.waited(wait);
        }
        wait
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.shared.table.release(self.key, self.stream) {
            self.shared.counters.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
