//! Ninth step: the ranges are chosen, a place among the streams is taken, and the first bytes are at hand.

use crate::accept::Method;
use crate::answer;
use crate::clear::Cleared;
use crate::edge::Edge;
use crate::fields::AnswerHead;
use crate::flow::Incoming;
use crate::playlist;
use crate::refusal::Refusal;
use crate::takedown::Standing;
use bytes::Bytes;
use cache::{CacheStatus, Media, Piece, ReadError, Reader};
use config::gateway::WhenSpent;
use limits::{Bounds, Full, Permit, StreamId};
use rates::{Account, Rates, StreamPlace};
use slice::{Answer, Boundary, ByteRange, Multipart, restrict};
use std::collections::VecDeque;
use std::sync::Arc;

/// An answer decided upon, of one version of the media.
pub(crate) struct Planned {
    head: AnswerHead,
    body: Body,
    pace: Pace,
    standing: Arc<Standing>,
}

/// An answer that can be written: its first bytes have come, if it has any.
pub(crate) struct Ready {
    pub(crate) head: AnswerHead,
    pub(crate) body: Body,
    pub(crate) pace: Pace,
    /// To be checked before each piece, and waited for beside all that is waited for.
    pub(crate) standing: Arc<Standing>,
}

/// How fast and how long a body may flow. Holds the request's place among its viewer's streams.
#[derive(Default)]
pub(crate) struct Pace {
    /// `None` for what has no body, or no bound.
    pub(crate) permit: Option<Permit>,
    /// Its place among the streams of all gateways, if there are several.
    _place: Option<StreamPlace>,
    /// Its tenant's month, if that has a bound.
    pub(crate) month: Option<TenantMonth>,
    /// Last second (since 1970) at which bytes may go out.
    pub(crate) until: Option<i64>,
}

/// Pieces in the order in which they go out.
pub(crate) struct Body {
    segments: VecDeque<Segment>,
    first: Option<Piece>,
    /// Stretches are as good as bytes.
    stretches: bool,
    /// Bytes of the media have been told of.
    begun: bool,
    status: Option<CacheStatus>,
}

/// Fewer bytes are copied sooner than the kernel is asked where they are.
const WORTH_A_STRETCH: u64 = 32 << 10;
/// See [`lead`].
const LEAST_LEAD: u64 = 64;
const PAGE: u64 = 4096;

/// Bytes that go with the head before stretches follow: to the end of a page, so that each segment has whole pages, and enough for
/// 64 KiB to leave in two segments.
fn lead(position: u64) -> usize {
    let to_end = PAGE - position % PAGE;
    let lead = if to_end < LEAST_LEAD { to_end + PAGE } else { to_end };
    usize::try_from(lead).unwrap_or(usize::MAX)
}

enum Segment {
    /// A multipart head or tail.
    Text(Bytes),
    /// A range of the media.
    Media(Reader),
}

/// Chooses the answer.
pub(crate) async fn plan(cleared: &Cleared<'_>, edge: &Edge, incoming: &Incoming<'_>) -> Result<Planned, Refusal> {
    let permitted = &cleared.permitted;
    let authorized = &permitted.identified.authorized;
    let accepted = &authorized.accepted;
    let standing = authorized.watch.standing(authorized.media, &cleared.media);
    let labelled = edge.labelled.of(cleared.media.meta_shared())?;
    let (_, labels) = &*labelled;
    // A text made anew has no parts that a policy could have meant.
    if permitted.windows.is_none()
        && let Some(text) = playlist::rewritten(cleared).await?
    {
        let head = answer::rewritten(text.len(), labels, &cleared.cookies, accepted.secure)?;
        let (body, pace) = match accepted.method {
            Method::Get => (Body::of_text(text), admit(cleared, edge, incoming).await?),
            _ => (Body::empty(), Pace::default()),
        };
        return Ok(Planned { head, body, pace, standing });
    }
    let media = &cleared.media;
    let meta = media.meta();
    let answer = slice::answer(&accepted.head.headers, meta, edge.live.limits().max_ranges);
    let answer = match &permitted.windows {
        Some(windows) => restrict(answer, meta.size, windows).ok_or(Refusal::RangeNotAllowed)?,
        None => answer,
    };
    let multipart = match &answer {
        Answer::Multipart(ranges) => Some(
            Multipart::new(Boundary::new(rand::random()), meta, ranges)
                .map_err(|_| Refusal::Internal("ranges outside the media were planned"))?,
        ),
        _ => None,
    };
    let mut head = answer::head(&answer, meta, labels, multipart.as_ref())?;
    answer::set_cookies(&mut head.fields, &cleared.cookies, accepted.secure)?;
    let has_body =
        accepted.method == Method::Get && matches!(answer, Answer::Full | Answer::Partial(_) | Answer::Multipart(_));
    // A place is taken before the first byte is asked for: who may not stream costs the hive nothing.
    let pace = if has_body { admit(cleared, edge, incoming).await? } else { Pace::default() };
    let mut body = if has_body { Body::new(media, &answer, multipart.as_ref()) } else { Body::empty() };
    body.stretches = accepted.sends_stretches;
    Ok(Planned { head, body, pace, standing })
}

