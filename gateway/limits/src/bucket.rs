//! A token bucket that goes into debt.
//!
//! Every piece is booked when it is asked for, and waits until all that was booked before it, and itself, has been paid
//! for. Requests that share a bucket so queue up in the order in which they ask, each with one piece at a time, which makes
//! shares even. Amounts are whole byte-nanoseconds: nothing is lost to rounding, however small the pieces.

use std::time::Duration;

/// The lowest rate, bytes a second. Below it a single packet takes seconds, and clients take the connection for dead.
pub(crate) const MIN_RATE: u64 = 1024;
/// The highest. Beyond it nothing is paced in practice, and products of rate and time stay far from the ends of `i128`.
const MAX_RATE: u64 = 1 << 50;
/// A burst is at least this many bytes, so that a player's first requests (headers, index) don't wait.
const MIN_BURST: u64 = 64 * 1024;

const NANOS: i128 = 1_000_000_000;

/// Bytes that may go at once, and those owed.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    rate: i128,
    /// Byte-nanoseconds at `at`: up to the burst, negative in debt.
    level: i128,
    at: Duration,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(rate: u64, now: Duration) -> Self {
        let rate = i128::from(rate.clamp(MIN_RATE, MAX_RATE));
        Self { rate, level: burst(rate), at: now }
    }

    /// Goes on at another rate. What was owed stays owed, what was saved is cut to the new burst, and a full bucket stays
    /// full: it is the same as none.
    pub(crate) fn set_rate(&mut self, rate: u64, now: Duration) {
        self.settle(now);
        let full = self.level == burst(self.rate);
        self.rate = i128::from(rate.clamp(MIN_RATE, MAX_RATE));
        self.level = if full { burst(self.rate) } else { self.level.min(burst(self.rate)) };
    }

    /// Books `bytes` and returns how long they have to wait.
    pub(crate) fn take(&mut self, bytes: u64, now: Duration) -> Duration {
        self.settle(now);
        self.level = self.level.saturating_sub(i128::from(bytes) * NANOS);
        self.time_to(0).saturating_sub(now)
    }

    /// Takes a booking back.
    pub(crate) fn give_back(&mut self, bytes: u64, now: Duration) {
        self.settle(now);
        self.level = self.level.saturating_add(i128::from(bytes) * NANOS).min(burst(self.rate));
    }

    /// When it is full again, which makes it the same as a new one.
    pub(crate) fn full_at(&self) -> Duration {
        self.time_to(burst(self.rate))
    }

    /// The time at which the level is reached, or has been by `at`.
    fn time_to(&self, level: i128) -> Duration {
        let lacking = level.saturating_sub(self.level).max(0);
        let nanos = lacking.saturating_add(self.rate - 1) / self.rate;
        self.at.saturating_add(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Callers' clocks are read before their locks, so `now` may be a little before `at`: time then stands still.
    fn settle(&mut self, now: Duration) {
        let passed = i128::try_from(now.saturating_sub(self.at).as_nanos()).unwrap_or(i128::MAX);
        self.level = self.level.saturating_add(passed.saturating_mul(self.rate)).min(burst(self.rate));
        self.at = self.at.max(now);
    }
}

/// One second's worth, in byte-nanoseconds.
fn burst(rate: i128) -> i128 {
    rate.max(i128::from(MIN_BURST)) * NANOS
}
