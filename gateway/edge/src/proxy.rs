//! Pingora's face for HTTP/2: one stream in, one exchange.

use crate::connections::{Busy, Event, NotNow};
use crate::downstream::{Downstream, Went};
use crate::edge::Edge;
use crate::exchange::{Asked, Exchange};
use crate::fields::AnswerHead;
use crate::lingering::slot_of;
use crate::refusal::Refusal;
use crate::remote::Remote;
use crate::serve::Cut;
use crate::service::{self, Body, LONGEST_BODY};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use cache::Stretch;
use pingora::http::ResponseHeader;
use pingora::modules::http::HttpModules;
use pingora::prelude::{Error, ErrorType, HttpPeer, Result};
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use std::sync::Arc;

/// The public service, as far as HTTP/2 goes.
pub(crate) struct EdgeProxy {
    edge: Arc<Edge>,
    https_port: Option<u16>,
}

impl EdgeProxy {
    pub(crate) fn new(edge: Arc<Edge>, https_port: Option<u16>) -> Self {
        Self { edge, https_port }
    }
}

/// A request that runs.
pub(crate) struct Running {
    exchange: Exchange,
    /// On its connection.
    _busy: Option<Busy>,
}

#[async_trait]
impl ProxyHttp for EdgeProxy {
    type CTX = Option<Running>;

    fn new_ctx(&self) -> Option<Running> {
        None
    }

    /// No compression, no modules: media is compressed already, and ranges must stay exact.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Option<Running>) -> Result<bool> {
        let edge = &*self.edge;
        let downstream = session.as_downstream_mut();
        let limits = edge.live.limits();
        downstream.set_write_timeout(Some(limits.write_timeout));
        downstream.set_min_send_rate(limits.min_send_rate);
        drop(limits);
        let remote = downstream.client_addr().and_then(|address| address.as_inet()).map(|peer| Remote::new(peer.ip()));
        let secure = downstream.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        let mut refused = None;
        let busy = match slot_of(downstream.digest()).map(|slot| edge.connections.begin(slot)) {
            None => None,
            Some(Ok(busy)) => Some(busy),
            Some(Err(NotNow::Crowded)) => {
                refused = Some(Refusal::AddressCrowded);
                None
            }
            Some(Err(NotNow::Ended)) => return Err(Error::explain(ErrorType::ConnectionClosed, "closed for others")),
        };
        let body = match refused {
            None => body(edge, downstream).await?,
            Some(_) => Some(Body::Unread),
        };
        if body.is_none() {
            refused = Some(Refusal::RequestLate);
        }
        let body = body.unwrap_or(Body::Unread);
        let head = downstream.req_header();
        let (remote, secure) = edge.proxies.see(remote.as_ref(), secure, &head.headers);
        let asked = Asked {
            head,
            target: head.raw_path(),
            remote: remote.as_ref(),
            protocol: "h2",
            secure,
            https_port: self.https_port,
            sends_stretches: false,
            body: &body,
        };
        let Running { exchange, .. } = ctx.insert(Running { exchange: Exchange::begin(edge, &asked), _busy: busy });
        let decided = match refused {
            None => exchange.decide(edge, &asked).await,
            Some(refusal) => Err(refusal),
        };
        match exchange.deliver(edge, decided, downstream).await {
            Ok(()) => Ok(true),
            // An error, not Ok: pingora must reset the stream. After Ok it would end the body cleanly, and the part would pass for
            // the whole.
            Err(_cut) => Err(Error::explain(ErrorType::ConnectionClosed, "the transfer was cut")),
        }
    }

    /// The flow answers every request itself.
    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut Option<Running>) -> Result<Box<HttpPeer>> {
        Err(Error::explain(ErrorType::HTTPStatus(404), "nothing is passed on"))
    }

    async fn fail_to_proxy(&self, _session: &mut Session, _error: &Error, _ctx: &mut Option<Running>) -> FailToProxy {
        FailToProxy { error_code: 0, can_reuse_downstream: false }
    }

    /// Pingora's error lines print the request target, and with it the link's token.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Option<Running>, _error: &Error) -> bool {
        true
    }

    /// For pingora's own lines, which the target must not stand in.
    fn request_summary(&self, session: &Session, _ctx: &Option<Running>) -> String {
        session.req_header().method.to_string()
    }

    async fn logging(&self, _session: &mut Session, _error: Option<&Error>, ctx: &mut Option<Running>) {
        if let Some(Running { exchange, .. }) = ctx {
            exchange.finish(&self.edge);
        }
    }
}

/// Reads a request's body, where there is a use for it. `None`: it did not come in time.
async fn body(edge: &Edge, downstream: &mut ServerSession) -> Result<Option<Body>> {
    if downstream.is_body_empty() {
        return Ok(Some(Body::None));
    }
    if !service::takes_body(downstream.req_header().raw_path()) {
        return Ok(Some(Body::Unread));
    }
    let mut body = BytesMut::new();
    let all = async {
        while let Some(piece) = downstream.read_request_body().await? {
            if body.len() + piece.len() > LONGEST_BODY {
                return Ok(Body::Unread);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Body::Whole(body.freeze()))
    };
    let within = edge.live.limits().body_timeout;
    let read = pingora_timeout::timeout(within, all).await;
    if read.is_err() {
        edge.connections.count(Event::BodyLate);
    }
    read.ok().transpose()
}

impl Downstream for ServerSession {
    async fn head(&mut self, head: AnswerHead) -> Result<(), Cut> {
        self.write_response_header(Box::new(ResponseHeader::from(head.into_parts()))).await.map_err(cut)
    }

    async fn bytes(&mut self, bytes: Bytes) -> Result<(), Cut> {
        self.write_response_body(bytes, false).await.map_err(cut)
    }

    fn turn(&mut self) -> u64 {
        u64::MAX
    }

    async fn stretch(&mut self, _stretch: &Stretch, _most: u64) -> Result<Went, Cut> {
        Ok(Went::Full(0))
    }

    async fn end(&mut self) -> Result<(), Cut> {
        self.write_response_body(Bytes::new(), true).await.map_err(cut)
    }
}

#[expect(clippy::boxed_local, reason = "pingora's errors come in boxes, and this stands in map_err")]
fn cut(error: Box<Error>) -> Cut {
    match error.etype() {
        ErrorType::WriteTimedout => Cut::ClientStalled,
        _ => Cut::ClientGone,
    }
}
