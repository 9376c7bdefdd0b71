//! What is counted about one plugin, across its generations: relaxed atomics and fixed buckets, no lock.

use crate::failure::Failure;
use plugin_package::Hook;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the latency buckets in nanoseconds; one more bucket takes what is beyond.
pub const LATENCY_BOUNDS: [u64; 19] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
];

/// Words for what hooks decide, in the order of [`Decision`].
pub(crate) const DECISIONS: [&str; 10] =
    ["allow", "deny", "redirect", "proceed", "set-cookies", "rewritten", "found", "unknown", "heard", "kept"];

/// What a call that did not fail decided. Observe hooks decide nothing: theirs count as `Heard`. `Kept` is an `Allow` given earlier.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Decision {
    Allow,
    Deny,
    Redirect,
    Proceed,
    SetCookies,
    Rewritten,
    Found,
    Unknown,
    Heard,
    Kept,
}

/// Calls by how long they took, waiting for an instance included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Calls up to each of [`LATENCY_BOUNDS`] (not cumulative), and one more for the rest.
    pub buckets: [u64; LATENCY_BOUNDS.len() + 1],
    /// Nanoseconds, all together.
    pub sum: u64,
}

impl Latency {
    /// All calls.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// What one plugin has done since it was first loaded, all generations and tenants together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The operator's name for it.
    pub plugin: String,
    /// What it is asked.
    pub hook: Hook,
    /// Number of the generation in service, from 1; 0 if none is.
    pub generation: u64,
    /// Number of the generation that gets a share of requests.
    pub canary: Option<u64>,
    /// How long calls took.
    pub latency: Latency,
    /// Calls by what they decided: word and number.
    pub decisions: Vec<(&'static str, u64)>,
    /// Failed calls by kind: word and number.
    pub failures: Vec<(&'static str, u64)>,
    /// Most bytes of memories and tables that one instance ever had.
    pub memory_high_water: u64,
    /// Instances that wait for a call.
    pub idle: u64,
    /// Instances in a call.
    pub busy: u64,
    /// Instances made.
    pub created: u64,
    /// Instances let go after `limits.calls` calls or for want of work.
    pub retired: u64,
    /// Instances thrown away because a call failed or its caller left.
    pub discarded: u64,
    /// Calls that found no instance free, or no place for a new one, and waited.
    pub waits: u64,
    /// Log lines written. Lines of levels that the log's filter leaves out count nowhere.
    pub log_written: u64,
    /// Log lines dropped, beyond `limits.log_lines` a second.
    pub log_dropped: u64,
    /// Operations on the store.
    pub kv_operations: u64,
    /// Calls on a thread beside the requests', after one had run for long.
    pub aside: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    buckets: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    sum: AtomicU64,
    decisions: [AtomicU64; DECISIONS.len()],
    failures: [AtomicU64; Failure::WORDS.len()],
    memory_high_water: AtomicU64,
    pub(crate) idle: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) created: AtomicU64,
    pub(crate) retired: AtomicU64,
    pub(crate) discarded: AtomicU64,
    pub(crate) waits: AtomicU64,
    pub(crate) log_dropped: AtomicU64,
    pub(crate) log_written: AtomicU64,
    pub(crate) kv_operations: AtomicU64,
    pub(crate) aside: AtomicU64,
    log_window: Window,
    failure_window: Window,
}

impl Counters {
    pub(crate) fn took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS.partition_point(|&bound| bound < nanos);
        if let Some(count) = self.buckets.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(nanos, Relaxed);
    }

