//! What the limiter counts.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// What the limiter has done since it was made, and how it stands. Figures are read one by one, so they may be apart by what
/// happened meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitStats {
    /// Gauge: streams going on under some bound.
    pub streams: u64,
    /// Gauge: viewers known, because they stream or because they streamed lately and owe.
    pub viewers: u64,
    /// Gauge: tenants known.
    pub tenants: u64,
    /// Requests refused because the viewer's streams were used up.
    pub refused_viewer: u64,
    /// Requests refused because the tenant's were.
    pub refused_tenant: u64,
    /// Waits that pieces were told, added up over all requests.
    pub waited: Duration,
}

/// The living figures.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) streams: AtomicU64,
    pub(crate) refused_viewer: AtomicU64,
    pub(crate) refused_tenant: AtomicU64,
    waited_micros: AtomicU64,
}

impl Counters {
    pub(crate) fn waited(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.waited_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, viewers: usize, tenants: usize) -> LimitStats {
        LimitStats {
            streams: self.streams.load(Ordering::Relaxed),
            viewers: viewers as u64,
            tenants: tenants as u64,
            refused_viewer: self.refused_viewer.load(Ordering::Relaxed),
            refused_tenant: self.refused_tenant.load(Ordering::Relaxed),
            waited: Duration::from_micros(self.waited_micros.load(Ordering::Relaxed)),
        }
    }
}
