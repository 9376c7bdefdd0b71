//! What a plugin may use, and how far an author or an operator may go.

use crate::hook::Hook;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// What one plugin may use. Each value lies within the bounds named at its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Running time of one call: `1ms` to `10s`, default `5ms` (observe: `50ms`).
    pub time: Duration,
    /// Time of one call with all its waiting, at least `time`: `1ms` to `60s`, default `250ms` (observe: `5s`).
    pub wall: Duration,
    /// Bytes of memories and tables of one instance together: `64KiB` to `1GiB`, default `16MiB`.
    pub memory: u64,
    /// Bytes that the guest may hand over in one call, arguments of imports and its result: `4KiB` to `64MiB`, default `4MiB`.
    pub hostcall_bytes: u64,
    /// Log lines a second, all instances together: 0 to 100,000, default 100.
    pub log_lines: u32,
    /// Keys in the store of one tenant: 0 to 1,000,000, default 10,000.
    pub kv_keys: u32,
    /// Bytes of one value in the store: `32B` (the longest number fits) to `1MiB`, default `4KiB`.
    pub kv_value: u32,
    /// Instances at once for one tenant: 1 to 1,024, default 8.
    pub instances: u32,
    /// Calls after which a warm instance is replaced: 1 to 1,000,000,000, default 100,000.
    pub calls: u32,
    /// Bytes of the longest playlist that an ads plugin is asked about: `0B` to `1MiB`, default `256KiB`. Longer ones pass as they are.
    pub playlist: u32,
}

/// Limits that somebody named: those of a manifest, or the operator's in their place. The bounds are those of [`Limits`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the one of `Limits`")]
pub struct LimitOverrides {
    pub time: Option<Duration>,
    pub wall: Option<Duration>,
    pub memory: Option<u64>,
    pub hostcall_bytes: Option<u64>,
    pub log_lines: Option<u32>,
    pub kv_keys: Option<u32>,
    pub kv_value: Option<u64>,
    pub instances: Option<u32>,
    pub calls: Option<u32>,
    pub playlist: Option<u64>,
}

const TIME: RangeInclusive<u64> = 1..=10_000;
const WALL: RangeInclusive<u64> = 1..=60_000;
const MEMORY: RangeInclusive<u64> = 64 << 10..=1 << 30;
const HOSTCALL_BYTES: RangeInclusive<u64> = 4 << 10..=64 << 20;
const LOG_LINES: RangeInclusive<u64> = 0..=100_000;
const KV_KEYS: RangeInclusive<u64> = 0..=1_000_000;
const KV_VALUE: RangeInclusive<u64> = 32..=1 << 20;
const INSTANCES: RangeInclusive<u64> = 1..=1_024;
const CALLS: RangeInclusive<u64> = 1..=1_000_000_000;
const PLAYLIST: RangeInclusive<u64> = 0..=1 << 20;

/// A limit that is out of bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutOfBounds {
    /// Its name under `limits`.
    pub(crate) key: &'static str,
    /// What is wanted.
    pub(crate) message: String,
}

impl Limits {
    /// What a plugin of this hook may use if nobody says otherwise.
    #[must_use]
    pub const fn of(hook: Hook) -> Self {
        let (time, wall) = match hook {
            Hook::Observe => (50, 5_000),
            Hook::Tenant | Hook::Policy | Hook::Ads => (5, 250),
        };
        Self {
            time: Duration::from_millis(time),
            wall: Duration::from_millis(wall),
            memory: 16 << 20,
            hostcall_bytes: 4 << 20,
            log_lines: 100,
            kv_keys: 10_000,
            kv_value: 4 << 10,
            instances: 8,
            calls: 100_000,
            playlist: 256 << 10,
        }
    }

    /// Puts what was named in the place of what is there. All that is out of bounds is told, and left as it was.
    pub(crate) fn apply(&mut self, named: &LimitOverrides) -> Vec<OutOfBounds> {
        let mut wrong = Vec::new();
        span(&mut self.time, "time", named.time, TIME, &mut wrong);
        span(&mut self.wall, "wall", named.wall, WALL, &mut wrong);
        size(&mut self.memory, "memory", named.memory, MEMORY, &mut wrong);
        size(&mut self.hostcall_bytes, "hostcall_bytes", named.hostcall_bytes, HOSTCALL_BYTES, &mut wrong);
        count(&mut self.log_lines, "log_lines", named.log_lines, LOG_LINES, &mut wrong);
        count(&mut self.kv_keys, "kv_keys", named.kv_keys, KV_KEYS, &mut wrong);
        size(&mut self.kv_value, "kv_value", named.kv_value, KV_VALUE, &mut wrong);
        count(&mut self.instances, "instances", named.instances, INSTANCES, &mut wrong);
        count(&mut self.calls, "calls", named.calls, CALLS, &mut wrong);
        size(&mut self.playlist, "playlist", named.playlist, PLAYLIST, &mut wrong);
        if self.wall < self.time {
            if named.wall.is_some() {
                let message = format!("must not be shorter than limits.time, which is {}ms", self.time.as_millis());
                wrong.push(OutOfBounds { key: "wall", message });
            } else {
                // Whoever asks for more running time means it: waiting is on top.
                self.wall = self.time.saturating_mul(2).min(Duration::from_millis(*WALL.end()));
            }
        }
        wrong
    }
}

fn span(
    field: &mut Duration,
    key: &'static str,
    named: Option<Duration>,
    bounds: RangeInclusive<u64>,
    wrong: &mut Vec<OutOfBounds>,
) {
    let Some(named) = named else { return };
    match u64::try_from(named.as_millis()) {
        Ok(milliseconds) if bounds.contains(&milliseconds) => *field = named,
        _ => wrong.push(out_of(key, milliseconds(*bounds.start()), milliseconds(*bounds.end()))),
    }
}

fn size<T: TryFrom<u64>>(
    field: &mut T,
    key: &'static str,
    named: Option<u64>,
    bounds: RangeInclusive<u64>,
    wrong: &mut Vec<OutOfBounds>,
) {
    let Some(named) = named else { return };
    match T::try_from(named) {
        Ok(bytes) if bounds.contains(&named) => *field = bytes,
        _ => wrong.push(out_of(key, bytes(*bounds.start()), bytes(*bounds.end()))),
    }
}

fn count(
    field: &mut u32,
    key: &'static str,
    named: Option<u32>,
    bounds: RangeInclusive<u64>,
    wrong: &mut Vec<OutOfBounds>,
) {
    match named {
        Some(number) if bounds.contains(&u64::from(number)) => *field = number,
        Some(_) => wrong.push(out_of(key, bounds.start(), bounds.end())),
        None => {}
    }
}

fn out_of(key: &'static str, low: impl fmt::Display, high: impl fmt::Display) -> OutOfBounds {
    OutOfBounds { key, message: format!("must lie between {low} and {high}") }
}

/// As a manifest would write it.
fn milliseconds(count: u64) -> String {
    if count.is_multiple_of(1_000) { format!("{}s", count / 1_000) } else { format!("{count}ms") }
}

/// As a manifest would write it.
fn bytes(count: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.into_iter().find(|(_, factor)| count != 0 && count.is_multiple_of(*factor));
    unit.map_or_else(|| format!("{count}B"), |(name, factor)| format!("{}{name}", count / factor))
}
