//! The pool: sessions, what they know of messages, and streams.

use crate::body::Body;
use crate::fault::PoolFault;
use crate::health::{Choice, choose};
use crate::locations::{Found, Freshness, Locations};
use crate::search::Search;
use crate::session::{Lease, Session, SessionId};
use crate::source::Source;
use crate::stats::SessionReport;
use futures_util::FutureExt;
use mtproto::{CallFault, Location, MessageRef};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

/// Locations that are kept, of all sessions together: some 20 MB.
const KNOWN_LOCATIONS: usize = 40_000;

/// Settings of a pool.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Streams that one session may carry.
    pub streams_per_session: usize,
    /// Chunks that a stream begins with.
    pub window_start: usize,
    /// Chunks that a stream may have under way.
    pub window_max: usize,
    /// Size of a chunk in bytes; rounded down to a power of two from 4 KiB to 512 KiB.
    pub chunk: u32,
    /// Size of a stream's first chunk in bytes; rounded up to 1 KiB.
    pub first_chunk: u32,
    /// Bytes that all streams together may hold beyond one chunk each.
    pub buffer: usize,
    /// A chunk, or a lookup with its first chunk, is tried again, from whichever session, for this long.
    pub deadline: Duration,
    /// A request waits for a place for this long when every session is at its cap.
    pub admission: Duration,
    /// A flood wait up to this long is waited out when no other session is left; a longer one is told to the asker.
    pub max_flood_wait: Duration,
    /// An edited message is noticed after at most this long.
    pub location_ttl: Duration,
    /// A missing message is not asked for again within this time.
    pub negative_ttl: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            streams_per_session: 15,
            window_start: 4,
            window_max: 12,
            chunk: mtproto::MAX_CHUNK,
            first_chunk: 64 * 1024,
            buffer: 512 * 1024 * 1024,
            deadline: Duration::from_secs(15),
            admission: Duration::from_secs(10),
            max_flood_wait: Duration::from_secs(10),
            location_ttl: Duration::from_secs(30),
            negative_ttl: Duration::from_secs(5),
        }
    }
}

pub(crate) struct Inner<S> {
    pub(crate) config: PoolConfig,
    locations: Arc<Locations>,
    /// Held while choosing and taking, so that two streams can't both take a session's last place.
    members: Mutex<Members<S>>,
    /// Chunks that streams may hold beyond one each.
    pub(crate) buffer: Arc<Semaphore>,
    /// Told once for each stream that ends.
    pub(crate) freed: Arc<Notify>,
}

struct Members<S> {
    sessions: Vec<Arc<Session<S>>>,
    next_id: u64,
    turn: usize,
}

impl<S: Source> Inner<S> {
    pub(crate) fn sessions(&self) -> Vec<Arc<Session<S>>> {
        self.members.lock().sessions.clone()
    }

    pub(crate) fn lease(
        &self,
        now: Instant,
        cap: usize,
        eligible: impl Fn(SessionId) -> bool,
    ) -> Result<Arc<Lease<S>>, Choice> {
        let mut members = self.members.lock();
        let candidates: Vec<_> = members.sessions.iter().map(|s| s.candidate(cap, eligible(s.id))).collect();
        match choose(&candidates, now, members.turn) {
            Choice::Take(index) => {
                members.turn = members.turn.wrapping_add(1);
                Ok(Arc::new(Lease::take(&members.sessions[index], &self.freed)))
            }
            other => Err(other),
        }
    }

    pub(crate) async fn locate(&self, session: &Arc<Session<S>>, message: MessageRef, fresh: Freshness<'_>) -> Found {
        let ask = || {
            let session = Arc::clone(session);
            async move { session.locate(message).await }.in_current_span().boxed()
        };
        self.locations.get(session.id, message, fresh, ask).await
    }

    pub(crate) fn moved(&self, session: &Session<S>, message: MessageRef, from: &Location, dc: i32) {
        self.locations.moved(session.id, message, from, dc);
    }

    pub(crate) fn absent(&self, message: MessageRef) -> PoolFault {
        if self.locations.was_seen(message) { PoolFault::Gone } else { PoolFault::NotFound }
    }
}

/// Many sessions that act as one source of documents.
pub struct Pool<S> {
    inner: Arc<Inner<S>>,
}

