//! `/v1/sessions`: the hives' Telegram sessions, as the hives tell. Read-only: a gateway faces viewers, and whoever breaks into one must not be able to take
//! accounts out of service; `worker-hive sessions` does that, where they are.

use crate::edge::Edge;
use admin_api::{Call, Operation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for one hive.
const PATIENCE: Duration = Duration::from_secs(5);

/// One hive.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Hive {
    pub(crate) address: String,
    /// Why nothing is known of it; null if it answered.
    pub(crate) problem: Option<String>,
    pub(crate) sessions: Vec<Session>,
}

/// One session. What a hive of another release does not tell is null.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Session {
    pub(crate) name: String,
    /// `user` or `bot`.
    pub(crate) kind: Option<String>,
    pub(crate) premium: Option<bool>,
    pub(crate) home_dc: Option<i64>,
    pub(crate) state: Option<String>,
    /// Streams that it carries, and most that it may.
    pub(crate) streams: Option<u64>,
    pub(crate) cap: Option<u64>,
    pub(crate) bytes_per_second: Option<f64>,
    /// Unix seconds at which Telegram lets it ask again.
    pub(crate) flood_until: Option<u64>,
    pub(crate) last_error: Option<String>,
}

#[derive(Deserialize)]
struct Listing {
    sessions: Vec<Session>,
}

/// The operations.
pub(crate) fn operations() -> Vec<Operation<Arc<Edge>>> {
    let list = |edge: Arc<Edge>, _: Call, (): ()| async move {
        let hives = edge.hive.sessions(PATIENCE).await.into_iter().map(|(address, answer)| hive(address, answer));
        Ok(hives.collect::<Vec<_>>())
    };
    vec![Operation::reads(
        "/v1/sessions",
        "sessionList",
        "The hives' Telegram sessions: load, flood waits, faults",
        list,
    )]
}

fn hive(address: String, answer: Result<Vec<u8>, String>) -> Hive {
    let read = |body: Vec<u8>| {
        let listing: Listing =
            serde_json::from_slice(&body).map_err(|_| "its answer makes no sense here".to_owned())?;
        Ok(listing.sessions)
    };
    match answer.and_then(read) {
        Ok(sessions) => Hive { address, problem: None, sessions },
        Err(problem) => Hive { address, problem: Some(problem), sessions: Vec::new() },
    }
}
