//! One question's way through the sessions: who next, how long to wait, when to give up, and what their answers say together.

use crate::budget::Budget;
use crate::choice::Choice;
use crate::fault::PoolFault;
use crate::places::{Lease, Unplaced, Wish};
use crate::pool::Inner;
use crate::retry::Retry;
use crate::session::{Session, SessionId};
use crate::source::Source;
use mtproto::{CallFault, LocateFault, MessageRef};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What a session that can't see the document said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unseen {
    /// The chat is not for it.
    NoChat,
    /// It sees the chat, and in it no such message or no document.
    NoMessage,
}

/// What to do next.
pub(crate) enum Step<S: Source> {
    /// Ask this session.
    Ask(Arc<Lease<S>>),
    /// Look again after this time.
    Pause(Duration),
    /// Wait in the line.
    Queue,
}

pub(crate) struct Search<'a, S: Source> {
    pool: &'a Arc<Inner<S>>,
    message: MessageRef,
    retry: Retry,
    /// The stream's own budget of retries, beside the pool's.
    budget: Option<&'a Mutex<Budget>>,
    /// A fault was met, and the call after it is not paid for yet.
    owes: bool,
    /// Failed in this round; asked again in the next.
    avoid: HashSet<SessionId>,
    /// Looked and can't see it.
    unseen: HashMap<SessionId, Unseen>,
    /// What kind of place is looked for; who is excluded follows from the fields above.
    wish: Wish,
    /// When waiting for a free session ends.
    give_up: Instant,
    pub(crate) failures: u32,
}

impl<'a, S: Source> Search<'a, S> {
    /// Looks for such a place; the whole search is over by `deadline`.
    pub(crate) fn new(pool: &'a Arc<Inner<S>>, message: MessageRef, wish: Wish, deadline: Instant) -> Self {
        Self {
            pool,
            message,
            // A viewer in the middle of a film waits as long as its chunk may take.
            give_up: if wish.running { deadline } else { Instant::now() + pool.config.admission },
            retry: Retry::new(deadline),
            budget: None,
            owes: false,
            avoid: HashSet::new(),
            unseen: HashMap::new(),
            wish,
            failures: 0,
        }
    }

    /// The same, with a stream's budget.
    pub(crate) fn within(mut self, budget: &'a Mutex<Budget>) -> Self {
        self.budget = Some(budget);
        self
    }

    /// The document is in this data-centre.
    pub(crate) fn is_about(&mut self, dc: i32) {
        self.wish.dc = Some(dc);
    }

    /// The stream has a place with this session, which counts for nobody else.
    pub(crate) fn holds(&mut self, session: SessionId) {
        self.wish.holds = Some(session);
    }

    pub(crate) fn dc(&self) -> Option<i32> {
        self.wish.dc
    }

    /// What is looked for now.
    pub(crate) fn wish(&self) -> Wish {
        let excluded = self.avoid.iter().chain(self.unseen.keys()).copied().collect();
        Wish { excluded, ..self.wish.clone() }
    }

    /// The session to ask next: the preferred one, as long as it did not fail.
    pub(crate) async fn next(&mut self, prefer: Option<&Arc<Lease<S>>>) -> Result<Arc<Lease<S>>, PoolFault> {
        loop {
            match self.step(prefer)? {
                Step::Ask(lease) => return Ok(lease),
                Step::Pause(time) => sleep(time).await,
                Step::Queue => {
                    if let Some(lease) = self.queue().await? {
                        return Ok(lease);
                    }
                }
            }
        }
    }

    /// What to do now.
    pub(crate) fn step(&mut self, prefer: Option<&Arc<Lease<S>>>) -> Result<Step<S>, PoolFault> {
        let now = Instant::now();
        self.retry.check(now)?;
        if let Some(wait) = self.pay(now) {
            return Ok(Step::Pause(wait));
        }
        if let Some(lease) = prefer.filter(|lease| self.may_ask(lease, now)) {
            return Ok(Step::Ask(Arc::clone(lease)));
        }
        match self.pool.places.take(&self.wish()) {
            Ok(lease) => Ok(Step::Ask(lease)),
            // Everybody else was tried: a pause, then all over again.
            Err(_) if !self.avoid.is_empty() => {
                let revived = self.avoid.iter().any(|id| !self.unseen.contains_key(id));
                self.avoid.clear();
                let pause = if revived && !self.all_rest(now) {
                    self.retry.pause(now, rand::random())?
                } else {
                    Duration::ZERO
                };
                Ok(Step::Pause(pause))
            }
            Err(Choice::Resting(until)) => {
                self.retry.rest(now, until, self.pool.config.max_flood_wait)?;
                Ok(Step::Queue)
            }
            Err(Choice::Busy) => Ok(Step::Queue),
            Err(Choice::Nobody | Choice::Take(_)) => Err(self.verdict()),
        }
    }

    /// Pays for the call after a fault; how long to wait when the budget doesn't allow it now.
    fn pay(&mut self, now: Instant) -> Option<Duration> {
        if !self.owes {
            return None;
        }
        if let Some(Err(wait)) = self.budget.map(|budget| budget.lock().check(now)) {
            return Some(wait);
        }
        if let Err(wait) = self.pool.retries.lock().take(now) {
            return Some(wait);
        }
        if let Some(budget) = self.budget {
            let _ = budget.lock().take(now);
        }
        self.owes = false;
        self.pool.tallies.retries.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Waits for a place; `None` when it is better to look again.
    pub(crate) async fn queue(&mut self) -> Result<Option<Arc<Lease<S>>>, PoolFault> {
        // A rest that is short enough to be waited for is waited for to its end.
        let until = match self.pool.places.take(&self.wish()) {
            Ok(lease) => return Ok(Some(lease)),
            Err(Choice::Resting(until)) => self.give_up.max(until + Duration::from_millis(10)),
            Err(_) => self.give_up,
        };
        match self.pool.places.wait(self.wish(), until).await {
            Ok(lease) => Ok(Some(lease)),
            Err(Unplaced::Nobody) => Ok(None),
            Err(Unplaced::Resting(retry_after)) => Err(PoolFault::FloodWait { retry_after }),
            // What keeps the places from it may be the very faults that it met.
            Err(Unplaced::Busy(retry_after)) => {
                Err(self.retry.last_fault().unwrap_or(PoolFault::NoSession { retry_after: Some(retry_after) }))
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
        } else if self.unseen.is_empty() || !self.pool.places.sessions().iter().all(looked) {
            PoolFault::NoSession { retry_after: None }
        } else {
            PoolFault::NotFound
        }
    }

    /// A rest is not a reason to pause: it is waited for, or told.
    fn all_rest(&self, now: Instant) -> bool {
        let sessions = self.pool.places.sessions();
        sessions.iter().all(|session| session.is_banned() || session.rests_until(now).is_some())
    }

    /// True when a stream that holds this lease may ask by it again.
    pub(crate) fn may_ask(&self, lease: &Arc<Lease<S>>, now: Instant) -> bool {
        let session = lease.session();
        !self.avoid.contains(&session.id)
            && !self.unseen.contains_key(&session.id)
            && session.may_go_on(self.wish.dc.unwrap_or(0), now)
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
        // Whoever told to wait is not asked again before its time: that bounds such calls already.
        if !matches!(fault, CallFault::Flood { .. } | CallFault::Resting { .. }) {
            self.owes = true;
            self.retry.failed(fault);
        }
    }
}
