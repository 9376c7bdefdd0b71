//! The operator's listener: health, metrics and the admin API. Never for viewers.
//!
//! `/livez`, `/readyz` and `/healthz` are answered without a token, since they tell nothing but whether; `/metrics` too, unless the settings say otherwise. All
//! else is the table's ([`admin_api`]), each resource in a file of its own below.

pub(crate) mod audit;
pub(crate) mod cache;
pub(crate) mod drain;
mod health;
pub(crate) mod plugins;
pub(crate) mod report;
pub(crate) mod revocations;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod takedowns;
pub(crate) mod tenants;

use crate::edge::Edge;
use admin_api::{Answer, Api, Problem, Request};
use async_trait::async_trait;
use health::Health;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of the longest body.
const LONGEST: usize = 256 << 10;
/// Bytes of a longer one that are read before the connection is closed.
const LONGEST_READ: usize = 8 << 20;
/// How long a body may stay without a new byte.
const BODY_PATIENCE: Duration = Duration::from_secs(30);
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers operators and their tools.
pub(crate) struct Admin {
    edge: Arc<Edge>,
    api: Api<Arc<Edge>>,
    health: Health,
}

/// The API of this release.
pub(crate) fn api() -> Api<Arc<Edge>> {
    let operations = [
        tenants::operations(),
        takedowns::operations(),
        revocations::operations(),
        report::operations(),
        cache::operations(),
        plugins::operations(),
        sessions::operations(),
        settings::operations(),
        drain::operations(),
    ];
    Api::new("streamvault gateway: admin API", env!("CARGO_PKG_VERSION"), operations.into_iter().flatten().collect())
}

impl Admin {
    /// `public` are the addresses that viewers connect to; unix sockets among them are passed over.
    pub(crate) fn new(edge: Arc<Edge>, public: &[String]) -> Self {
        Self { health: Health::new(edge.clone(), public), api: api(), edge }
    }

    fn metrics(&self) -> Answer {
        match self.edge.metrics_text() {
            Ok(body) => {
                let content_type = "text/plain; version=0.0.4";
                Answer { status: StatusCode::OK, content_type, header: None, body, audit: None }
            }
            Err(error) => {
                tracing::error!(%error, "metrics could not be written");
                Answer::refusal(&Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no metrics"))
            }
        }
    }

    /// What needs no token.
    async fn open(&self, method: &Method, path: &str) -> Option<Answer> {
        if *method != Method::GET && *method != Method::HEAD {
            return None;
        }
        let (status, text) = match path {
            "/livez" => (StatusCode::OK, "ok".to_owned()),
            "/healthz" => self.health.healthz().await,
            "/readyz" => self.health.readyz().await,
            "/metrics" if self.edge.live.open_metrics() => return Some(self.metrics()),
            _ => return None,
        };
        Some(Answer { status, content_type: TEXT, header: None, body: format!("{text}\n").into_bytes(), audit: None })
    }

    async fn answer(&self, session: &mut ServerSession) -> Answer {
        let head = session.req_header();
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let query = head.uri.query().unwrap_or_default().to_owned();
        let authorization = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some(answer) = self.open(&method, &path).await {
            return answer;
        }
        let tokens = self.edge.live.tokens();
        let known = tokens.judge(authorization.as_deref()).is_some();
        // Read to the end, or whoever is still sending would see its connection reset and no answer; kept only if it is of use.
        let (mut body, mut length) = (Vec::new(), 0);
        loop {
            match tokio::time::timeout(BODY_PATIENCE, session.read_request_body()).await {
                Ok(Ok(Some(piece))) => {
                    length += piece.len();
                    if known && length <= LONGEST {
                        body.extend_from_slice(&piece);
                    }
                    if length > LONGEST_READ {
                        session.set_keepalive(None);
                        break;
                    }
                }
                Ok(Ok(None)) => break,
                Ok(Err(_)) | Err(_) => {
                    session.set_keepalive(None);
                    if known {
                        return Answer::refusal(&Problem::bad_request("the body broke off"));
                    }
                    break;
                }
            }
        }
        if known && length > LONGEST {
            let detail = format!("a body has {LONGEST} bytes at most");
            return Answer::refusal(&Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        if known && path == "/metrics" && method == Method::GET {
            return self.metrics();
        }
        let authorization = authorization.as_deref();
        let request = Request { method: &method, path: &path, query: &query, authorization, body: &body };
        self.api.answer(self.edge.clone(), &tokens, request).await
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let Answer { status, content_type, header, body, audit } = self.answer(session).await;
        if let Some(audit) = audit {
            self.edge.live.audit(&audit).await;
        }
        let length = body.len();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some((name, value)) = header
            && let Ok(value) = HeaderValue::try_from(value)
        {
            headers.insert(name, value);
        }
        response
    }
}
