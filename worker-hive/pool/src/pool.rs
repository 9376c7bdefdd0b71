//! The pool: sessions, what they know of messages, and streams.

use crate::body::Body;
use crate::budget::Budget;
use crate::fault::PoolFault;
use crate::locations::{Found, Freshness, Locations};
use crate::places::{Lease, Observer, Places, Rules, Wish};
use crate::search::Search;
use crate::session::{Session, SessionId};
use crate::source::Source;
use crate::stats::{PoolReport, Tallies};
use futures_util::FutureExt;
use mtproto::{CallFault, Location, MessageRef};
use parking_lot::Mutex;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

/// Retries of all streams together: one for every two calls that go well, so that a fault in every third call is survived, and a
/// few a second when nothing goes well.
const RETRIES_PER_CALL: f64 = 0.5;
const RETRIES_PER_SECOND: f64 = 10.0;
const RETRIES_AT_ONCE: f64 = 64.0;
/// Second tries that may come at once.
const HEDGES_AT_ONCE: f64 = 4.0;

/// Locations that are kept, of all sessions together: some 20 MB.
const KNOWN_LOCATIONS: usize = 40_000;

/// Settings of a pool.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Streams that one session may carry.
    pub streams_per_session: usize,
    /// Streams that a premium session may carry, if that is less.
    pub streams_premium: usize,
    /// Streams that a session without premium may carry, if that is less.
    pub streams_standard: usize,
    /// Streams that may wait for a place; more are sent away at once.
    pub queue: usize,
    /// Straggling chunks that are asked for a second time, as a part of all calls. 0 for never.
    pub hedges: f64,
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
            streams_premium: 15,
            streams_standard: 15,
            queue: 256,
            hedges: 0.03,
            window_start: 4,
            window_max: 32,
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

pub(crate) struct Inner<S: Source> {
    pub(crate) config: PoolConfig,
    pub(crate) places: Arc<Places<S>>,
    locations: Arc<Locations>,
    /// Chunks that streams may hold beyond one each.
    pub(crate) buffer: Arc<Semaphore>,
    /// Calls that may be made again after a fault, of all streams together.
    pub(crate) retries: Mutex<Budget>,
    /// Straggling chunks that may be asked for twice.
    pub(crate) hedges: Mutex<Budget>,
    pub(crate) tallies: Tallies,
}

impl<S: Source> Inner<S> {
    /// A call brought its bytes.
    pub(crate) fn went_well(&self) {
        self.retries.lock().earn();
        self.hedges.lock().earn();
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

    /// Finds a message's document and whom to read it from: by `prefer`, without another lease, as long as that session can.
    async fn find(
        self: &Arc<Self>,
        message: MessageRef,
        freshness: Freshness<'_>,
        wish: Wish,
        deadline: Instant,
        prefer: Option<&Arc<Lease<S>>>,
    ) -> Result<(Arc<Lease<S>>, Arc<Location>), PoolFault> {
        let wish = Wish { dc: self.locations.dc_of(message), ..wish };
        let mut search = Search::new(self, message, wish, deadline);
        let find = async {
            loop {
                let lease = search.next(prefer).await?;
                match self.locate(lease.session(), message, freshness).await {
                    Ok(location) => {
                        let was_known = search.dc().is_some();
                        search.is_about(location.dc);
                        if !was_known
                            && prefer.is_none()
                            && let Some(nearer) = self.nearer(&lease, &search.wish(), message).await
                        {
                            return Ok(nearer);
                        }
                        return Ok((lease, location));
                    }
                    Err(fault) => search.missed(&lease, &fault),
                }
            }
        };
        timeout_at(deadline, find).await.unwrap_or(Err(PoolFault::Timeout))
    }

    /// A session that need not be authorized abroad first, if it finds the message as well.
    async fn nearer(
        &self,
        held: &Lease<S>,
        wish: &Wish,
        message: MessageRef,
    ) -> Option<(Arc<Lease<S>>, Arc<Location>)> {
        if wish.only_asks {
            return None;
        }
        let lease = self.places.nearer(held, wish)?;
        let location = self.locate(lease.session(), message, Freshness::Recent).await.ok()?;
        Some((lease, location))
    }

    /// Opens a message for whoever reads another one by `lease` and is about to be done with it.
    pub(crate) async fn open_beside(
        self: Arc<Self>,
        message: MessageRef,
        lease: Arc<Lease<S>>,
    ) -> Result<Opened<S>, PoolFault> {
        let deadline = Instant::now() + self.config.deadline;
        let wish = Wish { running: true, ..Wish::default() };
        let (lease, location) = self.find(message, Freshness::Recent, wish, deadline, Some(&lease)).await?;
        Ok(Opened { pool: self, message, lease, location, deadline })
    }

    pub(crate) fn absent(&self, message: MessageRef) -> PoolFault {
        if self.locations.was_seen(message) { PoolFault::Gone } else { PoolFault::NotFound }
    }
}

/// Many sessions that act as one source of documents.
pub struct Pool<S: Source> {
    inner: Arc<Inner<S>>,
}

impl<S: Source> Clone for Pool<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: Source> Pool<S> {
    /// An empty pool; sessions come and go with [`Pool::add`] and [`Pool::remove`].
    #[must_use]
    pub fn new(config: PoolConfig) -> Self {
        Self::build(config, None)
    }

