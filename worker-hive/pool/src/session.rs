//! A session in the pool, and the lease by which a stream holds it.

use crate::health::{Candidate, Health};
use crate::source::Source;
use crate::stats::{Counters, SessionReport};
use bytes::Bytes;
use mtproto::{CallFault, LocateFault, Location, MessageRef};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Names a session of one pool, from [`crate::Pool::add`] on. Never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) u64);

pub(crate) struct Session<S> {
    pub(crate) id: SessionId,
    name: String,
    /// None once the session left the pool: streams may still hold it, and must not keep its connections open.
    source: Mutex<Option<Arc<S>>>,
    /// Calls under way.
    calls: TaskTracker,
    /// Cancelled when calls under way must not be waited for.
    cut: CancellationToken,
    health: Mutex<Health>,
    streams: AtomicUsize,
    counters: Counters,
}

impl<S: Source> Session<S> {
    pub(crate) fn new(id: SessionId, source: Arc<S>) -> Self {
        Self {
            id,
            name: source.name().to_owned(),
            source: Mutex::new(Some(source)),
            calls: TaskTracker::new(),
            cut: CancellationToken::new(),
            health: Mutex::default(),
            streams: AtomicUsize::new(0),
            counters: Counters::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn health(&self) -> Health {
        *self.health.lock()
    }

    /// Begins no more calls. Those under way go on, unless they are `cut`.
    pub(crate) fn leave(&self, cut: bool) {
        self.source.lock().take();
        self.calls.close();
        if cut {
            self.cut.cancel();
        }
    }

    /// Waits, after [`Session::leave`], for the last call.
    pub(crate) async fn left(&self) {
        self.calls.wait().await;
    }

    pub(crate) fn has_left(&self) -> bool {
        self.source.lock().is_none()
    }

    fn source(&self) -> Option<Arc<S>> {
        self.source.lock().clone()
    }

    pub(crate) fn candidate(&self, cap: usize, eligible: bool) -> Candidate {
        let source = self.source();
        Candidate {
            health: self.health(),
            premium: source.as_ref().is_some_and(|source| source.is_premium()),
            load: self.streams.load(Ordering::Relaxed),
            cap,
            eligible: eligible && source.is_some(),
        }
    }

    pub(crate) async fn locate(&self, message: MessageRef) -> Result<Location, LocateFault> {
        let found = self
            .call(async |source| match source.locate(message).await {
                Err(LocateFault::Call(fault)) => Err(fault),
                found => Ok(found),
            })
            .await;
        self.counters.lookup();
        match found {
            Ok(found) => {
                self.health.lock().success();
                found
            }
            Err(fault) => Err(LocateFault::Call(fault)),
        }
    }

    pub(crate) async fn get_chunk(&self, location: &Location, offset: u64, limit: u32) -> Result<Bytes, CallFault> {
        let bytes = self.call(async |source| source.get_chunk(location, offset, limit).await).await?;
        self.counters.chunk(bytes.len());
        self.health.lock().success();
        Ok(bytes)
    }

    /// The way of every call: none begins after the session left or while it rests, and its fault is noted.
    async fn call<T>(&self, ask: impl AsyncFnOnce(&S) -> Result<T, CallFault>) -> Result<T, CallFault> {
        let _under_way = self.calls.token();
        let Some(source) = self.source() else { return Err(gone()) };
        self.obey_rest()?;
        let answer = tokio::select! {
            answer = ask(&source) => answer,
            () = self.cut.cancelled() => return Err(gone()),
        };
        if let Err(fault) = &answer {
            self.note(fault);
        }
        answer
    }

    /// The last gate before a call: whoever chose this session may have done so before another call was told to wait.
    fn obey_rest(&self) -> Result<(), CallFault> {
        let now = Instant::now();
        match self.health().resting_until(now) {
            Some(until) => {
                let left = until.saturating_duration_since(now).as_secs();
                Err(CallFault::Flood { seconds: u32::try_from(left).unwrap_or(u32::MAX), premium_exempt: false })
            }
            None => Ok(()),
        }
    }

    pub(crate) fn note(&self, fault: &CallFault) {
        self.counters.fault(fault);
        let mut health = self.health.lock();
        let was_banned = health.is_banned();
        health.fault(fault, Instant::now());
        let banned_now = health.is_banned() && !was_banned;
        drop(health);
        if banned_now {
            tracing::error!(session = self.name(), %fault, "the session is lost: sign in again and import it, or remove it");
        } else {
            tracing::info!(session = self.name(), %fault, "call failed");
        }
    }

    pub(crate) fn report(&self, now: Instant) -> SessionReport {
        let health = self.health();
        SessionReport {
            id: self.id,
            name: self.name().to_owned(),
            premium: self.source().is_some_and(|source| source.is_premium()),
            streams: self.streams.load(Ordering::Relaxed),
            rests_for: health.resting_until(now).map(|until| until.saturating_duration_since(now)),
            banned: health.is_banned(),
            bytes: 0,
            chunks: 0,
            lookups: 0,
            flood_seconds: 0,
            faults: Vec::new(),
        }
        .counted(&self.counters)
    }
}

fn gone() -> CallFault {
    CallFault::Dropped("the session left the pool".to_owned())
}

/// One stream's hold on a session, counted until it is dropped.
pub(crate) struct Lease<S> {
    session: Arc<Session<S>>,
    freed: Arc<Notify>,
}

impl<S> Lease<S> {
    pub(crate) fn take(session: &Arc<Session<S>>, freed: &Arc<Notify>) -> Self {
        session.streams.fetch_add(1, Ordering::Relaxed);
        Self { session: Arc::clone(session), freed: Arc::clone(freed) }
    }

    pub(crate) fn session(&self) -> &Arc<Session<S>> {
        &self.session
    }
}

impl<S> Drop for Lease<S> {
    fn drop(&mut self) {
        self.session.streams.fetch_sub(1, Ordering::Relaxed);
        self.freed.notify_one();
    }
}
