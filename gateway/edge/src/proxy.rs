//! Pingora's face: one request in, one answer and one log line out. The decisions are [`crate::flow`]'s.
#![expect(clippy::disallowed_methods, reason = "each request is timed and dated here")]

use crate::access_log::{Entry, without_query};
use crate::clock;
use crate::edge::Edge;
use crate::flow::{self, Incoming};
use crate::outcome::Outcome;
use crate::serve::{self, Cut};
use async_trait::async_trait;
use cache::ReadError;
use http::HeaderMap;
use http::header::{CONNECTION, HeaderName, RANGE, REFERER, USER_AGENT};
use pingora::http::RequestHeader;
use pingora::modules::http::HttpModules;
use pingora::prelude::{Error, ErrorType, HttpPeer, Result};
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use prometheus::IntGauge;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// The public service.
pub(crate) struct EdgeProxy {
    edge: Arc<Edge>,
}

/// What is known of one request from its first header to its log line.
pub(crate) struct Context {
    started: Instant,
    entry: Entry,
    outcome: Outcome,
    _active: ActiveRequest,
}

/// Counts a request as active for as long as its context lives, however it ends.
struct ActiveRequest(IntGauge);

impl EdgeProxy {
    pub(crate) fn new(edge: Arc<Edge>) -> Self {
        Self { edge }
    }

    fn describe(&self, session: &Session, entry: &mut Entry) {
        let head = session.req_header();
        entry.request_id = format!("{:016x}", rand::random::<u64>());
        entry.remote = session.client_addr().and_then(|address| address.as_inet()).map(std::net::SocketAddr::ip);
        entry.method = head.method.as_str().chars().take(16).collect();
        entry.path = path_of(head);
        entry.protocol = if session.as_http2().is_some() { "h2" } else { "http/1" };
        entry.range = text(&head.headers, &RANGE);
        entry.referer = text(&head.headers, &REFERER).map(|url| without_query(&url));
        entry.user_agent = text(&head.headers, &USER_AGENT);
    }
}

#[async_trait]
impl ProxyHttp for EdgeProxy {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        // Internal until somebody knows better: a request that vanishes is a fault of ours.
        Context {
            started: Instant::now(),
            entry: Entry::default(),
            outcome: Outcome::Internal,
            _active: ActiveRequest::new(&self.edge.metrics.active),
        }
    }

    /// No compression, no modules: media is compressed already, and ranges must stay exact.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        ctx.started = Instant::now();
        self.describe(session, &mut ctx.entry);
        let limits = &self.edge.limits;
        let downstream = session.as_downstream_mut();
        // 0 would mean for ever.
        let keepalive = limits.keepalive.as_secs().max(1);
        downstream.set_keepalive(may_keep_alive(downstream.req_header()).then_some(keepalive));
        downstream.set_pipelining_enabled(true);
        downstream.set_write_timeout(Some(limits.write_timeout));
        downstream.set_min_send_rate(limits.min_send_rate);

        let secure = downstream.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        let Context { started, entry, outcome, .. } = ctx;
        let request_id = entry.request_id.clone();
        let head = downstream.req_header();
        let incoming = Incoming {
            request_id: &request_id,
            head,
            target: head.raw_path(),
            remote: entry.remote,
            secure,
            now: clock::unix(),
            tick: clock::tick(),
        };
        let sent = match flow::answer(&self.edge, &incoming, entry).await {
            Ok(ready) => {
                let standing = ready.standing.clone();
                let sent = tokio::select! {
                    biased;
                    sent = serve::send(downstream, ready, entry, *started) => sent,
                    () = standing.ended() => Err(Cut::TakenDown),
                    () = self.edge.closing.cancelled() => Err(Cut::Draining),
                };
                // A takedown purges, too: the reader may be the first to notice.
                let withdrawn = matches!(sent, Err(Cut::Origin(ReadError::Withdrawn)));
                if withdrawn && standing.check().await.is_err() { Err(Cut::TakenDown) } else { sent }
            }
            Err(refusal) => {
                *outcome = refusal.outcome();
                entry.reason = Some(refusal.to_string());
                return match serve::refuse(downstream, &refusal, entry, secure).await {
                    Ok(()) => Ok(true),
                    Err(_gone) => Err(Error::explain(ErrorType::WriteError, "the client left before the refusal")),
                };
            }
        };
        match sent {
            Ok(()) => {
                *outcome = Outcome::Served;
                Ok(true)
            }
            Err(cut) => {
                *outcome = match &cut {
                    Cut::ClientGone => Outcome::ClientGone,
                    Cut::ClientStalled => Outcome::ClientStalled,
                    Cut::TakenDown => Outcome::TakenDownMidway,
                    Cut::Origin(ReadError::Withdrawn) => Outcome::PurgedMidway,
                    Cut::Origin(_) => Outcome::BodyCut,
                    Cut::Expired => Outcome::ExpiredMidway,
                    Cut::Draining => Outcome::DrainCut,
                };
                entry.reason = Some(cut.to_string());
                // An error, not Ok: pingora must drop the connection (HTTP/1) or reset the stream (HTTP/2). After Ok it would
                // end the body cleanly, and the part would pass for the whole.
                Err(Error::explain(ErrorType::ConnectionClosed, "the transfer was cut"))
            }
        }
    }

    /// The flow answers every request itself.
    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut Context) -> Result<Box<HttpPeer>> {
        Err(Error::explain(ErrorType::HTTPStatus(404), "nothing is passed on"))
    }

    async fn fail_to_proxy(&self, _session: &mut Session, _error: &Error, _ctx: &mut Context) -> FailToProxy {
        FailToProxy { error_code: 0, can_reuse_downstream: false }
    }

    /// Pingora's error lines print the request target, and with it the link's token.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Context, _error: &Error) -> bool {
        true
    }

    fn request_summary(&self, _session: &Session, ctx: &Context) -> String {
        format!("{} {}", ctx.entry.method, ctx.entry.path)
    }

    async fn logging(&self, _session: &mut Session, _error: Option<&Error>, ctx: &mut Context) {
        let Context { started, entry, outcome, .. } = ctx;
        let duration = started.elapsed();
        self.edge.metrics.finished(*outcome, entry.cache, entry.bytes, entry.first_byte, duration);
        let now = SystemTime::now();
        self.edge.access_log.write(entry, *outcome, now, duration);
        self.edge.tell_observers(entry, *outcome, now, duration);
    }
}

impl ActiveRequest {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// HTTP/1.0 clients read to the end of the connection, unless they say that they don't (RFC 9112 §9.3).
fn may_keep_alive(head: &RequestHeader) -> bool {
    let says = |word: &str| {
        let values = head.headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    !says("close") && (head.version != http::Version::HTTP_10 || says("keep-alive"))
}

/// The path alone, for the log: the query is a credential.
fn path_of(head: &RequestHeader) -> String {
    let target = String::from_utf8_lossy(head.raw_path());
    without_query(&target)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes());
    Some(value.chars().take(512).collect())
}
