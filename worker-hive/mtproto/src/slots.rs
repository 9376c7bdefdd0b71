//! How many chunks of one account and data-centre are asked for at once.
//!
//! Telegram limits an account's bytes per second. What is asked for beyond that queues on the wire, where it counts against its own
//! time-out and can't be taken back. So calls queue here instead, first come first served, before their clocks start, and as many are
//! let out as come back soon: one more after a round of quick answers, half as many when answers come late or not in time.

use parking_lot::Mutex;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// Calls per connection at the start, and at most.
const FIRST: usize = 2;
const MOST: usize = 4;

pub(crate) struct Slots {
    semaphore: Arc<Semaphore>,
    state: Mutex<State>,
    most: usize,
    patience: Duration,
}

struct State {
    limit: usize,
    /// Slots that were taken away while they were in use: swallowed as they come back.
    owed: usize,
    /// Quick answers since the limit last grew.
    quick: usize,
    /// Until the first cut the limit grows with every quick answer.
    searching: bool,
    last_cut: Option<Instant>,
    last_answer: Option<Instant>,
}

/// One call's place. Kept until the answer is there or never comes, whether or not anybody waits for it.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// For so many connections, on each of which a call has `patience` to be answered.
    pub(crate) fn new(connections: usize, patience: Duration) -> Self {
        let limit = connections * FIRST;
        let state = State { limit, owed: 0, quick: 0, searching: true, last_cut: None, last_answer: None };
        Self {
            semaphore: Arc::new(Semaphore::new(limit)),
            state: Mutex::new(state),
            most: connections * MOST,
            patience,
        }
    }

    /// Waits for a slot as long as calls are answered at all; `None` when for the length of the patience none was.
    pub(crate) async fn take(self: &Arc<Self>) -> Option<Slot> {
        let mut turn = pin!(Arc::clone(&self.semaphore).acquire_owned());
        loop {
            match timeout(self.patience, &mut turn).await {
                Ok(permit) => return Some(Slot { slots: Arc::clone(self), permit: permit.ok() }),
                Err(_) => {
                    self.state.lock().last_answer.filter(|at| at.elapsed() < self.patience)?;
                }
            }
        }
    }

    fn shrink(&self, state: &mut State) {
        let gone = state.limit - (state.limit / 2).max(1);
        state.limit -= gone;
        state.owed += gone - self.semaphore.forget_permits(gone);
    }

    fn grow(&self, state: &mut State) {
        state.limit += 1;
        if state.owed > 0 {
            state.owed -= 1;
        } else {
            self.semaphore.add_permits(1);
        }
    }
}

impl Slot {
    /// The call that was sent at `asked` was answered, with whatever.
    pub(crate) fn answered(&self, asked: Instant, now: Instant) {
        let mut state = self.slots.state.lock();
        state.last_answer = Some(now);
        let took = now.saturating_duration_since(asked);
        if took > self.slots.patience / 2 {
            drop(state);
            self.late(asked, now);
        } else if took < self.slots.patience / 4 && state.limit < self.slots.most {
            state.quick += 1;
            if state.searching || state.quick >= state.limit {
                state.quick = 0;
                self.slots.grow(&mut state);
            }
        }
    }

    /// The call that was sent at `asked` has waited too long. Calls from before the last cut say nothing about what came of it.
    pub(crate) fn late(&self, asked: Instant, now: Instant) {
        let mut state = self.slots.state.lock();
        if state.last_cut.is_none_or(|cut| cut <= asked) {
            state.last_cut = Some(now);
            state.searching = false;
            state.quick = 0;
            self.slots.shrink(&mut state);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state.lock();
        if state.owed > 0
            && let Some(permit) = self.permit.take()
        {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Slot, Slots};
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::{Instant, timeout};

    const PATIENCE: Duration = Duration::from_secs(8);

    async fn fill(slots: &Arc<Slots>) -> Vec<Slot> {
        let mut taken = Vec::new();
        while slots.semaphore.available_permits() > 0 {
            taken.push(slots.take().await.unwrap());
        }
        taken
    }

    #[tokio::test]
    async fn grows_with_quick_answers_and_is_halved_once_per_crowd() {
        let slots = Arc::new(Slots::new(2, PATIENCE));
        let mut sizes = Vec::new();
        let mut now = Instant::now();
        for took in [1, 3, 1, 1, 5, 5, 9, 9, 9, 1, 1, 1] {
            let taken = fill(&slots).await;
            sizes.push(taken.len());
            let asked = now;
            now += Duration::from_secs(took);
            taken.iter().for_each(|slot| slot.answered(asked, now));
        }
        assert_eq!(sizes, [4, 8, 8, 8, 8, 4, 2, 1, 1, 1, 2, 3]);
    }

    #[tokio::test]
    async fn slots_in_use_are_taken_away_as_they_come_back() {
        let slots = Arc::new(Slots::new(4, PATIENCE));
        let mut taken = fill(&slots).await;
        let asked = Instant::now();
        taken[0].late(asked, asked + PATIENCE);
        taken.truncate(4);
        assert_eq!(slots.semaphore.available_permits(), 0);
        taken.clear();
        assert_eq!(slots.semaphore.available_permits(), 4);
    }

    #[tokio::test]
    async fn waits_as_long_as_there_are_answers() {
        let patience = Duration::from_millis(20);
        let slots = Arc::new(Slots::new(1, patience));
        let taken = fill(&slots).await;
        let later = Instant::now() + Duration::from_secs(3600);
        taken[0].answered(later, later);
        taken[0].answered(later, later);
        let _taken_too = fill(&slots).await;
        let mut waiting = pin!(slots.take());
        assert!(timeout(patience * 5, &mut waiting).await.is_err(), "answers still come");
        slots.state.lock().last_answer = None;
        assert!(waiting.await.is_none(), "in the end nothing came back");
    }
}
