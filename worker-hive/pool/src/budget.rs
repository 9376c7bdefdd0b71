//! How many extra calls there may be: so many for each call that went well, and a few a second whatever happens. Pure: `now` is
//! handed in. Without it a storm makes every call many, and the storm larger.

use std::time::Duration;
use tokio::time::Instant;

/// A bucket of tokens, one for each extra call.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    per_success: f64,
    per_second: f64,
    most: f64,
    tokens: f64,
    filled: Option<Instant>,
}

impl Budget {
    /// Begins full, with `most` tokens.
    pub(crate) fn new(per_success: f64, per_second: f64, most: f64) -> Self {
        Self { per_success, per_second, most, tokens: most, filled: None }
    }

    /// A call went well.
    pub(crate) fn earn(&mut self) {
        self.tokens = (self.tokens + self.per_success).min(self.most);
    }

    /// Takes a token.
    ///
    /// # Errors
    /// When none is there: how long until one is, if nothing goes well meanwhile.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.check(now)?;
        self.tokens -= 1.0;
        Ok(())
    }

    /// As [`Budget::take`], but leaves the token.
    pub(crate) fn check(&mut self, now: Instant) -> Result<(), Duration> {
        let since = self.filled.map_or(Duration::ZERO, |filled| now.saturating_duration_since(filled));
        self.filled = Some(now);
        self.tokens = (self.tokens + since.as_secs_f64() * self.per_second).min(self.most);
        if self.tokens >= 1.0 {
            return Ok(());
        }
        let missing = (1.0 - self.tokens) / self.per_second.max(1e-6);
        Err(Duration::from_secs_f64(missing.clamp(0.001, 3600.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;
    use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn says_how_long_to_wait_and_keeps_its_word() {
        let (mut budget, now) = (Budget::new(0.5, 2.0, 3.0), Instant::now());
        (0..3).for_each(|_| assert_eq!(budget.take(now), Ok(())));
        let wait = budget.take(now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert_eq!(budget.take(now + wait), Ok(()));
        budget.earn();
        budget.earn();
        assert_eq!(budget.take(now + wait), Ok(()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn never_gives_more_than_was_earned(steps in proptest::collection::vec((any::<bool>(), 0_u64..200), 0..400)) {
            let (mut budget, start) = (Budget::new(0.25, 10.0, 20.0), Instant::now());
            let (mut now, mut earned, mut taken) = (start, 0.0, 0.0);
            for (success, pause) in steps {
                now += Duration::from_millis(pause);
                if success {
                    budget.earn();
                    earned += 0.25;
                } else if budget.take(now).is_ok() {
                    taken += 1.0;
                }
                prop_assert!(taken <= 20.0 + earned + (now - start).as_secs_f64() * 10.0 + 1e-6);
            }
        }
    }
}
