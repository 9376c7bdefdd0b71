//! `/cache` on the operator's listener: what the cache holds, checks of it, purges.
//!
//! `GET /cache/stat`; `GET /cache/ls`, by `media=`, `prefix=`, `tenant=` or `document=`, with `after=` and `limit=`; `POST /cache/verify` and
//! `POST /cache/purge` with JSON. What is posted needs the token.

use crate::acts::ActError;
use crate::admin::{Asked, Reply};
use crate::edge::Edge;
use crate::selection::{Selection, SelectionError, media};
use cache::{Listed, Verified};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, Ordering};

/// Media of one list, unless another limit is asked for, and at most.
const USUAL: usize = 1_000;
const MOST: usize = 100_000;

/// `POST /cache/purge`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PurgeWanted {
    pub(crate) what: Selection,
    /// Reads under way end at once, too.
    pub(crate) cut: bool,
}

/// `POST /cache/verify`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyWanted {
    pub(crate) what: Selection,
    /// Bytes a second at most.
    pub(crate) rate: Option<NonZeroU64>,
}

/// What the cache has done, and how it stands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stat {
    pub(crate) slice_size: u64,
    pub(crate) max_size: u64,
    /// Figures by the names that they have in the metrics.
    pub(crate) figures: Vec<(String, u64)>,
}

/// A media with bytes in the cache.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Its path.
    pub(crate) media: String,
    pub(crate) etag: String,
    pub(crate) size: u64,
    pub(crate) bytes_held: u64,
    pub(crate) slices: u32,
    pub(crate) slices_of: u32,
    pub(crate) readers: usize,
    /// Unix seconds.
    pub(crate) last_read: Option<u64>,
}

/// What a check came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) slices: u64,
    pub(crate) bytes: u64,
    pub(crate) rotten: u64,
    pub(crate) unreadable: u64,
    pub(crate) in_use: u64,
}

impl From<Listed> for Row {
    fn from(listed: Listed) -> Self {
        let Listed { media, etag, size, slices, slices_of, bytes_held, readers, last_read, .. } = listed;
        let media = takedown::Target::Media(media).to_string();
        let etag = etag.as_str().to_owned();
        Self { media, etag, size, bytes_held, slices, slices_of, readers, last_read }
    }
}

impl From<Verified> for Checked {
    fn from(verified: Verified) -> Self {
        let Verified { slices, bytes, rotten, unreadable, in_use, .. } = verified;
        Self { slices, bytes, rotten, unreadable, in_use }
    }
}

/// Answers a request whose path is `/cache/` and `rest`.
pub(crate) async fn answer(edge: &Edge, rest: &str, asked: &Asked) -> Reply {
    let answered = match (&asked.method, rest) {
        (&Method::GET, "stat") => Ok(Reply::json(&stat(edge))),
        (&Method::GET, "ls") => list(edge, &asked.query).await,
        (&Method::POST, "purge" | "verify") => match asked.is_allowed(edge) {
            Ok(()) if rest == "purge" => purge(edge, asked).await,
            Ok(()) => verify(edge, asked).await,
            Err(refused) => Err(refused),
        },
        _ => Err(Reply::text(
            StatusCode::NOT_FOUND,
            "GET /cache/stat, GET /cache/ls, POST /cache/verify or POST /cache/purge",
        )),
    };
    answered.unwrap_or_else(|refused| refused)
}

fn stat(edge: &Edge) -> Stat {
    let (events, state) = edge.cache_figures();
    let figures = state.into_iter().chain(events).map(|(name, value)| (name.to_owned(), value)).collect();
    Stat { slice_size: edge.cache_size.slice, max_size: edge.cache_size.max, figures }
}

async fn list(edge: &Edge, query: &str) -> Result<Reply, Reply> {
    let (what, rest) = Selection::from_query(query)?;
    let (mut after, mut limit) = (None, USUAL);
    for (name, value) in rest {
        match name.as_str() {
            "after" => after = Some(media(&value).ok_or(SelectionError::Media(value))?),
            "limit" => {
                limit = value.parse().map_err(|_| Reply::text(StatusCode::BAD_REQUEST, "limit must be a number"))?;
            }
            _ => return Err(SelectionError::Query.into()),
        }
    }
    let (what, _) = what.resolved(&edge.directory, &edge.plugins)?;
    let listed = edge.cache.list(&what.scope()?, after, limit.min(MOST)).await;
    Ok(Reply::json(&listed.into_iter().map(Row::from).collect::<Vec<_>>()))
}

async fn purge(edge: &Edge, asked: &Asked) -> Result<Reply, Reply> {
    let PurgeWanted { what, cut } = asked.body()?;
    let (what, everything) = what.resolved(&edge.directory, &edge.plugins)?;
    Ok(Reply::json(&edge.acts.purge(what, everything, cut).await?))
}

async fn verify(edge: &Edge, asked: &Asked) -> Result<Reply, Reply> {
    let VerifyWanted { what, rate } = asked.body()?;
    let (what, _) = what.resolved(&edge.directory, &edge.plugins)?;
    let scope = what.scope()?;
    let _one = One::begin(&edge.verifying)
        .ok_or_else(|| Reply::text(StatusCode::CONFLICT, "a check is under way; wait for its end"))?;
    Ok(Reply::json(&Checked::from(edge.cache.verify(&scope, rate, |_| {}).await)))
}

/// One check at a time, or the rates of several would add up.
struct One<'a>(&'a AtomicBool);

impl<'a> One<'a> {
    fn begin(busy: &'a AtomicBool) -> Option<Self> {
        // Not `then_some`: that would make one, and drop it, for those who get none.
        (!busy.swap(true, Ordering::AcqRel)).then(|| Self(busy))
    }
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl From<SelectionError> for Reply {
    fn from(error: SelectionError) -> Self {
        Self::text(StatusCode::BAD_REQUEST, &error.to_string())
    }
}

impl From<ActError> for Reply {
    fn from(error: ActError) -> Self {
        let status = match &error {
            ActError::Selection(_) | ActError::Record(_) | ActError::Target(_) | ActError::NoContent => {
                StatusCode::BAD_REQUEST
            }
            ActError::NotDurable | ActError::NotDown(_) => StatusCode::CONFLICT,
            ActError::NotSaved(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ActError::Unread(_) => StatusCode::BAD_GATEWAY,
        };
        Self::text(status, &error.to_string())
    }
}
