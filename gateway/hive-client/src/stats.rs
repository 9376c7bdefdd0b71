//! Counters of what happened between gateway and hive, read by the edge's metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use wire::Fault;

/// Monotonic counters since start.
#[derive(Debug, Default)]
pub struct HiveStats {
    requests: AtomicU64,
    bytes: AtomicU64,
    retries: AtomicU64,
    resumes: AtomicU64,
    unreachable: AtomicU64,
    protocol: AtomicU64,
    faults: [AtomicU64; FAULTS],
}

const FAULTS: usize = Fault::ALL.len();

impl HiveStats {
    /// Every counter by a name that fits a Prometheus label.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
        let mut rows = vec![
            ("requests", self.requests.load(Ordering::Relaxed)),
            ("bytes", self.bytes.load(Ordering::Relaxed)),
            ("retries", self.retries.load(Ordering::Relaxed)),
            ("resumes", self.resumes.load(Ordering::Relaxed)),
            ("unreachable", self.unreachable.load(Ordering::Relaxed)),
            ("protocol-errors", self.protocol.load(Ordering::Relaxed)),
        ];
        rows.extend(Fault::ALL.iter().zip(&self.faults).map(|(f, n)| (f.code(), n.load(Ordering::Relaxed))));
        rows
    }

    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        self.resumes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn unreachable(&self) {
        self.unreachable.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn protocol(&self) {
        self.protocol.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fault(&self, fault: Fault) {
        if let Some(row) = Fault::ALL.iter().position(|f| *f == fault).and_then(|i| self.faults.get(i)) {
            row.fetch_add(1, Ordering::Relaxed);
        }
    }
}
