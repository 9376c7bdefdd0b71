//! How much to have under way at once: the least that gives the most. Pure: `now` is handed in.
//!
//! A level (chunks of a stream, calls of an account) is raised as long as raising it delivers more bytes per second, held where that
//! ends, tried a little higher and a little lower from time to time, and halved on a setback. Bytes per second and not round-trip
//! times decide: a line that is full answers late and delivers no more.

use std::time::Duration;
use tokio::time::Instant;

/// A search goes on while an epoch delivers so much more than the best before it.
const PAYS_SEARCH: f64 = 1.1;
/// Raising by a step is kept when it delivers so much more.
const PAYS_STEP: f64 = 1.04;
/// Lowering by a step is kept when it delivers at least this part.
const COSTS_NOTHING: f64 = 0.98;
/// Epochs without a gain that end a search: one may be noise.
const FLAT: u32 = 2;
/// Epochs that a level is held before another is tried.
const HELD: u32 = 4;
/// Fewest answers that make an epoch.
const EPOCH: usize = 4;
/// What is measured over a longer time says little about now.
const EPOCH_LONGEST: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// One more with every answer; ends after [`FLAT`] epochs that were not better than the best.
    Search { flat: u32 },
    /// Stays; the next try goes up or down.
    Hold { epochs: u32, up: bool },
    /// Another level than `from`, which delivered `rate`.
    Try { from: usize, rate: f64, up: bool },
}

/// A level between a floor and a ceiling that follows throughput.
#[derive(Clone, Debug)]
pub struct Climb {
    level: usize,
    floor: usize,
    ceiling: usize,
    phase: Phase,
    best: f64,
    best_level: usize,
    epoch: Epoch,
}

#[derive(Clone, Copy, Debug)]
struct Epoch {
    since: Option<Instant>,
    length: usize,
    answers: usize,
    bound: usize,
    bytes: u64,
}

impl Epoch {
    fn new(since: Option<Instant>, level: usize) -> Self {
        Self { since, length: level.max(EPOCH), answers: 0, bound: 0, bytes: 0 }
    }
}

impl Climb {
    /// Begins at `start`, searching upwards, within `floor` (at least 1) and `ceiling` (at least `floor`).
    #[must_use]
    pub fn new(start: usize, floor: usize, ceiling: usize) -> Self {
        let floor = floor.max(1);
        let ceiling = ceiling.max(floor);
        let level = start.clamp(floor, ceiling);
        let phase = Phase::Search { flat: 0 };
        Self { level, floor, ceiling, phase, best: 0.0, best_level: level, epoch: Epoch::new(None, level) }
    }

    /// How much may be under way.
    #[must_use]
    pub fn level(&self) -> usize {
        self.level
    }

    /// An answer brought so many bytes. `bound` tells whether more would have been asked for, had the level allowed it: a level that
    /// nobody needs says nothing about what a higher one would bring.
    pub fn delivered(&mut self, bytes: usize, bound: bool, now: Instant) {
        let Some(since) = self.epoch.since else {
            // The clock starts with an answer, not with the question: the first wait is latency, not throughput.
            self.epoch = Epoch::new(Some(now), self.level);
            self.search_on(bound);
            return;
        };
        self.epoch.answers += 1;
        self.epoch.bound += usize::from(bound);
        self.epoch.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.search_on(bound);
        if self.epoch.answers < self.epoch.length {
            return;
        }
        let took = now.saturating_duration_since(since);
        let (bytes, meant) = (self.epoch.bytes, self.epoch.bound * 2 >= self.epoch.answers);
        if meant && took <= EPOCH_LONGEST {
            let rate = bytes_f64(bytes) / took.as_secs_f64().max(1e-6);
            self.judge(rate);
        }
        self.epoch = Epoch::new(Some(now), self.level);
    }

    /// A time-out or a flood: half as much, and from there upwards in small steps.
    pub fn setback(&mut self) {
        self.set(self.level / 2);
        // One epoch to settle, then up again step by step.
        self.phase = Phase::Hold { epochs: HELD - 1, up: true };
        self.best = 0.0;
        self.epoch = Epoch::new(None, self.level);
    }

    /// One less, as what is there is more than anybody takes.
    pub fn lower(&mut self) {
        self.set(self.level.saturating_sub(1));
        self.epoch = Epoch::new(None, self.level);
    }

    /// Other bounds, as the line became wider or narrower; `raise` is added to the level, and the search begins again.
    pub fn rebound(&mut self, floor: usize, ceiling: usize, raise: usize) {
        self.floor = floor.max(1);
        self.ceiling = ceiling.max(self.floor);
        self.set(self.level + raise);
        if raise > 0 {
            self.phase = Phase::Search { flat: 0 };
            self.epoch = Epoch::new(self.epoch.since, self.level);
        }
    }

