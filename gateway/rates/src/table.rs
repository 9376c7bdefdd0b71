//! Buckets in this process: all there are without Redis, and a picture of Redis' own while there is one.
//!
//! A bucket that is empty is the same as none and is cleared away by whoever comes by. Names can be invented, so there is a most of
//! buckets: beyond it those go that would be empty first, which forgives the least. There is no clock behind this.
//!
//! With Redis, a bucket has two levels: `seen` is what Redis said last, and `meter` that and what was let through here since, while Redis
//! was gone. The difference is what Redis does not know; it is told with the first decision after it came back.

use crate::bucket::{Bucket, Key, Standing, Verdict};
use crate::meter::{Meter, Rate};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Buckets in memory at most, some 200 bytes each.
pub(crate) const MOST: usize = 100_000;
/// Empty buckets cleared away by one decision: more than it may add.
const CLEAR: usize = 6;

#[derive(Debug)]
pub(crate) struct Table {
    entries: HashMap<Key, Entry>,
    /// By the time at which they are empty.
    due: BTreeSet<(Duration, Key)>,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    rate: Rate,
    meter: Meter,
    seen: Meter,
    due: Duration,
}

impl Table {
    pub(crate) fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), due: BTreeSet::new(), most }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Decides here: takes `weight` tokens from each bucket, or from none.
    pub(crate) fn decide(&mut self, buckets: &[Bucket], weight: u64, now: Duration) -> Verdict {
        self.clear(now);
        let standing = |bucket: &Bucket| {
            let level = self.entries.get(&bucket.key).map_or(0, |entry| entry.settled(bucket.rate, now).meter.level);
            let cost = bucket.rate.cost(weight);
            Standing { scope: bucket.scope, rate: bucket.rate, route: bucket.route, level, cost }
        };
        let mut standings: Vec<Standing> = buckets.iter().map(standing).collect();
        let passed = standings.iter().all(|standing| standing.wait().is_zero());
        if passed {
            for (bucket, standing) in buckets.iter().zip(&mut standings) {
                standing.level += standing.cost;
                let mut entry = self.entry(bucket, now);
                entry.meter.fill(standing.cost, bucket.rate, now);
                self.put(bucket.key, entry);
            }
        }
        Verdict { passed, standings }
    }

    /// What Redis does not know of a bucket, in units of `weight` gateways' shares; it counts as told from now on.
    pub(crate) fn owed(&mut self, bucket: &Bucket, weight: u64, now: Duration) -> u64 {
        let Some(entry) = self.entries.get_mut(&bucket.key) else { return 0 };
        let settled = entry.settled(bucket.rate, now);
        let owed = settled.meter.level.saturating_sub(settled.seen.level);
        if owed > 0 {
            entry.seen = entry.meter;
        }
        owed / weight.max(1)
    }

    /// It could not be told after all.
    pub(crate) fn still_owed(&mut self, bucket: &Bucket, units: u64, weight: u64, now: Duration) {
        if let Some(entry) = self.entries.get_mut(&bucket.key) {
            let level = entry.settled(bucket.rate, now).seen.level;
            entry.seen = Meter { level: level.saturating_sub(units.saturating_mul(weight)), at: now };
        }
    }

    /// Notes what Redis said.
    pub(crate) fn see(&mut self, bucket: &Bucket, level: u64, now: Duration) {
        self.clear(now);
        let mut entry = self.entry(bucket, now);
        entry.seen = Meter { level, at: now };
        entry.meter = entry.seen;
        self.put(bucket.key, entry);
    }

    fn entry(&self, bucket: &Bucket, now: Duration) -> Entry {
        let new = Entry { rate: bucket.rate, meter: Meter::default(), seen: Meter::default(), due: now };
        self.entries.get(&bucket.key).map_or(new, |entry| entry.settled(bucket.rate, now))
    }

    fn put(&mut self, key: Key, mut entry: Entry) {
        entry.due = entry.meter.empty_at(entry.rate);
        if let Some(before) = self.entries.insert(key, entry) {
            self.due.remove(&(before.due, key));
        }
        self.due.insert((entry.due, key));
        if self.entries.len() > self.most {
            self.forget_first();
        }
    }

    fn clear(&mut self, now: Duration) {
        for _ in 0..CLEAR {
            match self.due.first() {
                Some((due, _)) if *due <= now => self.forget_first(),
                _ => return,
            }
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.due.pop_first() {
            self.entries.remove(&key);
        }
    }
}

