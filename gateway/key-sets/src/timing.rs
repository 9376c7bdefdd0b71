//! When an issuer is asked. No clock: times are what the caller's says, which never goes back.

use std::time::Duration;

/// Least time between two requests, whatever tokens strangers send.
const LEAST: Duration = Duration::from_secs(10);
/// The wait after failures doubles up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What is known of one issuer.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    fetched: Option<Duration>,
    tried: Option<Duration>,
    failures: u32,
}

impl Timing {
    /// It is time to ask by itself: never asked, or so old, and the waits after failures are over.
    pub(crate) fn is_due(&self, now: Duration, refresh: Duration) -> bool {
        let Some(tried) = self.tried else { return true };
        let old = self.fetched.is_none_or(|fetched| now.saturating_sub(fetched) >= refresh);
        let wait = LEAST.saturating_mul(1 << self.failures.saturating_sub(1).min(5)).min(LONGEST_WAIT);
        old && now.saturating_sub(tried) >= wait
    }

    /// An unknown key is reason enough to ask.
    pub(crate) fn may_ask(&self, now: Duration) -> bool {
        self.tried.is_none_or(|tried| now.saturating_sub(tried) >= LEAST)
    }

    /// What was fetched is older than it may be. Nothing that was never fetched is.
    pub(crate) fn is_stale(&self, now: Duration, stale: Duration) -> bool {
        self.fetched.is_some_and(|fetched| now.saturating_sub(fetched) > stale)
    }

    pub(crate) fn tries(&mut self, now: Duration) {
        self.tried = Some(now);
    }

    pub(crate) fn ended(&mut self, now: Duration, well: bool) {
        if well {
            (self.fetched, self.failures) = (Some(now), 0);
        } else {
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// Its keys are gone: they are stale no more.
    pub(crate) fn forget(&mut self) {
        self.fetched = None;
    }

    /// When the last keys came.
    pub(crate) fn fetched(&self) -> Option<Duration> {
        self.fetched
    }

    /// It is time to ask.
    pub(crate) fn look_again(&mut self) {
        (self.tried, self.failures) = (None, 0);
    }

    /// Goes on with keys that came then: they are as old as they are, and need not be asked for at once.
    pub(crate) fn adopt(&mut self, fetched: Duration) {
        (self.fetched, self.tried) = (Some(fetched), Some(fetched));
    }
}

#[cfg(test)]
mod tests {
    use super::Timing;
    use std::time::Duration;

    const REFRESH: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn keys_are_asked_for_when_they_are_old() {
        let mut timing = Timing::default();
        assert!(timing.is_due(at(0), REFRESH) && timing.may_ask(at(0)));
        timing.tries(at(0));
        timing.ended(at(1), true);
        assert!(!timing.is_due(at(3600), REFRESH) && timing.is_due(at(3601), REFRESH));
        assert!(!timing.may_ask(at(9)) && timing.may_ask(at(10)), "strangers' tokens make no more requests than that");
        assert!(!timing.is_stale(at(86_401), at(86_400)) && timing.is_stale(at(86_402), at(86_400)));
        let mut next = Timing::default();
        next.adopt(at(1));
        assert!(!next.is_due(at(3600), REFRESH) && next.is_due(at(3601), REFRESH), "as old as they are");
        next.look_again();
        assert!(next.is_due(at(2), REFRESH) && !next.is_stale(at(2), at(86_400)), "they count meanwhile");
        timing.forget();
        assert!(!timing.is_stale(at(90_000), at(86_400)));
    }

    #[test]
    fn waits_double_after_failures() {
        let mut timing = Timing::default();
        let mut now = at(0);
        for wait in [10, 20, 40, 80, 160, 300, 300] {
            timing.tries(now);
            timing.ended(now, false);
            assert!(!timing.is_due(now + at(wait - 1), REFRESH), "{wait}");
            now += at(wait);
            assert!(timing.is_due(now, REFRESH), "{wait}");
        }
        timing.tries(now);
        timing.ended(now, true);
        assert!(timing.is_due(now + REFRESH, REFRESH), "a success ends them");
    }
}
