//! The operator's listener: `/healthz`, `/metrics`; state and changes of plugins, cache and takedowns. Never for viewers.

use crate::edge::Edge;
use crate::{cache_admin, plugin_admin, takedown_admin};
use async_trait::async_trait;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Longest wait for a connection to ourselves.
const HEALTH_PATIENCE: Duration = Duration::from_secs(1);
/// Bytes of the longest body.
const LONGEST: usize = 64 << 10;
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

/// A question.
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Asked {
    /// Whether who asks may change something.
    pub(crate) fn is_allowed(&self, edge: &Edge) -> Result<(), Reply> {
        let Some(token) = &edge.admin_token else {
            return Err(Reply::text(StatusCode::FORBIDDEN, "set admin.token in the settings to allow changes"));
        };
        let sent = self.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        // Hashes have one length, and where they differ says nothing about the token.
        let right = sent.is_some_and(|sent| Sha256::digest(sent) == Sha256::digest(token.expose_secret()));
        if right {
            Ok(())
        } else {
            Err(Reply::text(StatusCode::UNAUTHORIZED, "Authorization: Bearer with admin.token is wanted"))
        }
    }

    /// The JSON that was posted.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Reply> {
        serde_json::from_slice(&self.body).map_err(|error| Reply::text(StatusCode::BAD_REQUEST, &error.to_string()))
    }
}

impl Reply {
    pub(crate) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec_pretty(value) {
            Ok(mut body) => {
                body.push(b'\n');
                Self { status: StatusCode::OK, content_type: "application/json", body }
            }
            Err(error) => {
                tracing::error!(%error, "an answer could not be written");
                Self::text(StatusCode::INTERNAL_SERVER_ERROR, "no answer")
            }
        }
    }

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
        let path = head.uri.path().to_owned();
        let mut asked = Asked {
            method: head.method.clone(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers.clone(),
            body: Vec::new(),
        };
        while let Ok(Some(piece)) = session.read_request_body().await {
            if asked.body.len() + piece.len() > LONGEST {
                return answer(Reply::text(StatusCode::PAYLOAD_TOO_LARGE, "too long"));
            }
            asked.body.extend_from_slice(&piece);
        }
        let segment = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let rest = path.get(segment.len() + 1..).unwrap_or_default();
        let reply = match segment {
            "healthz" if rest.is_empty() => self.health().await,
            "metrics" if rest.is_empty() => self.metrics(),
            "plugins" => plugin_admin::answer(&self.edge, rest, &asked).await,
            "cache" => cache_admin::answer(&self.edge, rest.trim_start_matches('/'), &asked).await,
            "takedown" => takedown_admin::answer(&self.edge, rest, &asked).await,
            _ => Reply::text(StatusCode::NOT_FOUND, "/healthz, /metrics, /plugins, /cache or /takedown"),
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
