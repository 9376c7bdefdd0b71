//! Metrics of sessions, with as many names as fit.

use crate::metrics::Maker;
use pool::{SessionId, SessionReport, SessionState};
use prometheus::{IntCounterVec, IntGaugeVec};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Sessions that have a label of their own.
const NAMES: usize = 64;
/// Data-centres that have: Telegram has five, and its test servers more.
const DATACENTRES: std::ops::RangeInclusive<i32> = 1..=9;
const OTHER: &str = "other";

pub(crate) struct SessionMetrics {
    up: IntGaugeVec,
    state: IntGaugeVec,
    streams: IntGaugeVec,
    rest: IntGaugeVec,
    speed: IntGaugeVec,
    connections: IntGaugeVec,
    in_flight: IntGaugeVec,
    window: IntGaugeVec,
    waiting: IntGaugeVec,
    bytes: IntCounterVec,
    chunks: IntCounterVec,
    lookups: IntCounterVec,
    flood_seconds: IntCounterVec,
    faults: IntCounterVec,
    calls: IntCounterVec,
    made: IntCounterVec,
    ended: IntCounterVec,
    failed: IntCounterVec,
    names: HashSet<String>,
    /// What was carried over already. A session that leaves and comes back counts from 0 again, the metric does not.
    seen: HashMap<SessionId, BTreeMap<Sum, u64>>,
}

/// What is counted: metric, and its label beside the session.
type Sum = (&'static str, i32, &'static str);

impl SessionMetrics {
    pub(crate) fn new(make: &Maker<'_>) -> Result<Self, prometheus::Error> {
        let of_session = ["session"];
        let of_dc = ["session", "dc"];
        Ok(Self {
            up: make.gauges("hive_session_up", "1 unless Telegram revoked the session.", &of_session)?,
            state: make.gauges("hive_session_state", "Sessions in this state.", &["session", "state"])?,
            streams: make.gauges("hive_session_streams", "Streams that hold the session.", &of_session)?,
            rest: make.gauges("hive_session_rest_seconds", "What is left of its flood wait.", &of_session)?,
            speed: make.gauges("hive_session_bytes_per_second", "Bytes a second, lately.", &of_session)?,
            connections: make.gauges("hive_session_connections", "Warm connections.", &of_dc)?,
            in_flight: make.gauges("hive_session_in_flight", "Calls under way.", &of_dc)?,
            window: make.gauges("hive_session_window", "Chunks that may be under way at once.", &of_dc)?,
            waiting: make.gauges("hive_session_waiting_chunks", "Chunks that wait for their turn.", &of_dc)?,
            bytes: make.counters("hive_session_bytes_total", "Bytes fetched from Telegram.", &of_session)?,
            chunks: make.counters("hive_session_chunks_total", "Chunks fetched from Telegram.", &of_session)?,
            lookups: make.counters("hive_session_lookups_total", "Messages looked up.", &of_session)?,
            flood_seconds: make.counters("hive_session_flood_seconds_total", "Flood wait told.", &of_session)?,
            faults: make.counters("hive_session_faults_total", "Calls that failed.", &["session", "kind"])?,
            calls: make.counters("hive_session_calls_total", "Calls by what they are for.", &["session", "class"])?,
            made: make.counters("hive_connections_made_total", "Connections made.", &["dc"])?,
            ended: make.counters("hive_connections_ended_total", "Connections that ended.", &["dc", "reason"])?,
            failed: make.counters("hive_connects_failed_total", "Connects that failed.", &["dc", "reason"])?,
            names: HashSet::new(),
            seen: HashMap::new(),
        })
    }

    pub(crate) fn carry_over(&mut self, sessions: &[SessionReport]) {
        for gauges in [&self.up, &self.state, &self.streams, &self.rest, &self.speed] {
            gauges.reset();
        }
        for gauges in [&self.connections, &self.in_flight, &self.window, &self.waiting] {
            gauges.reset();
        }
        let mut seen = HashMap::with_capacity(sessions.len());
        for session in sessions {
            let name = self.label(&session.name);
            self.show(&name, session);
            let before = self.seen.remove(&session.id).unwrap_or_default();
            seen.insert(session.id, self.count(&name, session, &before));
        }
        self.seen = seen;
    }

    /// The session's own name, or `other` when there are too many.
    fn label(&mut self, name: &str) -> String {
        if !self.names.contains(name) {
            if self.names.len() >= NAMES {
                return OTHER.to_owned();
            }
            self.names.insert(name.to_owned());
        }
        name.to_owned()
    }

