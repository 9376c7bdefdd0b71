//! Sessions that come and go while streams run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use mtproto::{Ask, CallFault, Identity, LocateFault, Location, MessageRef};
use pool::{Freshness, Pool, PoolConfig, PoolFault, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

const SIZE: u64 = 40 << 20;
const MESSAGE: MessageRef = MessageRef { chat_id: -1_000_000_000_001, message_id: 1 };
const CALL: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Slow {
    asked: AtomicUsize,
    answered: AtomicUsize,
}

impl Source for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn is_premium(&self) -> bool {
        false
    }

    async fn locate(&self, _: MessageRef) -> Result<Location, LocateFault> {
        Ok(Location::synthetic(Identity::new(1, SIZE), 2, vec![1]))
    }

    async fn get_chunk(&self, _: &Location, _: u64, limit: u32, _: &Ask) -> Result<Bytes, CallFault> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(CALL).await;
        self.answered.fetch_add(1, Ordering::SeqCst);
        Ok(Bytes::from(vec![0; usize::try_from(limit).unwrap()]))
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_pool_has_nobody_until_somebody_comes() {
    let pool = Pool::<Slow>::new(PoolConfig::default());
    let nobody = PoolFault::NoSession { retry_after: None };
    assert_eq!(pool.describe(MESSAGE, Freshness::Recent).await.unwrap_err(), nobody);
    pool.add(Arc::default());
    assert!(pool.describe(MESSAGE, Freshness::Recent).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_ends_its_calls_and_gets_no_more() {
    let (first, second) = (Arc::<Slow>::default(), Arc::<Slow>::default());
    let pool = Pool::new(PoolConfig::default());
    let leaving = pool.add(Arc::clone(&first));
    let mut body = pool.open(MESSAGE, Freshness::Recent).await.unwrap().read(0..SIZE);
    body.prime().await.unwrap();
    tokio::task::yield_now().await;
    pool.add(Arc::clone(&second));
    let asked = first.asked.load(Ordering::SeqCst);
    assert!(asked > first.answered.load(Ordering::SeqCst), "nothing is under way");
    let removed = Instant::now();
    pool.remove(leaving).await;
    assert!(removed.elapsed() > Duration::ZERO && removed.elapsed() <= CALL, "{:?}", removed.elapsed());
    assert_eq!(first.answered.load(Ordering::SeqCst), asked);
    assert_eq!(Arc::strong_count(&first), 1, "the pool lets go, though the stream still holds its lease");
    let rest: usize = body.map(|bytes| bytes.unwrap().len()).fold(0, |sum, length| async move { sum + length }).await;
    assert_eq!(u64::try_from(rest).unwrap(), SIZE);
    assert_eq!(first.asked.load(Ordering::SeqCst), asked);
    assert!(pool.remove(leaving).now_or_never().is_some(), "leaving twice is leaving once");
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_is_not_waited_for() {
    let (first, second) = (Arc::<Slow>::default(), Arc::<Slow>::default());
    let pool = Pool::new(PoolConfig::default());
    let cut = pool.add(Arc::clone(&first));
    let mut body = pool.open(MESSAGE, Freshness::Recent).await.unwrap().read(0..SIZE);
    body.prime().await.unwrap();
    tokio::task::yield_now().await;
    pool.add(Arc::clone(&second));
    let answered = first.answered.load(Ordering::SeqCst);
    pool.cut(cut);
    let rest: usize = body.map(|bytes| bytes.unwrap().len()).fold(0, |sum, length| async move { sum + length }).await;
    assert_eq!(u64::try_from(rest).unwrap(), SIZE);
    assert_eq!(first.answered.load(Ordering::SeqCst), answered);
    assert_eq!(Arc::strong_count(&first), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_gets_the_newcomers() {
    let config = PoolConfig { streams_per_session: 1, ..PoolConfig::default() };
    let pool = Pool::<Slow>::new(config);
    pool.add(Arc::default());
    let _held = pool.open(MESSAGE, Freshness::Recent).await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.open(MESSAGE, Freshness::Recent).await.map(|_| ()) }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    let came = Instant::now();
    pool.add(Arc::default());
    waiting.await.unwrap().unwrap();
    assert_eq!(came.elapsed(), Duration::ZERO);
}
