//! Who is connected: each connection's state, and how many each address has. Pure: the time is passed in.

use futures_util::task::AtomicWaker;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

/// Nobody is closed for others sooner: most are a viewer who is shaking hands.
const LEAST_IDLE: Duration = Duration::from_secs(1);
/// A state below is the millisecond since which nothing is asked for; from it on, how many requests run.
const BUSY: u64 = 1 << 62;
/// Closed for others.
const ENDED: u64 = u64::MAX;

/// Why a request may not begin on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotNow {
    /// It is being closed.
    Ended,
    /// Its address has as much as it may.
    Crowded,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u64,
    state: AtomicU64,
    closes: AtomicWaker,
    address: OnceLock<Arc<Address>>,
}

/// Somebody with connections.
#[derive(Debug)]
struct Address {
    household: IpAddr,
    /// Connections, and requests of theirs that run beside another one.
    uses: AtomicU32,
}

/// A request that runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct Busy {
    slot: Arc<Slot>,
    /// It is counted by its address.
    beside: bool,
    now: fn() -> Duration,
}

/// All connections.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    next: u64,
    open: HashMap<u64, Arc<Slot>>,
    addresses: HashMap<IpAddr, Arc<Address>>,
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(BUSY - 1)
}

impl Slot {
    /// A request begins. `most` bounds what the address has; `now` tells the time when it ends.
    pub(crate) fn begin(self: &Arc<Self>, most: u32, now: fn() -> Duration) -> Result<Busy, NotNow> {
        let more = |state| match state {
            ENDED => None,
            BUSY.. => Some(state + 1),
            _ => Some(BUSY),
        };
        let before = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).map_err(|_| NotNow::Ended)?;
        let mut busy = Busy { slot: self.clone(), beside: false, now };
        // The first one is what the connection is counted for.
        if before >= BUSY
            && let Some(address) = self.address.get()
        {
            let one_more = |uses| (most == 0 || uses < most).then(|| uses + 1);
            if address.uses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
                return Err(NotNow::Crowded);
            }
            busy.beside = true;
        }
        Ok(busy)
    }

    /// Returns when the connection is to close for others.
    pub(crate) async fn ended(&self) {
        poll_fn(|cx| {
            self.closes.register(cx.waker());
            if self.is_ended() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.state.load(Ordering::Acquire) == ENDED
    }

    /// How long nothing has been asked for. `None`: a request runs, or it closes.
    fn idle(&self, now: Duration) -> Option<u64> {
        let state = self.state.load(Ordering::Relaxed);
        (state < BUSY).then(|| millis(now).saturating_sub(state))
    }

    fn uses(&self) -> u64 {
        self.address.get().map_or(1, |address| u64::from(address.uses.load(Ordering::Relaxed)))
    }

    /// Closes it, unless a request has begun.
    fn end(&self) -> bool {
        let idle = |state| (state < BUSY).then_some(ENDED);
        let ended = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, idle).is_ok();
        if ended {
            self.closes.wake();
        }
        ended
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.beside
            && let Some(address) = self.slot.address.get()
        {
            address.uses.fetch_sub(1, Ordering::Relaxed);
        }
        let idle = millis((self.now)());
        let less = |state| match state {
            ENDED => None,
            BUSY => Some(idle),
            _ => Some(state - 1),
        };
        let _ = self.slot.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }
}

