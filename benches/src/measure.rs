//! The clock, processor time and order statistics of all tables.

use harness::Failure;
use std::time::{Duration, Instant};

/// Ticks of `/proc/PID/stat` a second: part of Linux' ABI on the machines we build for.
const TICKS: f64 = 100.0;

#[expect(clippy::disallowed_methods, reason = "a benchmark's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// User and system seconds that processes have used so far.
pub(crate) fn cpu_seconds(pids: &[u32]) -> Result<f64, Failure> {
    let mut ticks = 0.0;
    for pid in pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).map_err(|e| format!("process {pid}: {e}"))?;
        // The second field is the program's name in parentheses and may hold blanks; utime and stime are the 14th and 15th.
        let fields = stat.rsplit_once(')').ok_or("no process status")?.1;
        for field in fields.split_ascii_whitespace().skip(11).take(2) {
            ticks += field.parse::<f64>()?;
        }
    }
    Ok(ticks / TICKS)
}

/// The children of a process that are running now.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Figures of one thing measured several times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn add_time(&mut self, time: Duration) {
        self.add(time.as_secs_f64());
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Nearest rank: a value that was measured, never one in between. Not a number if nothing was.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (part * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn quantiles_are_nearest_ranks() {
        let samples = Samples((1..=200).rev().map(f64::from).collect());
        for (part, expected) in [(0.0, 1.0), (0.5, 100.0), (0.9, 180.0), (0.99, 198.0), (1.0, 200.0)] {
            assert_eq!(samples.quantile(part), expected, "{part}");
        }
        assert!(Samples::default().median().is_nan());
    }
}
