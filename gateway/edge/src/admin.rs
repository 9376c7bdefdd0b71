//! The operator's listener: `/healthz`, `/metrics`, and the plugins' state and changes. Never for viewers.

use crate::edge::Edge;
use crate::plugin_admin;
use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Longest wait for a connection to ourselves.
const HEALTH_PATIENCE: Duration = Duration::from_secs(1);
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers operators and their tools.
pub(crate) struct Admin {
    edge: Arc<Edge>,
    public: Vec<SocketAddr>,
}

/// An answer before it is one of HTTP's.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// A line for people.
    pub(crate) fn text(status: StatusCode, text: &str) -> Self {
        Self { status, content_type: TEXT, body: format!("{text}\n").into_bytes() }
    }
}

impl Admin {
    /// `public` are the addresses that viewers connect to; unix sockets among them are passed over.
    pub(crate) fn new(edge: Arc<Edge>, public: &[String]) -> Self {
        Self { edge, public: public.iter().filter_map(|address| address.parse().ok()).map(reachable).collect() }
    }

    async fn health(&self) -> Reply {
        if self.is_healthy().await {
            Reply::text(StatusCode::OK, "ok")
        } else {
            Reply::text(StatusCode::SERVICE_UNAVAILABLE, "a public address can't be connected to")
        }
    }

    /// Healthy is who can be connected to: a process alone is not a gateway.
    async fn is_healthy(&self) -> bool {
        for address in &self.public {
            let connected = tokio::time::timeout(HEALTH_PATIENCE, TcpStream::connect(address)).await;
            if !matches!(connected, Ok(Ok(_))) {
                return false;
            }
        }
        true
    }

    fn metrics(&self) -> Reply {
        match self.edge.metrics_text() {
            Ok(body) => Reply { status: StatusCode::OK, content_type: "text/plain; version=0.0.4", body },
            Err(error) => {
                tracing::error!(%error, "metrics could not be written");
                Reply::text(StatusCode::INTERNAL_SERVER_ERROR, "no metrics")
            }
        }
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let head = session.req_header();
        let reply = match head.uri.path() {
            "/healthz" => self.health().await,
            "/metrics" => self.metrics(),
            path => match path.strip_prefix("/plugins") {
                Some(rest) => plugin_admin::answer(&self.edge, &head.method, rest, &head.headers).await,
                None => Reply::text(StatusCode::NOT_FOUND, "/healthz, /metrics or /plugins"),
            },
        };
        answer(reply)
    }
}

/// An address that listens everywhere is asked on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

fn answer(reply: Reply) -> Response<Vec<u8>> {
    let length = reply.body.len();
    let mut response = Response::new(reply.body);
    *response.status_mut() = reply.status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(reply.content_type));
    response.headers_mut().insert(CONTENT_LENGTH, http::HeaderValue::from(length));
    response
}