impl<S> Clone for Pool<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: Source> Pool<S> {
    /// An empty pool; sessions come and go with [`Pool::add`] and [`Pool::remove`].
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        let locations = Locations::new(config.location_ttl, config.negative_ttl, KNOWN_LOCATIONS);
        let chunk = usize::try_from(config.chunk.max(1)).unwrap_or(usize::MAX);
        let buffer = Arc::new(Semaphore::new((config.buffer / chunk).min(Semaphore::MAX_PERMITS)));
        let inner = Inner {
            locations: Arc::new(locations),
            members: Mutex::new(Members { sessions: Vec::new(), next_id: 0, turn: 0 }),
            buffer,
            freed: Arc::default(),
            config,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Finds a message's document and takes a lease for reading it, held until the result or the body made of it is dropped.
    ///
    /// # Errors
    /// [`PoolFault`], after every session that might know was asked.
    pub async fn open(&self, message: MessageRef, freshness: Freshness<'_>) -> Result<Opened<S>, PoolFault> {
        let deadline = Instant::now() + self.inner.config.deadline;
        let (lease, location) = self.find(message, freshness, self.inner.config.streams_per_session, deadline).await?;
        Ok(Opened { pool: Arc::clone(&self.inner), message, lease, location, deadline })
    }

    /// Finds a message's document. Unlike [`Pool::open`], sessions at their cap are asked too.
    ///
    /// # Errors
    /// [`PoolFault`], after every session that might know was asked.
    pub async fn describe(&self, message: MessageRef, freshness: Freshness<'_>) -> Result<Arc<Location>, PoolFault> {
        let deadline = Instant::now() + self.inner.config.deadline;
        self.find(message, freshness, usize::MAX, deadline).await.map(|(_, location)| location)
    }

    async fn find(
        &self,
        message: MessageRef,
        freshness: Freshness<'_>,
        cap: usize,
        deadline: Instant,
    ) -> Result<(Arc<Lease<S>>, Arc<Location>), PoolFault> {
        let mut search = Search::new(&self.inner, message, cap, deadline);
        let find = async {
            loop {
                let lease = search.next(None).await?;
                match self.inner.locate(lease.session(), message, freshness).await {
                    Ok(location) => return Ok((lease, location)),
                    Err(fault) => search.missed(&lease, &fault),
                }
            }
        };
        timeout_at(deadline, find).await.unwrap_or(Err(PoolFault::Timeout))
    }

    /// Takes a session in: streams may be given to it at once.
    pub fn add(&self, source: Arc<S>) -> SessionId {
        let mut members = self.inner.members.lock();
        let id = SessionId(members.next_id);
        members.next_id += 1;
        members.sessions.push(Arc::new(Session::new(id, source)));
        drop(members);
        // Somebody may wait for a place since before.
        self.inner.freed.notify_waiters();
        id
    }

    /// Takes a session out, from this call on: no stream is given to it, no call begins on it, and the streams on it move to others
    /// with their next chunk. The future resolves when its last call is done; then the pool holds the source no more. Dropping the
    /// future takes nothing back. An id that left already resolves at once.
    pub fn remove(&self, id: SessionId) -> impl Future<Output = ()> + Send + use<S> {
        let session = self.take_out(id, false);
        async move {
            if let Some(session) = session {
                session.left().await;
            }
        }
    }

    /// As [`Pool::remove`], for a session that must not be used a moment longer: chunks under way move to others at once.
    pub fn cut(&self, id: SessionId) {
        self.take_out(id, true);
    }

    fn take_out(&self, id: SessionId, cut: bool) -> Option<Arc<Session<S>>> {
        let mut members = self.inner.members.lock();
        let at = members.sessions.iter().position(|session| session.id == id)?;
        let session = members.sessions.remove(at);
        drop(members);
        session.leave(cut);
        self.inner.locations.forget(id);
        // Whoever waits for a place on it looks again, and may find that nobody is left.
        self.inner.freed.notify_waiters();
        Some(session)
    }

    /// Takes note of a fault that a session met in a call outside the pool; of one that left, nothing.
    pub fn note(&self, id: SessionId, fault: &CallFault) {
        let sessions = self.inner.sessions();
        if let Some(session) = sessions.iter().find(|session| session.id == id) {
            session.note(fault);
        }
    }

    /// Every session as it stands, in the order in which they came.
    #[must_use]
    pub fn report(&self) -> Vec<SessionReport> {
        let now = Instant::now();
        self.inner.sessions().iter().map(|session| session.report(now)).collect()
    }
}

/// A document that was found, and the lease to read it.
pub struct Opened<S> {
    pool: Arc<Inner<S>>,
    message: MessageRef,
    lease: Arc<Lease<S>>,
    location: Arc<Location>,
    /// By when the first bytes are here or why not is told.
    deadline: Instant,
}

impl<S: Source> Opened<S> {
    /// What the document is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Reads bytes of the document: exactly the range, which must lie inside it, or an error.
    #[must_use]
    pub fn read(self, range: Range<u64>) -> Body<S> {
        Body::new(self.pool, self.message, self.location.identity, self.lease, range, self.deadline)
    }
}
