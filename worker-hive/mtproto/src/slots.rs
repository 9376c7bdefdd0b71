//! How many chunks of one account and data-centre are asked for at once, and in what order.
//!
//! Telegram limits an account's bytes per second. What is asked for beyond that queues on the wire, where it counts against its own
//! time-out and can't be taken back. So calls queue here instead, before their clocks start: those that a viewer waits for first, the
//! rest first come first served. As many are let out as more of them bring more bytes per second; half as many when answers come late
//! or not in time.

use crate::climb::Climb;
use parking_lot::Mutex;
use std::any::Any;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// Calls per connection at the start: one is answered while the other is on its way.
pub(crate) const FIRST: usize = 2;
/// Calls per connection at most.
const MOST: usize = 4;

pub(crate) struct Slots {
    state: Mutex<State>,
    patience: Duration,
}

struct State {
    connections: usize,
    climb: Climb,
    taken: usize,
    next_waiter: u64,
    urgent: VecDeque<Waiter>,
    others: VecDeque<Waiter>,
    last_cut: Option<Instant>,
    last_answer: Option<Instant>,
}

struct Waiter {
    id: u64,
    give: oneshot::Sender<Slot>,
}

/// One call's place. Kept until the answer is there or never comes, whether or not anybody waits for it.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    /// What the call was to hold for as long.
    held: Option<Arc<dyn Any + Send + Sync>>,
}

/// How full the places are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Places there are.
    pub(crate) limit: usize,
    /// Calls that wait for one.
    pub(crate) waiting: usize,
}

impl Slots {
    /// For so many connections, on each of which a call has `patience` to be answered.
    pub(crate) fn new(connections: usize, patience: Duration) -> Self {
        let connections = connections.max(1);
        let state = State {
            connections,
            climb: Climb::new(connections * FIRST, 1, connections * MOST),
            taken: 0,
            next_waiter: 0,
            urgent: VecDeque::new(),
            others: VecDeque::new(),
            last_cut: None,
            last_answer: None,
        };
        Self { state: Mutex::new(state), patience }
    }

    /// Waits for a slot as long as calls are answered at all; `None` when for the length of the patience none was.
    pub(crate) async fn take(self: &Arc<Self>, urgent: bool) -> Option<Slot> {
        let (_place, given) = match self.take_or_wait(urgent) {
            Ok(slot) => return Some(slot),
            Err(waiting) => waiting,
        };
        let mut given = pin!(given);
        loop {
            match timeout(self.patience, &mut given).await {
                Ok(slot) => return slot.ok(),
                Err(_) => {
                    self.state.lock().last_answer.filter(|at| at.elapsed() < self.patience)?;
                }
            }
        }
    }

    fn take_or_wait(self: &Arc<Self>, urgent: bool) -> Result<Slot, (Place, oneshot::Receiver<Slot>)> {
        let mut state = self.state.lock();
        let ahead = !state.urgent.is_empty() || (!urgent && !state.others.is_empty());
        if state.taken < state.climb.level() && !ahead {
            state.taken += 1;
            return Ok(Slot { slots: Arc::clone(self), held: None });
        }
        let (give, given) = oneshot::channel();
        let id = state.next_waiter;
        state.next_waiter += 1;
        let line = if urgent { &mut state.urgent } else { &mut state.others };
        line.push_back(Waiter { id, give });
        Err((Place { slots: Arc::clone(self), id }, given))
    }

    /// True when a call would not have to wait.
    pub(crate) fn is_free(&self, urgent: bool) -> bool {
        let state = self.state.lock();
        state.taken < state.climb.level() && state.urgent.is_empty() && (urgent || state.others.is_empty())
    }

    /// The line is so many connections wide now.
    pub(crate) fn resize(self: &Arc<Self>, connections: usize) {
        let mut state = self.state.lock();
        let connections = connections.max(1);
        if connections == state.connections {
            return;
        }
        let more = connections.saturating_sub(state.connections);
        state.connections = connections;
        state.climb.rebound(1, connections * MOST, more * FIRST);
        drop(state);
        self.hand_out();
    }

    pub(crate) fn fill(&self) -> Fill {
        let state = self.state.lock();
        Fill { limit: state.climb.level(), waiting: state.urgent.len() + state.others.len() }
    }

    /// A call that was sent at `asked` is late, or was told to come back later. Calls from before the last cut say nothing about
    /// what came of it.
    fn cut(&self, asked: Instant, now: Instant) {
        let mut state = self.state.lock();
        if state.last_cut.is_none_or(|cut| cut <= asked) {
            state.last_cut = Some(now);
            state.climb.setback();
        }
    }

    /// Gives free places to those who wait.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let mut state = self.state.lock();
            if state.taken >= state.climb.level() {
                return;
            }
            let Some(waiter) = state.urgent.pop_front().or_else(|| state.others.pop_front()) else { return };
            state.taken += 1;
            drop(state);
            // Whoever left meanwhile drops the slot, which hands it on.
            let _ = waiter.give.send(Slot { slots: Arc::clone(self), held: None });
        }
    }
}

