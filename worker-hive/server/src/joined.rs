//! Bytes of several documents, one after the other, as if they were one.

use crate::virtual_files::Broken;
use bytes::Bytes;
use catalog::Manifest;
use futures_core::Stream;
use mtproto::MessageRef;
use pool::{Body, Freshness, Opened, Pool, PoolFault, Source};
use std::collections::VecDeque;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;
use wire::Slug;

/// With fewer bytes left of a part, the next one is opened: found, and its first bytes asked for. At 48 MB/s a quarter of it passes
/// in one round trip of 40 ms, and two are needed: one for the message, one for the bytes.
const AHEAD: u64 = 8 * 1024 * 1024;

/// The piece of one part that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    message: MessageRef,
    identity: String,
    /// Inside the part, never empty.
    range: Range<u64>,
}

impl Piece {
    fn length(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// The pieces that cover `range` of the file, in order. The range must lie inside it.
pub(crate) fn pieces(manifest: &Manifest, range: &Range<u64>) -> VecDeque<Piece> {
    let mut start = 0_u64;
    let mut pieces = VecDeque::new();
    for part in &manifest.parts {
        let end = start.saturating_add(part.size);
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            let message = MessageRef { chat_id: part.chat_id, message_id: part.message_id };
            pieces.push_back(Piece { message, identity: part.identity.clone(), range: from - start..to - start });
        }
        start = end;
    }
    pieces
}

/// Yields exactly the pieces or ends with an error; never ends early without one. Dropping it cancels what is under way.
///
/// A session is held for the part being read. The next part is opened on that session, in the same place among its streams, if it can
/// see the part; else on another one, from [`AHEAD`] bytes before the boundary on.
pub(crate) struct Joined<S: Source> {
    current: Body<S>,
    /// Bytes of the current piece that are to come.
    left: u64,
    rest: VecDeque<Piece>,
    next: Next<S>,
    whose: (Slug, String),
    broken: Arc<Broken>,
    ended: bool,
}

/// What is known of the piece that follows.
enum Next<S: Source> {
    /// Nothing was asked.
    Idle,
    /// It is being opened; if that fails ahead of need, it may be tried `again`.
    Opening { task: AbortOnDropHandle<Result<Body<S>, PoolFault>>, again: bool },
}

impl<S: Source> Joined<S> {
    /// Opens the first of the pieces and waits for its first bytes, so that a fault before any of them can still be answered properly.
    ///
    /// # Errors
    /// [`PoolFault`]; a message that is not found any more is [`PoolFault::Gone`].
    pub(crate) async fn open(
        pool: &Pool<S>,
        manifest: &Manifest,
        range: &Range<u64>,
        freshness: Freshness<'_>,
        broken: Arc<Broken>,
    ) -> Result<Self, PoolFault> {
        let mut rest = pieces(manifest, range);
        let whose = (manifest.slug, manifest.etag.clone());
        let Some(first) = rest.pop_front() else { return Err(PoolFault::Gone) };
        let left = first.length();
        let current = match pool.open(first.message, freshness).await {
            Ok(opened) => begin(opened, first).await,
            Err(fault) => Err(lasting(fault)),
        };
        let current = current.inspect_err(|fault| broken.learn(whose.0, &whose.1, fault, Instant::now()))?;
        Ok(Self { current, left, rest, next: Next::Idle, whose, broken, ended: false })
    }

    /// Begins to open the next piece, on the session that the current one is read from if that can see it.
    fn open_next(&mut self, again: bool) {
        let Some(piece) = self.rest.front().cloned() else { return };
        let open = self.current.open_next(piece.message);
        let open = async move {
            match open.await {
                Ok(opened) => begin(opened, piece).await,
                Err(fault) => Err(lasting(fault)),
            }
        };
        let open = traces::within(traces::Span::current(), open).in_current_span();
        self.next = Next::Opening { task: AbortOnDropHandle::new(tokio::spawn(open)), again };
    }