    pub(crate) fn decided(&self, decision: Decision) {
        if let Some(count) = self.decisions.get(decision as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        if let Some(count) = self.failures.get(failure.index()) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn memory(&self, bytes: u64) {
        // Nearly always a load: instances grow seldom.
        if self.memory_high_water.load(Relaxed) < bytes {
            self.memory_high_water.fetch_max(bytes, Relaxed);
        }
    }

    /// True if a guest may write one more line in this second; counts it either way.
    pub(crate) fn may_log(&self, second: u64, most: u32) -> bool {
        let may = self.log_window.take(second, most);
        if may { &self.log_written } else { &self.log_dropped }.fetch_add(1, Relaxed);
        may
    }

    /// True if the host may write one more line about failures in this second: a plugin that always fails must not fill the log.
    pub(crate) fn may_report(&self, second: u64) -> bool {
        self.failure_window.take(second, 10)
    }

    pub(crate) fn snapshot(&self, plugin: &str, hook: Hook, generation: u64, canary: Option<u64>) -> Stats {
        let all = |words: &[&'static str], counts: &[AtomicU64]| {
            words.iter().zip(counts).map(|(word, count)| (*word, count.load(Relaxed))).collect()
        };
        let mut buckets = [0; LATENCY_BOUNDS.len() + 1];
        for (bucket, count) in buckets.iter_mut().zip(&self.buckets) {
            *bucket = count.load(Relaxed);
        }
        Stats {
            plugin: plugin.to_owned(),
            hook,
            generation,
            canary,
            latency: Latency { buckets, sum: self.sum.load(Relaxed) },
            decisions: all(&DECISIONS, &self.decisions),
            failures: all(&Failure::WORDS, &self.failures),
            memory_high_water: self.memory_high_water.load(Relaxed),
            idle: self.idle.load(Relaxed),
            busy: self.busy.load(Relaxed),
            created: self.created.load(Relaxed),
            retired: self.retired.load(Relaxed),
            discarded: self.discarded.load(Relaxed),
            waits: self.waits.load(Relaxed),
            log_written: self.log_written.load(Relaxed),
            log_dropped: self.log_dropped.load(Relaxed),
            kv_operations: self.kv_operations.load(Relaxed),
            aside: self.aside.load(Relaxed),
        }
    }
}

/// How much was taken in the current second: the second in the upper half, the number in the lower.
#[derive(Debug, Default)]
struct Window(AtomicU64);

impl Window {
    fn take(&self, second: u64, most: u32) -> bool {
        let second = second & u64::from(u32::MAX);
        let taken = self.0.fetch_update(Relaxed, Relaxed, |packed| {
            let count = if packed >> 32 == second { packed & u64::from(u32::MAX) } else { 0 };
            (count < u64::from(most)).then(|| second << 32 | (count + 1))
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::{Counters, Decision, Window};
    use crate::failure::Failure;
    use plugin_package::Hook;
    use std::time::Duration;

    #[test]
    fn a_window_gives_out_so_much_each_second() {
        let window = Window::default();
        let taken = |second, most| (0..10).filter(|_| window.take(second, most)).count();
        assert_eq!(taken(0, 3), 3);
        assert_eq!(taken(0, 3), 0);
        assert_eq!(taken(1, 3), 3);
        assert_eq!(taken(5, 0), 0);
        assert_eq!(taken(u64::from(u32::MAX) + 7, 2), 2);
    }

    #[test]
    fn what_was_counted_is_told() {
        let counters = Counters::default();
        for nanos in [1, 1_000, 1_001, 2_000_000_000] {
            counters.took(Duration::from_nanos(nanos));
        }
        counters.decided(Decision::Deny);
        counters.failed(&Failure::Stack);
        counters.memory(5);
        counters.memory(3);
        let stats = counters.snapshot("p", Hook::Policy, 1, None);
        assert_eq!((stats.latency.buckets[0], stats.latency.buckets[1], stats.latency.buckets[19]), (2, 1, 1));
        assert_eq!((stats.latency.count(), stats.latency.sum), (4, 2_000_002_002));
        assert!(stats.decisions.contains(&("deny", 1)) && stats.decisions.contains(&("allow", 0)));
        assert!(stats.failures.contains(&("stack", 1)) && stats.failures.contains(&("trap", 0)));
        assert_eq!(stats.memory_high_water, 5);
    }
}
