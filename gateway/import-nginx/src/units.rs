//! Sizes and times as nginx writes them, and as our settings do.

use std::time::Duration;

/// The longest time that the settings have.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// `512`, `64k`, `10m`, `1g`: bytes, as `ngx_parse_offset` reads them.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, factor) = match text.char_indices().last()? {
        (at, 'k' | 'K') => (&text[..at], 1 << 10),
        (at, 'm' | 'M') => (&text[..at], 1 << 20),
        (at, 'g' | 'G') => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u64>().ok().filter(|_| plain)?.checked_mul(factor)
}

/// `30`, `30s`, `500ms`, `1h30m`, `1d`, `1M`: as `ngx_parse_time` reads them, where a number alone is seconds.
pub(crate) fn time(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut milliseconds = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().ok()?;
        let units: [(&str, u64); 8] = [
            ("ms", 1),
            ("s", 1_000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
            ("w", 604_800_000),
            ("M", 2_592_000_000),
            ("y", 31_536_000_000),
        ];
        let (factor, left) = match units.iter().find_map(|(unit, factor)| Some((factor, after.strip_prefix(unit)?))) {
            Some((factor, left)) => (*factor, left),
            None if after.is_empty() => (1_000, after),
            None => return None,
        };
        milliseconds = milliseconds.checked_add(number.checked_mul(factor)?)?;
        rest = left.trim_start();
    }
    // The settings take no longer ones.
    Some(Duration::from_millis(milliseconds)).filter(|time| *time <= LONGEST)
}

/// A size in our words, in the largest unit that it is whole in.
pub(crate) fn size_text(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let whole = units.iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    whole.map_or_else(|| format!("{bytes}B"), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

/// A time in our words, likewise.
pub(crate) fn time_text(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let units = [("d", 86_400_000_u128), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let whole = units.iter().find(|(_, factor)| milliseconds > 0 && milliseconds.is_multiple_of(*factor));
    match whole {
        _ if milliseconds == 0 => "0s".to_owned(),
        Some((unit, factor)) => format!("{}{unit}", milliseconds / factor),
        None => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::{size, size_text, time, time_text};
    use std::time::Duration;

    #[test]
    fn sizes() {
        let cases =
            [("512", "512B"), ("64k", "64KiB"), ("10M", "10MiB"), ("1g", "1GiB"), ("1024g", "1TiB"), ("0", "0B")];
        for (nginx, ours) in cases {
            assert_eq!(size_text(size(nginx).unwrap()), ours);
        }
        for text in ["", "k", "1kb", "-1", "+1", "1.5m", "99999999999999999999g", "é"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn times() {
        let cases =
            [("30", "30s"), ("500ms", "500ms"), ("1h 30m", "90m"), ("1h30m", "90m"), ("1w", "7d"), ("1M", "30d")];
        for (nginx, ours) in cases {
            assert_eq!(time_text(time(nginx).unwrap()), ours);
        }
        assert_eq!(time("0"), Some(Duration::ZERO));
        for text in ["", "s", "1x", "-1s", "99999999999999999999d", "1é"] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
