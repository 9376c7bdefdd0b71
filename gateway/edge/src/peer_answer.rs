//! What another gateway gets: from the cache, which fills on the way, or past it from the hive.

use crate::edge::Edge;
use crate::refusal::Refusal;
use bytes::Bytes;
use cache::{ReadError, Reader};
use futures_util::TryStreamExt;
use http::Response;
use peers::{AtHome, Peers, Refused, Wanted};
use slice::{ByteRange, OriginBody, OriginError};

/// An answer whose first bytes are at hand, if it has any.
pub(crate) struct Answer {
    pub(crate) head: Response<()>,
    pub(crate) body: Body,
    /// Nothing of it went through the cache.
    pub(crate) past_cache: bool,
}

/// What follows a head.
pub(crate) struct Body {
    first: Option<Bytes>,
    rest: Rest,
}

enum Rest {
    Nothing,
    /// The place at home is kept for as long as the cache is read for the other gateway.
    Cache {
        reader: Box<Reader>,
        _home: AtHome,
    },
    Hive(OriginBody),
}

/// Decides one request of another gateway.
pub(crate) async fn answer(edge: &Edge, peers: &Peers, wanted: &Wanted) -> Result<Answer, Refused> {
    edge.takedowns.judge_path(wanted.media).map_err(refused)?;
    let mut answer = match peers.stay_home(wanted.media) {
        Some(home) => {
            let media = edge.cache.media(wanted.media).await?;
            edge.takedowns.judge(wanted.media, &media).await.map_err(refused)?;
            let range = wanted.accept(media.meta())?;
            let head = wanted.head_of(media.meta(), range)?;
            let rest = match is_empty(wanted, range) {
                true => Rest::Nothing,
                false => Rest::Cache { reader: Box::new(media.read(range)), _home: home },
            };
            Answer { head, body: Body { first: None, rest }, past_cache: false }
        }
        // Past the cache there is nothing to judge the content by: who asks judges what the hive gives it.
        None if !edge.takedowns.list().is_empty() => return Err(OriginError::Changed.into()),
        None => {
            let meta = peers.hive().describe(wanted.media).await?;
            let range = wanted.accept(&meta)?;
            let head = wanted.head_of(&meta, range)?;
            let rest = match is_empty(wanted, range) {
                true => Rest::Nothing,
                false => Rest::Hive(peers.hive().open(wanted.media, &meta.etag, range).await?.body),
            };
            Answer { head, body: Body { first: None, rest }, past_cache: true }
        }
    };
    // Whatever keeps the first bytes away is a fault with a name, and not a broken body.
    answer.body.first = answer.body.next().await?;
    Ok(answer)
}

/// Whatever is said of a takedown to viewers, a gateway is told that there is nothing.
fn refused(refusal: Refusal) -> Refused {
    match refusal {
        Refusal::Origin(error) => error.into(),
        _ => Refused::taken_down(),
    }
}

fn is_empty(wanted: &Wanted, range: ByteRange) -> bool {
    wanted.head || range.is_empty()
}

impl Body {
    /// The next piece; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, OriginError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        match &mut self.rest {
            Rest::Nothing => Ok(None),
            Rest::Cache { reader, .. } => reader.next().await.map_err(|error| match error {
                // What was withdrawn here may be had by whoever may still have it: the hive is asked, and pinned to the version.
                ReadError::Changed | ReadError::Withdrawn => OriginError::Changed,
                ReadError::Origin(error) => error,
            }),
            Rest::Hive(body) => body.try_next().await,
        }
    }
}
