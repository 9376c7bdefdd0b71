//! Streams that share a session in trouble, or wait for it, and what is told of a document on the way.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use futures_util::StreamExt;
use mtproto::{Ask, CallFault, Identity, LocateFault, Location, MessageRef};
use parking_lot::Mutex;
use pool::{Body, Freshness, Pool, PoolConfig, Source};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SIZE: u64 = 4 << 20;
const HOME: i32 = 2;
const MESSAGE: MessageRef = MessageRef { chat_id: -1_000_000_000_001, message_id: 1 };

#[derive(Default)]
struct Session {
    premium: bool,
    silent: AtomicBool,
    flooded: AtomicBool,
    /// Chunks asked for are told these, one after the other, before they are given.
    told: Mutex<VecDeque<CallFault>>,
    /// After that, references are expired until the document is looked up again.
    stale: AtomicBool,
}

impl Source for Session {
    fn name(&self) -> &str {
        if self.premium { "rich" } else { "poor" }
    }

    fn is_premium(&self) -> bool {
        self.premium
    }

    async fn locate(&self, _: MessageRef) -> Result<Location, LocateFault> {
        self.stale.fetch_and(!self.told.lock().is_empty(), Ordering::SeqCst);
        Ok(Location::synthetic(Identity::new(1, SIZE), HOME, vec![1]))
    }

    async fn get_chunk(&self, location: &Location, _: u64, limit: u32, _: &Ask) -> Result<Bytes, CallFault> {
        sleep(Duration::from_millis(10)).await;
        if self.flooded.swap(false, Ordering::SeqCst) {
            return Err(CallFault::Flood { seconds: 1, premium_exempt: false });
        }
        if let Some(fault) = self.told.lock().pop_front() {
            return Err(fault);
        }
        if self.stale.load(Ordering::SeqCst) {
            return Err(CallFault::ReferenceExpired);
        }
        if location.dc != HOME {
            return Err(CallFault::Migrate(HOME));
        }
        match self.silent.load(Ordering::SeqCst) {
            true => Err(CallFault::Timeout),
            false => Ok(vec![0; usize::try_from(limit).unwrap()].into()),
        }
    }
}

async fn length(body: Body<Session>) -> u64 {
    body.fold(0, |sum, bytes| async move { sum + u64::try_from(bytes.unwrap().len()).unwrap() }).await
}

/// Found by a storm: each held the session and waited for it to be free of the other, until their deadlines.
#[tokio::test(start_paused = true)]
async fn two_that_share_a_session_on_probation_do_not_wait_for_each_other() {
    let config = PoolConfig { streams_premium: 2, streams_standard: 1, ..PoolConfig::default() };
    let pool = Pool::new(config);
    let [rich, poor] = [true, false].map(|premium| Arc::new(Session { premium, ..Session::default() }));
    pool.add(Arc::clone(&rich));
    pool.add(poor);
    let open = async || pool.open(MESSAGE, Freshness::Recent).await.unwrap().read(0..SIZE);
    let (one, other, _in_the_way) = (open().await, open().await, open().await);
    assert_eq!(pool.report().sessions.iter().map(|session| session.streams).collect::<Vec<_>>(), [2, 1]);
    rich.silent.store(true, Ordering::SeqCst);
    let recover = async {
        sleep(Duration::from_millis(300)).await;
        rich.silent.store(false, Ordering::SeqCst);
    };
    assert_eq!(tokio::join!(length(one), length(other), recover), (SIZE, SIZE, ()));
}

/// Found by a storm: who waited in the line knew of no flood wait that was told afterwards, and so of no end of it.
#[tokio::test(start_paused = true)]
async fn who_waits_hears_of_a_flood_wait_that_begins_meanwhile() {
    let pool = Pool::new(PoolConfig { streams_premium: 1, streams_standard: 1, ..PoolConfig::default() });
    let session = Arc::new(Session::default());
    pool.add(Arc::clone(&session));
    let first = pool.open(MESSAGE, Freshness::Recent).await.unwrap();
    let began = Instant::now();
    let waits = async {
        pool.open(MESSAGE, Freshness::Recent).await.unwrap();
        began.elapsed()
    };
    let leaves = async {
        sleep(Duration::from_millis(50)).await;
        session.flooded.store(true, Ordering::SeqCst);
        let mut body = first.read(0..SIZE);
        let _ = tokio::time::timeout(Duration::from_millis(100), body.prime()).await;
    };
    let (waited, ()) = tokio::join!(waits, leaves);
    assert!(waited < Duration::from_secs(2), "{waited:?} for a flood wait of a second");
}

/// Found by storms: once a chunk had been sent about three times, no word on where the document is, or on its reference, was heeded.
#[tokio::test(start_paused = true)]
async fn the_last_word_on_where_and_how_to_ask_counts() {
    use CallFault::{Migrate, ReferenceExpired};
    for (told, stale) in [
        ([ReferenceExpired, ReferenceExpired, Migrate(HOME + 2)], false),
        ([Migrate(HOME + 2), ReferenceExpired, Migrate(HOME + 2)], true),
    ] {
        let pool = Pool::new(PoolConfig::default());
        let session =
            Arc::new(Session { stale: AtomicBool::new(stale), told: Mutex::new(told.into()), ..Session::default() });
        pool.add(Arc::clone(&session));
        let body = pool.open(MESSAGE, Freshness::Recent).await.unwrap().read(0..1024);
        assert_eq!(length(body).await, 1024, "{stale}");
    }
}
