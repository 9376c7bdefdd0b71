//! One JSON line per request. The query never stands in it: a signed link is a credential.

use crate::entitle::{Authorized, Message};
use crate::json_line::JsonLine;
use crate::log_writer::{self, LineQueue, WriterGuard};
use crate::outcome::Outcome;
use config::gateway::AccessLog;
use http::HeaderValue;
use http::Method;
use slice::MediaId;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Bytes of most lines.
const LINE: usize = 768;
/// Characters of a client's text that stand in a line.
const LONGEST_TEXT: usize = 512;
/// Bytes of the longest method that stands in a line.
const LONGEST_METHOD: usize = 16;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// What a request is called in answers, logs and plugins: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId([u8; 16]);

/// What the flow learns about a request, step by step.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) request_id: RequestId,
    pub(crate) remote: Option<Arc<str>>,
    pub(crate) method: Method,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) protocol: &'static str,
    pub(crate) range: Option<String>,
    pub(crate) referer: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) viewer: Option<Arc<str>>,
    pub(crate) link_key: Option<Arc<str>>,
    pub(crate) link_expires: Option<i64>,
    pub(crate) media: Option<MediaId>,
    /// What observers know the media by.
    pub(crate) message: Option<Message>,
    pub(crate) cache: Option<&'static str>,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) first_byte: Option<Duration>,
    /// What goes out with the head, once the tenant is known.
    pub(crate) hsts: Option<HeaderValue>,
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
        line(entry, outcome, now, duration, &mut text);
        queue.push(&text);
    }
}

/// One line. Members that nobody knows are left out.
fn line(entry: &Entry, outcome: Outcome, now: SystemTime, duration: Duration, into: &mut Vec<u8>) {
    let mut line = JsonLine::begin(into);
    line.time("time", now);
    line.text("request_id", entry.request_id.as_str());
    line.text("outcome", outcome.word());
    line.number("status", u64::from(entry.status));
    line.text("method", entry.method.as_str().get(..LONGEST_METHOD).unwrap_or(entry.method.as_str()));
    line.text("host", &entry.host);
    line.text("path", &entry.path);
    line.text("protocol", entry.protocol);
    line.number("bytes", entry.bytes);
    line.milliseconds("duration_ms", duration);
    if let Some(first_byte) = entry.first_byte {
        line.milliseconds("first_byte_ms", first_byte);
    }
    line.some("cache", entry.cache);
    line.some("remote", entry.remote.as_deref());
    line.some("tenant", entry.tenant.as_deref());
    line.some("viewer", entry.viewer.as_deref());
    match entry.media {
        Some(MediaId::Message { chat_id, message_id }) => line.pair("media", chat_id, message_id.into()),
        Some(media) => line.text("media", &media.to_string()),
        None => {}
    }
    line.some("link_key", entry.link_key.as_deref());
    if let Some(expires) = entry.link_expires {
        line.signed("link_expires", expires);
    }
    line.some("range", entry.range.as_deref());
    line.some("referer", entry.referer.as_deref());
    line.some("user_agent", entry.user_agent.as_deref());
    line.some("reason", entry.reason.as_deref());
    line.end();
}

/// Text of a client's, as far as a log line has room for it.
pub(crate) fn bounded(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= LONGEST_TEXT => text.to_owned(),
        _ => String::from_utf8_lossy(bytes).chars().take(LONGEST_TEXT).collect(),
    }
}

/// A target or a referer without its query, which may hold credentials, and without path-prefix tokens.
pub(crate) fn without_query(url: &[u8]) -> String {
    let end = url.iter().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(url.len());
    let path = &url[..end];
    if path.iter().any(|byte| matches!(byte, b'~' | b'%')) { bounded(&without_tokens(path)) } else { bounded(path) }
}

