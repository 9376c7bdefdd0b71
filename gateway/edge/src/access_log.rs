//! One JSON line per request. The query never stands in it: a signed link is a credential.

use crate::entitle::{Authorized, Message};
use crate::log_writer::{self, LineQueue, WriterGuard};
use crate::outcome::Outcome;
use config::gateway::AccessLog;
use serde::Serialize;
use slice::MediaId;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Bytes of most lines.
const LINE: usize = 768;

/// What the flow learns about a request, step by step.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) request_id: String,
    pub(crate) remote: Option<IpAddr>,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) protocol: &'static str,
    pub(crate) range: Option<String>,
    pub(crate) referer: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) viewer: Option<String>,
    pub(crate) link_key: Option<Arc<str>>,
    pub(crate) link_expires: Option<i64>,
    pub(crate) media: Option<MediaId>,
    /// What observers know the media by.
    pub(crate) message: Option<Message>,
    pub(crate) cache: Option<&'static str>,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) first_byte: Option<Duration>,
    /// Why it ended as it did, in our own words; for operators only.
    pub(crate) reason: Option<String>,
}

impl Entry {
    /// What the steps up to the tenant's right learnt.
    pub(crate) fn authorized(&mut self, authorized: &Authorized<'_>) {
        self.media = Some(authorized.media);
        self.message = Some(authorized.message);
        self.link_key = Some(authorized.grant.key_id.clone());
        self.link_expires = Some(authorized.grant.expires);
    }
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    request_id: &'a str,
    outcome: &'static str,
    status: u16,
    method: &'a str,
    host: &'a str,
    path: &'a str,
    protocol: &'static str,
    bytes: u64,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_byte_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    viewer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_expires: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    referer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// Writes entries without ever blocking a request: a full queue drops lines and counts them.
pub(crate) struct AccessLogger {
    queue: Option<LineQueue>,
}

impl AccessLogger {
    /// Opens the target. The guard has written what is queued once it is dropped.
    pub(crate) fn open(target: &AccessLog) -> std::io::Result<(Self, Option<WriterGuard>)> {
        let sink: Box<dyn Write + Send> = match target {
            AccessLog::Off => return Ok((Self { queue: None }, None)),
            AccessLog::Stdout => Box::new(std::io::stdout()),
            AccessLog::Stderr => Box::new(std::io::stderr()),
            AccessLog::File(path) => Box::new(std::fs::OpenOptions::new().create(true).append(true).open(path)?),
        };
        let (queue, guard) = log_writer::start(sink)?;
        Ok((Self { queue: Some(queue) }, Some(guard)))
    }

    /// Lines dropped because the target was slower than the requests, or failed.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue.as_ref().map_or(0, LineQueue::dropped)
    }

    pub(crate) fn write(&self, entry: &Entry, outcome: Outcome, now: SystemTime, duration: Duration) {
        let Some(queue) = &self.queue else { return };
        let mut text = Vec::with_capacity(LINE);
        if serde_json::to_writer(&mut text, &line(entry, outcome, now, duration)).is_ok() {
            text.push(b'\n');
            queue.push(&text);
        }
    }
}

fn line<'a>(entry: &'a Entry, outcome: Outcome, now: SystemTime, duration: Duration) -> Line<'a> {
    Line {
        time: humantime::format_rfc3339_millis(now).to_string(),
        request_id: &entry.request_id,
        outcome: outcome.word(),
        status: entry.status,
        method: &entry.method,
        host: &entry.host,
        path: &entry.path,
        protocol: entry.protocol,
        bytes: entry.bytes,
        duration_ms: milliseconds(duration),
        first_byte_ms: entry.first_byte.map(milliseconds),
        cache: entry.cache,
        remote: entry.remote,
        tenant: entry.tenant.as_deref(),
        viewer: entry.viewer.as_deref(),
        media: entry.media.map(|media| media.to_string()),
        link_key: entry.link_key.as_deref(),
        link_expires: entry.link_expires,
        range: entry.range.as_deref(),
        referer: entry.referer.as_deref(),
        user_agent: entry.user_agent.as_deref(),
        reason: entry.reason.as_deref(),
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A referer without its query, which may hold another site's credentials.
pub(crate) fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().chars().take(512).collect()
}

#[cfg(test)]
mod tests {
    use super::{Entry, line, without_query};
    use crate::outcome::Outcome;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_line_is_json_and_leaves_out_what_is_unknown() {
        let entry = Entry { path: "/stream/\"\u{7}".into(), status: 403, ..Entry::default() };
        let text = serde_json::to_string(&line(&entry, Outcome::LinkInvalid, UNIX_EPOCH, Duration::from_micros(1500)));
        let value: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
        assert_eq!(value["path"], "/stream/\"\u{7}");
        assert_eq!(value["outcome"], "link-invalid");
        assert_eq!(value["duration_ms"], 1.5);
        assert_eq!(value["time"], "1970-01-01T00:00:00.000Z");
        assert!(value.get("tenant").is_none());
    }

    #[test]
    fn credentials_of_others_are_cut_off() {
        assert_eq!(without_query("https://a.example/x?token=s#f"), "https://a.example/x");
    }
}
