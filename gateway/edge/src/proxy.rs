//! Pingora's face for HTTP/2: one stream in, one exchange.

use crate::downstream::{Downstream, Went};
use crate::edge::Edge;
use crate::exchange::{Asked, Exchange};
use crate::remote::Remote;
use crate::serve::Cut;
use async_trait::async_trait;
use bytes::Bytes;
use cache::Stretch;
use http::response::Parts;
use pingora::http::ResponseHeader;
use pingora::modules::http::HttpModules;
use pingora::prelude::{Error, ErrorType, HttpPeer, Result};
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use std::sync::Arc;

/// The public service, as far as HTTP/2 goes.
pub(crate) struct EdgeProxy {
    edge: Arc<Edge>,
}

impl EdgeProxy {
    pub(crate) fn new(edge: Arc<Edge>) -> Self {
        Self { edge }
    }
}

#[async_trait]
impl ProxyHttp for EdgeProxy {
    type CTX = Option<Exchange>;

    fn new_ctx(&self) -> Option<Exchange> {
        None
    }

    /// No compression, no modules: media is compressed already, and ranges must stay exact.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(&self, session: &mut Session, ctx: &mut Option<Exchange>) -> Result<bool> {
        let edge = &*self.edge;
        let downstream = session.as_downstream_mut();
        downstream.set_write_timeout(Some(edge.limits.write_timeout));
        downstream.set_min_send_rate(edge.limits.min_send_rate);
        let remote = downstream.client_addr().and_then(|address| address.as_inet()).map(|peer| Remote::new(peer.ip()));
        let secure = downstream.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        let head = downstream.req_header();
        let asked = Asked {
            head,
            target: head.raw_path(),
            remote: remote.as_ref(),
            protocol: "h2",
            secure,
            sends_stretches: false,
        };
        let exchange = ctx.insert(Exchange::begin(edge, &asked));
        let decided = exchange.decide(edge, &asked).await;
        match exchange.deliver(edge, decided, downstream).await {
            Ok(()) => Ok(true),
            // An error, not Ok: pingora must reset the stream. After Ok it would end the body cleanly, and the part would pass for
            // the whole.
            Err(_cut) => Err(Error::explain(ErrorType::ConnectionClosed, "the transfer was cut")),
        }
    }

    /// The flow answers every request itself.
    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut Option<Exchange>) -> Result<Box<HttpPeer>> {
        Err(Error::explain(ErrorType::HTTPStatus(404), "nothing is passed on"))
    }

    async fn fail_to_proxy(&self, _session: &mut Session, _error: &Error, _ctx: &mut Option<Exchange>) -> FailToProxy {
        FailToProxy { error_code: 0, can_reuse_downstream: false }
    }

    /// Pingora's error lines print the request target, and with it the link's token.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Option<Exchange>, _error: &Error) -> bool {
        true
    }

    /// For pingora's own lines, which the target must not stand in.
    fn request_summary(&self, session: &Session, _ctx: &Option<Exchange>) -> String {
        session.req_header().method.to_string()
    }

    async fn logging(&self, _session: &mut Session, _error: Option<&Error>, ctx: &mut Option<Exchange>) {
        if let Some(exchange) = ctx {
            exchange.finish(&self.edge);
        }
    }
}

impl Downstream for ServerSession {
    async fn head(&mut self, head: Parts) -> Result<(), Cut> {
        self.write_response_header(Box::new(ResponseHeader::from(head))).await.map_err(cut)
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