    /// Waits for the next piece, at the boundary.
    fn poll_boundary(&mut self, cx: &mut Context<'_>) -> Poll<Result<Body<S>, PoolFault>> {
        loop {
            let Next::Opening { task, again } = &mut self.next else {
                self.open_next(false);
                continue;
            };
            let (opened, again) = (ready!(Pin::new(task).poll(cx)), *again);
            self.next = Next::Idle;
            match opened.unwrap_or_else(|_| Err(PoolFault::Reset("a part's task died".to_owned()))) {
                // It failed while there was time; now there is need.
                Err(fault) if again && !matches!(fault, PoolFault::Gone | PoolFault::Changed) => {}
                opened => return Poll::Ready(opened),
            }
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PoolFault>>> {
        if self.left == 0 {
            let Some(length) = self.rest.front().map(Piece::length) else { return Poll::Ready(None) };
            match ready!(self.poll_boundary(cx)) {
                Ok(body) => {
                    self.rest.pop_front();
                    // The part that is done lets go of its session here.
                    (self.current, self.left) = (body, length);
                }
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
        }
        if self.left <= AHEAD && matches!(self.next, Next::Idle) {
            self.open_next(true);
        }
        let bytes = match ready!(Pin::new(&mut self.current).poll_next(cx)) {
            Some(Ok(bytes)) => bytes,
            Some(Err(fault)) => return Poll::Ready(Some(Err(lasting(fault)))),
            None => return Poll::Ready(Some(Err(PoolFault::Reset("a part ended early".to_owned())))),
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Poll::Ready(Some(match self.left.checked_sub(length) {
            Some(left) => {
                self.left = left;
                Ok(bytes)
            }
            None => Err(PoolFault::Reset("a part gave more bytes than asked for".to_owned())),
        }))
    }
}

impl<S: Source> Stream for Joined<S> {
    type Item = Result<Bytes, PoolFault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_piece(cx));
        if let Some(Err(fault)) = &next {
            self.broken.learn(self.whose.0, &self.whose.1, fault, Instant::now());
            self.next = Next::Idle;
        }
        self.ended = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}

/// Reads a piece whose message was found, if it carries the document that it carried when the manifest was made.
async fn begin<S: Source>(opened: Opened<S>, piece: Piece) -> Result<Body<S>, PoolFault> {
    if opened.location().identity.etag() != piece.identity {
        return Err(PoolFault::Changed);
    }
    let mut body = opened.read(piece.range);
    body.prime().await.map_err(lasting)?;
    Ok(body)
}

/// A part was there when the manifest was made: what isn't found any more is gone.
pub(crate) fn lasting(fault: PoolFault) -> PoolFault {
    if fault == PoolFault::NotFound { PoolFault::Gone } else { fault }
}

#[cfg(test)]
mod tests {
    use super::pieces;
    use catalog::{Manifest, Part};
    use wire::Slug;

    fn manifest(sizes: &[u64]) -> Manifest {
        let part =
            |(id, size): (i32, &u64)| Part { chat_id: -5, message_id: id, size: *size, identity: format!("d{id}") };
        Manifest {
            slug: Slug::parse("a").unwrap(),
            name: "a".into(),
            content_type: "a/b".into(),
            parts: (1..).zip(sizes).map(part).collect(),
            created: 0,
            changed: 0,
            etag: "v".into(),
        }
    }

    #[test]
    fn pieces_cover_every_range_and_are_never_empty() {
        let sizes = [3, 1, 4];
        let manifest = manifest(&sizes);
        for start in 0..8 {
            for end in start..=8 {
                let mut bytes = Vec::new();
                for piece in pieces(&manifest, &(start..end)) {
                    assert!(piece.range.start < piece.range.end);
                    bytes.extend(piece.range.map(|at| (piece.message.message_id, at)));
                }
                let all: Vec<(i32, u64)> =
                    (1..).zip(sizes).flat_map(|(id, size)| (0..size).map(move |at| (id, at))).collect();
                let (from, to) = (usize::try_from(start).unwrap(), usize::try_from(end).unwrap());
                assert_eq!(bytes, all[from..to], "{start}..{end}");
            }
        }
    }
}
