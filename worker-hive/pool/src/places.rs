//! Who is in the pool, who holds what, and who waits for a place.

use crate::choice::{Candidate, Choice, Taste, choose};
use crate::ends::Ends;
use crate::line::Line;
use crate::news::News;
use crate::session::{Session, SessionId};
use crate::source::Source;
use crate::trust::Standing;
use mtproto::Reach;
use parking_lot::Mutex;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// Hears what can't be read off a report.
pub trait Observer: Send + Sync {
    /// A stream that is about to begin waited so long for its place.
    fn waited(&self, time: Duration);

    /// A chunk came, so long after its session was asked for it, the session's own line included. One that was asked for twice counts once.
    fn fetched(&self, time: Duration);
}

/// How many streams a session may carry, and how many may wait.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) premium: usize,
    pub(crate) standard: usize,
    pub(crate) line: usize,
    pub(crate) patience: Duration,
}

/// What a stream looks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish {
    /// Not these.
    pub(crate) excluded: Vec<SessionId>,
    /// The document's data-centre, once it is known.
    pub(crate) dc: Option<i32>,
    /// It has begun, and lost its place.
    pub(crate) running: bool,
    /// The session that it has a place with.
    pub(crate) holds: Option<SessionId>,
    /// It asks one question and needs no place.
    pub(crate) only_asks: bool,
    /// Only who is connected there already.
    pub(crate) only_warm: bool,
}

/// Why a wait ended without a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unplaced {
    /// Nobody is left who could be asked.
    Nobody,
    /// All rest; the first one is back after so long.
    Resting(Duration),
    /// There was no place in time, or the line is too long. Some place is likely to be free after so long.
    Busy(Duration),
}

struct Waiter<S: Source> {
    wish: Wish,
    give: oneshot::Sender<Option<Arc<Lease<S>>>>,
}

struct State<S: Source> {
    sessions: Vec<Arc<Session<S>>>,
    next_id: u64,
    turn: usize,
    line: Line<Waiter<S>>,
    ends: Ends,
    refused: u64,
    /// When places were last handed out.
    served: Option<Instant>,
    /// The next end of a rest or a quarantine, as of then.
    next_end: Option<Instant>,
}

pub(crate) struct Places<S: Source> {
    /// Held while choosing and taking, so that two streams can't both take a session's last place.
    state: Mutex<State<S>>,
    rules: Rules,
    observer: Option<Arc<dyn Observer>>,
    /// Told by sessions when a trial is over, and of faults.
    news: Arc<News>,
}

impl<S: Source> Places<S> {
    pub(crate) fn new(rules: Rules, observer: Option<Arc<dyn Observer>>) -> Self {
        let state = State {
            sessions: Vec::new(),
            next_id: 0,
            turn: 0,
            line: Line::new(rules.line),
            ends: Ends::default(),
            refused: 0,
            served: None,
            next_end: None,
        };
        Self { state: Mutex::new(state), rules, observer, news: Arc::default() }
    }

    /// Tells the observer of a chunk that came.
    pub(crate) fn fetched(&self, time: Duration) {
        if let Some(observer) = &self.observer {
            observer.fetched(time);
        }
    }

    pub(crate) fn sessions(&self) -> Vec<Arc<Session<S>>> {
        self.state.lock().sessions.clone()
    }

    pub(crate) fn add(self: &Arc<Self>, source: Arc<S>) -> SessionId {
        let mut state = self.state.lock();
        let id = SessionId(state.next_id);
        state.next_id += 1;
        state.sessions.push(Arc::new(Session::new(id, source, Arc::clone(&self.news))));
        drop(state);
        self.hand_out();
        id
    }

    pub(crate) fn take_out(self: &Arc<Self>, id: SessionId) -> Option<Arc<Session<S>>> {
        let mut state = self.state.lock();
        let at = state.sessions.iter().position(|session| session.id == id)?;
        let session = state.sessions.remove(at);
        drop(state);
        // Who waits for a place on it may find that nobody is left.
        self.hand_out();
        Some(session)
    }

    pub(crate) fn cap(&self, session: &Session<S>) -> usize {
        if session.is_premium() { self.rules.premium } else { self.rules.standard }
    }

