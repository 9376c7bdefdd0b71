//! What is particular to memory: its bounds over all namespaces, and the clock to the millisecond.

use super::BOUNDS;
use crate::space::{Account, Ledger, MOST_MEMBERS, Space};
use crate::{Kv, KvBounds, KvError, MemoryBounds};
use std::sync::Arc;

fn space(bounds: MemoryBounds) -> (Arc<Ledger>, Space) {
    let ledger = Arc::new(Ledger::new(bounds));
    (Arc::clone(&ledger), of_another_plugin(&ledger))
}

fn of_another_plugin(ledger: &Arc<Ledger>) -> Space {
    Space::new(Arc::new(Account::new(Arc::clone(ledger))))
}

#[test]
fn expiry_is_exact() {
    let (_, mut space) = space(MemoryBounds::default());
    space.set(0, BOUNDS, "k", b"v", 10).unwrap();
    assert_eq!(space.get(9, BOUNDS, "k"), Ok(Some(b"v".to_vec())));
    assert_eq!(space.get(10, BOUNDS, "k"), Ok(None));
    assert_eq!(space.take(10, BOUNDS, "k"), Ok(None));
    // A new value has the new time, a number keeps the old one.
    space.set(0, BOUNDS, "k", b"1", 10).unwrap();
    space.set(5, BOUNDS, "k", b"1", 20).unwrap();
    assert_eq!(space.increment(15, BOUNDS, "k", 1, 99), Ok(2));
    assert_eq!(space.increment(20, BOUNDS, "k", 1, 99), Ok(1));
    assert_eq!(space.count_distinct(0, BOUNDS, "s", "a", 10), Ok(1));
    assert_eq!(space.count_distinct(9, BOUNDS, "s", "b", 99), Ok(2));
    assert_eq!(space.count_distinct(10, BOUNDS, "s", "c", 99), Ok(1));
    assert_eq!(space.set_if_absent(98, BOUNDS, "k", b"", 200), Ok(false));
    assert_eq!(space.set_if_absent(99, BOUNDS, "k", b"", 200), Ok(true));
}

#[test]
fn a_set_stops_growing() {
    let (ledger, mut space) = space(MemoryBounds::default());
    for member in 0..MOST_MEMBERS + 10 {
        let count = space.count_distinct(0, BOUNDS, "s", &member.to_string(), 10).unwrap();
        assert_eq!(count, (member + 1).min(MOST_MEMBERS) as u64);
    }
    assert_eq!(ledger.taken().0, 1);
    drop(space);
    assert_eq!(ledger.taken(), (0, 0));
}

#[test]
fn all_namespaces_share_one_bound() {
    let (ledger, mut one) = space(MemoryBounds { keys: 3, bytes: 1 << 20 });
    let mut two = of_another_plugin(&ledger);
    one.set(0, BOUNDS, "a", b"", 10).unwrap();
    one.set(0, BOUNDS, "b", b"", 10).unwrap();
    two.set(0, BOUNDS, "a", b"", 20).unwrap();
    assert_eq!(two.set(0, BOUNDS, "b", b"", 10), Err(KvError::Full));
    assert_eq!(two.set(0, BOUNDS, "a", b"other", 20), Ok(()), "no new key");
    assert_eq!(one.set(10, BOUNDS, "c", b"", 20), Ok(()), "one's own expired keys make room");
    assert_eq!(two.set(10, BOUNDS, "b", b"", 20), Ok(()), "which are two");
    one.delete(10, "c");
    assert_eq!(two.increment(10, BOUNDS, "c", 1, 20), Ok(1));
    drop((one, two));
    assert_eq!(ledger.taken(), (0, 0));
}

/// Fills a namespace; the bytes that are taken then.
fn fill(ledger: &Ledger, space: &mut Space) -> u64 {
    let mut key = 0;
    while space.set(0, BOUNDS, &key.to_string(), &[0; 700], 10).is_ok() {
        key += 1;
    }
    ledger.taken().1
}

#[test]
fn nobody_fills_the_store_alone() {
    const BYTES: u64 = 80_000;
    let (ledger, _) = space(MemoryBounds { keys: 1_000, bytes: BYTES });
    let greedy = Arc::new(Account::new(Arc::clone(&ledger)));
    let mut spaces: Vec<Space> = (0..6).map(|_| Space::new(Arc::clone(&greedy))).collect();
    assert!(fill(&ledger, &mut spaces[0]) <= BYTES / 8, "one namespace");
    let last = spaces.iter_mut().map(|space| fill(&ledger, space)).last().unwrap();
    assert!(last <= BYTES / 2 && last > BYTES / 2 - 2_000, "one plugin in many namespaces: {last}");
    let mut other = of_another_plugin(&ledger);
    assert_eq!(other.set(0, BOUNDS, "k", &[0; 1_000], 10), Ok(()), "there is room for others");
    // What is given back can be had again.
    spaces[0].delete(0, "0");
    assert_eq!(spaces[5].set(0, BOUNDS, "again", &[0; 600], 10), Ok(()));
    drop((spaces, other));
    assert_eq!(ledger.taken(), (0, 0));
}

#[test]
fn bytes_are_one_bound_of_all() {
    let (ledger, _) = space(MemoryBounds { keys: 1_000, bytes: 16_000 });
    let mut spaces: Vec<Space> = (0..9).map(|_| of_another_plugin(&ledger)).collect();
    let done: Vec<_> = spaces.iter_mut().map(|space| space.set(0, BOUNDS, "k", &[0; 1_000], 10).is_ok()).collect();
    assert_eq!(done, [true; 9]);
    let more: Vec<_> = spaces.iter_mut().map(|space| space.set(0, BOUNDS, "l", &[0; 400], 10)).collect();
    assert_eq!(more.iter().filter(|done| done.is_ok()).count(), 7);
    assert!(more[7..].iter().all(|done| *done == Err(KvError::Full)), "{more:?}");
}

#[tokio::test]
async fn what_expired_in_idle_namespaces_makes_room_for_others() {
    let kv = Kv::in_memory(MemoryBounds { keys: 10, bytes: 1 << 20 });
    let idle = kv.namespace("idle", None, BOUNDS).unwrap();
    for index in 0..10 {
        idle.set(&format!("k{index}"), b"", 1).await.unwrap();
    }
    let other = kv.namespace("other", None, BOUNDS).unwrap();
    assert_eq!(other.set("k", b"", 60).await, Err(KvError::Full));
    super::eventually("there is room", async || other.set("k", b"", 60).await.is_ok()).await;
}

#[test]
fn a_bound_of_none_keeps_nothing() {
    let (ledger, mut space) = space(MemoryBounds::default());
    let none = KvBounds { keys: 0, value: 0 };
    assert_eq!(space.set(0, none, "k", b"", 10), Err(KvError::Full));
    assert_eq!(space.increment(0, none, "k", 1, 10), Err(KvError::Full));
    assert_eq!(space.count_distinct(0, none, "k", "m", 10), Err(KvError::Full));
    assert_eq!(ledger.taken(), (0, 0));
}
