//! Calendar months in UTC.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const DAY: i64 = 86_400;

/// A month, written `2026-11`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Month {
    year: i64,
    month: i64,
}

impl Month {
    /// The month of a second since 1970. Before 1970 counts as 1970.
    pub(crate) fn of(unix: i64) -> Self {
        // Years that begin in March have their odd day at the end: 400 of them are 146,097 days, four 1,461 but for each hundredth,
        // and months of 31 and 30 days take turns by fives.
        let days = unix.max(0) / DAY + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let (year, month) = (era * 400 + year, month + 3);
        if month > 12 { Self { year: year + 1, month: month - 12 } } else { Self { year, month } }
    }

    /// From a second until the next month begins: a second at least.
    pub(crate) fn rest(unix: i64) -> Duration {
        let this = Self::of(unix);
        let today = unix.max(0) / DAY;
        // 31 days on is another month, whichever this is.
        let first = (today + 1..=today + 31).find(|day| Self::of(day * DAY) != this).unwrap_or(today + 31);
        Duration::from_secs(u64::try_from(first * DAY - unix).unwrap_or(1).max(1))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (year, month) = text.split_once('-').ok_or(())?;
        let (year, month) = (year.parse().map_err(|_| ())?, month.parse().map_err(|_| ())?);
        if (1970..=9999).contains(&year) && (1..=12).contains(&month) { Ok(Self { year, month }) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Month;

    #[test]
    fn months_are_those_of_the_calendar() {
        for (unix, month, rest) in [
            (0, "1970-01", 31 * 86_400),
            (951_782_399, "2000-02", 86_401),
            (951_868_799, "2000-02", 1),
            (951_868_800, "2000-03", 31 * 86_400),
            (1_795_304_400, "2026-11", 778_800),
            (1_798_761_599, "2026-12", 1),
            (1_798_761_600, "2027-01", 31 * 86_400),
            (4_107_542_400, "2100-03", 31 * 86_400),
            (4_107_542_399, "2100-02", 1),
        ] {
            assert_eq!(Month::of(unix).to_string(), month, "{unix}");
            assert_eq!(Month::rest(unix).as_secs(), rest, "{unix}");
            assert_eq!(month.parse(), Ok(Month::of(unix)));
        }
    }
}
