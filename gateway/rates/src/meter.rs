//! The arithmetic of a rate: the generic cell rate algorithm as a continuous-state leaky bucket (ITU-T I.371, annex A), in whole numbers.
//!
//! A bucket has a level, in units of which a token has as many as its window has microseconds. It drains by `tokens` units a microsecond and
//! holds `tokens` of them: nothing is rounded, however odd the rate. The level and its time are kept rather than the "theoretical
//! arrival time" of the algorithm's other form, to which it is equal, because a clock that goes back then costs nobody more than the drain
//! of the time in between; there, callers would be refused until the clock has caught up.

use std::time::Duration;

/// Most units of a bucket: two of them stay below 2^53, which is where Lua's numbers stop being whole.
const MOST_UNITS: u64 = 1 << 51;

/// So many tokens in a window, all of which may be taken at once; what was taken comes back evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    tokens: u64,
    window_us: u64,
}

/// No rate that can be counted exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// None at all.
    #[error("a rate is at least 1 in a window of at least 1ms")]
    Nothing,
    /// Tokens times microseconds are more than 2^51, as 26,000 a day would be.
    #[error("a rate of so many in so long a window can't be counted; give it a shorter window")]
    TooLarge,
}

impl Rate {
    /// `tokens` in each `window`.
    ///
    /// # Errors
    /// [`RateError`].
    pub fn new(tokens: u32, window: Duration) -> Result<Self, RateError> {
        let window_us = u64::try_from(window.as_micros()).map_err(|_| RateError::TooLarge)?;
        if tokens == 0 || window_us < 1_000 {
            return Err(RateError::Nothing);
        }
        let units = u64::from(tokens).checked_mul(window_us).filter(|units| *units <= MOST_UNITS);
        units.map(|_| Self { tokens: tokens.into(), window_us }).ok_or(RateError::TooLarge)
    }

    /// Tokens of a window.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The window.
    #[must_use]
    pub fn window(&self) -> Duration {
        Duration::from_micros(self.window_us)
    }

    pub(crate) fn window_us(&self) -> u64 {
        self.window_us
    }

    /// Units of a full bucket.
    pub(crate) fn capacity(&self) -> u64 {
        self.tokens * self.window_us
    }

    /// Units of so many tokens, of a full bucket at most: who asks for more than a bucket holds waits for a full one, and not for ever.
    pub(crate) fn cost(&self, tokens: u64) -> u64 {
        tokens.saturating_mul(self.window_us).min(self.capacity())
    }

    /// How long until so many units are drained.
    pub(crate) fn time_to_drain(&self, units: u64) -> Duration {
        Duration::from_micros(units.div_ceil(self.tokens))
    }
}

/// The level of one bucket at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meter {
    pub(crate) level: u64,
    pub(crate) at: Duration,
}

impl Meter {
    /// The level at `now`. Clocks are read before locks, so `now` may be a little before the meter's own time, which then stands still.
    pub(crate) fn level(&self, rate: Rate, now: Duration) -> u64 {
        let passed = u64::try_from(now.saturating_sub(self.at).as_micros()).unwrap_or(u64::MAX);
        self.level.saturating_sub(passed.saturating_mul(rate.tokens)).min(rate.capacity())
    }

    /// Puts units in, as far as there is room.
    pub(crate) fn fill(&mut self, units: u64, rate: Rate, now: Duration) {
        self.level = self.level(rate, now).saturating_add(units).min(rate.capacity());
        self.at = self.at.max(now);
    }

    /// When it is empty, which makes it the same as none.
    pub(crate) fn empty_at(&self, rate: Rate) -> Duration {
        self.at.saturating_add(rate.time_to_drain(self.level))
    }
}

#[cfg(test)]
mod tests {
    use super::{Meter, Rate, RateError};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
    use std::time::Duration;

    fn rate(tokens: u32, window_ms: u64) -> Rate {
        Rate::new(tokens, Duration::from_millis(window_ms)).unwrap()
    }

    fn take(meter: &mut Meter, rate: Rate, now: Duration) -> bool {
        let room = meter.level(rate, now) + rate.cost(1) <= rate.capacity();
        if room {
            meter.fill(rate.cost(1), rate, now);
        }
        room
    }

    #[test]
    fn five_a_minute_is_five_at_once_and_then_one_every_twelve_seconds() {
        let (rate, mut meter) = (rate(5, 60_000), Meter::default());
        let at = |ms| Duration::from_millis(ms);
        assert_eq!((0..9).filter(|_| take(&mut meter, rate, at(0))).count(), 5);
        assert!(!take(&mut meter, rate, at(11_999)));
        assert!(take(&mut meter, rate, at(12_000)));
        assert!(!take(&mut meter, rate, at(12_001)));
        assert_eq!((0..9).filter(|_| take(&mut meter, rate, at(72_000))).count(), 5);
        // A clock that goes back gives nothing and takes nothing.
        assert!(!take(&mut meter, rate, at(0)));
        assert!(take(&mut meter, rate, at(84_000)));
    }

    #[test]
    fn rates_that_can_not_be_counted_are_refused() {
        let day = Duration::from_secs(86_400);
        assert_eq!(Rate::new(0, day), Err(RateError::Nothing));
        assert_eq!(Rate::new(1, Duration::from_micros(10)), Err(RateError::Nothing));
        assert_eq!(Rate::new(30_000, day), Err(RateError::TooLarge));
        assert!(Rate::new(26_000, day).is_ok());
    }

    proptest! {
        /// Held against the other form of the algorithm, in exact fractions: the arrival time in units, so that a token is a window.
        #[test]
        fn it_is_the_generic_cell_rate_algorithm(
            tokens in 1_u32..50,
            window_ms in 1_u64..5_000,
            gaps in proptest::collection::vec(0_u64..400_000, 1..300),
        ) {
            let (rate, mut meter, mut now) = (rate(tokens, window_ms), Meter::default(), 1_u64 << 40);
            // Theoretical arrival time, and tolerance: all in microseconds times tokens.
            let (window, tokens) = (u128::from(window_ms) * 1_000, u128::from(tokens));
            let mut arrival = 0_u128;
            let mut passed = 0_u128;
            let start = now;
            for gap in gaps {
                now += gap;
                let time = u128::from(now) * tokens;
                let conforms = arrival.max(time) + window <= time + window * tokens;
                prop_assert_eq!(take(&mut meter, rate, Duration::from_micros(now)), conforms);
                if conforms {
                    arrival = arrival.max(time) + window;
                    passed += 1;
                }
                // Never more than a bucket and what has come back.
                prop_assert!(passed <= tokens + u128::from(now - start) * tokens / window);
            }
        }
    }
}
