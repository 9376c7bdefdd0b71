use alloc::{format, string::String};

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// Days as a bill counts them: at a fixed offset from UTC, so that each has 24 hours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Calendar {
    offset: i64,
}

impl Calendar {
    pub(crate) fn new(offset: i64) -> Self {
        Self { offset }
    }

    /// Number of the day (since 1970-01-01) and seconds into it.
    pub(crate) fn day(self, seconds: i64) -> (i64, i64) {
        let local = seconds.saturating_add(self.offset);
        (local.div_euclid(DAY), local.rem_euclid(DAY))
    }
}

/// `2026-11-21`. Its first seven characters are the month.
pub(crate) fn name(day: i64) -> String {
    // Years that begin in March end with the leap day; eras of 400 years are alike.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::{Calendar, name};

    #[test]
    fn days_have_their_names() {
        for (day, wanted) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (10_956, "1999-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_778, "2026-11-21"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(name(day), wanted);
        }
    }

    #[test]
    fn an_offset_moves_midnight() {
        assert_eq!(Calendar::new(0).day(86_399), (0, 86_399));
        assert_eq!(Calendar::new(60).day(86_399), (1, 59));
        assert_eq!(Calendar::new(-60).day(59), (-1, 86_399));
    }
}
