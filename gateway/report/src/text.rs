//! A report as a message for people.

use crate::report::Report;
use crate::sums::{Dead, Sums};
use std::fmt;

/// Tenants and links of a message; the JSON has more.
const SHOWN: usize = 10;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "streamvault, {}", self.day)?;
        line(f, "", &self.sums, self.viewers)?;
        let storage = &self.storage;
        writeln!(
            f,
            "cache: {} of {} on disk, {} film(s)",
            size(storage.bytes_on_disk),
            size(storage.max_size),
            storage.media
        )?;
        if self.tenants.len() > 1 {
            for tenant in self.tenants.iter().take(SHOWN) {
                line(f, &format!("{}: ", tenant.id.trim_start_matches('.')), &tenant.sums, tenant.viewers)?;
            }
            if self.tenants.len() > SHOWN {
                writeln!(f, "and {} tenant(s) more", self.tenants.len() - SHOWN)?;
            }
        }
        if !self.dead_links.is_empty() {
            writeln!(f, "dead links:")?;
        }
        for link in self.dead_links.iter().take(SHOWN) {
            let status = match link.dead {
                Dead::NotFound => 404,
                Dead::Gone => 410,
            };
            writeln!(f, "  {} × {status} {} ({})", link.requests, link.media, link.tenant)?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, sums: &Sums, viewers: usize) -> fmt::Result {
    let ratio = sums.hit_ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0));
    writeln!(
        f,
        "{name}{} sent, {viewers} viewer(s), {} request(s), {} refused, {} failed, hit ratio {ratio}",
        size(sums.bytes),
        sums.requests(),
        sums.refused,
        sums.failed,
    )
}

/// Bytes for people, with three digits.
fn size(bytes: u64) -> String {
    let mut unit = "B";
    let (mut whole, mut rest) = (bytes, 0);
    for next in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if whole < 1024 {
            break;
        }
        (rest, whole, unit) = (whole % 1024, whole / 1024, next);
    }
    match whole {
        _ if unit == "B" => format!("{whole} B"),
        0..10 => format!("{whole}.{:02} {unit}", rest * 100 / 1024),
        10..100 => format!("{whole}.{} {unit}", rest * 10 / 1024),
        _ => format!("{whole} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (20 << 20, "20.0 MiB"),
            (500 << 30, "500 GiB"),
            (u64::MAX, "16383 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
