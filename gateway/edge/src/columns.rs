//! Answers as people read them.

use std::time::{Duration, UNIX_EPOCH};

/// Rows under each other, two blanks between columns, none at the end of a line.
pub(crate) fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

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
    use super::{align, bytes, time};

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
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        assert_eq!(align(&[row(&["A", "B"]), row(&["long", ""])]), "A     B\nlong\n");
    }
}
