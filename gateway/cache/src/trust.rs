//! How long what is known of a media is believed without asking its origin (RFC 5861). Pure: the clock is the caller's.

use slice::OriginError;
use std::time::Duration;
use tokio::time::Instant;

/// After a question that failed, the next one waits at least so long.
const RETRY: Duration = Duration::from_secs(1);
/// And at most so long, however much patience the origin asks for.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// What a version past its time is still good for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grace {
    /// Served at once for so long, while the origin is asked.
    pub(crate) while_asking: Duration,
    /// Served for so long when the origin can't be asked.
    pub(crate) if_error: Duration,
}

impl Grace {
    /// Nothing.
    pub(crate) const NONE: Self = Self { while_asking: Duration::ZERO, if_error: Duration::ZERO };
}

/// What is known of one media's age.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trust {
    /// `None`: it is not believed at all.
    fresh_until: Option<Instant>,
    /// Nobody has asked since the start.
    is_found: bool,
    /// The last question went wrong, or is taking too long; from this moment on another one makes sense.
    retry_at: Option<Instant>,
}

/// What a look-up may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belief {
    /// Serve.
    Fresh,
    /// Serve although it is past its time.
    Stale {
        /// And have the origin asked.
        ask: bool,
    },
    /// Ask, and serve nothing before the answer.
    Ask {
        /// If the origin can't be asked, what is known will do.
        or_stale: bool,
    },
}

impl Trust {
    /// Of what was found on disk: how long ago anybody asked isn't known, so it is past its time from this moment on.
    pub(crate) fn found(now: Instant) -> Self {
        Self { fresh_until: Some(now), is_found: true, retry_at: None }
    }

    /// Of what the origin has just said.
    pub(crate) fn told(now: Instant, ttl: Duration) -> Self {
        Self { fresh_until: now.checked_add(ttl), is_found: false, retry_at: None }
    }

    /// The origin could not be asked.
    pub(crate) fn failed(&mut self, now: Instant, error: OriginError) {
        let patience = match error {
            OriginError::Busy { retry_after: Some(patience) } => patience.clamp(RETRY, LONGEST_RETRY),
            _ => RETRY,
        };
        self.retry_at = now.checked_add(patience);
    }

    /// The origin takes longer than a viewer can wait who could be served stale.
    pub(crate) fn late(&mut self, now: Instant) {
        self.retry_at.get_or_insert(now);
    }

    /// Within its time.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        self.fresh_until.is_some_and(|until| now < until)
    }

    pub(crate) fn judge(&self, now: Instant, grace: Grace) -> Belief {
        let Some(until) = self.fresh_until else { return Belief::Ask { or_stale: false } };
        if now < until {
            return Belief::Fresh;
        }
        let age = now.duration_since(until);
        let or_stale = age < grace.if_error;
        match self.retry_at {
            Some(at) if or_stale => Belief::Stale { ask: now >= at },
            // What may have changed while the gateway was down is asked about first.
            None if age < grace.while_asking && !self.is_found => Belief::Stale { ask: true },
            _ => Belief::Ask { or_stale },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Belief, Grace, Trust};
    use slice::OriginError;
    use std::time::Duration;
    use tokio::time::Instant;

    const WAIT: Belief = Belief::Ask { or_stale: false };
    const WAIT_OR_STALE: Belief = Belief::Ask { or_stale: true };
    const ASKING: Belief = Belief::Stale { ask: true };
    const STALE: Belief = Belief::Stale { ask: false };

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn what_is_known_ages() {
        let now = Instant::now();
        let grace = Grace { while_asking: secs(10), if_error: secs(100) };
        let none = Grace::NONE;
        let told = Trust::told(now, secs(30));
        let found = Trust::found(now);
        let mut failed = told;
        failed.failed(now + secs(31), OriginError::Unreachable);
        let mut busy = told;
        busy.failed(now + secs(31), OriginError::Busy { retry_after: Some(secs(900)) });
        let mut late = found;
        late.late(now + secs(2));
        let cases = [
            (Trust::default(), grace, 0, WAIT),
            (told, grace, 29, Belief::Fresh),
            (told, none, 29, Belief::Fresh),
            (told, none, 30, WAIT),
            (told, grace, 30, ASKING),
            (told, grace, 39, ASKING),
            (told, grace, 40, WAIT_OR_STALE),
            (told, grace, 129, WAIT_OR_STALE),
            (told, grace, 130, WAIT),
            (found, grace, 0, WAIT_OR_STALE),
            (found, grace, 99, WAIT_OR_STALE),
            (found, grace, 100, WAIT),
            (found, none, 0, WAIT),
            (failed, grace, 31, STALE),
            (failed, grace, 32, ASKING),
            (failed, grace, 129, ASKING),
            (failed, grace, 130, WAIT),
            (failed, none, 31, WAIT),
            (busy, grace, 90, STALE),
            (busy, grace, 91, ASKING),
            (late, grace, 2, ASKING),
            (late, grace, 100, WAIT),
        ];
        for (trust, grace, after, belief) in cases {
            assert_eq!(trust.judge(now + secs(after), grace), belief, "{trust:?} after {after} s, {grace:?}");
        }
    }
}
