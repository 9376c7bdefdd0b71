//! `/v1/drain`: readiness is taken away and given back. Nothing else changes: streams go on, and who comes all the same is served.

use crate::edge::Edge;
use admin_api::{Call, Changed, Operation};
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;

/// Whether balancers are told to send nobody.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drain {
    pub(crate) draining: bool,
}

/// How far it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Drained {
    pub(crate) draining: bool,
    /// Requests that are being answered.
    pub(crate) active: u64,
}

/// The operations.
pub(crate) fn operations() -> Vec<Operation<Arc<Edge>>> {
    let read = |edge: Arc<Edge>, _: Call, (): ()| async move { Ok(state(&edge)) };
    let write = |edge: Arc<Edge>, _: Call, wanted: Drain| async move {
        let before = edge.live.drain(wanted.draining);
        let (target, before) = ("readiness".to_owned(), json!({ "draining": before }));
        Ok(Changed { answer: state(&edge), target, before, after: json!({ "draining": wanted.draining }) })
    };
    vec![
        Operation::reads(
            "/v1/drain",
            "drainState",
            "Whether it drains, and how many requests are being answered",
            read,
        ),
        Operation::writes(Method::PUT, "/v1/drain", "drainSet", "Makes /readyz say 503, or 200 again", write),
    ]
}

fn state(edge: &Edge) -> Drained {
    Drained { draining: edge.live.is_draining(), active: u64::try_from(edge.metrics.active.get()).unwrap_or(0) }
}
