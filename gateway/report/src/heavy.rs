//! What occurs most, in bounded memory: "space saving" (Metwally, Agrawal, El Abbadi, 2005).

use serde::{Deserialize, Serialize};

/// Dead links that are counted at once.
pub const MOST_LINKS: usize = 512;

/// Counters by key. A key that was counted is overestimated by at most [`Counter::over`]; one that occurred more often than
/// one time in [`MOST_LINKS`] is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "K: Deserialize<'de>"))]
pub(crate) struct Heavy<K> {
    counters: Vec<Counter<K>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Counter<K> {
    pub(crate) key: K,
    pub(crate) count: u64,
    /// What of the count may belong to keys that were here before.
    pub(crate) over: u64,
}

impl<K> Default for Heavy<K> {
    fn default() -> Self {
        Self { counters: Vec::new() }
    }
}

impl<K: PartialEq> Heavy<K> {
    pub(crate) fn note(&mut self, key: K) {
        if let Some(counter) = self.counters.iter_mut().find(|counter| counter.key == key) {
            counter.count += 1;
        } else if self.counters.len() < MOST_LINKS {
            self.counters.push(Counter { key, count: 1, over: 0 });
        } else if let Some(least) = self.counters.iter_mut().min_by_key(|counter| counter.count) {
            *least = Counter { key, count: least.count + 1, over: least.count };
        }
    }

    /// The keys that occurred most, most first. Those of which nothing is certain are left out.
    pub(crate) fn top(&self, count: usize) -> Vec<&Counter<K>> {
        let mut sure: Vec<_> = self.counters.iter().filter(|counter| counter.count > counter.over).collect();
        sure.sort_by_key(|counter| std::cmp::Reverse(counter.count - counter.over));
        sure.truncate(count);
        sure
    }
}

#[cfg(test)]
mod tests {
    use super::{Heavy, MOST_LINKS};

    #[test]
    fn what_occurs_often_is_found_among_much_that_does_not() {
        let mut heavy = Heavy::default();
        for round in 0..100_000_u32 {
            heavy.note(round);
            if round % 10 == 0 {
                heavy.note(u32::MAX);
            }
        }
        assert_eq!(heavy.counters.len(), MOST_LINKS);
        let top = heavy.top(1)[0];
        assert_eq!(top.key, u32::MAX);
        assert!(top.count >= 10_000 && top.count - top.over <= 10_000);
    }
}
