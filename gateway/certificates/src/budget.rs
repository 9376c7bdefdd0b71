//! How many orders there may be: authorities count, and so do we, before them. Pure.
//!
//! Let's Encrypt (rate limits, 2025): 300 orders for an account in three hours, 5 certificates for one set of names in a week, 5 failed
//! validations for a name in an hour. A name is tried in at most two ways each time, so that by the defaults four validations of it fail in
//! its first hour, and fewer in each later one.

use std::collections::HashMap;
use std::time::Duration;

/// Bounds of a [`Budget`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Orders in an hour, for all names. Names that failed have half of them at most: whoever comes new isn't kept waiting by those that
    /// lead nowhere.
    pub orders_per_hour: u32,
    /// How long a name rests after its first failure; twice as long after each that follows.
    pub first_rest: Duration,
    /// How long it rests at most.
    pub longest_rest: Duration,
    /// Names of failures that are remembered at most; the one that may be tried soonest is forgotten first.
    pub most_names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            orders_per_hour: 20,
            first_rest: Duration::from_secs(30 * 60),
            longest_rest: Duration::from_secs(86_400),
            most_names: 10_000,
        }
    }
}

/// Why there is no order now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The hour's orders are spent.
    #[error("as many certificates were ordered in the last hour as may be; the next one in {0:?}")]
    Hour(Duration),
    /// There is no account to order with.
    #[error("there is no account at the authority")]
    NoAccount,
    /// The name failed a short while ago.
    #[error("the last order for this name failed; the next one in {0:?}")]
    Resting(Duration),
}

const HOUR: Duration = Duration::from_secs(3600);

/// Orders that were, and names that rest. Times are on any clock that never goes back.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    /// When, and whether for a name that had failed.
    orders: Vec<(Duration, bool)>,
    failed: HashMap<String, Failed>,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    rest: Duration,
    until: Duration,
}

impl Budget {
    /// A budget of which nothing is spent.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, orders: Vec::new(), failed: HashMap::new() }
    }

    /// Takes an order for `name` at the time `now`.
    ///
    /// # Errors
    /// [`Refused`], with the time to wait; nothing is taken then.
    pub fn take(&mut self, name: &str, now: Duration) -> Result<(), Refused> {
        let failed = self.failed.get(name);
        if let Some(failed) = failed.filter(|failed| now < failed.until) {
            return Err(Refused::Resting(failed.until - now));
        }
        self.orders.retain(|(order, _)| now.saturating_sub(*order) < HOUR);
        let again = failed.is_some();
        let most = self.limits.orders_per_hour as usize;
        let most_again = most.div_ceil(2);
        let mut counted = self.orders.iter().filter(|(_, of_failed)| *of_failed);
        let soonest = match self.orders.len() {
            spent if spent >= most => self.orders.first(),
            _ if again && counted.clone().count() >= most_again => counted.next(),
            _ => {
                self.orders.push((now, again));
                return Ok(());
            }
        };
        let first = soonest.map_or(now, |(order, _)| *order);
        Err(Refused::Hour((first + HOUR).saturating_sub(now)))
    }

    /// The order for `name` failed: it rests.
    pub fn failed(&mut self, name: &str, now: Duration) {
        let before = self.failed.get(name).map(|failed| failed.rest);
        let rest = before.map_or(self.limits.first_rest, |rest| rest.saturating_mul(2)).min(self.limits.longest_rest);
        if self.failed.len() >= self.limits.most_names && before.is_none() {
            let soonest = self.failed.iter().min_by_key(|(_, failed)| failed.until).map(|(name, _)| name.clone());
            if let Some(soonest) = soonest {
                self.failed.remove(&soonest);
            }
        }
        self.failed.insert(name.to_owned(), Failed { rest, until: now.saturating_add(rest) });
    }

    /// The order for `name` went well: its failures are forgotten.
    pub fn done(&mut self, name: &str) {
        self.failed.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, HOUR, Limits, Refused};
    use std::time::Duration;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn an_hour_has_so_many_orders() {
        let mut budget = Budget::new(Limits { orders_per_hour: 2, ..Limits::default() });
        assert_eq!(budget.take("a", MINUTE), Ok(()));
        assert_eq!(budget.take("b", 2 * MINUTE), Ok(()));
        assert_eq!(budget.take("c", 3 * MINUTE), Err(Refused::Hour(HOUR - 2 * MINUTE)));
        assert_eq!(budget.take("c", HOUR + MINUTE), Ok(()), "the first one is an hour old");
        assert!(budget.take("d", HOUR + MINUTE).is_err());
    }

    #[test]
    fn names_that_fail_rest_longer_each_time() {
        let limits = Limits { first_rest: MINUTE, longest_rest: 3 * MINUTE, ..Limits::default() };
        let mut budget = Budget::new(limits);
        for (now, rest) in [(0, 1), (10, 2), (20, 3), (30, 3)] {
            let now = now * MINUTE;
            assert_eq!(budget.take("a", now), Ok(()));
            budget.failed("a", now);
            assert_eq!(budget.take("a", now), Err(Refused::Resting(rest * MINUTE)));
            assert_eq!(budget.take("b", now), Ok(()), "others don't");
        }
        budget.done("a");
        assert_eq!(budget.take("a", 30 * MINUTE), Ok(()));
    }

    #[test]
    fn names_that_failed_leave_orders_to_those_that_did_not() {
        let mut budget = Budget::new(Limits { orders_per_hour: 4, first_rest: MINUTE, ..Limits::default() });
        for name in ["a", "b", "c"] {
            budget.failed(name, Duration::ZERO);
        }
        let now = 2 * MINUTE;
        assert_eq!([budget.take("a", now), budget.take("b", now)], [Ok(()), Ok(())]);
        assert_eq!(budget.take("c", now), Err(Refused::Hour(HOUR)), "half of them");
        assert_eq!([budget.take("d", now), budget.take("e", now)], [Ok(()), Ok(())]);
        assert_eq!(budget.take("f", now), Err(Refused::Hour(HOUR)), "all of them");
        assert_eq!(budget.take("c", now + HOUR), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut budget = Budget::new(Limits { most_names: 2, orders_per_hour: 100, ..Limits::default() });
        for (at, name) in (0..).zip(["a", "b", "c"]) {
            budget.failed(name, at * MINUTE);
        }
        assert_eq!(budget.failed.len(), 2);
        assert_eq!(budget.take("a", 3 * MINUTE), Ok(()), "the soonest was forgotten");
        assert!(budget.take("c", 3 * MINUTE).is_err());
    }
}
