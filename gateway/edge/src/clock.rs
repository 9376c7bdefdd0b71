//! The edge's clocks.
#![expect(clippy::disallowed_methods, reason = "the one place of the edge that asks what time it is")]

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A clock that never goes back; 0 is about when the process started.
pub(crate) fn tick() -> Duration {
    START.elapsed()
}

/// Seconds since 1970.
pub(crate) fn unix() -> i64 {
    unix_of(SystemTime::now())
}

/// The same of another time.
pub(crate) fn unix_of(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Both of them.
pub(crate) fn now() -> certificates::Now {
    certificates::Now { unix: unix(), tick: tick() }
}

/// The time of day, as far as the machine knows it.
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}
