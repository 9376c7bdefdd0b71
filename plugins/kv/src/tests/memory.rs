//! What is particular to memory: its bounds over all namespaces, and the clock to the millisecond.

use super::BOUNDS;
use crate::space::{Ledger, MOST_MEMBERS, Space};
use crate::{Kv, KvBounds, KvError, MemoryBounds};
use std::sync::Arc;

fn space(bounds: MemoryBounds) -> (Arc<Ledger>, Space) {
    let ledger = Arc::new(Ledger::new(bounds));
    (Arc::clone(&ledger), Space::new(ledger))
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
    let bounds = MemoryBounds { keys: 3, bytes: 3_000 };
    let (ledger, mut one) = space(bounds);
    let mut two = Space::new(Arc::clone(&ledger));
    one.set(0, BOUNDS, "a", b"", 10).unwrap();
    one.set(0, BOUNDS, "b", b"", 10).unwrap();
    two.set(0, BOUNDS, "a", b"", 20).unwrap();
    assert_eq!(two.set(0, BOUNDS, "b", b"", 10), Err(KvError::Full));
    assert_eq!(two.set(0, BOUNDS, "a", b"other", 20), Ok(()), "no new key");
    assert_eq!(one.set(10, BOUNDS, "c", b"", 20), Ok(()), "one's own expired keys make room");
    assert_eq!(two.set(10, BOUNDS, "a", &[0; 1_000], 20), Ok(()));
    assert_eq!(two.set(10, BOUNDS, "b", &[0; 1_000], 20), Ok(()));
    one.delete(10, "c");
    assert_eq!(one.set(10, BOUNDS, "d", &[0; 900], 20), Err(KvError::Full), "bytes are short");
    assert_eq!(two.get(10, BOUNDS, "a").unwrap().unwrap().len(), 1_000);
    assert_eq!(two.increment(10, BOUNDS, "c", 1, 20), Ok(1));
    drop((one, two));
    assert_eq!(ledger.taken(), (0, 0));
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