/// A place in the line, left when its owner goes away.
struct Place {
    slots: Arc<Slots>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.slots.state.lock();
        state.urgent.retain(|waiter| waiter.id != self.id);
        state.others.retain(|waiter| waiter.id != self.id);
    }
}

impl Slot {
    /// Keeps `held` as long as the slot.
    pub(crate) fn holding(mut self, held: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        self.held = held;
        self
    }

    /// The call that was sent at `asked` was answered with so many bytes.
    pub(crate) fn answered(&self, asked: Instant, now: Instant, bytes: usize) {
        let took = now.saturating_duration_since(asked);
        let mut state = self.slots.state.lock();
        state.last_answer = Some(now);
        if took > self.slots.patience / 2 {
            drop(state);
            self.late(asked, now);
            return;
        }
        let bound = !state.others.is_empty() || state.taken >= state.climb.level();
        // An answer that takes a quarter of the patience has waited on the line: more would wait longer.
        state.climb.delivered(bytes, bound && took < self.slots.patience / 4, now);
    }

    /// The call that was sent at `asked` has waited too long.
    pub(crate) fn late(&self, asked: Instant, now: Instant) {
        self.slots.cut(asked, now);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.state.lock().taken -= 1;
        self.slots.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::{Slot, Slots};
    use futures_util::FutureExt;
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::{Instant, timeout};

    const PATIENCE: Duration = Duration::from_secs(8);
    const CHUNK: usize = 512 * 1024;

    fn fill(slots: &Arc<Slots>) -> Vec<Slot> {
        std::iter::from_fn(|| slots.take_or_wait(false).ok()).collect()
    }

    /// Rounds of a full crowd, each answered after so many seconds; how large each crowd was.
    fn rounds(slots: &Arc<Slots>, now: &mut Instant, took: &[u64]) -> Vec<usize> {
        took.iter()
            .map(|took| {
                let taken = fill(slots);
                let asked = *now;
                *now += Duration::from_secs(*took);
                taken.iter().for_each(|slot| slot.answered(asked, *now, CHUNK));
                taken.len()
            })
            .collect()
    }

    #[test]
    fn grows_while_answers_are_quick_and_is_halved_once_per_crowd() {
        let slots = Arc::new(Slots::new(2, PATIENCE));
        let mut now = Instant::now();
        let sizes = rounds(&slots, &mut now, &[1; 20]);
        assert!(sizes[0] == 4 && sizes[5..].iter().all(|size| (7..=8).contains(size)), "{sizes:?}");
        let sizes = rounds(&slots, &mut now, &[5, 5, 9, 9, 9]);
        assert!(sizes[1] == sizes[0] / 2 && sizes[2..] == [2, 1, 1] || sizes[2..] == [1, 1, 1], "{sizes:?}");
    }

    #[test]
    fn slots_in_use_are_taken_away_as_they_come_back() {
        let slots = Arc::new(Slots::new(4, PATIENCE));
        let mut taken = fill(&slots);
        assert_eq!(taken.len(), 8);
        let asked = Instant::now();
        taken[0].late(asked, asked + PATIENCE);
        taken.truncate(4);
        assert!(fill(&slots).is_empty());
        taken.clear();
        assert_eq!(fill(&slots).len(), 4);
    }

    #[test]
    fn a_wider_line_has_more_places_at_once() {
        let slots = Arc::new(Slots::new(1, PATIENCE));
        let taken = fill(&slots);
        slots.resize(3);
        let more = fill(&slots);
        assert_eq!((taken.len(), more.len()), (2, 4));
        slots.resize(1);
        assert_eq!(slots.fill().limit, 4);
    }

    #[tokio::test]
    async fn who_is_waited_for_comes_first_and_who_leaves_holds_nobody_up() {
        let slots = Arc::new(Slots::new(1, PATIENCE));
        let mut taken = fill(&slots);
        let (mut ahead, mut gone) = (Box::pin(slots.take(false)), Box::pin(slots.take(true)));
        let mut urgent = Box::pin(slots.take(true));
        assert!(ahead.as_mut().now_or_never().is_none());
        assert!(gone.as_mut().now_or_never().is_none());
        assert!(urgent.as_mut().now_or_never().is_none());
        assert_eq!(slots.fill().waiting, 3);
        drop(gone);
        taken.pop();
        let first = urgent.as_mut().now_or_never().unwrap();
        assert!(first.is_some() && ahead.as_mut().now_or_never().is_none());
        // A slot that was given and never fetched goes on to the next.
        let mut third = Box::pin(slots.take(false));
        assert!(third.as_mut().now_or_never().is_none());
        drop(first);
        drop(ahead);
        assert!(third.as_mut().now_or_never().unwrap().is_some());
    }

    #[tokio::test]
    async fn waits_as_long_as_there_are_answers() {
        let patience = Duration::from_millis(20);
        let slots = Arc::new(Slots::new(1, patience));
        let taken = fill(&slots);
        slots.state.lock().last_answer = Some(Instant::now() + Duration::from_secs(3600));
        let mut waiting = pin!(slots.take(false));
        assert!(timeout(patience * 5, &mut waiting).await.is_err(), "answers still come");
        slots.state.lock().last_answer = None;
        assert!(waiting.await.is_none(), "in the end nothing came back");
        drop(taken);
    }
}
