//! A session in the pool: the way of every call, and what is known of it.

use crate::choice::Candidate;
use crate::health::Health;
use crate::meter::{Meter, Times};
use crate::news::News;
use crate::source::Source;
use crate::stats::{Counters, SessionReport, SessionState};
use crate::trust::Standing;
use bytes::Bytes;
use mtproto::{Ask, CallFault, LocateFault, Location, MessageRef, Reach};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use traces::{Kind, Span, spanned};

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
    /// Held by the one call that is made to see whether the session is to be trusted again.
    trial: Semaphore,
    /// Told when a trial is over, as there may be room now, and of faults, as there may be a new time to wait for.
    news: Arc<News>,
    streams: AtomicUsize,
    counters: Counters,
    meter: Mutex<Meter>,
    times: Mutex<Times>,
}

/// The right to make the one call that shows whether the session is back.
struct Trial<'a> {
    permit: Option<SemaphorePermit<'a>>,
    news: &'a News,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.news.tell();
    }
}

/// A call that was let pass.
struct Begun<'a, S> {
    source: Arc<S>,
    dc: i32,
    asked: Instant,
    _trial: Option<Trial<'a>>,
    _under_way: TaskTrackerToken,
}

impl<S: Source> Session<S> {
    pub(crate) fn new(id: SessionId, source: Arc<S>, news: Arc<News>) -> Self {
        Self {
            id,
            name: source.name().to_owned(),
            source: Mutex::new(Some(source)),
            calls: TaskTracker::new(),
            cut: CancellationToken::new(),
            health: Mutex::default(),
            trial: Semaphore::new(1),
            news,
            streams: AtomicUsize::new(0),
            counters: Counters::default(),
            meter: Mutex::default(),
            times: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
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

    fn source(&self) -> Option<Arc<S>> {
        self.source.lock().clone()
    }

    pub(crate) fn is_premium(&self) -> bool {
        self.source().is_some_and(|source| source.is_premium())
    }

    pub(crate) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    pub(crate) fn stream_begins(&self) {
        self.streams.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn stream_ends(&self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_banned(&self) -> bool {
        self.health.lock().is_banned()
    }

    pub(crate) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.known(self.source().as_ref()).resting_until(now)
    }

    /// What is known of it, with what its source knows of waits: an answer that nobody waited for may have told one.
    fn known(&self, source: Option<&Arc<S>>) -> MutexGuard<'_, Health> {
        let rests_until = source.and_then(|source| source.rests_until());
        let mut health = self.health.lock();
        if let Some(until) = rests_until {
            health.rest(until);
        }
        health
    }

    /// When it may be asked for more than now, as far as a clock tells.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let health = self.known(self.source().as_ref());
        let out = health.standings(now).filter_map(|(_, standing)| match standing {
            Standing::Out(until) => Some(until),
            _ => None,
        });
        health.resting_until(now).into_iter().chain(out).min()
    }

    /// True when a stream that holds it may go on asking it about a data-centre.
    pub(crate) fn may_go_on(&self, dc: i32, now: Instant) -> bool {
        let source = self.source();
        let health = self.known(source.as_ref());
        let in_service = !health.is_banned()
            && health.resting_until(now).is_none()
            && !matches!(health.standing(dc, now), Standing::Out(_));
        in_service && source.is_some()
    }

    /// True when an extra call may be made over another of its connections.
    pub(crate) fn may_be_hedged(&self, dc: i32, now: Instant) -> bool {
        let trusted = self.health.lock().standing(dc, now) == Standing::Trusted;
        trusted && self.may_go_on(dc, now) && self.source().is_some_and(|source| source.warm_connections(dc) > 1)
    }

    /// The time within which it answers most calls.
    pub(crate) fn answers_within(&self) -> Option<Duration> {
        self.times.lock().most_within()
    }

    pub(crate) fn candidate(&self, dc: Option<i32>, cap: usize, eligible: bool, now: Instant) -> Candidate {
        let source = self.source();
        let dc = dc.or_else(|| source.as_ref().map(|source| source.home_dc())).unwrap_or(0);
        let health = self.known(source.as_ref());
        Candidate {
            eligible: eligible && source.is_some() && !health.is_banned(),
            resting: health.resting_until(now),
            standing: health.standing(dc, now),
            on_trial: self.trial.available_permits() == 0,
            premium: source.as_ref().is_some_and(|source| source.is_premium()),
            reach: source.as_ref().map_or(Reach::Foreign, |source| source.reach(dc)),
            load: self.streams(),
            cap,
        }
    }

    pub(crate) async fn locate(&self, message: MessageRef) -> Result<Location, LocateFault> {
        let call = self.begin(None).await.map_err(LocateFault::Call)?;
        self.counters.lookup();
        let found = tokio::select! {
            found = spanned(self.span("messages.getMessages"), call.source.locate(message)) => found,
            () = self.cut.cancelled() => return Err(LocateFault::Call(gone())),
        };
        self.end(&call, if let Err(LocateFault::Call(fault)) = &found { Some(fault) } else { None });
        found
    }

    pub(crate) async fn get_chunk(
        &self,
        location: &Location,
        offset: u64,
        limit: u32,
        ask: &Ask,
    ) -> Result<Bytes, CallFault> {
        let call = self.begin(Some(location.dc)).await?;
        let span = self.span("upload.getFile");
        span.number("streamvault.offset", offset);
        span.number("streamvault.dc", u64::from(location.dc.unsigned_abs()));
        let answer = tokio::select! {
            answer = spanned(span, call.source.get_chunk(location, offset, limit, ask)) => answer,
            () = self.cut.cancelled() => return Err(gone()),
        };
        self.end(&call, answer.as_ref().err());
        if let Ok(bytes) = &answer {
            let now = Instant::now();
            self.counters.chunk(bytes.len());
            self.meter.lock().add(u64::try_from(bytes.len()).unwrap_or(0), now);
            self.times.lock().add(now.saturating_duration_since(ask.sent_at().unwrap_or(call.asked)));
        }
        answer
    }

    /// A call's.
    fn span(&self, method: &'static str) -> Span {
        let span = Span::current().child(method, Kind::Client);
        span.text("streamvault.session", &self.name);
        span
    }

    /// The way of every call: none begins after the session left or while it rests, none but a trial while it isn't trusted.
    async fn begin(&self, dc: Option<i32>) -> Result<Begun<'_, S>, CallFault> {
        let under_way = self.calls.token();
        let Some(source) = self.source() else { return Err(gone()) };
        let dc = dc.unwrap_or_else(|| source.home_dc());
        let trial = self.admit(dc).await?;
        self.obey_rest()?;
        Ok(Begun { source, dc, asked: Instant::now(), _trial: trial, _under_way: under_way })
    }

