//! What the pool counts.

use crate::session::SessionId;
use mtproto::{CallFault, DatacentreReport};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Every kind that [`CallFault::kind`] gives.
const KINDS: [&str; 8] =
    ["flood", "migrate", "reference-expired", "unauthorized", "banned", "dropped", "timeout", "other"];

/// Counters of one session, since it joined.
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

    pub(crate) fn counts(&self) -> SessionCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SessionCounts {
            bytes: read(&self.bytes),
            chunks: read(&self.chunks),
            lookups: read(&self.lookups),
            flood_seconds: read(&self.flood_seconds),
            faults: KINDS.iter().copied().zip(self.faults.iter().map(read)).collect(),
        }
    }
}

/// What a session does, in the one word that matters most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Nothing was answered yet.
    Warming,
    /// In service.
    Ready,
    /// Told to wait; not asked until the wait is over.
    Flood,
    /// Failed too often in some data-centre; asked there only when nobody else is left.
    Quarantined,
    /// Out of quarantine; asked one call at a time in some data-centre.
    Probation,
    /// Revoked; not asked any more.
    Banned,
    /// Taken out of service by the operator. Such a session is not in a pool; the word is for who lists both.
    Disabled,
}

impl SessionState {
    /// As it stands in metrics and listings.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Flood => "flood",
            Self::Quarantined => "quarantined",
            Self::Probation => "probation",
            Self::Banned => "banned",
            Self::Disabled => "disabled",
        }
    }

    /// Every state.
    pub const ALL: [Self; 7] =
        [Self::Warming, Self::Ready, Self::Flood, Self::Quarantined, Self::Probation, Self::Banned, Self::Disabled];
}

/// What a session did since it joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// Bytes fetched.
    pub bytes: u64,
    /// Chunks fetched.
    pub chunks: u64,
    /// Messages looked up.
    pub lookups: u64,
    /// Seconds of flood wait told.
    pub flood_seconds: u64,
    /// Faults, by kind.
    pub faults: Vec<(&'static str, u64)>,
}

/// A session as it stands, for metrics and people.
#[derive(Clone, Debug)]
pub struct SessionReport {
    /// The session's id in the pool.
    pub id: SessionId,
    /// The session's name.
    pub name: String,
    /// True for a bot, false for a user.
    pub bot: bool,
    /// True for a premium account.
    pub premium: bool,
    /// Where it was signed in.
    pub home_dc: i32,
    /// What it does.
    pub state: SessionState,
    /// Streams that hold it.
    pub streams: usize,
    /// Streams that may hold it.
    pub cap: usize,
    /// Bytes per second over the last five seconds.
    pub bytes_per_second: u64,
    /// What is left of its flood wait.
    pub rests_for: Option<Duration>,
    /// Kind of the last fault, of those that [`CallFault::kind`] gives.
    pub last_error: Option<&'static str>,
    /// Data-centres where it is quarantined or on probation.
    pub doubted: Vec<(i32, SessionState)>,
    /// Its data-centres.
    pub datacentres: Vec<DatacentreReport>,
    /// Calls made, by what they were for.
    pub calls: Vec<(&'static str, u64)>,
    /// What it did since it joined.
    pub counts: SessionCounts,
}

/// The pool as it stands.
#[derive(Clone, Debug, Default)]
pub struct PoolReport {
    /// Every session, in the order in which they came.
    pub sessions: Vec<SessionReport>,
    /// Streams that wait for a place.
    pub waiting: usize,
    /// Streams that were sent away without a place.
    pub refused: u64,
    /// Calls made again after a fault.
    pub retries: u64,
    /// Straggling chunks that were asked for once more.
    pub hedges: u64,
    /// Of those, how often the second answer was the first to come.
    pub hedges_won: u64,
}

/// Counters of the pool.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) retries: AtomicU64,
    pub(crate) hedges: AtomicU64,
    pub(crate) hedges_won: AtomicU64,
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
