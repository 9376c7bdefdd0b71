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

pub(crate) struct Session<S> {
    pub(crate) index: usize,
    source: Arc<S>,
    health: Mutex<Health>,
    streams: AtomicUsize,
    counters: Counters,
}

impl<S: Source> Session<S> {
    pub(crate) fn new(index: usize, source: Arc<S>) -> Self {
        Self { index, source, health: Mutex::default(), streams: AtomicUsize::new(0), counters: Counters::default() }
    }

    pub(crate) fn name(&self) -> &str {
        self.source.name()
    }

    pub(crate) fn health(&self) -> Health {
        *self.health.lock()
    }

    pub(crate) fn candidate(&self, cap: usize, eligible: bool) -> Candidate {
        Candidate {
            health: self.health(),
            premium: self.source.is_premium(),
            load: self.streams.load(Ordering::Relaxed),
            cap,
            eligible,
        }
    }

    pub(crate) async fn locate(&self, message: MessageRef) -> Result<Location, LocateFault> {
        self.obey_rest().map_err(LocateFault::Call)?;
        self.counters.lookup();
        let found = self.source.locate(message).await;
        match &found {
            Err(LocateFault::Call(fault)) => self.note(fault),
            _ => self.health.lock().success(),
        }
        found
    }

    pub(crate) async fn get_chunk(&self, location: &Location, offset: u64, limit: u32) -> Result<Bytes, CallFault> {
        self.obey_rest()?;
        let answer = self.source.get_chunk(location, offset, limit).await;
        match &answer {
            Ok(bytes) => {
                self.counters.chunk(bytes.len());
                self.health.lock().success();
            }
            Err(fault) => self.note(fault),
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
            name: self.name().to_owned(),
            premium: self.source.is_premium(),
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
