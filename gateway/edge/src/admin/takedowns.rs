//! `/v1/takedowns`: what must not be served.

use crate::acts::TakedownDone;
use crate::edge::Edge;
use admin_api::{Call, Changed, Operation, Problem};
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use takedown::Record;

/// A change.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TakedownWanted")]
pub(crate) struct Wanted {
    /// A path, a link, or a target as it is listed.
    pub(crate) target: String,
    /// Not this media, but its content.
    #[serde(default)]
    pub(crate) content: bool,
    pub(crate) by: String,
    pub(crate) reason: String,
}

/// What was last done about a target.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TakedownRecord")]
pub(crate) struct Row {
    pub(crate) target: String,
    pub(crate) down: bool,
    pub(crate) version: u64,
    /// Unix seconds.
    pub(crate) at: u64,
    pub(crate) by: String,
    pub(crate) reason: String,
}

impl From<&Record> for Row {
    fn from(record: &Record) -> Self {
        let Record { target, version, down, at, by, reason } = record.clone();
        Self { target: target.to_string(), down, version, at, by, reason }
    }
}

/// The operations.
pub(crate) fn operations() -> Vec<Operation<Arc<Edge>>> {
    let list = |edge: Arc<Edge>, _: Call, (): ()| async move {
        Ok(edge.takedowns.list().records().iter().map(|record| Row::from(&**record)).collect::<Vec<_>>())
    };
    let add = |edge, _: Call, wanted| change(edge, true, wanted);
    let lift = |edge, _: Call, wanted| change(edge, false, wanted);
    let refusals = [
        StatusCode::NOT_FOUND,
        StatusCode::CONFLICT,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    vec![
        Operation::reads("/v1/takedowns", "takedownList", "What is down or was, with who did it and why", list),
        Operation::writes(
            Method::POST,
            "/v1/takedowns",
            "takedownAdd",
            "Takes media out of service, at all gateways",
            add,
        )
        .refuses(&refusals),
        Operation::writes(Method::POST, "/v1/takedowns/lift", "takedownLift", "Puts media back into service", lift)
            .refuses(&refusals),
    ]
}

async fn change(edge: Arc<Edge>, down: bool, wanted: Wanted) -> Result<Changed<TakedownDone>, Problem> {
    let Wanted { target, content, by, reason } = wanted;
    let answer = edge.acts.take_down(&target, content, down, &by, &reason).await?;
    let after = json!({ "down": down, "by": by, "reason": reason });
    Ok(Changed { target: answer.target.clone(), answer, before: json!({ "down": !down }), after })
}