/// Such a token is a segment that begins with `~`. Mark and slash may be spelt as escapes: it is looked for in either spelling, and one that
/// some other part of the path takes back is hidden all the same.
fn without_tokens(path: &[u8]) -> Vec<u8> {
    let spelt = |at: usize, raw: u8, escape: &[u8]| match path.get(at..) {
        Some([first, ..]) if *first == raw => Some(1),
        Some(rest) if rest.get(..3).is_some_and(|three| three.eq_ignore_ascii_case(escape)) => Some(3),
        _ => None,
    };
    let (mut shown, mut at) = (Vec::with_capacity(path.len()), 0);
    while let Some(byte) = path.get(at) {
        let Some(slash) = spelt(at, b'/', b"%2F") else {
            shown.push(*byte);
            at += 1;
            continue;
        };
        shown.extend_from_slice(&path[at..at + slash]);
        at += slash;
        if spelt(at, b'~', b"%7E").is_some() {
            shown.push(b'~');
            while at < path.len() && spelt(at, b'/', b"%2F").is_none() {
                at += 1;
            }
        }
    }
    shown
}

impl RequestId {
    /// The id that a number is written as.
    pub(crate) fn new(number: u64) -> Self {
        let mut digits = [0; 16];
        for (at, digit) in digits.iter_mut().enumerate() {
            let nibble = number >> (60 - 4 * at) & 15;
            *digit = HEX[usize::try_from(nibble).unwrap_or(0)];
        }
        Self(digits)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_str(&self) -> &str {
        // Made of digits alone.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, RequestId, bounded, line, without_query};
    use crate::outcome::Outcome;
    use slice::{MediaId, Slug};
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_line_is_json_and_leaves_out_what_is_unknown() {
        let entry = Entry { path: "/stream/\"\u{7}".into(), status: 403, ..Entry::default() };
        let mut text = Vec::new();
        line(&entry, Outcome::LinkInvalid, UNIX_EPOCH, Duration::from_micros(1500), &mut text);
        assert_eq!(text.pop(), Some(b'\n'));
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["path"], "/stream/\"\u{7}");
        assert_eq!(value["outcome"], "link-invalid");
        assert_eq!(value["duration_ms"], 1.5);
        assert_eq!(value["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(value["request_id"], "0000000000000000");
        assert!(value.get("tenant").is_none());
    }

    #[test]
    fn media_are_called_as_everywhere_else() {
        for media in [MediaId::message(-1_001_234, 7), MediaId::Virtual(Slug::parse("film").unwrap())] {
            let entry = Entry { media: Some(media), ..Entry::default() };
            let mut text = Vec::new();
            line(&entry, Outcome::Served, UNIX_EPOCH, Duration::ZERO, &mut text);
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(value["media"], media.to_string());
        }
    }

    #[test]
    fn credentials_of_others_are_cut_off() {
        assert_eq!(without_query(b"https://a.example/x?token=s#f"), "https://a.example/x");
        assert_eq!(without_query(b"/a#b?c"), "/a");
        for (target, shown) in [
            ("/~1.2...MAC/stream/-5/7", "/~/stream/-5/7"),
            ("//%7e1.2...MAC/stream/-5/7%20x?a", "//~/stream/-5/7%20x"),
            ("/x/..%2f~1.2...MAC%2Fstream", "/x/..%2f~%2Fstream"),
            ("https://a.example/~1.2...MAC", "https://a.example/~"),
            ("/stream/-5/7/a~b.mp4", "/stream/-5/7/a~b.mp4"),
        ] {
            assert_eq!(without_query(target.as_bytes()), shown, "{target}");
        }
    }

    #[test]
    fn texts_are_bounded_by_characters() {
        assert_eq!(bounded("é".repeat(600).as_bytes()), "é".repeat(512));
        assert_eq!(bounded(b"a\xffb"), "a\u{fffd}b");
    }

    #[test]
    fn request_ids_are_hexadecimal() {
        for number in [0, 1, 0xfedc_ba98_7654_3210, u64::MAX] {
            assert_eq!(RequestId::new(number).as_str(), format!("{number:016x}"));
        }
    }
}
