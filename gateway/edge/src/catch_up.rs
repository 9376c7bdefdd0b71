//! What a gateway learns before it serves: what was taken down, purged, revoked and changed while it was not there.

use crate::edge::Edge;
use std::time::Duration;
use tokio::runtime::Builder;

/// Longest wait for Redis. A gateway whose Redis is away serves by what it knows itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// Learns it: of the process whose place this one takes, if it does, then of other gateways. Blocks.
pub(crate) fn catch_up(edge: &Edge, replaces: bool) {
    // The server's own runtimes don't exist yet.
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "nobody was asked what has been taken down meanwhile"),
    };
    runtime.block_on(async {
        if replaces {
            edge.reloader.catch_up().await;
        }
        let (acts, tenants) = (edge.acts.catch_up(), edge.reloader.catch_up_with_tenants());
        // Each to its end: what is down is learnt whatever becomes of the others.
        let all = async { tokio::join!(acts, tenants, edge.sign_outs.catch_up()) };
        let reason = match tokio::time::timeout(PATIENCE, all).await {
            Ok((Ok(()), Ok(()), Ok(()))) => return,
            Ok((Err(away), ..) | (_, Err(away), _) | (.., Err(away))) => away.to_string(),
            Err(_) => format!("Redis: no answer within {PATIENCE:?}"),
        };
        tracing::warn!(
            reason,
            "serving without knowing what other gateways have taken down, purged and revoked; it is learnt as soon as Redis answers"
        );
    });
}
