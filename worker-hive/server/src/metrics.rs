//! What the hive shows of itself. Labels are bounded: methods, outcomes, kinds and states are closed sets, sessions and data-centres are
//! named up to a number and are `other` beyond it.

use crate::hives::Shares;
use crate::session_metrics::SessionMetrics;
use parking_lot::Mutex;
use pool::{Observer, PoolReport};
use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::time::Duration;

/// The hive's registry and the metrics that the HTTP side feeds.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) requests: IntCounterVec,
    pub(crate) sent_bytes: IntCounter,
    pub(crate) bodies: IntGauge,
    pub(crate) broken_bodies: IntCounterVec,
    pub(crate) first_byte: Histogram,
    chunk: Histogram,
    queue: Queue,
    leases: Leases,
    sessions: Mutex<SessionMetrics>,
}

/// What the pool's line shows.
struct Queue {
    seconds: Histogram,
    length: IntGauge,
    refused: IntCounter,
    retries: IntCounter,
    hedges: IntCounter,
    hedges_won: IntCounter,
}

/// How the hives share their accounts.
struct Leases {
    hives: IntGauge,
    away: IntGauge,
    accounts: IntGaugeVec,
}

impl Leases {
    fn show(&self, shares: &Shares) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.hives.set(number(shares.hives));
        self.away.set(i64::from(shares.away));
        for (at, count) in [("here", shares.here), ("elsewhere", shares.elsewhere), ("nowhere", shares.nobodys)] {
            self.accounts.with_label_values(&[at]).set(number(count));
        }
    }
}

/// Registers as it makes.
pub(crate) struct Maker<'a>(pub(crate) &'a Registry);

impl Maker<'_> {
    fn keep<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(crate) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(crate) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.keep(IntCounter::new(name, help)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.keep(IntGauge::new(name, help)?)
    }

    fn seconds(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram, prometheus::Error> {
        self.keep(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))?)
    }
}

impl Metrics {
    /// # Errors
    /// When a name is taken or malformed, which is a bug and shows at every start.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let make = Maker(&registry);
        let first_byte = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        let waits = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
        Ok(Self {
            requests: make.counters(
                "hive_requests_total",
                "Requests by method and outcome.",
                &["method", "outcome"],
            )?,
            broken_bodies: make.counters("hive_broken_bodies_total", "Bodies that ended with a fault.", &["fault"])?,
            sent_bytes: make.counter("hive_sent_bytes_total", "Body bytes handed to gateways.")?,
            bodies: make.gauge("hive_bodies", "Bodies being sent.")?,
            first_byte: make.seconds(
                "hive_first_byte_seconds",
                "From the request to its first body bytes.",
                &first_byte,
            )?,
            chunk: make.seconds(
                "hive_chunk_seconds",
                "From asking a session for a chunk (upload.getFile) to its bytes.",
                &first_byte,
            )?,
            queue: Queue {
                seconds: make.seconds(
                    "hive_queue_seconds",
                    "How long streams waited for a session's place.",
                    &waits,
                )?,
                length: make.gauge("hive_queue_length", "Streams that wait for a session's place.")?,
                refused: make.counter("hive_queue_refused_total", "Streams sent away without a place.")?,
                retries: make.counter("hive_retries_total", "Calls made again after a fault.")?,
                hedges: make.counter("hive_hedges_total", "Straggling chunks asked for a second time.")?,
                hedges_won: make.counter("hive_hedges_won_total", "Second tries that were answered first.")?,
            },
            leases: Leases {
                hives: make.gauge("hive_hives", "Hives that share their accounts, this one included.")?,
                away: make.gauge("hive_lease_store_away", "1 while the store of leases does not answer.")?,
                accounts: make.gauges(
                    "hive_accounts",
                    "Accounts by where they run: here, elsewhere, nowhere.",
                    &["at"],
                )?,
            },
            sessions: Mutex::new(SessionMetrics::new(&make)?),
            registry,
        })
    }

    /// The text that Prometheus reads, with the pool and the leases as they stand.
    pub(crate) fn render(&self, report: &PoolReport, shares: &Shares) -> Vec<u8> {
        self.leases.show(shares);
        self.queue.length.set(i64::try_from(report.waiting).unwrap_or(i64::MAX));
        // The pool counts; here its sums are only carried over.
        for (counter, sum) in [
            (&self.queue.refused, report.refused),
            (&self.queue.retries, report.retries),
            (&self.queue.hedges, report.hedges),
            (&self.queue.hedges_won, report.hedges_won),
        ] {
            counter.inc_by(sum.saturating_sub(counter.get()));
        }
        // Held while gathering: another rendering begins by setting the gauges to 0.
        let mut sessions = self.sessions.lock();
        sessions.carry_over(&report.sessions);
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "can't write metrics");
        }
        text
    }
}

impl Observer for Metrics {
    fn waited(&self, time: Duration) {
        self.queue.seconds.observe(time.as_secs_f64());
    }

    fn fetched(&self, time: Duration) {
        self.chunk.observe(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::{Metrics, Shares};
    use pool::{Observer, PoolReport};
    use std::time::Duration;

    #[test]
    fn every_name_is_registered_once_and_the_line_is_shown() {
        let metrics = Metrics::new().unwrap();
        metrics.requests.with_label_values(&["GET", "ok"]).inc();
        metrics.waited(Duration::from_millis(20));
        metrics.fetched(Duration::from_millis(20));
        let report = PoolReport { waiting: 3, refused: 4, ..PoolReport::default() };
        let shares = Shares { hives: 2, away: true, here: 3, elsewhere: 5, nobodys: 1 };
        metrics.render(&report, &shares);
        let text = String::from_utf8(metrics.render(&report, &shares)).unwrap();
        for line in [
            "hive_requests_total{method=\"GET\",outcome=\"ok\"} 1",
            "hive_queue_length 3",
            "hive_hives 2",
            "hive_lease_store_away 1",
            "hive_accounts{at=\"elsewhere\"} 5",
            "hive_queue_refused_total 4",
            "hive_queue_seconds_bucket{le=\"0.05\"} 1",
            "hive_chunk_seconds_bucket{le=\"0.025\"} 1",
        ] {
            assert!(text.lines().any(|seen| seen == line), "{line}\n{text}");
        }
    }
}
