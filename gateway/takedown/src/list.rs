//! What is down, and what was lifted again.

use crate::record::Record;
use crate::target::Target;
use std::collections::HashMap;
use std::sync::Arc;

/// The last record of every target. Lifted ones are kept: without them a gateway that was cut off would bring back what others
/// have lifted.
#[derive(Clone, Debug, Default)]
pub struct List {
    records: HashMap<Target, Arc<Record>>,
    /// Targets that are down.
    down: usize,
    /// Content entries that are down, by their sizes.
    sizes: HashMap<u64, u32>,
}

impl List {
    /// Takes a record in. True if it counts: it is news, or later than the one before.
    pub fn merge(&mut self, record: Record) -> bool {
        if self.records.get(&record.target).is_some_and(|known| !record.supersedes(known)) {
            return false;
        }
        let record = Arc::new(record);
        let before = self.records.insert(record.target.clone(), record.clone());
        if let Some(before) = before.filter(|before| before.down) {
            self.count(&before, false);
        }
        if record.down {
            self.count(&record, true);
        }
        true
    }

    fn count(&mut self, record: &Record, up: bool) {
        self.down = if up { self.down + 1 } else { self.down - 1 };
        if let Target::Content(content) = &record.target {
            let entries = self.sizes.entry(content.size).or_default();
            *entries = if up { *entries + 1 } else { *entries - 1 };
            if *entries == 0 {
                self.sizes.remove(&content.size);
            }
        }
    }

    /// True if nothing is down.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.down == 0
    }

    /// Why a target is down; `None` if it is not.
    #[must_use]
    pub fn find(&self, target: &Target) -> Option<&Arc<Record>> {
        self.records.get(target).filter(|record| record.down)
    }

    /// Whether some content of this size is down: only then need a media's first bytes be looked at.
    #[must_use]
    pub fn has_size(&self, size: u64) -> bool {
        self.sizes.contains_key(&size)
    }

    /// The last record of a target, lifted or not.
    #[must_use]
    pub fn last(&self, target: &Target) -> Option<&Arc<Record>> {
        self.records.get(target)
    }

    /// What the next act here is to be numbered: it supersedes all that is known.
    #[must_use]
    pub fn next_version(&self) -> u64 {
        self.records.values().map(|record| record.version).max().unwrap_or(0).saturating_add(1)
    }

    /// Every record, the oldest act first.
    #[must_use]
    pub fn records(&self) -> Vec<Arc<Record>> {
        let mut records: Vec<_> = self.records.values().cloned().collect();
        records.sort_by(|a, b| (a.version, &a.target).cmp(&(b.version, &b.target)));
        records
    }
}

#[cfg(test)]
mod tests {
    use super::List;
    use crate::record::Record;
    use rand::rngs::SmallRng;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};

    fn record(version: u64, down: bool, target: &str, by: &str) -> Record {
        Record::new(target.parse().unwrap(), version, down, 0, by, "x").unwrap()
    }

    #[test]
    fn the_last_act_counts() {
        let mut list = List::default();
        let content = format!("content:10:{}", "00".repeat(32));
        let target = content.parse().unwrap();
        assert!(list.is_empty() && list.next_version() == 1);
        assert!(list.merge(record(1, true, &content, "a")));
        assert!(!list.merge(record(1, true, &content, "a")), "nothing new");
        assert!(!list.is_empty() && list.has_size(10) && !list.has_size(11));
        assert_eq!(list.find(&target).unwrap().by, "a");
        assert!(list.merge(record(2, false, &content, "b")));
        assert!(list.is_empty() && !list.has_size(10) && list.find(&target).is_none());
        assert!(!list.merge(record(1, true, &content, "c")), "late");
        assert!(list.merge(record(2, true, &content, "d")), "of two at once the one that takes down");
        assert_eq!((list.next_version(), list.records().len()), (3, 1));
    }

    #[test]
    fn gateways_that_heard_the_same_agree() {
        let seed = std::env::var("TAKEDOWN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
        println!("TAKEDOWN_SEED={seed}");
        let mut rng = SmallRng::seed_from_u64(seed);
        for _ in 0..200 {
            let digest = "ab".repeat(32);
            let targets = ["chat:-1", "chat:-2", "/v/film", &format!("content:5:{digest}")];
            let mut heard: Vec<Record> = (0..rng.random_range(1..20))
                .map(|_| {
                    let target = targets[rng.random_range(0..targets.len())];
                    record(rng.random_range(1..5), rng.random(), target, ["a", "b"][rng.random_range(0..2)])
                })
                .collect();
            let told = |heard: &[Record]| {
                let mut list = List::default();
                for record in heard {
                    list.merge(record.clone());
                }
                let lines: Vec<String> = list.records().iter().map(ToString::to_string).collect();
                (list.is_empty(), list.has_size(5), lines)
            };
            let first = told(&heard);
            heard.extend(heard.clone());
            heard.shuffle(&mut rng);
            assert_eq!(told(&heard), first);
            let down = first.2.iter().any(|line| line.contains("\tdown\t"));
            assert_eq!(first.0, !down);
            let content = first.2.iter().any(|line| line.contains("\tdown\tcontent:"));
            assert_eq!(first.1, content);
        }
    }
}