    /// Streams that wait for a place.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().line.len()
    }

    /// Streams that were sent away without a place.
    pub(crate) fn refused(&self) -> u64 {
        self.state.lock().refused
    }

    /// A place at once.
    pub(crate) fn take(self: &Arc<Self>, wish: &Wish) -> Result<Arc<Lease<S>>, Choice> {
        let now = Instant::now();
        let mut state = self.state.lock();
        // Nobody overtakes those who wait; whom they can't use is found when this one is in the line too.
        if !state.line.is_empty() && !wish.only_asks {
            return match self.choose(&state, wish, now) {
                Choice::Take(_) => Err(Choice::Busy),
                other => Err(other),
            };
        }
        let lease = self.pick(&mut state, wish, now)?;
        drop(state);
        if let Some(observer) = self.observer.as_ref().filter(|_| !wish.running && !wish.only_asks) {
            observer.waited(Duration::ZERO);
        }
        Ok(lease)
    }

    /// Waits in the line until `until`. Whoever stops waiting leaves the line.
    pub(crate) async fn wait(self: &Arc<Self>, wish: Wish, until: Instant) -> Result<Arc<Lease<S>>, Unplaced> {
        let (began, running) = (Instant::now(), wish.running);
        let (give, mut given) = oneshot::channel();
        let number = {
            let mut state = self.state.lock();
            match state.line.join(running, Waiter { wish: wish.clone(), give }) {
                Some(number) => number,
                None => {
                    state.refused += 1;
                    return Err(Unplaced::Busy(self.estimate(&state, state.line.len(), began)));
                }
            }
        };
        let _in_line = InLine { places: self, number };
        // Nobody has looked for this one yet.
        let mut due = true;
        loop {
            let mut news = pin!(self.news.heard());
            // Listens from here on: a trial may end while places are handed out.
            news.as_mut().enable();
            // All who wait hear the same news, and one who acts on it acts for all.
            if self.news.take() || due {
                self.hand_out();
            }
            // Ends of streams and trials are told, and that a flood wait or a quarantine begins; nobody tells when it ends.
            let next = self.next_change().map_or(until, |next| next.min(until));
            tokio::select! {
                biased;
                lease = &mut given => {
                    let lease = lease.ok().flatten().ok_or(Unplaced::Nobody)?;
                    if let Some(observer) = self.observer.as_ref().filter(|_| !running) {
                        observer.waited(began.elapsed());
                    }
                    return Ok(lease);
                }
                () = news => due = false,
                () = sleep_until(next) => due = self.state.lock().served.is_none_or(|served| served < next),
            }
            let now = Instant::now();
            if now >= until {
                let mut state = self.state.lock();
                state.refused += 1;
                return Err(match self.choose(&state, &wish, now) {
                    Choice::Resting(until) => Unplaced::Resting(until.saturating_duration_since(now)),
                    Choice::Nobody => Unplaced::Nobody,
                    Choice::Busy | Choice::Take(_) => {
                        Unplaced::Busy(self.estimate(&state, state.line.ahead_of(number), now))
                    }
                });
            }
        }
    }

    /// A better session than the one that `held` is of, now that the document's data-centre is known: one that need not carry its
    /// authorization there, where this one must.
    pub(crate) fn nearer(self: &Arc<Self>, held: &Lease<S>, wish: &Wish) -> Option<Arc<Lease<S>>> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let here = held.session.candidate(wish.dc, self.cap(&held.session), true, now);
        let here = Candidate { load: here.load.saturating_sub(1), ..here };
        if here.reach != Reach::Foreign || !state.line.is_empty() {
            return None;
        }
        let Choice::Take(index) = self.choose(&state, wish, now) else { return None };
        let session = Arc::clone(&state.sessions[index]);
        let there = session.candidate(wish.dc, self.cap(&session), true, now);
        let nearer = session.id != held.session.id && there.compare(&here, false).is_lt();
        nearer.then(|| self.hold(&mut state, &session, true, now))
    }

    fn choose(&self, state: &State<S>, wish: &Wish, now: Instant) -> Choice {
        let candidates: Vec<_> = state
            .sessions
            .iter()
            .map(|session| {
                let mut candidate =
                    session.candidate(wish.dc, self.cap(session), !wish.excluded.contains(&session.id), now);
                candidate.eligible &= !wish.only_warm || candidate.reach == Reach::Warm;
                if wish.holds == Some(session.id) {
                    candidate.load = candidate.load.saturating_sub(1);
                    if candidate.standing == Standing::Probation {
                        // Those who share it would each wait for the others to leave, and nobody would try it. It lets one call at a
                        // time pass by itself.
                        (candidate.load, candidate.on_trial) = (0, false);
                    }
                }
                if wish.only_asks {
                    candidate.cap = candidate.cap.max(candidate.load + 1);
                }
                candidate
            })
            .collect();
        choose(&candidates, Taste { careful: wish.running, patience: self.rules.patience }, now, state.turn)
    }

    fn pick(self: &Arc<Self>, state: &mut State<S>, wish: &Wish, now: Instant) -> Result<Arc<Lease<S>>, Choice> {
        match self.choose(state, wish, now) {
            Choice::Take(index) => {
                state.turn = state.turn.wrapping_add(1);
                let session = Arc::clone(&state.sessions[index]);
                let counted = !wish.only_asks && wish.holds != Some(session.id);
                Ok(self.hold(state, &session, counted, now))
            }
            other => Err(other),
        }
    }

    fn hold(
        self: &Arc<Self>,
        state: &mut State<S>,
        session: &Arc<Session<S>>,
        counted: bool,
        now: Instant,
    ) -> Arc<Lease<S>> {
        if counted {
            session.stream_begins();
            state.ends.began(now);
        }
        Arc::new(Lease { session: Arc::clone(session), places: Arc::clone(self), counted })
    }

    /// Gives what is free to those who wait.
    fn hand_out(self: &Arc<Self>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.line.is_empty() {
            return;
        }
        let mut line = std::mem::replace(&mut state.line, Line::new(0));
        let served = line.serve(|waiter| match self.pick(&mut state, &waiter.wish, now) {
            Ok(lease) => Some(Some(lease)),
            Err(Choice::Nobody) => Some(None),
            Err(_) => None,
        });
        state.line = line;
        state.served = Some(now);
        let next_end = state.sessions.iter().filter_map(|session| session.next_change(now)).min();
        // A rest that nobody told of: it was heard by who didn't wait for the answer.
        let unknown = next_end != state.next_end;
        state.next_end = next_end;
        drop(state);
        if unknown {
            self.news.wake();
        }
        for (waiter, lease) in served {
            // What nobody fetches is dropped here, without the lock, and handed on.
            let _ = waiter.give.send(lease);
        }
    }

    /// When the next flood wait or quarantine ends.
    fn next_change(&self) -> Option<Instant> {
        let now = Instant::now();
        self.state.lock().sessions.iter().filter_map(|session| session.next_change(now)).min()
    }

    fn estimate(&self, state: &State<S>, ahead: usize, now: Instant) -> Duration {
        let floods: Vec<_> = state
            .sessions
            .iter()
            .filter_map(|session| {
                let free = self.cap(session).saturating_sub(session.streams());
                session.rests_until(now).map(|until| (until, free))
            })
            .collect();
        state.ends.wait(ahead, &floods, now)
    }
}

struct InLine<'a, S: Source> {
    places: &'a Arc<Places<S>>,
    number: u64,
}

impl<S: Source> Drop for InLine<'_, S> {
    fn drop(&mut self) {
        self.places.state.lock().line.leave(self.number);
    }
}

/// One stream's hold on a session, counted until it is dropped.
pub(crate) struct Lease<S: Source> {
    session: Arc<Session<S>>,
    places: Arc<Places<S>>,
    /// False for who only asks a question.
    counted: bool,
}

impl<S: Source> Lease<S> {
    pub(crate) fn session(&self) -> &Arc<Session<S>> {
        &self.session
    }
}

impl<S: Source> Drop for Lease<S> {
    fn drop(&mut self) {
        if self.counted {
            self.session.stream_ends();
            self.places.state.lock().ends.ended(Instant::now());
            self.places.hand_out();
        }
    }
}

impl<S: Source> fmt::Debug for Lease<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("session", &self.session.id).finish_non_exhaustive()
    }
}
