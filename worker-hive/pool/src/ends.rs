//! When a place will be free, told from how streams ended so far and from when flood waits end. Pure: `now` is handed in.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Ends that are remembered.
const KEPT: usize = 32;
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(3600);

/// The latest ends of streams.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// Since when ends are counted: the first stream's begin, or the oldest end that was forgotten.
    since: Option<Instant>,
    at: VecDeque<Instant>,
}

impl Ends {
    pub(crate) fn began(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    pub(crate) fn ended(&mut self, now: Instant) {
        self.at.push_back(now);
        if self.at.len() > KEPT {
            self.since = self.at.pop_front();
        }
    }

    /// How long until a place is free for whoever comes after `ahead` others. `floods` are ends of flood waits, and how many places
    /// each brings back. Whole seconds up, as `Retry-After` is.
    pub(crate) fn wait(&self, ahead: usize, floods: &[(Instant, usize)], now: Instant) -> Duration {
        let since = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        // As long as none ended, the mean is at least the time that was watched.
        let ended = u32::try_from(self.at.len().max(1)).unwrap_or(u32::MAX);
        let mean = (since / ended).max(Duration::from_millis(1));
        let needed = ahead.saturating_add(1);
        let by_ends = mean.saturating_mul(u32::try_from(needed).unwrap_or(u32::MAX));
        let mut floods: Vec<_> = floods.iter().copied().filter(|(_, places)| *places > 0).collect();
        floods.sort_unstable_by_key(|(until, _)| *until);
        let mut best = by_ends;
        let mut back = 0_usize;
        for (until, places) in floods {
            // What flood waits have brought back by then, ends of streams need not.
            back = back.saturating_add(places);
            let left = u32::try_from(needed.saturating_sub(back)).unwrap_or(u32::MAX);
            let then = until.saturating_duration_since(now).max(mean.saturating_mul(left));
            best = best.min(then);
        }
        let whole = best.as_secs() + u64::from(best.subsec_nanos() > 0);
        Duration::from_secs(whole).clamp(LEAST, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ends, MOST};
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn tells_what_it_saw() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut ends = Ends::default();
        assert_eq!(ends.wait(0, &[], start).as_secs(), 1, "nothing is known");
        ends.began(start);
        assert_eq!(ends.wait(0, &[], at(40)).as_secs(), 40, "none ended in 40 s");
        assert_eq!(ends.wait(0, &[(at(45), 15)], at(40)).as_secs(), 5, "but a flood wait does, soon");
        assert_eq!(ends.wait(20, &[(at(45), 15)], at(40)).as_secs(), 240, "not for the 21st");
        (1..=10).for_each(|n| ends.ended(at(n * 10)));
        assert_eq!(ends.wait(0, &[], at(100)).as_secs(), 10);
        assert_eq!(ends.wait(2, &[], at(100)).as_secs(), 30);
        assert_eq!(ends.wait(2, &[(at(105), 1)], at(100)).as_secs(), 20, "one comes back, two end");
        assert_eq!(ends.wait(usize::MAX, &[], at(100)), MOST);
        (0..100).for_each(|n| ends.ended(at(200 + n)));
        assert_eq!(ends.wait(0, &[], at(300)).as_secs(), 2, "what is long ago doesn't count");
        assert_eq!(ends.wait(0, &[(at(200), 1)], at(300)).as_secs(), 1);
    }
}