    fn search_on(&mut self, bound: bool) {
        if bound && matches!(self.phase, Phase::Search { .. }) {
            self.set(self.level + 1);
        }
    }

    fn judge(&mut self, rate: f64) {
        match self.phase {
            Phase::Search { .. } if rate > self.best * PAYS_SEARCH => {
                self.best = rate;
                self.best_level = self.level;
                self.phase = Phase::Search { flat: 0 };
            }
            Phase::Search { flat } if flat + 1 < FLAT => self.phase = Phase::Search { flat: flat + 1 },
            Phase::Search { .. } => {
                self.set(self.best_level);
                self.hold(false);
            }
            Phase::Hold { epochs, up } => {
                self.best = rate;
                self.phase = Phase::Hold { epochs: epochs + 1, up };
                if epochs + 1 >= HELD {
                    self.step(rate, up);
                }
            }
            Phase::Try { from, rate: before, up } => {
                let pays = if up { rate > before * PAYS_STEP } else { rate > before * COSTS_NOTHING };
                if pays {
                    // What paid once may pay again.
                    self.step(rate, up);
                } else {
                    self.set(from);
                    self.hold(!up);
                }
            }
        }
    }

    fn step(&mut self, rate: f64, up: bool) {
        let from = self.level;
        let step = (self.level / 8).max(1);
        self.set(if up { self.level + step } else { self.level.saturating_sub(step) });
        if self.level == from {
            self.hold(!up);
        } else {
            self.phase = Phase::Try { from, rate, up };
        }
    }

    fn hold(&mut self, up: bool) {
        self.phase = Phase::Hold { epochs: 0, up };
    }

    fn set(&mut self, level: usize) {
        self.level = level.clamp(self.floor, self.ceiling);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
fn bytes_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::Climb;
    use std::time::Duration;
    use tokio::time::Instant;

    const CHUNK: usize = 512 * 1024;

    /// A line of `width` bytes a second and a round trip, asked by a climber: levels after each of `rounds` rounds.
    fn run(climb: &mut Climb, now: &mut Instant, width: f64, trip: Duration, rounds: usize) -> Vec<usize> {
        (0..rounds)
            .map(|_| {
                let level = climb.level();
                let line = Duration::from_secs_f64((level * CHUNK) as f64 / width);
                let took = line.max(trip);
                for answer in 1..=level {
                    let at = *now + took.mul_f64(answer as f64 / level as f64);
                    climb.delivered(CHUNK, true, at);
                }
                *now += took;
                climb.level()
            })
            .collect()
    }

    #[test]
    fn finds_where_more_brings_no_more_and_follows_the_line() {
        let (mut climb, mut now) = (Climb::new(4, 2, 64), Instant::now());
        let trip = Duration::from_millis(100);
        // 8 chunks a trip fill it.
        let width = (8 * CHUNK) as f64 * 10.0;
        let levels = run(&mut climb, &mut now, width, trip, 100);
        let settled = &levels[50..];
        assert!(settled.iter().all(|level| (7..=20).contains(level)), "{levels:?}");
        let levels = run(&mut climb, &mut now, width * 4.0, trip, 200);
        assert!(levels[150..].iter().all(|level| *level >= 27), "a wider line is found: {levels:?}");
        let levels = run(&mut climb, &mut now, width / 2.0, trip, 400);
        assert!(levels[300..].iter().all(|level| *level <= 16), "a narrower one too: {levels:?}");
    }

    #[test]
    fn what_nobody_needs_is_not_raised() {
        let (mut climb, now) = (Climb::new(4, 2, 64), Instant::now());
        for n in 1..1000_u32 {
            climb.delivered(CHUNK, false, now + Duration::from_millis(10) * n);
        }
        assert_eq!(climb.level(), 4);
        (0..9).for_each(|_| climb.lower());
        assert_eq!(climb.level(), 2);
    }

    #[test]
    fn a_setback_halves_and_bounds_hold() {
        let (mut climb, mut now) = (Climb::new(0, 0, 0), Instant::now());
        assert_eq!(climb.level(), 1);
        climb.rebound(2, 16, 4);
        assert_eq!(climb.level(), 5);
        run(&mut climb, &mut now, 1e12, Duration::from_millis(50), 50);
        assert_eq!(climb.level(), 16);
        climb.setback();
        assert_eq!(climb.level(), 8);
        (0..9).for_each(|_| climb.setback());
        assert_eq!(climb.level(), 2);
        let levels = run(&mut climb, &mut now, 1e12, Duration::from_millis(50), 300);
        assert!(levels[250..].iter().all(|level| *level >= 14) && levels[250..].contains(&16), "{levels:?}");
        climb.rebound(1, 4, 0);
        assert_eq!(climb.level(), 4);
    }
}
