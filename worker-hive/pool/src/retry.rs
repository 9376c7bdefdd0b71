//! When to try again and when to give up. Pure: `now` and the roll of the dice are handed in.

use crate::fault::PoolFault;
use mtproto::CallFault;
use std::time::Duration;
use tokio::time::Instant;

const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LAST: Duration = Duration::from_secs(2);
/// A refusal that is no fault of the connection is the same on the next try, mostly: four are enough.
const REFUSALS: u32 = 12;
const REFUSAL: u32 = 3;
/// Another place, or a reference that has expired again, may well be right on the next try: many at once are a storm, not a refusal.
const DETOUR: u32 = 1;

/// One question's budget: time, and patience with refusals.
#[derive(Clone, Debug)]
pub(crate) struct Retry {
    deadline: Instant,
    rounds: u32,
    refusals: u32,
    last: Option<PoolFault>,
}

impl Retry {
    /// A budget that ends at `deadline`.
    #[must_use]
    pub(crate) fn new(deadline: Instant) -> Self {
        Self { deadline, rounds: 0, refusals: 0, last: None }
    }

    /// Takes note of a failed try.
    pub(crate) fn failed(&mut self, fault: &CallFault) {
        self.last = Some(match fault {
            CallFault::Timeout => PoolFault::Timeout,
            CallFault::Banned(_) => PoolFault::NoSession { retry_after: None },
            other => PoolFault::Reset(other.to_string()),
        });
        self.refusals += match fault {
            CallFault::Other(_) => REFUSAL,
            CallFault::Migrate(_) | CallFault::ReferenceExpired => DETOUR,
            _ => 0,
        };
    }

    /// What the last failed try is told as.
    #[must_use]
    pub(crate) fn last_fault(&self) -> Option<PoolFault> {
        self.last.clone()
    }

    /// True when another try may begin now.
    ///
    /// # Errors
    /// What to tell the asker when the budget is spent.
    pub(crate) fn check(&self, now: Instant) -> Result<(), PoolFault> {
        if now >= self.deadline || self.refusals >= REFUSALS {
            return Err(self.last.clone().unwrap_or(PoolFault::Timeout));
        }
        Ok(())
    }

    /// How long to pause after every session was tried once more. `roll` is uniform in `[0, 1)`.
    ///
    /// # Errors
    /// As [`Retry::check`], when the pause would outlast the budget.
    pub(crate) fn pause(&mut self, now: Instant, roll: f64) -> Result<Duration, PoolFault> {
        let full = PAUSE_FIRST.saturating_mul(1 << self.rounds.min(10)).min(PAUSE_LAST);
        self.rounds += 1;
        let pause = full.mul_f64(0.5 + roll.clamp(0.0, 1.0) / 2.0);
        self.check(now + pause).map(|()| pause)
    }

    /// How long to wait for the first session to be back at `until`.
    ///
    /// # Errors
    /// [`PoolFault::FloodWait`] when that is longer than `patience` or than the budget.
    pub(crate) fn rest(&self, now: Instant, until: Instant, patience: Duration) -> Result<Instant, PoolFault> {
        let wait = until.saturating_duration_since(now);
        if wait > patience || until >= self.deadline {
            return Err(PoolFault::FloodWait { retry_after: wait });
        }
        Ok(until)
    }
}

#[cfg(test)]
mod tests {
    use super::{PAUSE_LAST, Retry};
    use crate::fault::PoolFault;
    use mtproto::CallFault;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn pauses_grow_and_end_with_the_budget() {
        let start = Instant::now();
        let mut retry = Retry::new(start + Duration::from_secs(30));
        retry.failed(&CallFault::Timeout);
        let (mut now, mut pauses) = (start, Vec::new());
        let end = loop {
            match retry.pause(now, 1.0) {
                Ok(pause) => pauses.push(pause),
                Err(fault) => break fault,
            }
            now += pauses[pauses.len() - 1];
        };
        assert_eq!(end, PoolFault::Timeout);
        assert!(now < start + Duration::from_secs(30) && now > start + Duration::from_secs(27));
        assert!(pauses.is_sorted() && pauses[pauses.len() - 1] == PAUSE_LAST);
    }

    #[test]
    fn refusals_are_not_repeated_for_long_but_losses_are() {
        let now = Instant::now();
        let mut retry = Retry::new(now + Duration::from_secs(30));
        (0..50).for_each(|_| retry.failed(&CallFault::Dropped("x".into())));
        assert_eq!(retry.check(now), Ok(()));
        (0..4).for_each(|_| retry.failed(&CallFault::Other("LIMIT_INVALID".into())));
        assert!(matches!(retry.check(now), Err(PoolFault::Reset(_))));
        let mut retry = Retry::new(now + Duration::from_secs(30));
        (0..11).for_each(|_| retry.failed(&CallFault::ReferenceExpired));
        assert_eq!(retry.check(now), Ok(()));
        retry.failed(&CallFault::Migrate(4));
        assert!(retry.check(now).is_err());
    }

    #[test]
    fn waits_out_short_floods_only() {
        let now = Instant::now();
        let retry = Retry::new(now + Duration::from_secs(5));
        let patience = Duration::from_secs(10);
        let (near, far) = (now + Duration::from_secs(2), now + Duration::from_secs(6));
        assert_eq!(retry.rest(now, near, patience), Ok(near));
        let told = PoolFault::FloodWait { retry_after: Duration::from_secs(6) };
        assert_eq!(retry.rest(now, far, patience), Err(told));
        assert!(retry.rest(now, near, Duration::from_secs(1)).is_err());
    }
}
