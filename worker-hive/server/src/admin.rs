//! The operator's listener: metrics and health.

use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use mtproto::Account;
use pool::Pool;
use std::sync::Arc;

/// What the operator may look at.
pub(crate) struct Admin {
    pub(crate) pool: Pool<Account>,
    pub(crate) metrics: Arc<Metrics>,
}

pub(crate) fn router(admin: Arc<Admin>) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(health)).with_state(admin)
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let text = admin.metrics.render(&admin.pool.report());
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
}

/// Healthy as long as one session may be asked, now or after its rest.
async fn health(State(admin): State<Arc<Admin>>) -> Response {
    if admin.pool.report().iter().any(|session| !session.banned) {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no usable session\n").into_response()
    }
}
