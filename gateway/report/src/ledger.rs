//! The counting itself.

use crate::day::Day;
use crate::heavy::Heavy;
use crate::report::{DeadLink, Report, Storage, TenantReport};
use crate::sums::{CacheUse, Dead, Sums, Verdict};
use cardinality_estimator::CardinalityEstimator;
use foldhash::{HashMap, HashMapExt};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Tenants that have a name in reports and metrics.
pub const MOST_TENANTS: usize = 256;
/// The name of the rest, and of requests whose tenant was not found. No tenant's id has a dot.
pub const OTHER: &str = ".other";

/// Counts viewers to some 2 %, in 3 KiB at most.
type Viewers = CardinalityEstimator<str>;

/// A request that ended.
#[derive(Clone, Debug)]
pub struct Ended<'a> {
    /// When, as a Unix time in seconds.
    pub now: i64,
    /// Whose it was, if that was found out.
    pub tenant: Option<&'a Arc<str>>,
    /// Who asked: a name, or an address.
    pub viewer: Option<&'a str>,
    /// How it ended.
    pub verdict: Verdict,
    /// Where an answer with media came from.
    pub cache: Option<CacheUse>,
    /// Body bytes sent.
    pub bytes: u64,
    /// The media's path, if it is not there.
    pub dead: Option<(Dead, String)>,
}

/// Counts what ends.
#[derive(Debug, Default)]
pub struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Since the process began.
    totals: HashMap<Arc<str>, Sums>,
    today: Option<Count>,
    /// The day before, until somebody takes it.
    done: Option<Count>,
}

/// One day.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Count {
    day: Day,
    /// Unix time from which on it was counted.
    from: i64,
    tenants: HashMap<String, TenantCount>,
    dead: Heavy<(String, String, Dead)>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct TenantCount {
    sums: Sums,
    viewers: Viewers,
}

/// A day that is put away, to be taken up by the next process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept(Count);

impl Count {
    fn new(day: Day, from: i64) -> Self {
        Self { day, from, tenants: HashMap::new(), dead: Heavy::default() }
    }

    fn report(&self, until: i64, storage: Storage, links: usize) -> Report {
        let mut all = Sums::default();
        let mut viewers = Viewers::new();
        let mut tenants: Vec<_> = self
            .tenants
            .iter()
            .map(|(id, count)| {
                all.add(&count.sums);
                viewers.merge(&count.viewers);
                TenantReport::new(id, &count.sums, count.viewers.estimate())
            })
            .collect();
        tenants.sort_by(|a, b| b.sums.bytes.cmp(&a.sums.bytes).then_with(|| a.id.cmp(&b.id)));
        let dead = self.dead.top(links).into_iter().map(|counter| {
            let (tenant, media, dead) = &counter.key;
            DeadLink {
                tenant: tenant.clone(),
                media: media.clone(),
                dead: *dead,
                requests: counter.count - counter.over,
            }
        });
        let whole = TenantReport::new("", &all, viewers.estimate());
        Report {
            day: self.day.to_string(),
            from: self.from,
            until,
            sums: all,
            viewers: whole.viewers,
            hit_ratio: whole.hit_ratio,
            tenants,
            dead_links: dead.collect(),
            storage,
        }
    }
}

impl Ledger {
    /// Counts from `now` on. What was put away counts on if it is of the same day, or is [`Self::take_done`]'s to give if it is older.
    #[must_use]
    pub fn new(now: i64, kept: Option<Kept>) -> Self {
        let mut state = State::default();
        match kept {
            Some(Kept(count)) if count.day == Day::of(now) => state.today = Some(count),
            Some(Kept(count)) if count.day < Day::of(now) => state.done = Some(count),
            _ => {}
        }
        state.roll(now, now);
        Self { state: Mutex::new(state) }
    }

    /// Counts a request.
    pub fn note(&self, ended: &Ended<'_>) {
        let mut state = self.state.lock();
        state.roll(ended.now, Day::of(ended.now).start());
        let State { totals, today: Some(today), .. } = &mut *state else { return };
        let name = tenant_name(totals, ended.tenant);
        totals.entry(name.clone()).or_default().note(ended.verdict, ended.cache, ended.bytes);
        let count = match today.tenants.get_mut(&*name) {
            Some(count) => count,
            None => today.tenants.entry(name.to_string()).or_default(),
        };
        count.sums.note(ended.verdict, ended.cache, ended.bytes);
        // Who gets nothing is no viewer; else scanners would be most of them.
        if let (Some(viewer), Verdict::Served) = (ended.viewer, ended.verdict) {
            count.viewers.insert(viewer);
        }
        if let Some((dead, media)) = &ended.dead {
            today.dead.note((name.to_string(), media.clone(), *dead));
        }
    }

    /// Sums by tenant since the process began, by their names.
    #[must_use]
    pub fn totals(&self) -> Vec<(Arc<str>, Sums)> {
        let state = self.state.lock();
        let mut totals: Vec<_> = state.totals.iter().map(|(id, sums)| (id.clone(), *sums)).collect();
        drop(state);
        totals.sort_by(|a, b| a.0.cmp(&b.0));
        totals
    }

    /// The day so far, with so many dead links at most.
    #[must_use]
    pub fn today(&self, now: i64, storage: Storage, links: usize) -> Report {
        let mut state = self.state.lock();
        state.roll(now, Day::of(now).start());
        let today = state.today.clone().unwrap_or_else(|| Count::new(Day::of(now), now));
        drop(state);
        today.report(now, storage, links)
    }

    /// The last day that is over, once.
    #[must_use]
    pub fn take_done(&self, now: i64, storage: Storage, links: usize) -> Option<Report> {
        let mut state = self.state.lock();
        state.roll(now, Day::of(now).start());
        let done = state.done.take();
        drop(state);
        done.map(|done| {
            let until = done.day.start().saturating_add(86_400);
            done.report(until, storage, links)
        })
    }

    /// What to put away.
    #[must_use]
    pub fn keep(&self) -> Option<Kept> {
        self.state.lock().today.clone().map(Kept)
    }
}

impl State {
    /// Begins a new day if it is time. A clock that goes back changes nothing.
    fn roll(&mut self, now: i64, from: i64) {
        let day = Day::of(now);
        if self.today.as_ref().is_none_or(|today| today.day < day) {
            let before = self.today.replace(Count::new(day, from));
            if before.is_some() {
                self.done = before;
            }
        }
    }
}

/// The name that a tenant counts under.
fn tenant_name(totals: &HashMap<Arc<str>, Sums>, tenant: Option<&Arc<str>>) -> Arc<str> {
    let other = || totals.get_key_value(OTHER).map_or_else(|| Arc::from(OTHER), |(name, _)| name.clone());
    match tenant {
        Some(tenant) if totals.contains_key(tenant) || totals.len() < MOST_TENANTS => tenant.clone(),
        _ => other(),
    }
}
