//! The operator's listener: `/healthz` and `/metrics`. Never for viewers.

use crate::edge::Edge;
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

/// Answers operators and their tools.
pub(crate) struct Admin {
    edge: Arc<Edge>,
    public: Vec<SocketAddr>,
}

impl Admin {
    /// `public` are the addresses that viewers connect to; unix sockets among them are passed over.
    pub(crate) fn new(edge: Arc<Edge>, public: &[String]) -> Self {
        Self { edge, public: public.iter().filter_map(|address| address.parse().ok()).map(reachable).collect() }
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
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        match session.req_header().uri.path() {
            "/healthz" if self.is_healthy().await => {
                answer(StatusCode::OK, "text/plain; charset=utf-8", b"ok\n".to_vec())
            }
            "/healthz" => {
                let text = b"a public address can't be connected to\n".to_vec();
                answer(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", text)
            }
            "/metrics" => match self.edge.metrics_text() {
                Ok(text) => answer(StatusCode::OK, "text/plain; version=0.0.4", text),
                Err(error) => {
                    tracing::error!(%error, "metrics could not be written");
                    answer(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", b"no metrics\n".to_vec())
                }
            },
            _ => answer(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", b"/healthz or /metrics\n".to_vec()),
        }
    }
}

/// An address that listens everywhere is asked on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response.headers_mut().insert(CONTENT_LENGTH, http::HeaderValue::from(length));
    response
}
