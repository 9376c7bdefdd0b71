//! One chunk's way from whichever session gives it.

use crate::fault::PoolFault;
use crate::locations::Freshness;
use crate::plan::Chunk;
use crate::pool::Inner;
use crate::search::Search;
use crate::session::Lease;
use crate::source::Source;
use bytes::Bytes;
use mtproto::{CallFault, Identity, LocateFault, MessageRef};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// Moves from data-centre to data-centre, and new references, that one chunk may cause before it counts as refused.
const DETOURS: u32 = 3;

/// What the chunks of one stream share.
pub(crate) struct Transfer<S> {
    pub(crate) pool: Arc<Inner<S>>,
    pub(crate) message: MessageRef,
    /// The bytes that the reader was promised. Any other document under the message ends the stream.
    pub(crate) identity: Identity,
    /// The session that the next chunk is asked of.
    lease: Mutex<Arc<Lease<S>>>,
}

/// A chunk's bytes, and whether getting them took more than one try.
pub(crate) struct Fetched {
    pub(crate) bytes: Bytes,
    pub(crate) troubled: bool,
}

impl<S: Source> Transfer<S> {
    pub(crate) fn new(pool: Arc<Inner<S>>, message: MessageRef, identity: Identity, lease: Arc<Lease<S>>) -> Self {
        Self { pool, message, identity, lease: Mutex::new(lease) }
    }

    /// The chunk, or why there is none by the deadline.
    pub(crate) async fn fetch(self: Arc<Self>, chunk: Chunk, deadline: Instant) -> Result<Fetched, PoolFault> {
        let search = Search::new(&self.pool, self.message, self.pool.config.streams_per_session, deadline);
        match timeout_at(deadline, self.fetch_from(search, chunk)).await {
            // It was there when the stream began.
            Ok(Err(PoolFault::NotFound)) => Err(PoolFault::Gone),
            Ok(answer) => answer,
            Err(_) => Err(PoolFault::Timeout),
        }
    }

    async fn fetch_from(&self, mut search: Search<'_, S>, chunk: Chunk) -> Result<Fetched, PoolFault> {
        let mut detours = 0;
        // The session whose word on a changed document is new.
        let mut looked_again = None;
        loop {
            let current = Arc::clone(&self.lease.lock());
            let lease = search.next(Some(&current)).await?;
            if !Arc::ptr_eq(&lease, &current) {
                self.adopt(&current, &lease);
            }
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
            let fault = match session.get_chunk(&location, chunk.offset, chunk.limit).await {
                Ok(bytes) if bytes.len() == chunk.expected(self.identity.size()) => {
                    let (skip, take) = (widen(chunk.skip), widen(chunk.take));
                    return Ok(Fetched { bytes: bytes.slice(skip..skip + take), troubled: search.failures > 0 });
                }
                Ok(bytes) => CallFault::Other(format!("{} bytes where {} were due", bytes.len(), chunk.limit)),
                Err(fault) => fault,
            };
            match fault {
                CallFault::Migrate(dc) if detours < DETOURS && dc != location.dc => {
                    detours += 1;
                    self.pool.moved(session, self.message, &location, dc);
                }
                CallFault::ReferenceExpired if detours < DETOURS => {
                    detours += 1;
                    let renewed = self.pool.locate(session, self.message, Freshness::After(&location)).await;
                    // Anything else that was found, or not found, is looked at by the next turn.
                    if let Err(LocateFault::Call(fault)) = renewed {
                        search.failed(&lease, &fault);
                    }
                }
                fault => search.failed(&lease, &fault),
            }
        }
    }

    /// Lets later chunks begin with the session that this one moved to, unless another chunk moved the stream already.
    fn adopt(&self, from: &Arc<Lease<S>>, to: &Arc<Lease<S>>) {
        let mut current = self.lease.lock();
        if Arc::ptr_eq(&current, from) {
            *current = Arc::clone(to);
        }
    }
}

fn widen(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
