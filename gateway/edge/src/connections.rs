//! Viewers' connections: how many there may be, and what became of those that were too many or too slow.
//!
//! A connection is entered when it is accepted, named once its address is known (the PROXY protocol may say it), busy while a request runs on
//! it, and leaves when its last part is dropped. Where there are as many as may be, some that ask for nothing are closed for
//! new ones, a batch at a time: looking at all of them for each new one would cost more than the flood that causes it.

mod ledger;

pub(crate) use ledger::{Busy, NotNow, Slot};

use crate::clock;
use crate::metrics::Rows;
use config::GatewaySettings;
use ledger::Ledger;
use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Part of all connections that are closed at a time.
const BATCH: usize = 64;
/// How long nobody looks again after there was nobody to close.
const REST: Duration = Duration::from_millis(100);
/// Where there is no limit of open files.
const MOST: u64 = 1 << 24;

/// What became of connections, by their words in the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Accepted.
    Opened,
    /// Closed at once: there are as many as may be, and none is idle.
    RefusedFull,
    /// Closed at once: its address has as many as it may.
    RefusedAddress,
    /// Idle, and closed for another one.
    ClosedForOthers,
    /// TLS did not begin in time.
    HandshakeLate,
    /// TLS did not begin.
    HandshakeFailed,
    /// A head did not come in time.
    HeadLate,
    /// A body did not come in time.
    BodyLate,
    /// HTTP/2 did not begin, or not in time.
    Http2Unbegun,
    /// More frames of HTTP/2 than requests need.
    Http2Flood,
    /// A client went on to send after the last answer.
    LingerCut,
}

/// Words of the events, in their order.
const WORDS: [&str; 11] = [
    "opened",
    "refused_full",
    "refused_address",
    "closed_for_others",
    "handshake_late",
    "handshake_failed",
    "head_late",
    "body_late",
    "http2_unbegun",
    "http2_flood",
    "linger_cut",
];

/// All of a process.
#[derive(Debug)]
pub(crate) struct Connections {
    ledger: Mutex<Ledger>,
    events: [AtomicU64; WORDS.len()],
    max: AtomicUsize,
    per_address: AtomicU32,
    /// Milliseconds until which nobody is looked for that could be closed.
    rests: AtomicU64,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Connections>,
    pub(crate) slot: Arc<Slot>,
}

impl Connections {
    pub(crate) fn new(settings: &GatewaySettings) -> Self {
        let connections = Self {
            ledger: Mutex::default(),
            events: Default::default(),
            max: AtomicUsize::new(0),
            per_address: AtomicU32::new(0),
            rests: AtomicU64::new(0),
        };
        connections.adopt(settings);
        connections
    }

    /// Goes on with these settings. Who is connected stays.
    pub(crate) fn adopt(&self, settings: &GatewaySettings) {
        let files = || getrlimit(Resource::Nofile).current.unwrap_or(MOST).min(MOST) / 4 * 3;
        let max = settings.connections.max.map_or_else(files, |max| u64::from(max.get()));
        self.max.store(usize::try_from(max).unwrap_or(usize::MAX), Ordering::Relaxed);
        self.per_address.store(settings.connections.max_per_address, Ordering::Relaxed);
    }

    pub(crate) fn count(&self, event: Event) {
        if let Some(counter) = self.events.get(event as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a new connection in. `None`: there is no place for it.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Place> {
        let (now, max) = (clock::tick(), self.max.load(Ordering::Relaxed));
        let mut ledger = self.ledger.lock();
        if ledger.len() >= max && !self.make_room(&mut ledger, now, max) {
            drop(ledger);
            self.count(Event::RefusedFull);
            return None;
        }
        let slot = ledger.enter(now);
        drop(ledger);
        self.count(Event::Opened);
        Some(Place { connections: self.clone(), slot })
    }

    fn make_room(&self, ledger: &mut Ledger, now: Duration, max: usize) -> bool {
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        if millis < self.rests.load(Ordering::Relaxed) {
            return false;
        }
        // A bound that was lowered has more than a batch to close.
        let most = (ledger.len() - max + 1).max(max / BATCH);
        let closed = ledger.close(now, most);
        if let Some(counter) = self.events.get(Event::ClosedForOthers as usize) {
            counter.fetch_add(closed as u64, Ordering::Relaxed);
        }
        if closed == 0 {
            self.rests.store(millis + REST.as_millis() as u64, Ordering::Relaxed);
        }
        ledger.len() < max
    }

    /// A request begins on a connection.
    pub(crate) fn begin(&self, slot: &Arc<Slot>) -> Result<Busy, NotNow> {
        slot.begin(self.per_address.load(Ordering::Relaxed), clock::tick)
    }

    /// Metrics: what happened, and what is.
    pub(crate) fn figures(&self) -> (Rows, Rows) {
        let events = WORDS.iter().zip(&self.events).map(|(word, counter)| (*word, counter.load(Ordering::Relaxed)));
        let (open, idle, addresses) = self.ledger.lock().counts(clock::tick());
        let max = self.max.load(Ordering::Relaxed);
        let state =
            vec![("open", open as u64), ("idle", idle as u64), ("addresses", addresses as u64), ("max", max as u64)];
        (events.collect(), state)
    }
}

impl Place {
    /// Says whose the connection is. False: its address has as many as it may.
    pub(crate) fn name(&self, household: IpAddr) -> bool {
        let most = self.connections.per_address.load(Ordering::Relaxed);
        let named = self.connections.ledger.lock().name(&self.slot, household, most);
        if !named {
            self.count(Event::RefusedAddress);
        }
        named
    }

    pub(crate) fn count(&self, event: Event) {
        self.connections.count(event);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.ledger.lock().leave(&self.slot);
    }
}
