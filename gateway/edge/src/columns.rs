//! Answers as people read them.

use std::time::{Duration, UNIX_EPOCH};

/// `1536` → `1.5 KiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).clamp(1, 5);
    let unit = UNITS.get(power as usize - 1).copied().unwrap_or_default();
    format!("{:.1} {unit}", bytes as f64 / 1024f64.powi(power as i32))
}

/// Unix seconds → `2026-11-22T00:12:00Z`.
pub(crate) fn time(seconds: u64) -> String {
    // The last second that can be printed.
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799))).to_string()
}

#[cfg(test)]
mod tests {
    use super::{bytes, time};

    #[test]
    fn figures_for_people() {
        for (figure, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (3 << 40, "3.0 TiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(bytes(figure), text);
        }
        assert_eq!(time(1_764_000_000), "2025-11-24T16:00:00Z");
    }
}
