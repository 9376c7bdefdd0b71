//! The operator's listener: metrics, health and the list of sessions.

use crate::hives::Shares;
use crate::metrics::Metrics;
use crate::sessions::{self, Disabled};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use mtproto::Account;
use pool::{Pool, SessionState};
use serde_json::Value;
use std::sync::Arc;

/// What the operator may look at.
pub(crate) struct Admin {
    pub(crate) pool: Pool<Account>,
    pub(crate) metrics: Arc<Metrics>,
    /// Names the sessions that are out of service.
    pub(crate) disabled: Box<dyn Fn() -> Vec<Disabled> + Send + Sync>,
    /// Describes the accounts of all hives.
    pub(crate) hives: Box<dyn Fn() -> Value + Send + Sync>,
    /// How the accounts are shared out among the hives.
    pub(crate) shares: Box<dyn Fn() -> Shares + Send + Sync>,
    /// True when there are sessions to run, and no hive has any of them.
    pub(crate) nobodys: Box<dyn Fn() -> bool + Send + Sync>,
}

pub(crate) fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
        .route("/v1/sessions", get(list))
        .route("/v1/hives", get(hives))
        .with_state(admin)
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let text = admin.metrics.render(&admin.pool.report(), &(admin.shares)());
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
}

/// Healthy as long as one session may be asked, now or after its rest; without any, as long as other hives run them, and this one
/// stands by.
async fn health(State(admin): State<Arc<Admin>>) -> Response {
    let sessions = admin.pool.report().sessions;
    let healthy = match sessions.as_slice() {
        [] => !(admin.nobodys)(),
        some => some.iter().any(|session| session.state != SessionState::Banned),
    };
    if healthy {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no usable session\n").into_response()
    }
}

async fn list(State(admin): State<Arc<Admin>>) -> Response {
    let listing = sessions::listing(&admin.pool.report().sessions, &(admin.disabled)());
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (headers, listing.to_string()).into_response()
}

/// Who runs which account, as the hives tell each other.
async fn hives(State(admin): State<Arc<Admin>>) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (headers, (admin.hives)().to_string()).into_response()
}
