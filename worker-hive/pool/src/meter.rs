//! Bytes per second, lately. Pure: `now` is handed in.

use std::time::Duration;
use tokio::time::Instant;

/// One second each; the one that runs is not counted, as it isn't whole.
const SECONDS: usize = 6;

/// A moving mean over the last few whole seconds.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    start: Option<Instant>,
    /// Number of the newest second since the start.
    second: u64,
    bytes: [u64; SECONDS],
}

impl Meter {
    pub(crate) fn add(&mut self, bytes: u64, now: Instant) {
        self.turn(now);
        self.bytes[slot(self.second)] += bytes;
    }

    /// Bytes per second.
    pub(crate) fn rate(&mut self, now: Instant) -> u64 {
        self.turn(now);
        let current = slot(self.second);
        let sum: u64 = (0..SECONDS).filter(|at| *at != current).map(|at| self.bytes[at]).sum();
        let whole = self.second.min(u64::try_from(SECONDS - 1).unwrap_or(1));
        sum.checked_div(whole).unwrap_or(self.bytes[current])
    }

    fn turn(&mut self, now: Instant) {
        let start = *self.start.get_or_insert(now);
        let second = now.saturating_duration_since(start).as_secs();
        let passed = second.saturating_sub(self.second).min(u64::try_from(SECONDS).unwrap_or(u64::MAX));
        for step in 1..=passed {
            self.bytes[slot(second - passed + step)] = 0;
        }
        // What is idle begins anew, so that its first second isn't thinned by those before it.
        if passed == u64::try_from(SECONDS).unwrap_or(u64::MAX) {
            *self = Self { start: Some(now), ..Self::default() };
            return;
        }
        self.second = self.second.max(second);
    }
}

fn slot(second: u64) -> usize {
    usize::try_from(second % u64::try_from(SECONDS).unwrap_or(1)).unwrap_or(0)
}

/// How long calls took lately.
#[derive(Debug, Default)]
pub(crate) struct Times {
    kept: Vec<Duration>,
    next: usize,
}

/// Calls that are remembered.
const KEPT: usize = 64;
/// Fewer say nothing about how long most take.
const ENOUGH: usize = 12;

impl Times {
    pub(crate) fn add(&mut self, took: Duration) {
        if self.kept.len() < KEPT {
            self.kept.push(took);
        } else {
            self.kept[self.next] = took;
            self.next = (self.next + 1) % KEPT;
        }
    }

    /// The time within which 19 of 20 calls were answered.
    pub(crate) fn most_within(&self) -> Option<Duration> {
        if self.kept.len() < ENOUGH {
            return None;
        }
        let mut sorted = self.kept.clone();
        sorted.sort_unstable();
        sorted.get((sorted.len() * 19).div_ceil(20).saturating_sub(1)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::{Meter, Times};
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn rates_follow_and_fade() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let at = |millis: u64| start + Duration::from_millis(millis);
        (0..100).for_each(|n| meter.add(10, at(n * 100)));
        assert_eq!(meter.rate(at(10_000)), 100);
        assert_eq!(meter.rate(at(12_500)), 60);
        assert_eq!(meter.rate(at(60_000)), 0);
        meter.add(500, at(60_100));
        assert_eq!(meter.rate(at(60_200)), 500);
        assert_eq!(meter.rate(at(61_500)), 500);
    }

    #[test]
    fn most_is_nineteen_of_twenty_of_the_last() {
        let mut times = Times::default();
        assert_eq!(times.most_within(), None);
        (1..=1000).for_each(|n| times.add(Duration::from_millis(n)));
        assert_eq!(times.most_within(), Some(Duration::from_millis(936 + 61)));
    }
}
