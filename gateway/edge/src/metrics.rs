//! What Prometheus reads. Labels are bounded by tables: outcomes, cache statuses, counter names.

use crate::outcome::Outcome;
use parking_lot::Mutex;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::time::Duration;

/// Counters that the cache or the hive client keep themselves: a name and a value each.
pub(crate) type Rows = Vec<(&'static str, u64)>;

/// All metrics of the edge, on a registry of their own.
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    /// Of `requests`, by outcome in the order of the table: looked up by its label, a counter takes longer than to be counted up.
    outcomes: Vec<IntCounter>,
    cache_status: IntCounterVec,
    bytes: IntCounter,
    first_byte: Histogram,
    duration: Histogram,
    /// Requests between their first and last byte.
    pub(crate) active: IntGauge,
    log_dropped: IntCounter,
    cache_events: IntCounterVec,
    cache_state: IntGaugeVec,
    hive: IntCounterVec,
    hives: IntGaugeVec,
    peers: IntCounterVec,
    fleet: IntGaugeVec,
    observe_dropped: IntCounter,
    limit_events: IntCounterVec,
    limit_state: IntGaugeVec,
    certificate_events: IntCounterVec,
    certificate_state: IntGaugeVec,
    connection_events: IntCounterVec,
    connection_state: IntGaugeVec,
    /// Values are copied in when somebody reads; two readers at once must not mix.
    gathering: Mutex<()>,
}

