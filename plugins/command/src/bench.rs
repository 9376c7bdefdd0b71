//! `bench`: how long calls take.

use crate::ask::{Question, chain, ordinary, tenant_of};
use crate::cli::Bench;
use crate::disk;
use crate::error::CommandError;
use crate::pattern::Kept;
use crate::recorded::{Recorded, Step};
use crate::session::{Session, Workshop, block_on, in_memory, spec};
use plugin_host::{Chain, LATENCY_BOUNDS};
use plugin_package::{Isolation, Manifest, Spec, Trust};
use std::io::{Write, stdout};
use std::path::Path;
use std::time::Duration;
use toml::Table;

/// Calls before those that count, so that instances are made and caches filled.
const WARM_UP: u32 = 200;
/// Fresh calls that tell what an instance costs.
const FRESH: u32 = 500;
/// Least `limits.time` while measuring.
const PATIENCE: Duration = Duration::from_secs(1);
/// Columns of the longest bar.
const BAR: usize = 40;

pub(crate) fn bench(bench: &Bench) -> Result<(), CommandError> {
    let recorded = bench.request.as_deref().map(|file| Recorded::parse(&disk::read_text(file)?, file)).transpose()?;
    let settings = recorded.as_ref().map_or_else(Table::new, |recorded| recorded.settings.clone());
    let manifest = Manifest::read(&bench.folder)?;
    let step = match &recorded {
        Some(recorded) => recorded.step(0, &Kept::new())?,
        None => ordinary(manifest.hook),
    };
    let mut spec = spec(&bench.folder, settings)?;
    // A machine that is busy elsewhere must show in the figures, not end them.
    spec.limits.time = Some(manifest.limits.time.max(PATIENCE));
    spec.limits.wall = Some(manifest.limits.wall.max(PATIENCE * 2));
    let workshop = Workshop::new()?;
    block_on(async {
        let isolated = |isolation| Spec { isolation: Some(isolation), ..spec.clone() };
        let warm = start(&workshop, isolated(Isolation::Warm), &step).await?;
        let fresh = start(&workshop, isolated(Isolation::Request), &step).await?;
        let (measured, other) = if bench.fresh { (&fresh, &warm) } else { (&warm, &fresh) };
        let times = measured.measure(bench.calls).await?;
        let others = other.measure(bench.calls.min(FRESH)).await?;
        let (warm_times, fresh_times) = if bench.fresh { (&others, &times) } else { (&times, &others) };
        report(bench, &measured.session, &times)?;
        let made = fresh_times.at(50).saturating_sub(warm_times.at(50));
        writeln!(stdout(), "instance  {} to make: a fresh call's median less a warm one's", show(made))?;
        let over = times.over(manifest.limits.time);
        if over > 0 {
            writeln!(stdout(), "too long  {over} calls took more than limits.time, {:?}", manifest.limits.time)?;
        }
        memory(&measured.session)?;
        Ok(())
    })
}

struct Bencher {
    session: Session,
    question: Question,
    chain: Chain,
}

async fn start(workshop: &Workshop, spec: Spec, step: &Step) -> Result<Bencher, CommandError> {
    let session = workshop.session(spec, Trust::default(), in_memory()).await?;
    let question = Question::of(step, session.hook(), Path::new("bench"), 1)?;
    let chain = chain(&session, tenant_of(step))?;
    let answer = question.put(&session, &chain).await;
    if answer.get("verdict").and_then(toml::Value::as_str) == Some("failed") {
        let why = answer.get("reason").or(answer.get("failure")).map(ToString::to_string).unwrap_or_default();
        return Err(CommandError::failed(format!("the call fails: {why}")));
    }
    Ok(Bencher { session, question, chain })
}

/// Nanoseconds of each call, in order of length, and of all together.
struct Times {
    sorted: Vec<u64>,
    all: Duration,
}

impl Times {
    /// The time that so many of a hundred calls stayed within.
    fn at(&self, percent: usize) -> u64 {
        let index = (self.sorted.len() * percent).div_ceil(100).saturating_sub(1);
        self.sorted.get(index).copied().unwrap_or_default()
    }

    /// Calls that took longer.
    fn over(&self, limit: Duration) -> usize {
        let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.sorted.len() - self.sorted.partition_point(|&nanos| nanos <= limit)
    }

    /// Calls up to each of the host's bounds, and one more for the rest.
    fn buckets(&self) -> Vec<(String, usize)> {
        let mut before = 0;
        let mut buckets = Vec::new();
        for bound in LATENCY_BOUNDS {
            let until = self.sorted.partition_point(|&nanos| nanos <= bound);
            buckets.push((format!("≤ {}", show(bound)), until - before));
            before = until;
        }
        buckets.push(("longer".to_owned(), self.sorted.len() - before));
        buckets
    }
}

