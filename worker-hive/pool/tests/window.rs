//! The window over a source whose answers come in any order: what the reader sees, and what it costs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use futures_util::StreamExt;
use mtproto::{Ask, CallFault, Identity, LocateFault, Location, MessageRef};
use pool::{Freshness, Pool, PoolConfig, PoolFault, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SIZE: u64 = 20 * 1024 * 1024 + 3;
const MESSAGE: MessageRef = MessageRef { chat_id: -1_000_000_000_001, message_id: 1 };

/// Answers late by an amount that follows from the offset and the seed.
#[derive(Default)]
struct Scrambled {
    seed: u64,
    now: AtomicUsize,
    most: AtomicUsize,
    short: bool,
}

fn byte(at: u64) -> u8 {
    u8::try_from(at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56).unwrap()
}

impl Source for Scrambled {
    fn name(&self) -> &str {
        "scrambled"
    }

    fn is_premium(&self) -> bool {
        false
    }

    async fn locate(&self, _: MessageRef) -> Result<Location, LocateFault> {
        Ok(Location::synthetic(Identity::new(1, SIZE), 2, vec![1]))
    }

    async fn get_chunk(&self, _: &Location, offset: u64, limit: u32, _: &Ask) -> Result<Bytes, CallFault> {
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let _leave = Leave(&self.now);
        let roll = (offset ^ self.seed).wrapping_mul(0xd134_2543_de82_ef95) >> 56;
        tokio::time::sleep(Duration::from_millis(roll)).await;
        let end = (offset + u64::from(limit)).min(SIZE) - u64::from(self.short);
        Ok((offset..end).map(byte).collect())
    }
}

fn pool(source: Scrambled, config: PoolConfig) -> (Pool<Scrambled>, Arc<Scrambled>) {
    let source = Arc::new(source);
    let pool = Pool::new(config);
    pool.add(Arc::clone(&source));
    (pool, source)
}

#[tokio::test(start_paused = true)]
async fn bytes_come_in_order_and_the_window_bounds_what_is_under_way() {
    for seed in 0..8 {
        let (pool, source) = pool(Scrambled { seed, ..Scrambled::default() }, PoolConfig::default());
        let (start, end) = (seed * 100_001, SIZE - seed * 70_001);
        let mut body = pool.open(MESSAGE, Freshness::Recent).await.unwrap().read(start..end);
        let mut at = start;
        while let Some(bytes) = body.next().await {
            for got in bytes.unwrap() {
                assert!(got == byte(at), "seed {seed}, at {at}");
                at += 1;
            }
        }
        assert_eq!((at, source.now.load(Ordering::SeqCst)), (end, 0), "seed {seed}");
        assert!((2..=32).contains(&source.most.load(Ordering::SeqCst)));
    }
}

#[tokio::test(start_paused = true)]
async fn streams_share_the_buffer_and_none_starves() {
    // No room beyond one chunk each: every stream still gets on.
    let (pool, source) = pool(Scrambled::default(), PoolConfig { buffer: 0, ..PoolConfig::default() });
    let readers = (0..5).map(|_| async {
        let body = pool.open(MESSAGE, Freshness::Recent).await.unwrap().read(0..SIZE);
        body.map(|bytes| bytes.unwrap().len()).fold(0, |sum, length| async move { sum + length }).await
    });
    let sums = futures_util::future::join_all(readers).await;
    assert!(sums.iter().all(|sum| u64::try_from(*sum).unwrap() == SIZE));
    assert!(source.most.load(Ordering::SeqCst) <= 5);
}

#[tokio::test(start_paused = true)]
async fn leaving_cancels_everything_under_way() {
    let (pool, source) = pool(Scrambled::default(), PoolConfig::default());
    let mut body = pool.open(MESSAGE, Freshness::Recent).await.unwrap().read(0..SIZE);
    body.prime().await.unwrap();
    tokio::task::yield_now().await;
    assert!(source.now.load(Ordering::SeqCst) > 0 && pool.report().sessions[0].streams == 1);
    drop(body);
    while source.now.load(Ordering::SeqCst) > 0 || pool.report().sessions[0].streams > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_wrong_length_is_no_answer() {
    let (pool, _) = pool(Scrambled { short: true, ..Scrambled::default() }, PoolConfig::default());
    let mut body = pool.open(MESSAGE, Freshness::Recent).await.unwrap().read(0..SIZE);
    assert!(matches!(body.next().await, Some(Err(PoolFault::Reset(_)))));
    assert!(body.next().await.is_none());
}