/// Values that live elsewhere, as of now.
pub(crate) struct Elsewhere {
    pub(crate) log_dropped: u64,
    pub(crate) cache_events: Rows,
    pub(crate) cache_state: Rows,
    pub(crate) hive: Rows,
    pub(crate) hives: Rows,
    pub(crate) peers: Rows,
    pub(crate) fleet: Rows,
    pub(crate) observe_dropped: u64,
    pub(crate) limit_events: Rows,
    pub(crate) limit_state: Rows,
    pub(crate) certificate_events: Rows,
    pub(crate) certificate_state: Rows,
    pub(crate) connection_events: Rows,
    pub(crate) connection_state: Rows,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("streamvault".into()), None)?;
        let seconds = vec![0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let minutes = vec![0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0];
        let first_byte = HistogramOpts::new("first_byte_seconds", "From the request's headers to its first body byte.")
            .buckets(seconds);
        let duration = HistogramOpts::new("request_seconds", "From the request's headers to its end.").buckets(minutes);
        let mut metrics = Self {
            outcomes: Vec::new(),
            requests: IntCounterVec::new(Opts::new("requests_total", "Requests by how they ended."), &["outcome"])?,
            cache_status: IntCounterVec::new(
                Opts::new("cache_status_total", "Answers with media by X-Cache-Status."),
                &["status"],
            )?,
            bytes: IntCounter::new("sent_bytes_total", "Body bytes sent to viewers.")?,
            first_byte: Histogram::with_opts(first_byte)?,
            duration: Histogram::with_opts(duration)?,
            active: IntGauge::new("active_requests", "Requests under way.")?,
            log_dropped: IntCounter::new(
                "access_log_dropped_total",
                "Log lines dropped because the log was too slow.",
            )?,
            cache_events: IntCounterVec::new(Opts::new("cache_events_total", "What the slice cache did."), &["event"])?,
            cache_state: IntGaugeVec::new(Opts::new("cache_state", "What the slice cache holds."), &["what"])?,
            hive: IntCounterVec::new(
                Opts::new("hive_total", "Requests, bytes and faults towards the hive."),
                &["what"],
            )?,
            hives: IntGaugeVec::new(
                Opts::new(
                    "hives",
                    "Hives that the settings name, and those left alone because they were out of reach.",
                ),
                &["what"],
            )?,
            peers: IntCounterVec::new(
                Opts::new("peers_total", "Requests and bytes between this gateway and the others of its fleet."),
                &["what"],
            )?,
            fleet: IntGaugeVec::new(
                Opts::new("fleet", "The other gateways, and those left alone because they were out of reach."),
                &["what"],
            )?,
            observe_dropped: IntCounter::new(
                "observe_dropped_total",
                "Requests that observe plugins were not told of, because too many waited.",
            )?,
            limit_events: IntCounterVec::new(
                Opts::new("limit_events_total", "What the limits of viewers and tenants did."),
                &["event"],
            )?,
            limit_state: IntGaugeVec::new(Opts::new("limit_state", "Who is under limits now."), &["what"])?,
            certificate_events: IntCounterVec::new(
                Opts::new("certificate_events_total", "What became of wishes for certificates from the ACME server."),
                &["event"],
            )?,
            certificate_state: IntGaugeVec::new(
                Opts::new("certificate_state", "Names with certificates, and when the first of them ends."),
                &["what"],
            )?,
            connection_events: IntCounterVec::new(
                Opts::new("connection_events_total", "What became of viewers' connections."),
                &["event"],
            )?,
            connection_state: IntGaugeVec::new(
                Opts::new("connections", "Viewers' connections, those that ask for nothing, and who has them."),
                &["what"],
            )?,
            registry,
            gathering: Mutex::new(()),
        };
        let registry = &metrics.registry;
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.cache_status.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.first_byte.clone()))?;
        registry.register(Box::new(metrics.duration.clone()))?;
        registry.register(Box::new(metrics.active.clone()))?;
        registry.register(Box::new(metrics.log_dropped.clone()))?;
        registry.register(Box::new(metrics.cache_events.clone()))?;
        registry.register(Box::new(metrics.cache_state.clone()))?;
        registry.register(Box::new(metrics.hive.clone()))?;
        registry.register(Box::new(metrics.hives.clone()))?;
        registry.register(Box::new(metrics.peers.clone()))?;
        registry.register(Box::new(metrics.fleet.clone()))?;
        registry.register(Box::new(metrics.observe_dropped.clone()))?;
        registry.register(Box::new(metrics.limit_events.clone()))?;
        registry.register(Box::new(metrics.limit_state.clone()))?;
        registry.register(Box::new(metrics.certificate_events.clone()))?;
        registry.register(Box::new(metrics.certificate_state.clone()))?;
        registry.register(Box::new(metrics.connection_events.clone()))?;
        registry.register(Box::new(metrics.connection_state.clone()))?;
        // A row that never happened reads 0, not absent: alerts on rates need the first one.
        metrics.outcomes =
            Outcome::ALL.iter().map(|outcome| metrics.requests.with_label_values(&[outcome.word()])).collect();
        Ok(metrics)
    }

    /// Counts one finished request.
    pub(crate) fn finished(
        &self,
        outcome: Outcome,
        cache: Option<&'static str>,
        bytes: u64,
        first_byte: Option<Duration>,
        duration: Duration,
    ) {
        if let Some(counter) = self.outcomes.get(outcome as usize) {
            counter.inc();
        }
        if let Some(status) = cache {
            self.cache_status.with_label_values(&[status]).inc();
        }
        self.bytes.inc_by(bytes);
        if let Some(first_byte) = first_byte {
            self.first_byte.observe(first_byte.as_secs_f64());
        }
        self.duration.observe(duration.as_secs_f64());
    }

    /// Prometheus' text format.
    pub(crate) fn text(&self, elsewhere: &Elsewhere) -> Result<Vec<u8>, prometheus::Error> {
        let _one_reader = self.gathering.lock();
        set(&self.log_dropped, elsewhere.log_dropped);
        for (name, value) in &elsewhere.cache_events {
            set(&self.cache_events.with_label_values(&[name]), *value);
        }
        set(&self.observe_dropped, elsewhere.observe_dropped);
        for (name, value) in &elsewhere.limit_events {
            set(&self.limit_events.with_label_values(&[name]), *value);
        }
        for (counters, rows) in [
            (&self.certificate_events, &elsewhere.certificate_events),
            (&self.connection_events, &elsewhere.connection_events),
        ] {
            for (name, value) in rows {
                set(&counters.with_label_values(&[name]), *value);
            }
        }
        for (gauges, rows) in [
            (&self.cache_state, &elsewhere.cache_state),
            (&self.limit_state, &elsewhere.limit_state),
            (&self.certificate_state, &elsewhere.certificate_state),
            (&self.connection_state, &elsewhere.connection_state),
            (&self.hives, &elsewhere.hives),
            (&self.fleet, &elsewhere.fleet),
        ] {
            for (name, value) in rows {
                gauges.with_label_values(&[name]).set(i64::try_from(*value).unwrap_or(i64::MAX));
            }
        }
        for (counters, rows) in [(&self.hive, &elsewhere.hive), (&self.peers, &elsewhere.peers)] {
            for (name, value) in rows {
                set(&counters.with_label_values(&[name]), *value);
            }
        }
        let mut text = Vec::with_capacity(8 << 10);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

/// Brings a counter to a value counted elsewhere; both only grow.
fn set(counter: &IntCounter, value: u64) {
    counter.inc_by(value.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use super::{Elsewhere, Metrics};
    use crate::outcome::Outcome;
    use std::time::Duration;

    #[test]
    fn counts_show_in_the_text_and_every_outcome_has_a_series() {
        let metrics = Metrics::new().unwrap();
        metrics.finished(Outcome::Served, Some("HIT"), 42, Some(Duration::from_millis(1)), Duration::from_millis(2));
        let elsewhere = Elsewhere {
            log_dropped: 0,
            cache_events: vec![("fills", 3)],
            cache_state: vec![("bytes", 7)],
            hive: vec![],
            hives: vec![("out_of_reach", 1)],
            peers: vec![],
            fleet: vec![],
            observe_dropped: 0,
            limit_events: vec![("refused_viewer", 2)],
            limit_state: vec![],
            certificate_events: vec![("issued", 2)],
            certificate_state: vec![("names", 3)],
            connection_events: vec![("head_late", 5)],
            connection_state: vec![("open", 4)],
        };
        metrics.text(&elsewhere).unwrap();
        let text = String::from_utf8(metrics.text(&elsewhere).unwrap()).unwrap();
        for line in [
            "streamvault_requests_total{outcome=\"served\"} 1",
            "streamvault_requests_total{outcome=\"link-invalid\"} 0",
            "streamvault_cache_status_total{status=\"HIT\"} 1",
            "streamvault_sent_bytes_total 42",
            "streamvault_cache_events_total{event=\"fills\"} 3",
            "streamvault_cache_state{what=\"bytes\"} 7",
            "streamvault_hives{what=\"out_of_reach\"} 1",
            "streamvault_first_byte_seconds_count 1",
            "streamvault_certificate_events_total{event=\"issued\"} 2",
            "streamvault_certificate_state{what=\"names\"} 3",
            "streamvault_connection_events_total{event=\"head_late\"} 5",
            "streamvault_connections{what=\"open\"} 4",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }
}
