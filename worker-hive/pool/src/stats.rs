//! What the pool counts.

use crate::session::SessionId;
use mtproto::CallFault;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Every kind that [`CallFault::kind`] gives.
const KINDS: [&str; 8] =
    ["flood", "migrate", "reference-expired", "unauthorized", "banned", "dropped", "timeout", "other"];

/// Counters of one session, since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    bytes: AtomicU64,
    chunks: AtomicU64,
    lookups: AtomicU64,
    flood_seconds: AtomicU64,
    faults: [AtomicU64; KINDS.len()],
}

impl Counters {
    pub(crate) fn chunk(&self, bytes: usize) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    pub(crate) fn lookup(&self) {
        self.lookups.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fault(&self, fault: &CallFault) {
        if let Some(counter) = KINDS.iter().position(|kind| *kind == fault.kind()).and_then(|at| self.faults.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if let CallFault::Flood { seconds, .. } = fault {
            self.flood_seconds.fetch_add(u64::from(*seconds), Ordering::Relaxed);
        }
    }
}

/// A session as it stands, for metrics and people.
#[derive(Clone, Debug)]
pub struct SessionReport {
    /// The session's id in the pool.
    pub id: SessionId,
    /// The session's name.
    pub name: String,
    /// True for a premium account.
    pub premium: bool,
    /// Streams that hold it.
    pub streams: usize,
    /// What is left of its flood wait.
    pub rests_for: Option<Duration>,
    /// True when Telegram revoked it.
    pub banned: bool,
    /// Bytes fetched since the start.
    pub bytes: u64,
    /// Chunks fetched since the start.
    pub chunks: u64,
    /// Messages looked up since the start.
    pub lookups: u64,
    /// Seconds of flood wait told since the start.
    pub flood_seconds: u64,
    /// Faults since the start, by kind.
    pub faults: Vec<(&'static str, u64)>,
}

impl SessionReport {
    pub(crate) fn counted(mut self, counters: &Counters) -> Self {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.bytes = read(&counters.bytes);
        self.chunks = read(&counters.chunks);
        self.lookups = read(&counters.lookups);
        self.flood_seconds = read(&counters.flood_seconds);
        self.faults = KINDS.iter().copied().zip(counters.faults.iter().map(read)).collect();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::KINDS;
    use mtproto::CallFault;

    #[test]
    fn every_kind_has_a_counter() {
        let flood = CallFault::Flood { seconds: 1, premium_exempt: false };
        let text = String::new;
        let all = [
            flood,
            CallFault::Migrate(1),
            CallFault::ReferenceExpired,
            CallFault::Unauthorized,
            CallFault::Banned(text()),
            CallFault::Dropped(text()),
            CallFault::Timeout,
            CallFault::Other(text()),
        ];
        assert_eq!(all.iter().map(CallFault::kind).collect::<Vec<_>>(), KINDS);
    }
}
