use crate::{
    budget::{Budget, Later},
    calendar::{self, Calendar},
};
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
/// costs the store one question.
const REMEMBERED: usize = 4_096;

/// Periods whose viewers are remembered: around midnight at the end of a month there are four.
const PERIODS: usize = 4;

/// Names of viewers that wait, of all periods: with those that are remembered some seven of sixteen megabytes, if each has 256 bytes.
const NAMES: usize = 8_192;

/// Periods that wait: a month that the store was away, and what little of it each day costs.
const WAITING: usize = 64;

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
        if self.waiting.len() == WAITING && !self.waiting.contains_key(&period) {
            warn!("{} bytes and {} requests of {period} are lost: too much waits", counts.bytes, counts.requests);
            return;
        }
        let known = self.remembered.iter().find(|(name, _)| *name == period).map(|(_, viewers)| viewers);
        let mut names: usize = self.waiting.values().map(|waiting| waiting.viewers.len()).sum();
        let waiting = self.waiting.entry(period).or_default();
        waiting.bytes = waiting.bytes.saturating_add(counts.bytes);
        waiting.requests += counts.requests;
        for viewer in counts.viewers {
            let is_new = known.is_none_or(|known| !known.contains(&viewer)) && !waiting.viewers.contains(&viewer);
            if is_new && names < NAMES {
                waiting.viewers.insert(viewer);
                names += 1;
            }
        }
    }

    /// Brings what waits into the store: all numbers, then the viewers. What doesn't fit into the budget goes on waiting.
    pub(crate) fn store(&mut self, budget: &Budget) -> Result<(), Later> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        // Found gone here, before anything is on its way, the store costs nothing.
        budget.spend()?;
        kv::get("since")?;
        for (period, waiting) in &mut self.waiting {
            add(period, "bytes", &mut waiting.bytes, budget)?;
            add(period, "requests", &mut waiting.requests, budget)?;
        }
        while let Some(mut entry) = self.waiting.first_entry() {
            let period = entry.key().clone();
            let (distinct, done) = store_viewers(&period, entry.get_mut(), &mut self.remembered, budget);
            if let Some(distinct) = distinct {
                // The set itself can't be read. Whatever is lost here comes again with the next viewer.
                kv::set(&format!("{period}:viewers"), distinct.to_string(), KEPT)?;
            }
            done?;
            entry.remove();
        }
        Ok(())
    }
}

/// Adds a number, at most once: one that the store didn't answer to may have been added, so it is given up and told rather than
/// brought again. Somebody may pay for it.
fn add(period: &str, what: &str, number: &mut i64, budget: &Budget) -> Result<(), Later> {
    if *number == 0 {
        return Ok(());
    }
    budget.spend()?;
    let added = kv::increment(&format!("{period}:{what}"), *number, KEPT);
    match added {
        Ok(_) => {}
        Err(kv::Error::Full) => return Err(kv::Error::Full.into()),
        Err(kv::Error::Unavailable) => {
            warn!("{number} {what} of {period} may be missing: the store broke off while they were added");
        }
        Err(error) => warn!("{number} {what} of {period} are not counted: {error}"),
    }
    *number = 0;
    match added {
        Err(error @ kv::Error::Unavailable) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Counts viewers as long as it goes. Counting one again changes nothing, so whom the store didn't answer to waits. The number that
/// the last answer told, and whether all went.
fn store_viewers(
    period: &str,
    waiting: &mut Waiting,
    remembered: &mut Vec<(String, BTreeSet<String>)>,
    budget: &Budget,
) -> (Option<u64>, Result<(), Later>) {
    let mut distinct = None;
    while let Some(viewer) = waiting.viewers.pop_first() {
        if let Err(later) = budget.spend() {
            waiting.viewers.insert(viewer);
            return (distinct, Err(later));
        }
        match kv::count_distinct(&format!("{period}:seen"), &viewer, KEPT) {
            Ok(count) => distinct = Some(count),
            Err(error @ (kv::Error::Unavailable | kv::Error::Full)) => {
                waiting.viewers.insert(viewer);
                return (distinct, Err(error.into()));
            }
            // What will never be taken must not keep the rest waiting: a name that is too long.
            Err(error) => warn!("a viewer of {period} is not counted: {error}"),
        }
        remember(remembered, period, viewer);
    }
    (distinct, Ok(()))
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
