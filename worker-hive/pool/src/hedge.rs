//! A second try for a chunk that straggles while the reader waits for it.
//!
//! Only the chunk that the reader waits for, once, when it takes longer than almost all before it, within a budget of a few calls in a
//! hundred: over another connection of the same session, or else by another session that is there already. The first answer counts.

use crate::fetch::Transfer;
use crate::locations::Freshness;
use crate::places::{Lease, Wish};
use crate::plan::Chunk;
use crate::session::Session;
use crate::source::Source;
use bytes::Bytes;
use mtproto::{Ask, CallFault, Location};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// However quick answers are, a second try before this gains nothing that a viewer sees.
const LEAST: Duration = Duration::from_millis(100);
/// In hundredths of the time within which most calls are answered.
const BEYOND_MOST: u32 = 150;

/// Whether the reader waits for this very chunk, and whether it was asked for twice already.
pub(crate) struct Front {
    reached: Option<oneshot::Receiver<()>>,
    hedged: bool,
}

impl Front {
    /// Reached when `reached` is sent to.
    pub(crate) fn new(reached: oneshot::Receiver<()>) -> Self {
        Self { reached: Some(reached), hedged: false }
    }

    async fn reached(&mut self) {
        if let Some(reached) = &mut self.reached {
            if reached.await.is_err() {
                // The reader is gone, and this with it.
                pending::<()>().await;
            }
            self.reached = None;
        }
    }
}

impl<S: Source> Transfer<S> {
    /// Asks for a chunk, twice if need be. A question that was put can't be taken back: until it is answered its stream has a place with
    /// the session, whoever still wants to know.
    pub(crate) async fn ask(
        &self,
        lease: &Arc<Lease<S>>,
        location: &Location,
        chunk: Chunk,
        urgent: bool,
        front: &mut Front,
    ) -> Result<Bytes, CallFault> {
        let session = lease.session();
        let (ask, began) = (Ask::new(urgent).holding(lease.clone()), Instant::now());
        let mut first = pin!(session.get_chunk(location, chunk.offset, chunk.limit, &ask));
        if front.hedged {
            return first.await;
        }
        tokio::select! {
            biased;
            answer = &mut first => return answer,
            () = straggles(session, &ask, began, front) => {}
        }
        let second = async {
            if session.may_be_hedged(location.dc, Instant::now()) {
                self.pay_hedge()?;
                return Some(session.get_chunk(location, chunk.offset, chunk.limit, &ask.again()).await);
            }
            self.elsewhere(session, location, chunk).await
        };
        let mut second = pin!(second);
        front.hedged = true;
        tokio::select! {
            biased;
            answer = &mut first => match answer {
                Err(fault) => match second.await {
                    Some(Ok(bytes)) => Ok(self.won(bytes)),
                    _ => Err(fault),
                },
                answer => answer,
            },
            answer = &mut second => match answer {
                Some(Ok(bytes)) => Ok(self.won(bytes)),
                _ => first.await,
            },
        }
    }

    /// By another session that is connected there already, has a place at once, and finds the same document.
    async fn elsewhere(&self, not: &Session<S>, location: &Location, chunk: Chunk) -> Option<Result<Bytes, CallFault>> {
        let now = Instant::now();
        if not.rests_until(now).is_some() {
            return None;
        }
        let wish =
            Wish { excluded: vec![not.id], dc: Some(location.dc), running: true, only_warm: true, ..Wish::default() };
        let lease = self.pool.places.take(&wish).ok()?;
        self.pay_hedge()?;
        let found = self.pool.locate(lease.session(), self.message, Freshness::Any).await.ok()?;
        if found.identity != self.identity {
            return None;
        }
        let ask = Ask::new(true).holding(lease.clone());
        Some(lease.session().get_chunk(&found, chunk.offset, chunk.limit, &ask).await)
    }

    fn pay_hedge(&self) -> Option<()> {
        self.pool.hedges.lock().take(Instant::now()).ok()?;
        self.pool.tallies.hedges.fetch_add(1, Ordering::Relaxed);
        Some(())
    }

    fn won(&self, bytes: Bytes) -> Bytes {
        self.pool.tallies.hedges_won.fetch_add(1, Ordering::Relaxed);
        bytes
    }
}

/// Returns when the reader waits for the chunk, and it takes longer than almost all did. Before enough calls were seen, never.
async fn straggles<S: Source>(session: &Session<S>, ask: &Ask, began: Instant, front: &mut Front) {
    front.reached().await;
    loop {
        let Some(most) = session.answers_within() else { return pending().await };
        // One that still waits for its turn has the reader waiting just as well.
        let due = ask.sent_at().unwrap_or(began) + (most * BEYOND_MOST / 100).max(LEAST);
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}