/// A tenant's bytes of the month.
pub(crate) struct TenantMonth {
    pub(crate) account: Arc<Account>,
    /// Whether a body that is going out ends when they are spent.
    pub(crate) cut: bool,
}

/// A place among the viewer's and the tenant's streams, where there is any bound on them: on this gateway, then over all of them.
async fn admit(cleared: &Cleared<'_>, edge: &Edge, incoming: &Incoming<'_>) -> Result<Pace, Refusal> {
    let permitted = &cleared.permitted;
    let authorized = &permitted.identified.authorized;
    let tenant = &authorized.tenant;
    let month = tenant.limits.bytes_per_month.map(|bound| TenantMonth {
        account: edge.rates.rates.account(&tenant.id, bound.bytes()),
        cut: tenant.limits.when_spent == WhenSpent::Cut,
    });
    if month.as_ref().is_some_and(|month| month.account.is_spent()) {
        return Err(Refusal::QuotaSpent { rest: Rates::rest_of_month(incoming.now) });
    }
    let until = permitted.until;
    let bounds = &permitted.bounds;
    if *bounds == Bounds::default() {
        return Ok(Pace { until, month, ..Pace::default() });
    }
    let message = authorized.message;
    let stream = StreamId {
        chat_id: message.chat_id,
        message_id: message.message_id,
        address: authorized.accepted.remote.map(|remote| remote.address),
    };
    let viewer = format!("{}:{}", permitted.identified.named_by.word(), permitted.identified.viewer);
    let permit = edge.limiter.admit(&tenant.id, &viewer, stream, bounds, incoming.tick).map_err(|full| match full {
        Full::Viewer => Refusal::ViewerStreams,
        Full::Tenant => Refusal::TenantStreams,
    })?;
    let streams = (bounds.viewer_streams, bounds.tenant_streams);
    let place = if streams == (None, None) {
        None
    } else {
        let stream = format!("{}/{}/{:?}", stream.chat_id, stream.message_id, stream.address);
        edge.rates.rates.open(&tenant.id, &viewer, &stream, streams).await.map_err(|full| match full {
            rates::Full::Viewer => Refusal::ViewerStreams,
            rates::Full::Tenant => Refusal::TenantStreams,
        })?
    };
    Ok(Pace { permit: Some(permit), _place: place, month, until })
}

impl Planned {
    /// Waits for the first bytes, so that whatever keeps them away is a clear status and not a broken body.
    pub(crate) async fn open(mut self) -> Result<Ready, Refusal> {
        self.body.first = self.body.next().await?;
        if let Some(status) = self.body.status {
            answer::cache_status(&mut self.head, status);
        }
        // Whoever waited for the first bytes may have waited past a takedown.
        self.standing.check().await?;
        Ok(Ready { head: self.head, body: self.body, pace: self.pace, standing: self.standing })
    }
}

impl Body {
    fn empty() -> Self {
        Self { segments: VecDeque::new(), first: None, stretches: false, begun: false, status: None }
    }

    fn of_text(text: String) -> Self {
        Self { segments: VecDeque::from([Segment::Text(Bytes::from(text))]), ..Self::empty() }
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

    /// The next piece; `None` after the last one. A stretch is told of again until [`Self::sent`] says that it went out.
    pub(crate) async fn next(&mut self) -> Result<Option<Piece>, ReadError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        while let Some(segment) = self.segments.front_mut() {
            match segment {
                Segment::Text(text) => {
                    let text = std::mem::take(text);
                    self.segments.pop_front();
                    return Ok(Some(Piece::Bytes(text)));
                }
                Segment::Media(reader) => {
                    let begun = std::mem::replace(&mut self.begun, true);
                    let piece = if self.stretches && reader.remaining() >= WORTH_A_STRETCH {
                        if begun {
                            reader.next_piece().await?
                        } else {
                            reader.next_bytes(lead(reader.position())).await?.map(Piece::Bytes)
                        }
                    } else {
                        reader.next().await?.map(Piece::Bytes)
                    };
                    match piece {
                        Some(piece) => return Ok(Some(piece)),
                        None => drop(self.segments.pop_front()),
                    }
                }
            }
        }
        Ok(None)
    }

    /// So many bytes of the stretch told of last went out.
    pub(crate) fn sent(&mut self, bytes: u64) {
        if let Some(Segment::Media(reader)) = self.segments.front_mut() {
            reader.sent(bytes);
        }
    }

    /// At most `most` bytes of where a stretch was told of, as bytes.
    pub(crate) async fn next_bytes(&mut self, most: usize) -> Result<Option<Bytes>, ReadError> {
        match self.segments.front_mut() {
            Some(Segment::Media(reader)) => reader.next_bytes(most).await,
            Some(Segment::Text(_)) | None => Ok(None),
        }
    }
}
