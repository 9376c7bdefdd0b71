//! What `gateway top` shows: two readings of `/metrics` and the time between them become a page of text. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// Rows of each table.
const ROWS: usize = 12;

/// One reading: each series by its name and labels as they stand in the text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    series: BTreeMap<String, f64>,
}

impl Reading {
    /// Reads Prometheus' text format as the gateway writes it. Lines that are none are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let series = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self { series: series.collect() }
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.series.get(name).copied()
    }

    /// A name's series: their labels, and each one's value.
    fn family<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (Labels<'a>, f64)> {
        let of_name = self.series.range(name.to_owned()..).take_while(move |(series, _)| series.starts_with(name));
        of_name.filter_map(move |(series, value)| {
            let labels = series.strip_prefix(name)?.strip_prefix('{')?.strip_suffix('}')?;
            Some((Labels(labels), *value))
        })
    }
}

/// `a="b",c="d"`. The gateway's values need no escapes.
#[derive(Clone, Copy, Debug)]
struct Labels<'a>(&'a str);

impl<'a> Labels<'a> {
    fn get(self, name: &str) -> &'a str {
        let pair = self.0.split(',').find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'));
        pair.unwrap_or_default()
    }
}

/// A page out of two readings.
pub(crate) struct Page<'a> {
    pub(crate) before: &'a Reading,
    pub(crate) now: &'a Reading,
    pub(crate) between: Duration,
}

impl Page<'_> {
    /// What a counter grew by a second. One that fell was begun anew.
    fn rate(&self, name: &str) -> f64 {
        let (before, now) = (self.before.value(name).unwrap_or(0.0), self.now.value(name).unwrap_or(0.0));
        let grown = if now < before { now } else { now - before };
        grown / self.between.as_secs_f64().max(0.001)
    }

    fn gauge(&self, name: &str) -> f64 {
        self.now.value(&format!("streamvault_{name}")).unwrap_or(0.0)
    }

    fn rates(&self, name: &str, label: &str) -> Vec<(String, f64, f64)> {
        let rows = self.now.family(name).map(|(labels, total)| {
            (labels.get(label).to_owned(), self.rate(&format!("{name}{{{}}}", labels.0)), total)
        });
        let mut rows: Vec<_> = rows.filter(|(_, _, total)| *total > 0.0).collect();
        rows.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| b.2.total_cmp(&a.2)).then_with(|| a.0.cmp(&b.0)));
        rows
    }

    /// The quantile of a histogram's growth, at the bound that it lies under; none if nothing was observed.
    fn quantile(&self, name: &str, quantile: f64) -> Option<f64> {
        let bucket = format!("{name}_bucket");
        let mut bounds: Vec<_> = self
            .now
            .family(&bucket)
            .filter_map(|(labels, _)| {
                let bound = labels.get("le");
                let value = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
                Some((value, self.rate(&format!("{bucket}{{{}}}", labels.0))))
            })
            .collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = bounds.last().map(|(_, count)| *count).filter(|count| *count > 0.0)?;
        bounds.iter().find(|(_, count)| *count >= quantile * all).map(|(bound, _)| *bound)
    }

    /// The page, without a line that is longer than `width`.
    pub(crate) fn text(&self, address: &str, width: usize) -> String {
        let mut out = String::new();
        // Writing to a String can't fail.
        let _ = self.render(address, &mut out);
        let cut = |line: &str| line.chars().take(width).collect::<String>();
        out.lines().map(|line| cut(line) + "\n").collect()
    }

    fn render(&self, address: &str, out: &mut String) -> std::fmt::Result {
        let requests: f64 = self.rates("streamvault_requests_total", "outcome").iter().map(|row| row.1).sum();
        let first = |quantile| {
            self.quantile("streamvault_first_byte_seconds", quantile).map_or_else(
                || "-".to_owned(),
                |bound| if bound.is_finite() { format!("≤ {bound} s") } else { "> 30 s".to_owned() },
            )
        };
        writeln!(out, "gateway at {address}, over {:.1} s", self.between.as_secs_f64())?;
        writeln!(
            out,
            "requests {requests:.1}/s  sent {}/s  under way {:.0}  streams {:.0}  first byte p50 {} p99 {}",
            bytes(self.rate("streamvault_sent_bytes_total")),
            self.gauge("active_requests"),
            self.gauge("limit_state{what=\"streams\"}"),
            first(0.5),
            first(0.99),
        )?;
        let statuses = self.rates("streamvault_cache_status_total", "status");
        let hit = |row: &&(String, f64, f64)| {
            matches!(row.0.as_str(), "HIT" | "JOINED" | "STALE" | "UPDATING" | "REVALIDATED")
        };
        let (hits, all): (f64, f64) =
            (statuses.iter().filter(hit).map(|row| row.1).sum(), statuses.iter().map(|row| row.1).sum());
        let ratio = if all > 0.0 { format!("{:.1} %", 100.0 * hits / all) } else { "-".to_owned() };
        let sick = if self.gauge("cache_state{what=\"disk_sick\"}") > 0.0 { "SICK" } else { "well" };
        writeln!(
            out,
            "cache hit ratio {ratio}  on disk {}  films {:.0}  fills {:.0}, {:.0} waiting  from the hive {}/s  disk {sick}",
            bytes(self.gauge("cache_state{what=\"bytes_on_disk\"}")),
            self.gauge("cache_state{what=\"media\"}"),
            self.gauge("cache_state{what=\"running_fills\"}"),
            self.gauge("cache_state{what=\"waiting_fills\"}"),
            bytes(
                self.rate("streamvault_cache_events_total{event=\"bytes_filled\"}")
                    + self.rate("streamvault_cache_events_total{event=\"bytes_direct\"}")
            ),
        )?;
        let reached = |all: f64, away: f64| format!("{:.0} of {all:.0}", all - away);
        writeln!(
            out,
            "hives reached {}  peers reached {}  log lines dropped {:.0}",
            reached(self.gauge("hives{what=\"named\"}"), self.gauge("hives{what=\"out_of_reach\"}")),
            reached(self.gauge("fleet{what=\"others\"}"), self.gauge("fleet{what=\"out_of_reach\"}")),
            self.gauge("access_log_dropped_total"),
        )?;
        for (title, name, label) in [
            ("outcome", "streamvault_requests_total", "outcome"),
            ("cache", "streamvault_cache_status_total", "status"),
        ] {
            writeln!(out, "\n{title:<22}{:>10}{:>14}", "a second", "in all")?;
            for (word, rate, total) in self.rates(name, label).into_iter().take(ROWS) {
                writeln!(out, "{word:<22}{rate:>10.1}{total:>14.0}")?;
            }
        }
        self.tenants(out)
    }

    fn tenants(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n{:<22}{:>10}{:>10}{:>10}{:>14}", "tenant", "served/s", "refused/s", "failed/s", "sent/s")?;
        for (tenant, sent, _) in self.rates("streamvault_tenant_sent_bytes_total", "tenant").into_iter().take(ROWS) {
            let of = |result: &str| {
                self.rate(&format!("streamvault_tenant_requests_total{{tenant=\"{tenant}\",result=\"{result}\"}}"))
            };
            let (served, refused, failed) = (of("served"), of("refused"), of("failed"));
            writeln!(out, "{tenant:<22}{served:>10.1}{refused:>10.1}{failed:>10.1}{:>14}", bytes(sent))?;
        }
        Ok(())
    }
}

