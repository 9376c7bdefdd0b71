//! `/takedown` on the operator's listener: what must not be served.
//!
//! `GET /takedown` lists. `POST /takedown/add` and `POST /takedown/remove` change, with JSON and the token.

use crate::admin::{Asked, Reply};
use crate::edge::Edge;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use takedown::Record;

/// A change.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Debug, Serialize, Deserialize)]
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

/// Answers a request whose path is `/takedown` and `rest`.
pub(crate) async fn answer(edge: &Edge, rest: &str, asked: &Asked) -> Reply {
    match (&asked.method, rest) {
        (&Method::GET, "") => {
            let records = edge.takedowns.list().records();
            Reply::json(&records.iter().map(|record| Row::from(&**record)).collect::<Vec<_>>())
        }
        (&Method::POST, "/add" | "/remove") => {
            change(edge, rest == "/add", asked).await.unwrap_or_else(|refused| refused)
        }
        _ => Reply::text(StatusCode::NOT_FOUND, "GET /takedown, POST /takedown/add or POST /takedown/remove"),
    }
}

async fn change(edge: &Edge, down: bool, asked: &Asked) -> Result<Reply, Reply> {
    asked.is_allowed(edge)?;
    let Wanted { target, content, by, reason } = asked.body()?;
    Ok(Reply::json(&edge.acts.take_down(&target, content, down, &by, &reason).await?))
}
