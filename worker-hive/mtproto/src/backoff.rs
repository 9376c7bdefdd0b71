//! How long to wait before the next try of something that keeps failing.

use std::time::Duration;

/// Doubles from `first` to `last`, each wait drawn from its upper half, so that many waiters spread out.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    last: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, failures: 0 }
    }

    /// The wait after one more failure. `roll` is uniform in `[0, 1)`.
    pub(crate) fn next(&mut self, roll: f64) -> Duration {
        let full =
            self.first.saturating_mul(1_u32.checked_shl(self.failures.min(16)).unwrap_or(u32::MAX)).min(self.last);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + roll.clamp(0.0, 1.0) / 2.0)
    }

    /// The wait before a lost connection is made again: what took this one may have taken everybody's, who must not all be back
    /// at the same moment. Spread over ten times `first`, and longer when connections are lost again and again.
    pub(crate) fn after_loss(&mut self, roll: f64) -> Duration {
        let spread = self.first.saturating_mul(10).mul_f64(roll.clamp(0.0, 1.0));
        self.next(roll).max(spread)
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;
    use std::time::Duration;

    #[test]
    fn doubles_up_to_the_bound_and_starts_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<u128> = (0..40).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits[..5], [100, 200, 400, 800, 1000]);
        assert!(waits[5..].iter().all(|wait| *wait == 1000));
        assert_eq!(backoff.after_loss(0.0), Duration::from_millis(500), "not at once in a loop");
        backoff.reset();
        assert_eq!(backoff.after_loss(0.5), Duration::from_millis(500), "spread out from the first");
        backoff.reset();
        assert_eq!(backoff.next(0.0), Duration::from_millis(50));
    }
}
