//! One chunk's way from whichever session gives it.

use crate::budget::Budget;
use crate::fault::PoolFault;
use crate::hedge::Front;
use crate::locations::Freshness;
use crate::places::{Lease, Wish};
use crate::plan::Chunk;
use crate::pool::Inner;
use crate::search::{Search, Step};
use crate::source::Source;
use bytes::Bytes;
use mtproto::{CallFault, Identity, LocateFault, MessageRef};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

/// Moves from data-centre to data-centre, and new references, that one chunk may cause before it counts as refused.
const DETOURS: u32 = 3;

/// What the chunks of one stream share.
pub(crate) struct Transfer<S: Source> {
    pub(crate) pool: Arc<Inner<S>>,
    pub(crate) message: MessageRef,
    /// The bytes that the reader was promised. Any other document under the message ends the stream.
    pub(crate) identity: Identity,
    /// The session that the next chunk is asked of.
    lease: Mutex<Arc<Lease<S>>>,
    /// Held by the one chunk that looks for another session: the rest follow it, rather than take a place each.
    moving: Semaphore,
    retries: Mutex<Budget>,
    dc: AtomicI32,
}

/// A chunk to fetch, and who waits for it.
pub(crate) struct Order {
    pub(crate) chunk: Chunk,
    /// The reader has nothing yet.
    pub(crate) urgent: bool,
    pub(crate) front: Front,
    /// By when there are bytes, or a reason.
    pub(crate) deadline: Instant,
}

/// A chunk's bytes, and whether getting them took more than one try.
pub(crate) struct Fetched {
    pub(crate) bytes: Bytes,
    pub(crate) troubled: bool,
}

impl<S: Source> Transfer<S> {
    pub(crate) fn new(
        pool: Arc<Inner<S>>,
        message: MessageRef,
        identity: Identity,
        dc: i32,
        lease: Arc<Lease<S>>,
    ) -> Self {
        Self {
            pool,
            message,
            identity,
            lease: Mutex::new(lease),
            moving: Semaphore::new(1),
            retries: Mutex::new(Budget::new(0.5, 2.0, 8.0)),
            dc: AtomicI32::new(dc),
        }
    }

    /// The hold on the session that the next chunk is asked of.
    pub(crate) fn lease(&self) -> Arc<Lease<S>> {
        Arc::clone(&self.lease.lock())
    }

    /// The chunk, or why there is none by the deadline.
    pub(crate) async fn fetch(self: Arc<Self>, order: Order) -> Result<Fetched, PoolFault> {
        let deadline = order.deadline;
        match timeout_at(deadline, self.fetch_by(order)).await {
            // It was there when the stream began.
            Ok(Err(PoolFault::NotFound)) => Err(PoolFault::Gone),
            Ok(answer) => answer,
            Err(_) => Err(PoolFault::Timeout),
        }
    }

    async fn fetch_by(&self, order: Order) -> Result<Fetched, PoolFault> {
        let Order { chunk, urgent, mut front, deadline } = order;
        let wish = Wish { dc: Some(self.dc.load(Ordering::Relaxed)), running: true, ..Wish::default() };
        let mut search = Search::new(&self.pool, self.message, wish, deadline).within(&self.retries);
        let mut detours = 0;
        // The session whose word on a changed document is new.
        let mut looked_again = None;
        loop {
            let lease = self.session_for(&mut search).await?;
            let session = lease.session();
            let mut found = self.pool.locate(session, self.message, Freshness::Any).await;
            if matches!(&found, Ok(location) if location.identity != self.identity) && looked_again != Some(session.id)
            {
                // What this session remembers may be older than the stream.
                looked_again = Some(session.id);
                found = self.pool.locate(session, self.message, Freshness::Now).await;
            }
            let location = match found {
                Ok(location) => location,
                Err(fault) => {
                    search.missed(&lease, &fault);
                    continue;
                }
            };
            if location.identity != self.identity {
                return Err(PoolFault::Changed);
            }
            let again = urgent || search.failures > 0;
            let began = Instant::now();
            let fault = match self.ask(&lease, &location, chunk, again, &mut front).await {
                Ok(bytes) if bytes.len() == chunk.expected(self.identity.size()) => {
                    self.pool.went_well();
                    self.pool.places.fetched(began.elapsed());
                    self.retries.lock().earn();
                    let (skip, take) = (widen(chunk.skip), widen(chunk.take));
                    return Ok(Fetched { bytes: bytes.slice(skip..skip + take), troubled: search.failures > 0 });
                }
                Ok(bytes) => CallFault::Other(format!("{} bytes where {} were due", bytes.len(), chunk.limit)),
                Err(fault) => fault,
            };
            match fault {
                // Both are heeded even when they count as refusals: or every further try would ask where the document is not, or in a way
                // that is over.
                CallFault::Migrate(dc) if dc != location.dc => {
                    detours += 1;
                    self.pool.moved(session, self.message, &location, dc);
                    self.dc.store(dc, Ordering::Relaxed);
                    search.is_about(dc);
                    if detours > DETOURS {
                        search.failed(&lease, &fault);
                    }
                }
                CallFault::ReferenceExpired => {
                    detours += 1;
                    let renewed = self.pool.locate(session, self.message, Freshness::After(&location)).await;
                    match renewed {
                        Err(LocateFault::Call(fault)) => search.failed(&lease, &fault),
                        // What was found, or not found, is looked at by the next turn.
                        _ if detours > DETOURS => search.failed(&lease, &fault),
                        _ => {}
                    }
                }
                fault => search.failed(&lease, &fault),
            }
        }
    }

    /// The stream's session, or another one to which the stream then moves.
    async fn session_for(&self, search: &mut Search<'_, S>) -> Result<Arc<Lease<S>>, PoolFault> {
        loop {
            let stays = search.may_ask(&self.lease(), Instant::now());
            let turn = if stays { None } else { self.moving.acquire().await.ok() };
            // Another chunk may have moved the stream meanwhile.
            let current = self.lease();
            search.holds(current.session().id);
            match search.step(Some(&current))? {
                Step::Ask(lease) => return Ok(self.settle(&current, lease)),
                Step::Pause(time) => {
                    drop(turn);
                    sleep(time).await;
                }
                Step::Queue => {
                    if let Some(lease) = search.queue().await? {
                        return Ok(self.settle(&current, lease));
                    }
                }
            }
        }
    }

    /// Lets later chunks begin with the session that this one moved to. Its own place is kept, not taken twice.
    fn settle(&self, current: &Arc<Lease<S>>, taken: Arc<Lease<S>>) -> Arc<Lease<S>> {
        if taken.session().id == current.session().id {
            return Arc::clone(current);
        }
        // What was held before is let go without the lock: that hands places on.
        let before = std::mem::replace(&mut *self.lease.lock(), Arc::clone(&taken));
        drop(before);
        taken
    }
}

fn widen(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