/// Bytes for people.
fn bytes(count: f64) -> String {
    let units = [("TiB", 1024_f64.powi(4)), ("GiB", 1024_f64.powi(3)), ("MiB", 1024_f64.powi(2)), ("KiB", 1024.0)];
    let unit = units.iter().find(|(_, size)| count >= *size);
    unit.map_or_else(|| format!("{count:.0} B"), |(unit, size)| format!("{:.1} {unit}", count / size))
}

#[cfg(test)]
mod tests {
    use super::{Page, Reading};
    use std::time::Duration;

    const BEFORE: &str = "# HELP x y\nstreamvault_requests_total{outcome=\"served\"} 100\n\
        streamvault_requests_total{outcome=\"internal\"} 0\nstreamvault_sent_bytes_total 1000\n\
        streamvault_tenant_sent_bytes_total{tenant=\"one\"} 1000\nnonsense\n\
        streamvault_cache_status_total{status=\"HIT\"} 50\nstreamvault_cache_status_total{status=\"MISS\"} 50\n\
        streamvault_first_byte_seconds_bucket{le=\"0.01\"} 10\nstreamvault_first_byte_seconds_bucket{le=\"+Inf\"} 10\n";
    const NOW: &str = "streamvault_requests_total{outcome=\"served\"} 120\n\
        streamvault_requests_total{outcome=\"internal\"} 0\nstreamvault_sent_bytes_total 2098152\n\
        streamvault_tenant_sent_bytes_total{tenant=\"one\"} 2098152\n\
        streamvault_tenant_requests_total{tenant=\"one\",result=\"served\"} 20\n\
        streamvault_cache_status_total{status=\"HIT\"} 65\nstreamvault_cache_status_total{status=\"MISS\"} 55\n\
        streamvault_hives{what=\"named\"} 2\nstreamvault_hives{what=\"out_of_reach\"} 1\n\
        streamvault_first_byte_seconds_bucket{le=\"0.01\"} 19\nstreamvault_first_byte_seconds_bucket{le=\"+Inf\"} 20\n";

    #[test]
    fn a_page_is_what_happened_between_two_readings() {
        let (before, now) = (Reading::parse(BEFORE), Reading::parse(NOW));
        let page = Page { before: &before, now: &now, between: Duration::from_secs(2) };
        let text = page.text("here", 200);
        for part in [
            "gateway at here, over 2.0 s\n",
            "requests 10.0/s  sent 1.0 MiB/s  under way 0",
            "p50 ≤ 0.01 s p99 > 30 s",
            "hit ratio 75.0 %",
            "hives reached 1 of 2",
            "served                      10.0           120\n",
            "one                         10.0       0.0       0.0       1.0 MiB\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        assert!(!text.contains("internal"), "{text}");
        assert!(page.text("here", 10).lines().all(|line| line.chars().count() <= 10));
    }

    #[test]
    fn a_gateway_that_was_started_anew_counts_from_nothing() {
        let (before, now) = (Reading::parse(NOW), Reading::parse(BEFORE));
        let page = Page { before: &before, now: &now, between: Duration::from_secs(1) };
        assert!(page.text("here", 200).starts_with("gateway at here, over 1.0 s\nrequests 100.0/s"));
        let nothing = Reading::parse("");
        let empty = Page { before: &nothing, now: &nothing, between: Duration::ZERO };
        assert!(empty.text("here", 200).contains("hit ratio -"));
    }
}
