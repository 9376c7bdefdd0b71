//! What the hive shows of itself. Labels are bounded: methods, outcomes and kinds are closed sets, sessions are the operator's own.

use parking_lot::Mutex;
use pool::SessionReport;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

/// The hive's registry and the metrics that the HTTP side feeds.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: IntCounterVec,
    pub(crate) sent_bytes: IntCounter,
    pub(crate) bodies: IntGauge,
    pub(crate) broken_bodies: IntCounterVec,
    pub(crate) first_byte: Histogram,
    sessions: Mutex<SessionMetrics>,
}

struct SessionMetrics {
    up: IntGaugeVec,
    streams: IntGaugeVec,
    rest: IntGaugeVec,
    bytes: IntCounterVec,
    chunks: IntCounterVec,
    lookups: IntCounterVec,
    flood_seconds: IntCounterVec,
    faults: IntCounterVec,
}

impl Metrics {
    /// # Errors
    /// When a name is taken or malformed, which is a bug and shows at every start.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let vector = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(vector.clone()))?;
            Ok(vector)
        };
        let gauges = |name: &str, help: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let vector = IntGaugeVec::new(Opts::new(name, help), &["session"])?;
            registry.register(Box::new(vector.clone()))?;
            Ok(vector)
        };
        let sessions = SessionMetrics {
            up: gauges("hive_session_up", "1 unless Telegram revoked the session.")?,
            streams: gauges("hive_session_streams", "Streams that hold the session.")?,
            rest: gauges("hive_session_rest_seconds", "What is left of the session's flood wait.")?,
            bytes: counters("hive_session_bytes_total", "Bytes fetched from Telegram.", &["session"])?,
            chunks: counters("hive_session_chunks_total", "Chunks fetched from Telegram.", &["session"])?,
            lookups: counters("hive_session_lookups_total", "Messages looked up.", &["session"])?,
            flood_seconds: counters("hive_session_flood_seconds_total", "Flood wait told.", &["session"])?,
            faults: counters("hive_session_faults_total", "Calls that failed.", &["session", "kind"])?,
        };
        let sent_bytes = IntCounter::new("hive_sent_bytes_total", "Body bytes handed to gateways.")?;
        registry.register(Box::new(sent_bytes.clone()))?;
        let bodies = IntGauge::new("hive_bodies", "Bodies being sent.")?;
        registry.register(Box::new(bodies.clone()))?;
        let buckets = vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let options = HistogramOpts::new("hive_first_byte_seconds", "From the request to its first body bytes.");
        let first_byte = Histogram::with_opts(options.buckets(buckets))?;
        registry.register(Box::new(first_byte.clone()))?;
        Ok(Self {
            requests: counters("hive_requests_total", "Requests by method and outcome.", &["method", "outcome"])?,
            broken_bodies: counters("hive_broken_bodies_total", "Bodies that ended with a fault.", &["fault"])?,
            sent_bytes,
            bodies,
            first_byte,
            sessions: Mutex::new(sessions),
            registry,
        })
    }

    /// The text that Prometheus reads, with the sessions as they stand.
    pub(crate) fn render(&self, reports: &[SessionReport]) -> Vec<u8> {
        let sessions = self.sessions.lock();
        for report in reports {
            let name = [report.name.as_str()];
            let whole = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
            sessions.up.with_label_values(&name).set(i64::from(!report.banned));
            sessions.streams.with_label_values(&name).set(whole(report.streams));
            let rest = report.rests_for.map_or(0, |rest| i64::try_from(rest.as_secs()).unwrap_or(i64::MAX));
            sessions.rest.with_label_values(&name).set(rest);
            // The pool counts; here its sums are only carried over.
            raise(&sessions.bytes.with_label_values(&name), report.bytes);
            raise(&sessions.chunks.with_label_values(&name), report.chunks);
            raise(&sessions.lookups.with_label_values(&name), report.lookups);
            raise(&sessions.flood_seconds.with_label_values(&name), report.flood_seconds);
            for (kind, count) in &report.faults {
                raise(&sessions.faults.with_label_values(&[report.name.as_str(), kind]), *count);
            }
        }
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "can't write metrics");
        }
        text
    }
}

fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn every_name_is_registered_once() {
        let metrics = Metrics::new().unwrap();
        metrics.requests.with_label_values(&["GET", "ok"]).inc();
        let text = String::from_utf8(metrics.render(&[])).unwrap();
        assert!(text.contains("hive_requests_total{method=\"GET\",outcome=\"ok\"} 1"), "{text}");
    }
}