impl Ledger {
    /// Connections that are open, of them those that ask for nothing, and addresses.
    pub(crate) fn counts(&self, now: Duration) -> (usize, usize, usize) {
        let idle = self.open.values().filter(|slot| slot.idle(now).is_some()).count();
        (self.open.len(), idle, self.addresses.len())
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    pub(crate) fn enter(&mut self, now: Duration) -> Arc<Slot> {
        let (state, closes) = (AtomicU64::new(millis(now)), AtomicWaker::new());
        let slot = Arc::new(Slot { number: self.next, state, closes, address: OnceLock::new() });
        self.next += 1;
        self.open.insert(slot.number, slot.clone());
        slot
    }

    /// Says whose a connection is. False: its address has as many as it may.
    pub(crate) fn name(&mut self, slot: &Slot, household: IpAddr, most: u32) -> bool {
        // Addresses whose last requests outlived their connections.
        if self.addresses.len() > 2 * self.open.len() + 64 {
            self.addresses.retain(|_, address| address.uses.load(Ordering::Relaxed) > 0);
        }
        let new = || Arc::new(Address { household, uses: AtomicU32::new(0) });
        let address = self.addresses.entry(household).or_insert_with(new);
        if most > 0 && address.uses.load(Ordering::Relaxed) >= most {
            return false;
        }
        // Closed meanwhile, it would be counted without end.
        if self.open.contains_key(&slot.number) && slot.address.set(address.clone()).is_ok() {
            address.uses.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Once for each connection, whoever comes first with it.
    pub(crate) fn leave(&mut self, slot: &Slot) {
        if self.open.remove(&slot.number).is_none() {
            return;
        }
        if let Some(address) = slot.address.get()
            && address.uses.fetch_sub(1, Ordering::Relaxed) == 1
        {
            self.addresses.remove(&address.household);
        }
    }

    /// Closes at most `most` connections that ask for nothing: those first that have been idle long and come from an address with many.
    pub(crate) fn close(&mut self, now: Duration, most: usize) -> usize {
        let weight = |slot: &Slot| {
            let idle = slot.idle(now).filter(|idle| *idle >= millis(LEAST_IDLE))?;
            Some(idle.saturating_mul(slot.uses()))
        };
        let weighed = self.open.values().filter_map(|slot| Some((Reverse(weight(slot)?), slot.clone())));
        let mut idle: Vec<_> = weighed.collect();
        if idle.len() > most && most > 0 {
            idle.select_nth_unstable_by_key(most - 1, |(weight, _)| *weight);
        }
        let mut closed = 0;
        for (_, slot) in idle.into_iter().take(most) {
            if slot.end() {
                self.leave(&slot);
                closed += 1;
            }
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, NotNow};
    use std::net::IpAddr;
    use std::time::Duration;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn later() -> Duration {
        Duration::from_secs(50)
    }

    #[test]
    fn an_address_has_so_many_connections_and_requests_beside_each_other() {
        let mut ledger = Ledger::default();
        let slots: Vec<_> = (0..3).map(|_| ledger.enter(Duration::ZERO)).collect();
        assert!(ledger.name(&slots[0], address(1), 2) && ledger.name(&slots[1], address(1), 2));
        assert!(!ledger.name(&slots[2], address(1), 2) && ledger.name(&slots[2], address(2), 2));
        let first = slots[2].begin(2, later).unwrap();
        let second = slots[2].begin(2, later).unwrap();
        assert_eq!(slots[2].begin(2, later).unwrap_err(), NotNow::Crowded);
        drop(second);
        let second = slots[2].begin(2, later).unwrap();
        // Requests outlive their connection.
        ledger.leave(&slots[2]);
        let again = ledger.enter(Duration::ZERO);
        assert!(ledger.name(&again, address(2), 2));
        assert!(slots[2].begin(2, later).is_err());
        drop((first, second));
        ledger.leave(&again);
        for slot in &slots {
            ledger.leave(slot);
            ledger.leave(slot);
        }
        assert_eq!(ledger.counts(later()), (0, 0, 0));
    }

    #[test]
    fn without_a_bound_an_address_has_as_many_as_it_likes() {
        let mut ledger = Ledger::default();
        for _ in 0..5000 {
            let slot = ledger.enter(Duration::ZERO);
            assert!(ledger.name(&slot, address(1), 0));
        }
        assert_eq!(ledger.counts(Duration::ZERO), (5000, 5000, 1));
    }

    #[test]
    fn who_is_idle_and_has_many_is_closed_first() {
        let mut ledger = Ledger::default();
        // A viewer's, idle for long; a hundred of somebody else, idle for less; one of a request that runs; a fresh one.
        let viewer = ledger.enter(Duration::ZERO);
        assert!(ledger.name(&viewer, address(1), 0));
        let crowd: Vec<_> = (0..100).map(|_| ledger.enter(Duration::from_secs(40))).collect();
        for slot in &crowd {
            assert!(ledger.name(slot, address(2), 0));
        }
        let runs = ledger.enter(Duration::ZERO);
        let busy = runs.begin(0, later).unwrap();
        let fresh = ledger.enter(later());
        assert_eq!(ledger.counts(later()), (103, 102, 2));
        assert_eq!(ledger.close(later(), 60), 60);
        assert_eq!(crowd.iter().filter(|slot| slot.is_ended()).count(), 60);
        assert!(crowd.iter().all(|slot| !slot.is_ended() || slot.begin(0, later).is_err()));
        // Of 40 of the crowd weigh 400, the viewer 50: it is the last one.
        assert_eq!(ledger.close(later(), 40), 40);
        assert!(!viewer.is_ended());
        assert_eq!(ledger.close(later(), 40), 1);
        assert!(viewer.is_ended() && !runs.is_ended() && !fresh.is_ended());
        assert_eq!(ledger.close(later(), 40), 0);
        drop(busy);
        // Idle from the end of its request on.
        assert_eq!(ledger.close(later(), 40), 0);
        assert_eq!(ledger.close(later() + Duration::from_secs(1), 1), 1);
        assert_eq!(ledger.close(later() + Duration::from_secs(1), 40), 1);
        assert_eq!(ledger.counts(later()), (0, 0, 0));
    }
}
