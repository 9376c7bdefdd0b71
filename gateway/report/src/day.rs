//! Days of UTC.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

const SECONDS: u64 = 86_400;
/// 9999-12-31, the last day that is written with ten characters.
const LAST: u64 = 2_932_896;

/// A day of UTC, counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(u64);

impl Day {
    /// The day of a Unix time in seconds. Times before 1970 count as its first day, times after 9999 as its last.
    #[must_use]
    pub fn of(unix: i64) -> Self {
        Self((u64::try_from(unix).unwrap_or(0) / SECONDS).min(LAST))
    }

    /// Its first second, as a Unix time.
    #[must_use]
    pub fn start(self) -> i64 {
        i64::try_from(self.0.min(LAST) * SECONDS).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Day {
    /// As `2026-11-22`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = UNIX_EPOCH + Duration::from_secs(self.0.min(LAST) * SECONDS);
        let text = humantime::format_rfc3339_seconds(start).to_string();
        f.write_str(text.get(..10).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::Day;

    #[test]
    fn days_are_those_of_utc() {
        for (unix, text) in [
            (-5, "1970-01-01"),
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (86_400, "1970-01-02"),
            (1_709_164_800, "2024-02-29"),
            (1_795_305_600, "2026-11-22"),
            (i64::MAX, "9999-12-31"),
        ] {
            assert_eq!(Day::of(unix).to_string(), text);
            assert_eq!(Day::of(Day::of(unix).start()), Day::of(unix));
        }
    }
}
