//! Those who wait for a place: what they cost, and what they hear of.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use mtproto::{Ask, CallFault, Identity, LocateFault, Location, MessageRef, Reach};
use parking_lot::Mutex;
use pool::{Freshness, Opened, Pool, PoolConfig, PoolFault, SessionState, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const MESSAGE: MessageRef = MessageRef { chat_id: -1_000_000_000_001, message_id: 1 };
const WAITERS: usize = 200;

/// Counts how often it is weighed, and rests as the test says.
#[derive(Default)]
struct Weighed {
    times: AtomicUsize,
    rests_until: Mutex<Option<Instant>>,
    /// Told to every look-up.
    fault: Mutex<Option<CallFault>>,
}

impl Source for Weighed {
    fn name(&self) -> &str {
        "weighed"
    }

    fn is_premium(&self) -> bool {
        false
    }

    fn reach(&self, _: i32) -> Reach {
        self.times.fetch_add(1, Ordering::SeqCst);
        Reach::Warm
    }

    fn rests_until(&self) -> Option<Instant> {
        *self.rests_until.lock()
    }

    async fn locate(&self, _: MessageRef) -> Result<Location, LocateFault> {
        match self.fault.lock().clone() {
            Some(fault) => Err(fault.into()),
            None => Ok(Location::synthetic(Identity::new(1, 1 << 20), 2, vec![1])),
        }
    }

    async fn get_chunk(&self, _: &Location, _: u64, limit: u32, _: &Ask) -> Result<Bytes, CallFault> {
        Ok(Bytes::from(vec![0; usize::try_from(limit).unwrap()]))
    }
}

fn pool() -> Pool<Weighed> {
    Pool::new(PoolConfig { streams_per_session: 1, ..PoolConfig::default() })
}

fn wait(pool: &Pool<Weighed>) -> JoinHandle<Result<Opened<Weighed>, PoolFault>> {
    let pool = pool.clone();
    tokio::spawn(async move { pool.open(MESSAGE, Freshness::Recent).await })
}

/// Lets everything that can go on without time passing go on.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn news_is_acted_upon_once_however_many_wait() {
    let (one, pool) = (Arc::<Weighed>::default(), pool());
    let id = pool.add(Arc::clone(&one));
    let held = pool.open(MESSAGE, Freshness::Recent).await.unwrap();
    let waiting: Vec<_> = (0..WAITERS).map(|_| wait(&pool)).collect();
    settle().await;
    assert_eq!(pool.report().waiting, WAITERS);
    one.times.store(0, Ordering::SeqCst);
    pool.note(id, &CallFault::Timeout);
    settle().await;
    let faults = one.times.swap(0, Ordering::SeqCst);
    assert!(faults <= 2 * WAITERS, "weighed {faults} times for one fault");
    pool.note(id, &CallFault::Flood { seconds: 2, premium_exempt: false });
    sleep(Duration::from_secs(4)).await;
    let rest = one.times.load(Ordering::SeqCst);
    assert!(rest <= 3 * WAITERS, "weighed {rest} times for one rest and its end");
    assert_eq!(pool.report().waiting, WAITERS);
    drop(held);
    settle().await;
    assert_eq!(pool.report().waiting, WAITERS - 1, "and whoever is next is served");
    waiting.iter().for_each(JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_nobody_told_the_pool_of_is_obeyed_and_waited_out() {
    let (one, pool) = (Arc::<Weighed>::default(), pool());
    pool.add(Arc::clone(&one));
    let held = pool.open(MESSAGE, Freshness::Recent).await.unwrap();
    let waiting = wait(&pool);
    settle().await;
    // Told to a call whose asker had gone.
    let began = Instant::now();
    *one.rests_until.lock() = Some(began + Duration::from_secs(5));
    drop(held);
    settle().await;
    let report = pool.report().sessions.remove(0);
    assert_eq!((report.state, report.streams), (SessionState::Flood, 0));
    assert!(report.rests_for.unwrap() >= Duration::from_secs(5));
    waiting.await.unwrap().unwrap();
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_counted_when_it_is_told_and_not_when_it_is_obeyed() {
    let (one, pool) = (Arc::<Weighed>::default(), pool());
    pool.add(Arc::clone(&one));
    let until = Instant::now() + Duration::from_secs(600);
    let told = CallFault::Flood { seconds: 600, premium_exempt: false };
    for fault in [told, CallFault::Resting { until }] {
        *one.fault.lock() = Some(fault);
        for _ in 0..3 {
            assert!(matches!(pool.open(MESSAGE, Freshness::Now).await, Err(PoolFault::FloodWait { .. })));
        }
    }
    let report = pool.report().sessions.remove(0);
    let faults: u64 = report.counts.faults.iter().map(|(_, count)| count).sum();
    assert_eq!((report.counts.flood_seconds, faults, report.last_error), (600, 1, Some("flood")));
    assert!(report.rests_for.unwrap() <= Duration::from_millis(600_250));
}
