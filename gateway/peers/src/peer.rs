//! One other gateway: how to ask it, and whether it lives.
//!
//! An owner that fetches from a hive may be silent for as long as the hive is; an owner that is dead is silent, too. What tells
//! them apart is a second, empty request: who lives answers that one at once.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use hive_client::HiveClient;
use parking_lot::Mutex;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// A gateway that was lost is asked for a sign of life after the first of these, and from then on in growing steps up to the second.
const FIRST_LOOK: Duration = Duration::from_millis(500);
const LAST_LOOK: Duration = Duration::from_secs(5);

/// It gave no sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silent;

pub(crate) struct Peer {
    /// As the fleet knows it.
    pub(crate) name: String,
    pub(crate) client: HiveClient,
    patience: Duration,
    reachable: AtomicBool,
    /// The question for a sign of life that is under way, for all who want to know.
    sign: Mutex<Option<Shared<BoxFuture<'static, bool>>>>,
}

impl Peer {
    pub(crate) fn new(name: String, client: HiveClient, patience: Duration) -> Self {
        Self { name, client, patience, reachable: AtomicBool::new(true), sign: Mutex::new(None) }
    }

    /// False from the moment it was lost until it gave a sign of life.
    pub(crate) fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Acquire)
    }

    /// Waits for `work`, for as long as the peer that it depends on lives.
    pub(crate) async fn attend<T>(&self, work: impl Future<Output = T>) -> Result<T, Silent> {
        let mut work = pin!(work);
        loop {
            if let Ok(done) = tokio::time::timeout(self.patience, &mut work).await {
                return Ok(done);
            }
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                alive = self.is_alive() => if !alive {
                    return Err(Silent);
                },
            }
        }
    }

    async fn is_alive(&self) -> bool {
        let sign = {
            let mut sign = self.sign.lock();
            match &*sign {
                Some(asked) if asked.peek().is_none() => asked.clone(),
                _ => {
                    let (client, patience) = (self.client.clone(), self.patience);
                    let asked = async move { client.is_alive(patience).await }.boxed().shared();
                    *sign = Some(asked.clone());
                    asked
                }
            }
        };
        sign.await
    }

    /// Leaves the peer alone until it gives a sign of life. True for who found out.
    pub(crate) fn lose(self: &Arc<Self>, why: &str) -> bool {
        let first = self.reachable.swap(false, Ordering::AcqRel);
        if first {
            tracing::warn!(peer = %self.name, why, "a gateway of the fleet is left alone until it answers again");
            tokio::spawn(find_again(Arc::downgrade(self)));
        }
        first
    }
}

async fn find_again(peer: Weak<Peer>) {
    let mut pause = FIRST_LOOK;
    loop {
        tokio::time::sleep(pause).await;
        let Some(peer) = peer.upgrade() else { return };
        if peer.is_alive().await {
            tracing::info!(peer = %peer.name, "a gateway of the fleet answers again");
            peer.reachable.store(true, Ordering::Release);
            return;
        }
        pause = pause.saturating_mul(2).min(LAST_LOOK);
    }
}
