//! One request in, one answer and one log line out, whatever it came by. The decisions are [`crate::flow`]'s.
#![expect(clippy::disallowed_methods, reason = "each request is timed and dated here")]

use crate::access_log::{Entry, RequestId, bounded, without_query};
use crate::clock;
use crate::downstream::Downstream;
use crate::edge::Edge;
use crate::flow::{self, Answered, Incoming};
use crate::outcome::Outcome;
use crate::refusal::Refusal;
use crate::remote::Remote;
use crate::serve::{self, AskedFor, Cut, wants_html};
use crate::service::Body;
use crate::traced;
use cache::ReadError;
use http::HeaderMap;
use http::header::{HeaderName, RANGE, REFERER, USER_AGENT};
use http::request::Parts;
use prometheus::IntGauge;
use std::pin::pin;
use std::time::{Instant, SystemTime};
use traces::{Kind, Span, spanned};

/// What is known of one request from its first header to its log line.
pub(crate) struct Exchange {
    started: Instant,
    entry: Entry,
    outcome: Outcome,
    asked_for: AskedFor,
    span: Span,
    _active: ActiveRequest,
}

/// What a request looks like to whoever read it.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a Parts,
    /// The request target as it was sent.
    pub(crate) target: &'a [u8],
    pub(crate) remote: Option<&'a Remote>,
    pub(crate) protocol: &'static str,
    /// Over TLS, as far as the viewer is concerned.
    pub(crate) secure: bool,
    /// Viewers without TLS are sent to this port.
    pub(crate) https_port: Option<u16>,
    /// The answer can be sent out of files.
    pub(crate) sends_stretches: bool,
    /// What came after the head.
    pub(crate) body: &'a Body,
}

/// Counts a request as active for as long as its exchange lives, however it ends.
struct ActiveRequest(IntGauge);

impl Exchange {
    /// Starts the clock, and notes what the request says of itself.
    pub(crate) fn begin(edge: &Edge, asked: &Asked<'_>) -> Self {
        let headers = &asked.head.headers;
        let entry = Entry {
            request_id: RequestId::new(rand::random()),
            remote: asked.remote.map(|remote| remote.text.clone()),
            method: asked.head.method.clone(),
            // The path alone: the query is a credential.
            path: without_query(asked.target),
            protocol: asked.protocol,
            range: text(headers, &RANGE),
            referer: headers.get(REFERER).map(|url| without_query(url.as_bytes())),
            user_agent: text(headers, &USER_AGENT),
            ..Entry::default()
        };
        let started = Instant::now();
        let active = ActiveRequest::new(&edge.metrics.active);
        // Internal until somebody knows better: a request that vanishes is a fault of ours.
        let asked_for = AskedFor { secure: asked.secure, html: wants_html(headers) };
        let span = edge.traced.viewer(headers);
        Self { started, entry, outcome: Outcome::Internal, asked_for, span, _active: active }
    }

    /// Runs the flow.
    pub(crate) async fn decide(&mut self, edge: &Edge, asked: &Asked<'_>) -> Result<Answered, Refusal> {
        let incoming = Incoming {
            request_id: self.entry.request_id,
            head: asked.head,
            target: asked.target,
            remote: asked.remote,
            secure: asked.secure,
            https_port: asked.https_port,
            sends_stretches: asked.sends_stretches,
            body: asked.body,
            now: clock::unix(),
            tick: clock::tick(),
        };
        traces::within(self.span.clone(), flow::answer(edge, &incoming, &mut self.entry)).await
    }

    /// Sends what was decided. After an error the connection or stream must break off.
    pub(crate) async fn deliver(
        &mut self,
        edge: &Edge,
        decided: Result<Answered, Refusal>,
        downstream: &mut impl Downstream,
    ) -> Result<(), Cut> {
        let Self { started, entry, outcome, asked_for, span, .. } = self;
        match decided {
            Ok(Answered::Small(small)) => {
                let sent = serve::small(downstream, small, entry).await;
                *outcome = match &sent {
                    Ok(()) => Outcome::Answered,
                    Err(Cut::ClientStalled) => Outcome::ClientStalled,
                    Err(_) => Outcome::ClientGone,
                };
                sent.inspect_err(|cut| entry.reason = Some(cut.to_string()))
            }
            Ok(Answered::Media(ready)) => {
                let standing = ready.standing.clone();
                let sent = {
                    let send = pin!(serve::send(downstream, ready, entry, *started, &edge.crowd));
                    tokio::select! {
                        biased;
                        sent = spanned(span.child("send", Kind::Internal), send) => sent,
                        () = standing.ended() => Err(Cut::TakenDown),
                        () = edge.closing.cancelled() => Err(Cut::Draining),
                    }
                };
                // A takedown purges, too: the reader may be the first to notice.
                let withdrawn = matches!(sent, Err(Cut::Origin(ReadError::Withdrawn)));
                let sent = if withdrawn && standing.check().await.is_err() { Err(Cut::TakenDown) } else { sent };
                *outcome = match &sent {
                    Ok(()) => Outcome::Served,
                    Err(Cut::ClientGone) => Outcome::ClientGone,
                    Err(Cut::ClientStalled) => Outcome::ClientStalled,
                    Err(Cut::TakenDown) => Outcome::TakenDownMidway,
                    Err(Cut::Origin(ReadError::Withdrawn)) => Outcome::PurgedMidway,
                    Err(Cut::Origin(_)) => Outcome::BodyCut,
                    Err(Cut::Expired) => Outcome::ExpiredMidway,
                    Err(Cut::Draining) => Outcome::DrainCut,
                    Err(Cut::QuotaSpent) => Outcome::QuotaMidway,
                };
                sent.inspect_err(|cut| entry.reason = Some(cut.to_string()))
            }
            Err(refusal) => {
                *outcome = refusal.outcome();
                entry.reason = Some(refusal.to_string());
                serve::refuse(downstream, &refusal, entry, *asked_for).await
            }
        }
    }

    /// The client left before anything was decided.
    pub(crate) fn left(&mut self) {
        self.outcome = Outcome::ClientGone;
        self.entry.reason = Some(Cut::ClientGone.to_string());
    }

    /// Counts and logs the request.
    pub(crate) fn finish(&self, edge: &Edge) {
        let Self { started, entry, outcome, span, .. } = self;
        let duration = started.elapsed();
        edge.metrics.finished(*outcome, entry.cache, entry.bytes, entry.first_byte, duration);
        let now = SystemTime::now();
        edge.access_log.write(entry, *outcome, now, duration);
        edge.daily.note(entry, *outcome, clock::unix_of(now));
        edge.tell_observers(entry, *outcome, now, duration);
        traced::finish(span, entry, *outcome);
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

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(bounded(headers.get(name)?.as_bytes()))
}
