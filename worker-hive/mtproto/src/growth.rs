//! When an account's line to a data-centre gets one connection more. Pure: `now` is handed in.

use std::time::Duration;
use tokio::time::Instant;

/// Calls must have been waiting for this long, so that a burst opens nothing.
const SUSTAINED: Duration = Duration::from_millis(40);
/// A pause of the crowd that is longer than this ends it.
const BREATH: Duration = Duration::from_secs(1);
/// What a connection brings is judged when there was time to see it.
const JUDGED_AFTER: Duration = Duration::from_millis(600);
/// A connection that brings its chunks quicker than this is worth another one before that.
const QUICK: Duration = Duration::from_millis(200);
/// The least part of its share that one more connection must bring.
const SHARE: f64 = 0.3;
const HOLD_FIRST: Duration = Duration::from_secs(10);
const HOLD_LAST: Duration = Duration::from_secs(300);

/// Opens connections one at a time, as long as calls wait and the last connection brought something.
#[derive(Debug, Default)]
pub(crate) struct Growth {
    crowd: Option<(Instant, Instant)>,
    /// Bytes since the crowd began.
    crowd_bytes: u64,
    /// Since the last connection was opened, or the crowd began.
    since: Option<Instant>,
    answers: usize,
    bytes: u64,
    /// Bytes per second from the crowd's begin until the last one was opened.
    before: Option<f64>,
    held_until: Option<Instant>,
    hold: Option<Duration>,
}

impl Growth {
    /// An answer brought so many bytes.
    pub(crate) fn answered(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.answers += 1;
        self.bytes += bytes;
        self.crowd_bytes += bytes;
    }

    /// A call has to wait although `warm` connections of `opened` are there. True when one more should be opened now.
    pub(crate) fn waits(&mut self, warm: usize, opened: usize, now: Instant) -> bool {
        let began = match self.crowd {
            Some((began, last)) if now.saturating_duration_since(last) < BREATH => began,
            _ => {
                *self = Self { held_until: self.held_until, hold: self.hold, since: Some(now), ..Self::default() };
                now
            }
        };
        self.crowd = Some((began, now));
        if now.saturating_duration_since(began) < SUSTAINED || self.held_until.is_some_and(|until| now < until) {
            return false;
        }
        // Answers are the clock: a narrow line opens slowly, and shows before the next one what the last one brought.
        if self.answers < (warm / 2).max(1) {
            return false;
        }
        let took = self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let answers = u32::try_from(self.answers).unwrap_or(u32::MAX);
        let each = (took / answers.max(1)).saturating_mul(u32::try_from(warm.max(1)).unwrap_or(u32::MAX));
        if each > QUICK && took < JUDGED_AFTER {
            return false;
        }
        if let Some(before) = self.before
            && warm == opened
            && took >= JUDGED_AFTER
        {
            let share = before * SHARE / count(opened.saturating_sub(1).max(1));
            if rate(self.bytes, took) < before + share {
                let hold = self.hold.map_or(HOLD_FIRST, |hold| (hold * 2).min(HOLD_LAST));
                *self = Self { hold: Some(hold), held_until: Some(now + hold), ..Self::default() };
                return false;
            }
            self.hold = None;
        }
        *self = Self {
            crowd: self.crowd,
            crowd_bytes: self.crowd_bytes,
            since: Some(now),
            before: Some(rate(self.crowd_bytes, now.saturating_duration_since(began))),
            hold: self.hold,
            ..Self::default()
        };
        true
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / took.as_secs_f64().max(1e-3)
}

#[expect(clippy::cast_precision_loss, reason = "connections are few")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::Growth;
    use std::time::Duration;
    use tokio::time::Instant;

    const CHUNK: usize = 512 * 1024;

    /// A crowd over a line of `per_connection` chunks a second for each, of `in_all` at most: how many are open after each second.
    fn run(growth: &mut Growth, open: &mut usize, now: &mut Instant, per_connection: f64, in_all: f64) -> Vec<usize> {
        (0..8)
            .map(|_| {
                let end = *now + Duration::from_secs(1);
                while *now < end {
                    *now += Duration::from_secs_f64(1.0 / (*open as f64 * per_connection).min(in_all));
                    growth.answered(CHUNK);
                    if *open < 8 && growth.waits(*open, *open, *now) {
                        *open += 1;
                    }
                }
                *open
            })
            .collect()
    }

    #[test]
    fn opens_as_long_as_it_pays() {
        let (mut growth, mut open, mut now) = (Growth::default(), 2, Instant::now());
        assert_eq!(run(&mut growth, &mut open, &mut now, 12.0, 1000.0)[0], 8, "each brings its share");
        let (mut growth, mut open) = (Growth::default(), 2);
        let opened = run(&mut growth, &mut open, &mut now, 12.0, 4.0);
        assert!(opened[7] <= 4, "the account is the limit: {opened:?}");
    }

    #[test]
    fn a_burst_or_an_idle_line_opens_nothing() {
        let (mut growth, now) = (Growth::default(), Instant::now());
        growth.answered(CHUNK);
        assert!(!growth.waits(2, 2, now));
        for n in 1..20 {
            growth.answered(CHUNK);
            assert!(!growth.waits(2, 2, now + Duration::from_secs(5) * n), "each is a burst of its own");
        }
    }
}