    /// Takes note of what came of a call.
    fn end(&self, call: &Begun<'_, S>, fault: Option<&CallFault>) {
        match fault {
            None => self.health.lock().success(call.dc, call.asked, Instant::now()),
            Some(fault) => self.fault(call.dc, fault, call.asked),
        }
    }

    /// Lets a call of a trusted session pass. Of others one at a time passes, and who waited for it heeds what came of it.
    async fn admit(&self, dc: i32) -> Result<Option<Trial<'_>>, CallFault> {
        let standing = || self.health.lock().standing(dc, Instant::now());
        if standing() == Standing::Trusted {
            return Ok(None);
        }
        let first = self.trial.try_acquire();
        let waited = first.is_err();
        let trial = match first {
            Ok(trial) => trial,
            Err(_) => tokio::select! {
                trial = self.trial.acquire() => trial.map_err(|_| gone())?,
                () = self.cut.cancelled() => return Err(gone()),
            },
        };
        let trial = Trial { permit: Some(trial), news: &self.news };
        match standing() {
            _ if self.source.lock().is_none() => Err(gone()),
            Standing::Trusted => Ok(None),
            Standing::Out(_) if waited => Err(CallFault::Dropped("the session is in quarantine".to_owned())),
            Standing::Out(_) | Standing::Probation => Ok(Some(trial)),
        }
    }

    /// The last gate before a call: whoever chose this session may have done so before another call was told to wait.
    fn obey_rest(&self) -> Result<(), CallFault> {
        let now = Instant::now();
        match self.rests_until(now) {
            Some(until) => Err(CallFault::Resting { until }),
            None => Ok(()),
        }
    }

    /// Takes note of a fault that a call outside the pool met.
    pub(crate) fn note(&self, fault: &CallFault) {
        let home = self.source().map_or(0, |source| source.home_dc());
        self.fault(home, fault, Instant::now());
    }

    /// Takes note that a call outside the pool was answered.
    pub(crate) fn note_answer(&self) {
        let (home, now) = (self.source().map_or(0, |source| source.home_dc()), Instant::now());
        self.health.lock().success(home, now, now);
    }

    fn fault(&self, dc: i32, fault: &CallFault, asked: Instant) {
        self.counters.fault(fault);
        let now = Instant::now();
        let mut health = self.health.lock();
        let before = (health.is_banned(), health.standing(dc, now));
        health.fault(dc, fault, asked, now);
        let after = (health.is_banned(), health.standing(dc, now));
        drop(health);
        // Whoever waits in the line sleeps until the first change that was due when it joined.
        self.news.tell();
        match (before, after) {
            ((false, _), (true, _)) => {
                tracing::error!(session = self.name(), %fault, "the session is lost: sign in again and import it, or remove it");
            }
            ((_, Standing::Trusted | Standing::Probation), (_, Standing::Out(until))) => {
                let seconds = until.saturating_duration_since(now).as_secs();
                tracing::warn!(session = self.name(), dc, %fault, seconds, "the session is in quarantine");
            }
            // Many may hear of one wait.
            _ if matches!(fault, CallFault::Resting { .. }) => {
                tracing::debug!(session = self.name(), dc, %fault, "call not made");
            }
            _ => tracing::info!(session = self.name(), dc, %fault, "call failed"),
        }
    }

    pub(crate) fn report(&self, cap: usize, now: Instant) -> SessionReport {
        let source = self.source();
        let health = self.known(source.as_ref());
        let state = match health.worst_standing(now) {
            _ if health.is_banned() => SessionState::Banned,
            _ if health.resting_until(now).is_some() => SessionState::Flood,
            Standing::Out(_) => SessionState::Quarantined,
            Standing::Probation => SessionState::Probation,
            Standing::Trusted if !health.has_answered() => SessionState::Warming,
            Standing::Trusted => SessionState::Ready,
        };
        let doubted = health.standings(now).filter_map(|(dc, standing)| match standing {
            Standing::Trusted => None,
            Standing::Probation => Some((dc, SessionState::Probation)),
            Standing::Out(_) => Some((dc, SessionState::Quarantined)),
        });
        let doubted = doubted.collect();
        let rests_for = health.resting_until(now).map(|until| until.saturating_duration_since(now));
        let last_error = health.last_error();
        drop(health);
        SessionReport {
            id: self.id,
            name: self.name().to_owned(),
            bot: source.as_ref().is_some_and(|source| source.is_bot()),
            premium: source.as_ref().is_some_and(|source| source.is_premium()),
            home_dc: source.as_ref().map_or(0, |source| source.home_dc()),
            state,
            streams: self.streams(),
            cap,
            bytes_per_second: self.meter.lock().rate(now),
            rests_for,
            last_error,
            doubted,
            datacentres: source.as_ref().map(|source| source.datacentres()).unwrap_or_default(),
            calls: source.as_ref().map(|source| source.calls()).unwrap_or_default(),
            counts: self.counters.counts(),
        }
    }
}

fn gone() -> CallFault {
    CallFault::Dropped("the session left the pool".to_owned())
}
