//! `/v1/cache`: what the cache holds, checks of it, purges.

use crate::acts::PurgeDone;
use crate::edge::Edge;
use crate::selection::{Selection, SelectionError, media};
use admin_api::{Call, Changed, Operation, Problem};
use cache::{Listed, Verified};
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Media of one list, unless another limit is asked for, and at most.
const USUAL: usize = 1_000;
const MOST: usize = 100_000;

/// What to purge.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PurgeWanted {
    pub(crate) what: Selection,
    /// Reads under way end at once, too.
    #[serde(default)]
    pub(crate) cut: bool,
}

/// What to check.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyWanted {
    pub(crate) what: Selection,
    /// Bytes a second at most.
    pub(crate) rate: Option<NonZeroU64>,
}

/// What the cache has done, and how it stands.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CacheStat")]
pub(crate) struct Stat {
    pub(crate) slice_size: u64,
    pub(crate) max_size: u64,
    /// Figures by the names that they have in the metrics.
    pub(crate) figures: Vec<Figure>,
}

/// One figure.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: u64,
}

/// A media with bytes in the cache.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CachedMedia")]
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
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CacheChecked")]
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

/// Which media to list, and how many: by one of `media`, `prefix`, `tenant` and `document`, or all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Page {
    /// One media: its path, or a link to it.
    media: Option<String>,
    /// Those whose paths begin so.
    prefix: Option<String>,
    /// Those of a tenant's channels.
    tenant: Option<String>,
    /// Those that are this document, by their ETag.
    document: Option<String>,
    /// Those behind this media.
    after: Option<String>,
    /// Most media to list, up to 100000; 1000 if not given.
    limit: Option<u32>,
}

/// The operations.
pub(crate) fn operations() -> Vec<Operation<Arc<Edge>>> {
    let read = |edge: Arc<Edge>, _: Call, (): ()| async move { Ok(stat(&edge)) };
    vec![
        Operation::reads("/v1/cache", "cacheStat", "What the cache holds and has done", read),
        Operation::reads(
            "/v1/cache/media",
            "cacheList",
            "Media with bytes in the cache, in order of their paths",
            list,
        ),
        Operation::writes(
            Method::POST,
            "/v1/cache/purge",
            "cachePurge",
            "Forgets media, here and at all gateways",
            purge,
        ),
        Operation::writes(
            Method::POST,
            "/v1/cache/verify",
            "cacheVerify",
            "Checks cached bytes against their checksums",
            verify,
        )
        .refuses(&[StatusCode::CONFLICT]),
    ]
}

fn stat(edge: &Edge) -> Stat {
    let (events, state) = edge.cache_figures();
    let figures =
        state.into_iter().chain(events).map(|(name, value)| Figure { name: name.to_owned(), value }).collect();
    Stat { slice_size: edge.slice_size, max_size: edge.live.max_size(), figures }
}

async fn list(edge: Arc<Edge>, _: Call, page: Page) -> Result<Vec<Row>, Problem> {
    let Page { media: one, prefix, tenant, document, after, limit } = page;
    let named = [
        one.map(Selection::Media),
        prefix.map(Selection::Prefix),
        tenant.map(Selection::Tenant),
        document.map(Selection::Document),
    ];
    let mut named = named.into_iter().flatten();
    let what = named.next().unwrap_or(Selection::All);
    if named.next().is_some() {
        return Err(SelectionError::Several.into());
    }
    let after = after.map(|after| media(&after).ok_or(SelectionError::Media(after))).transpose()?;
    let (what, _) = what.resolved(&edge.directory, &edge.plugins)?;
    let limit = limit.map_or(USUAL, |limit| usize::try_from(limit).unwrap_or(MOST)).min(MOST);
    let listed = edge.cache.list(&what.scope()?, after, limit).await;
    Ok(listed.into_iter().map(Row::from).collect())
}

async fn purge(edge: Arc<Edge>, _: Call, wanted: PurgeWanted) -> Result<Changed<PurgeDone>, Problem> {
    let PurgeWanted { what, cut } = wanted;
    let target = json!(what).to_string();
    let (what, everything) = what.resolved(&edge.directory, &edge.plugins)?;
    let answer = edge.acts.purge(what, everything, cut).await?;
    let after = json!({ "cut": cut, "media": answer.media, "slices": answer.slices });
    Ok(Changed { answer, target, before: Value::Null, after })
}

async fn verify(edge: Arc<Edge>, _: Call, wanted: VerifyWanted) -> Result<Changed<Checked>, Problem> {
    let VerifyWanted { what, rate } = wanted;
    let target = json!(what).to_string();
    let (what, _) = what.resolved(&edge.directory, &edge.plugins)?;
    let scope = what.scope()?;
    let _one =
        One::begin(&edge.verifying).ok_or_else(|| Problem::conflict("a check is under way; wait for its end"))?;
    let answer = Checked::from(edge.cache.verify(&scope, rate, |_| {}).await);
    Ok(Changed { after: json!(answer), answer, target, before: Value::Null })
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
