//! `/v1/report`: what a day came to.

use crate::edge::Edge;
use admin_api::{Call, Operation, Problem};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::io::ErrorKind;
use std::sync::Arc;

/// Which day.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// One that is over, as 2026-11-22; if not given, the day so far.
    day: Option<String>,
}

/// The operations.
pub(crate) fn operations() -> Vec<Operation<Arc<Edge>>> {
    // A report may be long, and lies on a disk.
    let read = |edge: Arc<Edge>, _: Call, which: Which| async move {
        let read = tokio::task::spawn_blocking(move || report(&edge, &which)).await;
        read.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the report could not be read"))?
    };
    let about = "Bandwidth, viewers, hit ratio, dead links and storage of a day";
    vec![
        Operation::reads("/v1/report", "report", about, read)
            .refuses(&[StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND]),
    ]
}

fn report(edge: &Edge, which: &Which) -> Result<Value, Problem> {
    let report = match &which.day {
        None => serde_json::to_value(edge.daily.today(edge.storage())),
        Some(day) => match edge.daily.read(day) {
            Ok(report) => serde_json::to_value(report),
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                return Err(Problem::bad_request(error.to_string()));
            }
            Err(_) => return Err(Problem::not_found("there is no report of that day")),
        },
    };
    report.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the report could not be written"))
}