    fn show(&self, name: &str, session: &SessionReport) {
        let add = |gauges: &IntGaugeVec, labels: &[&str], value: usize| {
            gauges.with_label_values(labels).add(i64::try_from(value).unwrap_or(i64::MAX));
        };
        add(&self.up, &[name], usize::from(session.state != SessionState::Banned));
        for state in SessionState::ALL {
            add(&self.state, &[name, state.word()], usize::from(state == session.state));
        }
        add(&self.streams, &[name], session.streams);
        let rest = session.rests_for.map_or(0, |rest| usize::try_from(rest.as_secs()).unwrap_or(usize::MAX));
        add(&self.rest, &[name], rest);
        add(&self.speed, &[name], usize::try_from(session.bytes_per_second).unwrap_or(usize::MAX));
        for datacentre in &session.datacentres {
            let dc = dc_label(datacentre.connections.dc);
            add(&self.connections, &[name, &dc], datacentre.connections.open);
            add(&self.in_flight, &[name, &dc], datacentre.in_flight);
            add(&self.window, &[name, &dc], datacentre.window);
            add(&self.waiting, &[name, &dc], datacentre.waiting);
        }
    }

    fn count(&self, name: &str, session: &SessionReport, before: &BTreeMap<Sum, u64>) -> BTreeMap<Sum, u64> {
        let mut sums = BTreeMap::new();
        let mut raise = |counters: &IntCounterVec, labels: &[&str], sum: Sum, value: u64| {
            let known = before.get(&sum).copied().unwrap_or(0);
            counters.with_label_values(labels).inc_by(value.saturating_sub(known));
            sums.insert(sum, value);
        };
        let counts = &session.counts;
        raise(&self.bytes, &[name], ("bytes", 0, ""), counts.bytes);
        raise(&self.chunks, &[name], ("chunks", 0, ""), counts.chunks);
        raise(&self.lookups, &[name], ("lookups", 0, ""), counts.lookups);
        raise(&self.flood_seconds, &[name], ("flood", 0, ""), counts.flood_seconds);
        for (kind, value) in &counts.faults {
            raise(&self.faults, &[name, kind], ("faults", 0, kind), *value);
        }
        for (class, value) in &session.calls {
            raise(&self.calls, &[name, class], ("calls", 0, class), *value);
        }
        for datacentre in &session.datacentres {
            let (connections, dc) = (&datacentre.connections, datacentre.connections.dc);
            let label = dc_label(dc);
            raise(&self.made, &[&label], ("made", dc, ""), connections.made);
            for (reason, value) in &connections.ended {
                raise(&self.ended, &[&label, reason], ("ended", dc, reason), *value);
            }
            for (reason, value) in &connections.failed {
                raise(&self.failed, &[&label, reason], ("failed", dc, reason), *value);
            }
        }
        sums
    }
}

fn dc_label(dc: i32) -> String {
    if DATACENTRES.contains(&dc) { dc.to_string() } else { OTHER.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{NAMES, SessionMetrics, dc_label};
    use crate::metrics::Maker;
    use bytes::Bytes;
    use mtproto::{Ask, CallFault, LocateFault, Location, MessageRef};
    use pool::{Pool, PoolConfig, Source};
    use prometheus::Registry;
    use std::sync::Arc;

    struct Named(String);

    impl Source for Named {
        fn name(&self) -> &str {
            &self.0
        }
        fn is_premium(&self) -> bool {
            false
        }
        async fn locate(&self, _: MessageRef) -> Result<Location, LocateFault> {
            Err(LocateFault::NoChat)
        }
        async fn get_chunk(&self, _: &Location, _: u64, _: u32, _: &Ask) -> Result<Bytes, CallFault> {
            Err(CallFault::Timeout)
        }
    }

    #[tokio::test]
    async fn names_are_bounded_and_nothing_is_counted_twice() {
        let registry = Registry::new();
        let mut metrics = SessionMetrics::new(&Maker(&registry)).unwrap();
        let pool = Pool::new(PoolConfig::default());
        let ids: Vec<_> = (0..NAMES + 6).map(|n| pool.add(Arc::new(Named(format!("s{n}"))))).collect();
        pool.note(ids[0], &CallFault::Flood { seconds: 9, premium_exempt: false });
        pool.note(ids[NAMES], &CallFault::Flood { seconds: 7, premium_exempt: false });
        pool.note(ids[NAMES + 1], &CallFault::Flood { seconds: 7, premium_exempt: false });
        (0..3).for_each(|_| metrics.carry_over(&pool.report().sessions));
        let flood = |name: &str| metrics.flood_seconds.with_label_values(&[name]).get();
        assert_eq!((flood("s0"), flood("other")), (9, 14));
        assert_eq!(metrics.state.with_label_values(&["other", "flood"]).get(), 2);
        assert_eq!(metrics.up.with_label_values(&["other"]).get(), 6);
        // Who leaves is not shown any more, and who comes back goes on counting.
        pool.remove(ids[0]).await;
        let again = pool.add(Arc::new(Named("s0".into())));
        pool.note(again, &CallFault::Flood { seconds: 2, premium_exempt: false });
        metrics.carry_over(&pool.report().sessions);
        assert_eq!(metrics.flood_seconds.with_label_values(&["s0"]).get(), 11);
        assert_eq!(metrics.state.with_label_values(&["s0", "flood"]).get(), 1);
        assert_eq!((dc_label(4).as_str(), dc_label(203).as_str(), dc_label(-1).as_str()), ("4", "other", "other"));
    }
}
