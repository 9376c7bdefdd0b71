//! Streams that share a session in trouble.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use futures_util::StreamExt;
use mtproto::{Ask, CallFault, Identity, LocateFault, Location, MessageRef};
use pool::{Body, Freshness, Pool, PoolConfig, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::sleep;

const SIZE: u64 = 4 << 20;
const MESSAGE: MessageRef = MessageRef { chat_id: -1_000_000_000_001, message_id: 1 };

struct Session {
    premium: bool,
    silent: AtomicBool,
}

impl Source for Session {
    fn name(&self) -> &str {
        if self.premium { "rich" } else { "poor" }
    }

    fn is_premium(&self) -> bool {
        self.premium
    }

    async fn locate(&self, _: MessageRef) -> Result<Location, LocateFault> {
        Ok(Location::synthetic(Identity::new(1, SIZE), 2, vec![1]))
    }

    async fn get_chunk(&self, _: &Location, _: u64, limit: u32, _: &Ask) -> Result<Bytes, CallFault> {
        sleep(Duration::from_millis(10)).await;
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
    let [rich, poor] = [true, false].map(|premium| Arc::new(Session { premium, silent: AtomicBool::new(false) }));
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
