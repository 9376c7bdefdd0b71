use crate::calendar::{self, Calendar};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;
use streamvault_sdk::{Finished, kv, warn};

/// As long as the store keeps anything.
pub(crate) const KEPT: Duration = Duration::from_secs(400 * 86_400);

/// Viewers of one period that an instance remembers to have counted, so that one who asks for a film in a thousand ranges
/// costs the store one question; and names that wait while the store is away.
const REMEMBERED: usize = 4_096;

/// Periods whose viewers are remembered: around midnight at the end of a month there are four.
const PERIODS: usize = 4;

/// What was heard of and is not in the store, by period: `day:2026-11-21`, `month:2026-11`.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    waiting: BTreeMap<String, Waiting>,
    remembered: Vec<(String, BTreeSet<String>)>,
}

#[derive(Clone, Debug, Default)]
struct Waiting {
    bytes: i64,
    requests: i64,
    viewers: BTreeSet<String>,
}

impl Counts {
    pub(crate) fn add(&mut self, calendar: &Calendar, finished: &[Finished]) {
        let mut days: BTreeMap<i64, Waiting> = BTreeMap::new();
        for one in finished {
            let (day, _) = calendar.day(i64::try_from(one.time / 1_000).unwrap_or(i64::MAX / 2));
            let day = days.entry(day).or_default();
            day.bytes = day.bytes.saturating_add(i64::try_from(one.bytes).unwrap_or(i64::MAX));
            day.requests += 1;
            if !one.viewer.is_empty() && !day.viewers.contains(&one.viewer) {
                day.viewers.insert(one.viewer.clone());
            }
        }
        for (day, counts) in days {
            let name = calendar::name(day);
            // A month has as many characters in any year of four digits.
            let month = name.rsplit_once('-').map_or(name.as_str(), |(month, _)| month);
            self.wait(format!("month:{month}"), counts.clone());
            self.wait(format!("day:{name}"), counts);
        }
    }

    fn wait(&mut self, period: String, counts: Waiting) {
        let known = self.remembered.iter().find(|(name, _)| *name == period).map(|(_, viewers)| viewers);
        let waiting = self.waiting.entry(period).or_default();
        waiting.bytes = waiting.bytes.saturating_add(counts.bytes);
        waiting.requests += counts.requests;
        for viewer in counts.viewers {
            if known.is_none_or(|known| !known.contains(&viewer)) && waiting.viewers.len() < REMEMBERED {
                waiting.viewers.insert(viewer);
            }
        }
    }

    /// Brings all that waits into the store. What it took before an error is not brought again.
    pub(crate) fn store(&mut self) -> Result<(), kv::Error> {
        while let Some(mut entry) = self.waiting.first_entry() {
            let period = entry.key().clone();
            let counts = entry.get_mut();
            for (what, number) in [("bytes", &mut counts.bytes), ("requests", &mut counts.requests)] {
                if *number > 0 {
                    or_skip(kv::increment(&format!("{period}:{what}"), *number, KEPT), &period)?;
                    *number = 0;
                }
            }
            let mut distinct = None;
            while let Some(viewer) = counts.viewers.pop_first() {
                match or_skip(kv::count_distinct(&format!("{period}:seen"), &viewer, KEPT), &period) {
                    Ok(count) => distinct = count.or(distinct),
                    Err(error) => {
                        counts.viewers.insert(viewer);
                        return Err(error);
                    }
                }
                remember(&mut self.remembered, &period, viewer);
            }
            entry.remove();
            if let Some(distinct) = distinct {
                // The set itself can't be read. Whatever is lost here comes again with the next viewer.
                kv::set(&format!("{period}:viewers"), distinct.to_string(), KEPT)?;
            }
        }
        Ok(())
    }
}

/// What will never be taken must not keep the rest waiting: a viewer whose name is too long, a number that somebody wrote over.
fn or_skip<T>(taken: Result<T, kv::Error>, period: &str) -> Result<Option<T>, kv::Error> {
    match taken {
        Ok(value) => Ok(Some(value)),
        Err(error @ (kv::Error::Unavailable | kv::Error::Full)) => Err(error),
        Err(error) => {
            warn!("a part of {period} is not counted: {error}");
            Ok(None)
        }
    }
}

fn remember(remembered: &mut Vec<(String, BTreeSet<String>)>, period: &str, viewer: String) {
    let place = remembered.iter().position(|(name, _)| name == period).unwrap_or_else(|| {
        if remembered.len() == PERIODS {
            remembered.remove(0);
        }
        remembered.push((period.into(), BTreeSet::new()));
        remembered.len() - 1
    });
    let viewers = &mut remembered[place].1;
    if viewers.len() == REMEMBERED {
        viewers.clear();
    }
    viewers.insert(viewer);
}
