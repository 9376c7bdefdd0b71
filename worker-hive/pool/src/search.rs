//! One question's way through the sessions: who next, how long to wait, when to give up, and what their answers say together.

use crate::fault::PoolFault;
use crate::health::Choice;
use crate::pool::Inner;
use crate::retry::Retry;
use crate::session::{Lease, Session, SessionId};
use crate::source::Source;
use mtproto::{CallFault, LocateFault, MessageRef};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// When all sessions are at their cap: streams end all the time, so soon.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a session that can't see the document said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unseen {
    /// The chat is not for it.
    NoChat,
    /// It sees the chat, and in it no such message or no document.
    NoMessage,
}

pub(crate) struct Search<'a, S> {
    pool: &'a Arc<Inner<S>>,
    message: MessageRef,
    retry: Retry,
    /// Failed in this round; asked again in the next.
    avoid: HashSet<SessionId>,
    /// Looked and can't see it.
    unseen: HashMap<SessionId, Unseen>,
    cap: usize,
    /// When waiting for a free session ends.
    give_up: Instant,
    pub(crate) failures: u32,
}

impl<'a, S: Source> Search<'a, S> {
    /// `cap` is how many streams a session may carry to be taken; the whole search is over by `deadline`.
    pub(crate) fn new(pool: &'a Arc<Inner<S>>, message: MessageRef, cap: usize, deadline: Instant) -> Self {
        Self {
            pool,
            message,
            cap,
            give_up: Instant::now() + pool.config.admission,
            retry: Retry::new(deadline),
            avoid: HashSet::new(),
            unseen: HashMap::new(),
            failures: 0,
        }
    }

    /// The session to ask next: the preferred one, which the stream holds already, as long as it did not fail.
    pub(crate) async fn next(&mut self, prefer: Option<&Arc<Lease<S>>>) -> Result<Arc<Lease<S>>, PoolFault> {
        loop {
            let now = Instant::now();
            self.retry.check(now)?;
            if let Some(lease) = prefer.filter(|lease| self.may_ask(lease, now)) {
                return Ok(Arc::clone(lease));
            }
            let tried = !self.avoid.is_empty();
            match self.pool.lease(now, self.cap, |id| !self.avoid.contains(&id) && !self.unseen.contains_key(&id)) {
                Ok(lease) => return Ok(lease),
                // Everybody else was tried: a pause, then all over again.
                Err(_) if tried => {
                    let revived = self.avoid.iter().any(|id| !self.unseen.contains_key(id));
                    self.avoid.clear();
                    if revived {
                        self.pause(now, prefer).await?;
                    }
                }
                Err(Choice::Resting(until)) => {
                    let until = self.retry.rest(now, until, self.pool.config.max_flood_wait)?;
                    tokio::time::sleep_until(until).await;
                }
                Err(Choice::Busy) => self.queue(now).await?,
                Err(Choice::Nobody | Choice::Take(_)) => return Err(self.verdict()),
            }
        }
    }

    /// Every session looked and did not find it, or is banned. A banned one did not look: it may have been the only one that could
    /// see the chat, and what is told to be absent is forgotten by whoever asks. Once some session saw the chat, its word on what
    /// is in it is enough.
    fn verdict(&self) -> PoolFault {
        let looked = |session: &Arc<Session<S>>| self.unseen.contains_key(&session.id);
        if self.unseen.values().any(|unseen| *unseen == Unseen::NoMessage) {
            self.pool.absent(self.message)
        } else if self.unseen.is_empty() || !self.pool.sessions().iter().all(looked) {
            PoolFault::NoSession { retry_after: None }
        } else {
            PoolFault::NotFound
        }
    }

    /// After a round in which every session failed. A rest is not a reason to pause: it is waited for, or told.
    async fn pause(&mut self, now: Instant, prefer: Option<&Arc<Lease<S>>>) -> Result<(), PoolFault> {
        let rests = |lease: &Arc<Lease<S>>| lease.session().health().resting_until(now).is_some();
        let sessions = self.pool.sessions();
        let all_rest = sessions
            .iter()
            .all(|session| session.health().is_banned() || session.health().resting_until(now).is_some());
        if all_rest || (sessions.len() == 1 && prefer.is_some_and(rests)) {
            return Ok(());
        }
        let pause = self.retry.pause(now, rand::random())?;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// All sessions that could be asked are at their cap: waits for one stream to end.
    async fn queue(&self, now: Instant) -> Result<(), PoolFault> {
        let freed = self.pool.freed.notified();
        let left = self.give_up.saturating_duration_since(now);
        // Nobody tells when a flood wait ends, so the wait is cut into pieces.
        let piece = left.min(BUSY_RETRY_AFTER);
        if piece.is_zero() {
            return Err(PoolFault::NoSession { retry_after: Some(BUSY_RETRY_AFTER) });
        }
        let _ = tokio::time::timeout(piece, freed).await;
        Ok(())
    }

    fn may_ask(&self, lease: &Arc<Lease<S>>, now: Instant) -> bool {
        let session = lease.session();
        let health = session.health();
        !self.avoid.contains(&session.id)
            && !self.unseen.contains_key(&session.id)
            && !session.has_left()
            && !health.is_banned()
            && health.resting_until(now).is_none()
    }

    /// The session did not find the document.
    pub(crate) fn missed(&mut self, lease: &Arc<Lease<S>>, fault: &LocateFault) {
        let unseen = match fault {
            LocateFault::NoChat => Unseen::NoChat,
            LocateFault::NoMessage | LocateFault::NoDocument => Unseen::NoMessage,
            LocateFault::Call(fault) => return self.failed(lease, fault),
        };
        self.unseen.insert(lease.session().id, unseen);
    }

    /// The session's call failed.
    pub(crate) fn failed(&mut self, lease: &Arc<Lease<S>>, fault: &CallFault) {
        self.failures += 1;
        self.avoid.insert(lease.session().id);
        if !matches!(fault, CallFault::Flood { .. }) {
            self.retry.failed(fault);
        }
    }
}