impl Bencher {
    #[expect(clippy::disallowed_methods, reason = "to measure is what this file is for")]
    async fn measure(&self, calls: u32) -> Result<Times, CommandError> {
        use std::time::Instant;
        for _ in 0..calls.min(WARM_UP) {
            self.question.put_blindly(&self.chain).await;
        }
        let mut sorted = Vec::with_capacity(usize::try_from(calls).unwrap_or_default());
        let started = Instant::now();
        for _ in 0..calls {
            let before = Instant::now();
            if !self.question.put_blindly(&self.chain).await {
                return Err(CommandError::failed("a later call failed; RUST_LOG=plugin=warn says why"));
            }
            sorted.push(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        let all = started.elapsed();
        sorted.sort_unstable();
        Ok(Times { sorted, all })
    }
}

fn report(bench: &Bench, session: &Session, times: &Times) -> Result<(), CommandError> {
    let mut out = stdout().lock();
    let manifest = &session.manifest;
    let kind = if bench.fresh { "fresh" } else { "warm" };
    writeln!(
        out,
        "{} {}, hook {}: {} {kind} calls, one after the other",
        manifest.name, manifest.version, manifest.hook, bench.calls
    )?;
    if cfg!(debug_assertions) {
        writeln!(out, "(a debug build of the gateway: one for release is faster)")?;
    }
    let buckets = times.buckets();
    let most = buckets.iter().map(|(_, count)| *count).max().unwrap_or_default().max(1);
    let first = buckets.iter().position(|(_, count)| *count > 0).unwrap_or_default();
    let last = buckets.iter().rposition(|(_, count)| *count > 0).unwrap_or_default();
    for (bound, count) in buckets.iter().take(last + 1).skip(first) {
        writeln!(out, "{bound:>10} {:<BAR$} {count}", "#".repeat((count * BAR).div_ceil(most)))?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = times.sorted.len() as f64 / times.all.as_secs_f64().max(f64::MIN_POSITIVE);
    writeln!(
        out,
        "p50 {}  p90 {}  p99 {}  max {}",
        show(times.at(50)),
        show(times.at(90)),
        show(times.at(99)),
        show(times.at(100))
    )?;
    writeln!(out, "calls     {rate:.0} a second")?;
    Ok(())
}

fn memory(session: &Session) -> Result<(), CommandError> {
    if let Some(stats) = session.stats() {
        let (most, limit) = (stats.memory_high_water, session.manifest.limits.memory);
        writeln!(stdout(), "memory    {} at most, of {} (limits.memory)", bytes(most), bytes(limit))?;
        let failures: u64 = stats.failures.iter().map(|(_, count)| count).sum();
        if failures > 0 {
            return Err(CommandError::failed(format!("{failures} calls failed")));
        }
    }
    Ok(())
}

/// Nanoseconds, for people.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn show(nanos: u64) -> String {
    let (value, unit) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (nanos as f64 / 1e3, "µs"),
        1_000_000..1_000_000_000 => (nanos as f64 / 1e6, "ms"),
        _ => (nanos as f64 / 1e9, "s"),
    };
    if value >= 100.0 || value.fract() == 0.0 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Bytes, for people.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} B"),
        1_024..1_048_576 => format!("{} KiB", count >> 10),
        _ => format!("{} MiB", count >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::{Times, bytes, show};
    use std::time::Duration;

    #[test]
    fn percentiles_and_buckets() {
        let times = Times { sorted: (1..=200).map(|n| n * 100).collect(), all: Duration::from_secs(1) };
        assert_eq!((times.at(50), times.at(90), times.at(99), times.at(100)), (10_000, 18_000, 19_800, 20_000));
        let buckets = times.buckets();
        assert_eq!(buckets[0], ("≤ 1 µs".to_owned(), 10));
        assert_eq!(buckets[1], ("≤ 2 µs".to_owned(), 10));
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<usize>(), 200);
        assert_eq!((times.over(Duration::from_micros(19)), times.over(Duration::from_micros(20))), (10, 0));
        assert_eq!(Times { sorted: vec![7], all: Duration::ZERO }.at(50), 7);
    }

    #[test]
    fn figures_for_people() {
        assert_eq!(
            [show(7), show(1_000), show(1_940), show(250_400), show(3_000_000)],
            ["7 ns", "1 µs", "1.9 µs", "250 µs", "3 ms"]
        );
        assert_eq!([bytes(5), bytes(70_000), bytes(16 << 20)], ["5 B", "68 KiB", "16 MiB"]);
    }
}