    /// As [`Pool::new`], with somebody who hears how long streams waited for their places.
    #[must_use]
    pub fn observed(config: PoolConfig, observer: Arc<dyn Observer>) -> Self {
        Self::build(config, Some(observer))
    }

    fn build(config: PoolConfig, observer: Option<Arc<dyn Observer>>) -> Self {
        let locations = Locations::new(config.location_ttl, config.negative_ttl, KNOWN_LOCATIONS);
        let chunk = usize::try_from(config.chunk.max(1)).unwrap_or(usize::MAX);
        let rules = Rules {
            premium: config.streams_premium.min(config.streams_per_session),
            standard: config.streams_standard.min(config.streams_per_session),
            line: config.queue,
            patience: config.max_flood_wait,
        };
        let inner = Inner {
            places: Arc::new(Places::new(rules, observer)),
            locations: Arc::new(locations),
            buffer: Arc::new(Semaphore::new((config.buffer / chunk).min(Semaphore::MAX_PERMITS))),
            retries: Mutex::new(Budget::new(RETRIES_PER_CALL, RETRIES_PER_SECOND, RETRIES_AT_ONCE)),
            hedges: Mutex::new(Budget::new(config.hedges, 0.0, if config.hedges > 0.0 { HEDGES_AT_ONCE } else { 0.0 })),
            tallies: Tallies::default(),
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
        let (lease, location) = self.inner.find(message, freshness, Wish::default(), deadline, None).await?;
        Ok(Opened { pool: Arc::clone(&self.inner), message, lease, location, deadline })
    }

    /// Finds a message's document. Unlike [`Pool::open`], sessions at their cap are asked too.
    ///
    /// # Errors
    /// [`PoolFault`], after every session that might know was asked.
    pub async fn describe(&self, message: MessageRef, freshness: Freshness<'_>) -> Result<Arc<Location>, PoolFault> {
        let deadline = Instant::now() + self.inner.config.deadline;
        let wish = Wish { only_asks: true, ..Wish::default() };
        self.inner.find(message, freshness, wish, deadline, None).await.map(|(_, location)| location)
    }

    /// Takes a session in: streams may be given to it at once.
    pub fn add(&self, source: Arc<S>) -> SessionId {
        self.inner.places.add(source)
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
        let session = self.inner.places.take_out(id)?;
        session.leave(cut);
        self.inner.locations.forget(id);
        Some(session)
    }

    /// Takes note of a fault that a session met in a call outside the pool; of one that left, nothing.
    pub fn note(&self, id: SessionId, fault: &CallFault) {
        if let Some(session) = self.session(id) {
            session.note(fault);
        }
    }

    /// Takes note that a call outside the pool was answered: the session is not warming any more.
    pub fn note_answer(&self, id: SessionId) {
        if let Some(session) = self.session(id) {
            session.note_answer();
        }
    }

    fn session(&self, id: SessionId) -> Option<Arc<Session<S>>> {
        self.inner.places.sessions().into_iter().find(|session| session.id == id)
    }

    /// The pool as it stands.
    #[must_use]
    pub fn report(&self) -> PoolReport {
        let (now, places, tallies) = (Instant::now(), &self.inner.places, &self.inner.tallies);
        let sessions = places.sessions();
        PoolReport {
            sessions: sessions.iter().map(|session| session.report(places.cap(session), now)).collect(),
            waiting: places.waiting(),
            refused: places.refused(),
            retries: tallies.retries.load(Ordering::Relaxed),
            hedges: tallies.hedges.load(Ordering::Relaxed),
            hedges_won: tallies.hedges_won.load(Ordering::Relaxed),
        }
    }
}

/// A document that was found, and the lease to read it.
pub struct Opened<S: Source> {
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
        Body::new(self.pool, self.message, &self.location, self.lease, range, self.deadline)
    }
}
