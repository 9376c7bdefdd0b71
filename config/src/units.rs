//! Times and sizes with their units, as operators write them.

use crate::text::text_value;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A length of time, written `500ms`, `30s`, `5m`, `4h` or `2d`. At most ten years, so that adding one to a clock can't
/// overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeSpan(Duration);

/// Longest first; each name's length in milliseconds.
const TIME_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const LONGEST_MS: u64 = 3_650 * 86_400_000;

impl TimeSpan {
    /// A span of whole seconds, for defaults.
    pub(crate) const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// A span of milliseconds, for defaults.
    pub(crate) const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// The span as the standard library has it.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// True for `0s` and its like.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        span.0
    }
}

/// Why a text is no time or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not digits followed by a known unit.
    #[error("not a time; write a whole number and ms, s, m, h or d, such as \"30s\"")]
    Time,
    /// Over the bound of [`TimeSpan`].
    #[error("longer than ten years")]
    TooLong,
    /// Not digits followed by a known unit.
    #[error("not a size; write a whole number and B, KiB, MiB, GiB or TiB (or KB, MB, GB, TB), such as \"64KiB\"")]
    Size,
    /// Over the bound of [`ByteSize`].
    #[error("larger than can be counted")]
    TooLarge,
}

/// Splits `30s` into its number and its unit; a space between the two is fine.
fn split(text: &str) -> Option<(Result<u64, ()>, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    if number.is_empty() {
        return None;
    }
    // Only digits are left, so that a failed parse means overflow.
    Some((number.parse().map_err(|_| ()), unit.strip_prefix(' ').unwrap_or(unit)))
}

impl FromStr for TimeSpan {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text).ok_or(UnitError::Time)?;
        let (_, factor) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or(UnitError::Time)?;
        let milliseconds = number.ok().and_then(|number| number.checked_mul(*factor)).ok_or(UnitError::TooLong)?;
        if milliseconds > LONGEST_MS {
            return Err(UnitError::TooLong);
        }
        Ok(Self(Duration::from_millis(milliseconds)))
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        if milliseconds == 0 {
            return f.write_str("0s");
        }
        // The last unit is one millisecond, so that the search always ends at a hit.
        let (unit, factor) = TIME_UNITS
            .into_iter()
            .find(|(_, factor)| milliseconds.is_multiple_of(u128::from(*factor)))
            .unwrap_or(("ms", 1));
        write!(f, "{}{unit}", milliseconds / u128::from(factor))
    }
}

text_value!(TimeSpan, "a time with its unit, such as \"30s\"");

/// A number of bytes, written `512B`, `64KiB`, `1MiB`, `10GiB` or `2TiB` (powers of 1024), or with `KB`, `MB`, `GB`,
/// `TB` (powers of 1000).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// A size in units of 1024 bytes, for defaults.
    pub(crate) const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// A size in units of 1024² bytes, for defaults.
    pub(crate) const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// A size in units of 1024³ bytes, for defaults.
    pub(crate) const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// A size counted elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text).ok_or(UnitError::Size)?;
        let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(UnitError::Size)?;
        number.ok().and_then(|number| number.checked_mul(*factor)).map(Self).ok_or(UnitError::TooLarge)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        let (unit, factor) =
            SIZE_UNITS.into_iter().find(|(_, factor)| self.0.is_multiple_of(*factor)).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

text_value!(ByteSize, "a size with its unit, such as \"64KiB\"");

#[cfg(test)]
mod tests {
    use super::{ByteSize, TimeSpan, UnitError};
    use proptest::prelude::{any, proptest};

    #[test]
    fn times() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("0s", 0),
            ("30s", 30_000),
            ("5m", 300_000),
            ("4h", 14_400_000),
            ("2d", 172_800_000),
            ("1 s", 1_000),
        ] {
            let span: TimeSpan = text.parse().unwrap();
            assert_eq!(span.get().as_millis(), milliseconds, "{text}");
        }
        for text in ["", "s", "30", "30S", "-1s", "+1s", "1.5s", " 1s", "1s ", "1  s", "1sec", "٣s"] {
            assert_eq!(text.parse::<TimeSpan>(), Err(UnitError::Time), "{text}");
        }
        for text in ["99999999999999999999s", "18446744073709551615d", "3651d"] {
            assert_eq!(text.parse::<TimeSpan>(), Err(UnitError::TooLong), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("10GiB", 10 << 30), ("1MB", 1_000_000)] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
        }
        for text in ["", "64", "KiB", "64kib", "64K", "1.5MiB", "-1B"] {
            assert_eq!(text.parse::<ByteSize>(), Err(UnitError::Size), "{text}");
        }
        assert_eq!("99999999TiB".parse::<ByteSize>(), Err(UnitError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(bytes in any::<u64>(), milliseconds in 0..super::LONGEST_MS) {
            let size = ByteSize(bytes);
            assert_eq!(size.to_string().parse(), Ok(size));
            let span = TimeSpan(std::time::Duration::from_millis(milliseconds));
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
