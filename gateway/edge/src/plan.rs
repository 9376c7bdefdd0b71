//! Fourth step: the media's version is known, its ranges are chosen, and the first bytes are at hand.

use crate::accept::Method;
use crate::answer;
use crate::authorize::Authorized;
use crate::refusal::Refusal;
use bytes::Bytes;
use cache::{Cache, CacheStatus, Media, ReadError, Reader};
use http::Response;
use slice::{Answer, Boundary, ByteRange, Multipart, OriginError};
use std::collections::VecDeque;

/// An answer decided upon, of one version of the media.
pub(crate) struct Planned {
    head: Response<()>,
    body: Body,
}

/// An answer that can be written: its first bytes have come, if it has any.
pub(crate) struct Ready {
    pub(crate) head: Response<()>,
    pub(crate) body: Body,
}

/// Pieces in the order in which they go out.
pub(crate) struct Body {
    segments: VecDeque<Segment>,
    first: Option<Bytes>,
    status: Option<CacheStatus>,
}

enum Segment {
    /// A multipart head or tail.
    Text(Bytes),
    /// A range of the media.
    Media(Reader),
}

/// Chooses the answer. Asks the cache, and through it the hive, only for the media's description.
pub(crate) async fn plan(authorized: &Authorized<'_>, cache: &Cache, max_ranges: usize) -> Result<Planned, Refusal> {
    let media = cache.media(authorized.media).await?;
    let meta = media.meta();
    let answer = slice::answer(authorized.headers, meta, max_ranges);
    let multipart = match &answer {
        Answer::Multipart(ranges) => Some(
            Multipart::new(Boundary::new(rand::random()), meta, ranges)
                .map_err(|_| Refusal::Internal("ranges outside the media were planned"))?,
        ),
        _ => None,
    };
    let head = answer::head(&answer, meta, multipart.as_ref())?;
    let body = match authorized.method {
        Method::Head => Body::empty(),
        Method::Get => Body::new(&media, &answer, multipart.as_ref()),
    };
    Ok(Planned { head, body })
}

impl Planned {
    /// Waits for the first bytes, so that whatever keeps them away is a clear status and not a broken body.
    pub(crate) async fn open(mut self) -> Result<Ready, Refusal> {
        self.body.first = self.body.next().await.map_err(|error| match error {
            ReadError::Changed => Refusal::Origin(OriginError::Changed),
            ReadError::Origin(error) => Refusal::Origin(error),
        })?;
        if let Some(status) = self.body.status {
            answer::cache_status(&mut self.head, status);
        }
        Ok(Ready { head: self.head, body: self.body })
    }
}

impl Body {
    fn empty() -> Self {
        Self { segments: VecDeque::new(), first: None, status: None }
    }

    fn new(media: &Media, answer: &Answer, multipart: Option<&Multipart>) -> Self {
        let mut body = Self::empty();
        match (answer, multipart) {
            (Answer::Full, _) => body.push_media(media, ByteRange { start: 0, end: media.meta().size }),
            (Answer::Partial(range), _) => body.push_media(media, *range),
            (_, Some(multipart)) => {
                for part in multipart.parts() {
                    body.segments.push_back(Segment::Text(part.head.clone()));
                    body.push_media(media, part.range);
                }
                body.segments.push_back(Segment::Text(multipart.tail()));
            }
            (Answer::Multipart(_) | Answer::NotModified | Answer::PreconditionFailed | Answer::Unsatisfiable, None) => {
            }
        }
        body
    }

    fn push_media(&mut self, media: &Media, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let reader = media.read(range);
        let status = reader.status();
        self.status = Some(if self.status.is_none_or(|other| other == status) { status } else { CacheStatus::Partial });
        self.segments.push_back(Segment::Media(reader));
    }

    /// What the cache had of the body when it was planned.
    pub(crate) fn status(&self) -> Option<CacheStatus> {
        self.status
    }

    /// The next piece; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        while let Some(segment) = self.segments.front_mut() {
            match segment {
                Segment::Text(text) => {
                    let text = std::mem::take(text);
                    self.segments.pop_front();
                    return Ok(Some(text));
                }
                Segment::Media(reader) => match reader.next().await? {
                    Some(piece) => return Ok(Some(piece)),
                    None => drop(self.segments.pop_front()),
                },
            }
        }
        Ok(None)
    }
}
