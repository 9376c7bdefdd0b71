//! The shape of the network and Telegram's flood rule: round-trip time, bytes per second, budgets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How answers travel. Zeros and `None` are no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shape {
    /// Every answer comes this long after its question, in milliseconds. Questions asked together are answered
    /// together. Opening a connection costs it once too.
    pub rtt_ms: u64,
    /// Bytes a second on one connection.
    pub connection_bytes_per_second: u64,
    /// Bytes a second of one account, all its connections together.
    pub account_bytes_per_second: u64,
    /// The flood rule.
    pub flood: Option<Flood>,
}

/// After so many file bytes an account has to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// File bytes an account may fetch before it's told to wait.
    pub budget_bytes: u64,
    /// How long it's told to wait, in seconds; then it has a new budget.
    pub wait_seconds: u32,
    /// `FLOOD_PREMIUM_WAIT`, which spares premium accounts, rather than `FLOOD_WAIT`.
    #[serde(default)]
    pub premium: bool,
}

/// What an account has used of its budget, and until when it rests.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    used: u64,
    rests_until: Option<Duration>,
}

impl Budget {
    /// Takes `bytes` from the budget at `now` (a time since any fixed start); says how many seconds are left to wait.
    pub(crate) fn take(&mut self, flood: &Flood, now: Duration, bytes: u64) -> Result<(), u32> {
        if let Some(until) = self.rests_until {
            if now < until {
                // Rounded up: a client that waits as told must not come too early.
                return Err((until - now).as_secs_f64().ceil() as u32);
            }
            *self = Self::default();
        }
        if self.used >= flood.budget_bytes {
            self.rests_until = Some(now + Duration::from_secs(flood.wait_seconds.into()));
            return Err(flood.wait_seconds);
        }
        self.used += bytes;
        Ok(())
    }
}

/// A timer wakes a little late, piece after piece; without this credit a third of a wire's width was lost to it.
const LATENESS: Duration = Duration::from_millis(20);

/// When the last byte of what was sent so far has left a pipe of limited width.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    free_at: Duration,
}

impl Pipe {
    /// Puts `bytes` into the pipe at `now`; returns when the last of them comes out.
    pub(crate) fn push(&mut self, now: Duration, bytes: usize, bytes_per_second: u64) -> Duration {
        if bytes_per_second == 0 {
            return now;
        }
        let took = Duration::from_secs_f64(bytes as f64 / bytes_per_second as f64);
        self.free_at = self.free_at.max(now.saturating_sub(LATENESS)) + took;
        self.free_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pipe_serialises_what_goes_through_it() {
        let mut pipe = Pipe::default();
        assert_eq!(pipe.push(SECOND, 500, 1000), SECOND * 3 / 2 - LATENESS);
        assert_eq!(pipe.push(SECOND, 500, 1000), SECOND * 2 - LATENESS);
        // A piece that comes late by less than the credit goes out when it would have.
        assert_eq!(pipe.push(SECOND * 2 + LATENESS / 2, 500, 1000), SECOND * 5 / 2 - LATENESS / 2);
        assert_eq!(pipe.push(SECOND * 5, 1000, 1000), SECOND * 6 - LATENESS);
        assert_eq!(pipe.push(SECOND, 1000, 0), SECOND);
    }

    #[test]
    fn a_budget_is_spent_rested_and_renewed() {
        let flood = Flood { budget_bytes: 10, wait_seconds: 3, premium: false };
        let mut budget = Budget::default();
        assert_eq!(budget.take(&flood, SECOND, 8), Ok(()));
        assert_eq!(budget.take(&flood, SECOND, 8), Ok(()));
        assert_eq!(budget.take(&flood, SECOND, 8), Err(3));
        assert_eq!(budget.take(&flood, SECOND * 5 / 2, 8), Err(2));
        assert_eq!(budget.take(&flood, SECOND * 4, 8), Ok(()));
    }
}
