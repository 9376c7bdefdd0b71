//! `GET /v1/sessions`: every session of the pool as it stands, for people and scripts.

use mtproto::DatacentreReport;
use pool::{SessionReport, SessionState};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The sessions, and those that the store has and the pool has not.
#[must_use]
pub(crate) fn listing(sessions: &[SessionReport], disabled: &[Disabled]) -> Value {
    let now = unix_now();
    let listed = sessions.iter().map(|session| describe(session, now));
    let disabled = disabled.iter().map(Disabled::describe);
    json!({ "sessions": listed.chain(disabled).collect::<Vec<_>>() })
}

/// A session that the operator took out of service.
#[derive(Clone, Debug)]
pub(crate) struct Disabled {
    pub(crate) name: String,
    pub(crate) bot: bool,
    pub(crate) premium: bool,
    pub(crate) home_dc: i32,
}

impl Disabled {
    fn describe(&self) -> Value {
        json!({
            "name": self.name,
            "kind": kind(self.bot),
            "premium": self.premium,
            "home_dc": self.home_dc,
            "state": SessionState::Disabled.word(),
            "streams": 0,
            "cap": 0,
            "bytes_per_second": 0,
            "flood_until": null,
            "last_error": null,
            "dcs": [],
        })
    }
}

fn describe(session: &SessionReport, now: Duration) -> Value {
    json!({
        "name": session.name,
        "kind": kind(session.bot),
        "premium": session.premium,
        "home_dc": session.home_dc,
        "state": session.state.word(),
        "streams": session.streams,
        "cap": session.cap,
        "bytes_per_second": session.bytes_per_second,
        // Whole seconds since the Unix epoch, rounded up: nothing is asked before.
        "flood_until": session.rests_for.map(|rest| whole_seconds(now + rest)),
        "last_error": session.last_error,
        "dcs": session.datacentres.iter().map(|dc| datacentre(dc, session)).collect::<Vec<_>>(),
    })
}

fn datacentre(report: &DatacentreReport, session: &SessionReport) -> Value {
    let dc = report.connections.dc;
    let doubt = session.doubted.iter().find(|(doubted, _)| *doubted == dc);
    json!({
        "dc": dc,
        "state": doubt.map_or(SessionState::Ready, |(_, state)| *state).word(),
        "connections": report.connections.open,
        "in_flight": report.in_flight,
        "window": report.window,
        "waiting": report.waiting,
    })
}

fn kind(bot: bool) -> &'static str {
    if bot { "bot" } else { "user" }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[expect(clippy::disallowed_methods, reason = "people read the end of a flood wait off the clock on the wall")]
fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Disabled, listing, whole_seconds};
    use std::time::Duration;

    #[test]
    fn times_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1_000)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1_001)), 2);
    }

    #[test]
    fn disabled_sessions_are_listed_with_the_same_fields() {
        let disabled = Disabled { name: "old".into(), bot: true, premium: false, home_dc: 4 };
        let listing = listing(&[], &[disabled]);
        let session = &listing["sessions"][0];
        assert_eq!((session["state"].as_str(), session["kind"].as_str()), (Some("disabled"), Some("bot")));
        assert_eq!(session.as_object().unwrap().len(), 11);
    }
}
