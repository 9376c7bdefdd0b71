//! The operator's listener: `/healthz` and `/metrics`. Never for viewers.

use crate::edge::Edge;
use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Response, StatusCode};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use std::sync::Arc;

/// Answers operators and their tools.
pub(crate) struct Admin {
    edge: Arc<Edge>,
}

impl Admin {
    pub(crate) fn new(edge: Arc<Edge>) -> Self {
        Self { edge }
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        match session.req_header().uri.path() {
            "/healthz" => answer(StatusCode::OK, "text/plain; charset=utf-8", b"ok\n".to_vec()),
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

fn answer(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let length = body.len();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response.headers_mut().insert(CONTENT_LENGTH, http::HeaderValue::from(length));
    response
}
