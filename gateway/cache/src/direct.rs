//! Bytes from the origin to one reader, past the disk.

use crate::shared::Shared;
use crate::status::ReadError;
use bytes::Bytes;
use futures_util::StreamExt;
use slice::{ByteRange, MediaId, MediaMeta, OriginBody, OriginError};
use std::sync::Arc;

/// A transfer that is opened when it is first asked for bytes.
pub(crate) struct Direct {
    media: MediaId,
    meta: Arc<MediaMeta>,
    rest: ByteRange,
    body: Option<OriginBody>,
    /// Part of a chunk larger than a piece.
    held: Bytes,
}

impl Direct {
    pub(crate) fn new(media: MediaId, meta: Arc<MediaMeta>, rest: ByteRange) -> Self {
        Self { media, meta, rest, body: None, held: Bytes::new() }
    }

    /// The next piece. The caller knows when the range is done, and doesn't ask then.
    pub(crate) async fn next(&mut self, shared: &Shared) -> Result<Bytes, ReadError> {
        while self.held.is_empty() {
            let body = match &mut self.body {
                Some(body) => body,
                None => self.body.insert(open(shared, self.media, self.meta.clone(), self.rest).await?),
            };
            let chunk = body.next().await.ok_or(OriginError::Protocol)??;
            if chunk.len() as u64 > self.rest.len() {
                return Err(OriginError::Protocol.into());
            }
            self.held = chunk;
        }
        let piece = self.held.split_to(self.held.len().min(shared.config().piece));
        self.rest.start += piece.len() as u64;
        shared.counters.bytes_direct.add(piece.len() as u64);
        Ok(piece)
    }
}

/// Not a method: a borrow of the whole reader across this wait would make its future one that can't move between threads.
async fn open(
    shared: &Shared,
    media: MediaId,
    meta: Arc<MediaMeta>,
    rest: ByteRange,
) -> Result<OriginBody, OriginError> {
    let opened = shared.origin.open(media, &meta.etag, rest).await?;
    if opened.meta.etag != meta.etag {
        return Err(OriginError::Changed);
    }
    if opened.meta.size != meta.size {
        return Err(OriginError::Protocol);
    }
    Ok(opened.body)
}
