//! One act, as a line: `VERSION down|lifted TARGET TIME WHO REASON`, divided by tabs.

use crate::target::{Target, TargetError};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

/// Bytes of the longest reason, and of the longest name.
const LONGEST_REASON: usize = 500;
const LONGEST_NAME: usize = 100;
/// 9999-12-31T23:59:59Z, the last second that can be printed.
const LAST_SECOND: u64 = 253_402_300_799;

/// What was last done about a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is about.
    pub target: Target,
    /// Later acts on the same target have higher ones, whoever's clock is wrong.
    pub version: u64,
    /// Taken down; else it was lifted.
    pub down: bool,
    /// Seconds since the Unix epoch, for people.
    pub at: u64,
    /// Who did it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A record that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A name or a reason is missing, too long, or has control characters.
    #[error("{what} must have 1 to {most} bytes and no control characters")]
    Text {
        /// Which of them.
        what: &'static str,
        /// Bytes.
        most: usize,
    },
    /// Not what it is about.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A line of another form.
    #[error("not VERSION, down or lifted, TARGET, TIME, WHO and REASON")]
    Form,
}

impl Record {
    /// A record whose texts are checked.
    ///
    /// # Errors
    /// [`RecordError::Text`].
    pub fn new(target: Target, version: u64, down: bool, at: u64, by: &str, reason: &str) -> Result<Self, RecordError> {
        for (what, text, most) in [("the name", by, LONGEST_NAME), ("the reason", reason, LONGEST_REASON)] {
            if text.trim().is_empty() || text.len() > most || text.chars().any(char::is_control) {
                return Err(RecordError::Text { what, most });
            }
        }
        let at = at.min(LAST_SECOND);
        Ok(Self { target, version, down, at, by: by.to_owned(), reason: reason.to_owned() })
    }

    /// Which of two records about the same target counts. The later one; of two that were made at the same time, apart from each
    /// other, the one that takes down; of two that say the same, always the same one.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let key = |record: &Self| (record.version, record.down, record.to_string());
        (self.version, self.down) > (other.version, other.down) || key(self) > key(other)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.down { "down" } else { "lifted" };
        let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(self.at.min(LAST_SECOND)));
        let Self { version, target, by, reason, .. } = self;
        write!(f, "{version}\t{what}\t{target}\t{time}\t{by}\t{reason}")
    }
}

impl FromStr for Record {
    type Err = RecordError;

    fn from_str(line: &str) -> Result<Self, RecordError> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [version, what, target, time, by, reason] = fields.as_slice() else { return Err(RecordError::Form) };
        let version = version.parse().map_err(|_| RecordError::Form)?;
        let down = match *what {
            "down" => true,
            "lifted" => false,
            _ => return Err(RecordError::Form),
        };
        let time = humantime::parse_rfc3339(time).map_err(|_| RecordError::Form)?;
        let at = time.duration_since(UNIX_EPOCH).map_err(|_| RecordError::Form)?.as_secs();
        let record = Self::new(target.parse()?, version, down, at, by, reason)?;
        if record.to_string() == line { Ok(record) } else { Err(RecordError::Form) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Record, RecordError};

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let line = "7\tdown\tchat:-1001700000001\t2026-11-22T00:12:00Z\talice\tCourt order 7/26, \"über\"";
        assert_eq!(line.parse::<Record>().unwrap().to_string(), line);
        for bad in [
            "",
            "7\tdown\tchat:-1\t2026-11-22T00:12:00Z\talice",
            "7\tup\tchat:-1\t2026-11-22T00:12:00Z\talice\tx",
            "-7\tdown\tchat:-1\t2026-11-22T00:12:00Z\talice\tx",
            "07\tdown\tchat:-1\t2026-11-22T00:12:00Z\talice\tx",
            "7\tdown\tchat:-1\tyesterday\talice\tx",
            "7\tdown\tchat:-1\t1926-11-22T00:12:00Z\talice\tx",
            "7\tdown\tchat:x\t2026-11-22T00:12:00Z\talice\tx",
            "7\tdown\tchat:-1\t2026-11-22T00:12:00Z\talice\t ",
            "7\tdown\tchat:-1\t2026-11-22T00:12:00Z\talice\tx\ty",
        ] {
            assert!(bad.parse::<Record>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn texts_are_bounded() {
        let record = |by: &str, reason: &str| Record::new("chat:-1".parse().unwrap(), 1, true, 0, by, reason);
        assert!(record("alice", "Court order").is_ok());
        for (by, reason) in
            [("", "x"), ("a", ""), ("a\tb", "x"), ("a", "x\ny"), (&"a".repeat(101), "x"), ("a", &"x".repeat(501))]
        {
            assert!(matches!(record(by, reason), Err(RecordError::Text { .. })), "{by:?} {reason:?}");
        }
    }
}