impl Entry {
    /// As of now, and by this rate, which may be another than it was: tokens stay tokens.
    fn settled(&self, rate: Rate, now: Duration) -> Self {
        let level = |meter: Meter| {
            let level = u128::from(meter.level(self.rate, now));
            let level = level * u128::from(rate.window_us()) / u128::from(self.rate.window_us());
            Meter { level: u64::try_from(level).unwrap_or(u64::MAX).min(rate.capacity()), at: now }
        };
        Self { rate, meter: level(self.meter), seen: level(self.seen), due: self.due }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;
    use crate::bucket::{Bucket, Route, RouteRates, Who, buckets};
    use crate::meter::Rate;
    use std::time::Duration;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn of(address: &str, tokens: u32, tenant: u32) -> Vec<Bucket> {
        let rates = RouteRates {
            address: Rate::new(tokens, seconds(60)).ok(),
            identity: None,
            tenant: Rate::new(tenant, seconds(60)).ok(),
        };
        buckets(Route::Sign, &rates, &Who { tenant: "t", address: Some(address), identity: None })
    }

    fn passes(table: &mut Table, buckets: &[Bucket], weight: u64, now: Duration) -> usize {
        (0..100).filter(|_| table.decide(buckets, weight, now).passed).count()
    }

    #[test]
    fn all_buckets_give_or_none_does() {
        let mut table = Table::new(100);
        assert_eq!(passes(&mut table, &of("a", 3, 5), 1, seconds(0)), 3);
        assert_eq!(passes(&mut table, &of("b", 3, 5), 1, seconds(0)), 2);
        // What the tenant's bucket refused took nothing from the address.
        let verdict = table.decide(&of("b", 3, 5), 1, seconds(0));
        let [address, tenant] = verdict.standings.as_slice() else { panic!() };
        assert_eq!((address.remaining(), tenant.remaining()), (1, 0));
        assert_eq!((address.wait(), tenant.wait()), (seconds(0), seconds(12)));
        assert_eq!((address.reset(), tenant.reset()), (seconds(40), seconds(60)));
    }

    #[test]
    fn a_share_is_what_the_gateways_have_together() {
        for gateways in 1..=4_u64 {
            let each = passes(&mut Table::new(100), &of("a", 12, 100), gateways, seconds(0));
            assert_eq!(each as u64 * gateways, 12);
        }
        // More gateways than tokens: one each, and no more.
        let mut table = Table::new(100);
        assert_eq!(passes(&mut table, &of("a", 2, 100), 7, seconds(0)), 1);
        assert_eq!(passes(&mut table, &of("a", 2, 100), 7, seconds(60)), 1);
    }

    #[test]
    fn what_redis_said_holds_while_it_is_gone_and_it_is_told_the_rest() {
        let mut table = Table::new(100);
        let buckets = of("a", 10, 100);
        let [address, _] = buckets.as_slice() else { panic!() };
        let minute = address.rate.window_us();
        table.see(address, 8 * minute, seconds(0));
        assert_eq!(table.owed(address, 2, seconds(0)), 0);
        // Two gateways: of the two tokens left one is this one's.
        assert_eq!(passes(&mut table, &buckets, 2, seconds(0)), 1);
        assert_eq!(table.owed(address, 2, seconds(0)), minute);
        assert_eq!(table.owed(address, 2, seconds(0)), 0, "told once");
        table.still_owed(address, minute, 2, seconds(0));
        // What drains, drains from what Redis knew: it drains there, too.
        assert_eq!(table.owed(address, 2, seconds(6)), minute);
    }

    #[test]
    fn a_rate_that_changes_keeps_what_was_taken() {
        let mut table = Table::new(100);
        assert_eq!(passes(&mut table, &of("a", 4, 100), 1, seconds(0)), 4);
        assert_eq!(passes(&mut table, &of("a", 6, 100), 1, seconds(0)), 2);
        let rates = RouteRates { address: Rate::new(10, seconds(3600)).ok(), ..RouteRates::default() };
        let hour = buckets(Route::Sign, &rates, &Who { tenant: "t", address: Some("a"), identity: None });
        assert_eq!(passes(&mut table, &hour, 1, seconds(0)), 4);
    }

    #[test]
    fn invented_names_take_bounded_memory_and_forgive_the_least() {
        let mut table = Table::new(50);
        assert_eq!(passes(&mut table, &of("offender", 5, 100_000), 1, seconds(0)), 5);
        for name in 0..10_000 {
            table.decide(&of(&name.to_string(), 5, 100_000), 1, seconds(0));
            assert!(table.len() <= 50);
        }
        assert!(!table.decide(&of("offender", 5, 100_000), 1, seconds(0)).passed);
        for _ in 0..20 {
            table.decide(&of("last", 5, 100_000), 1, seconds(7_200));
        }
        assert_eq!(table.len(), 2);
    }
}
