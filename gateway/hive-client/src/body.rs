//! A body that counts its bytes and comes back where it broke.

use crate::answer::TryError;
use crate::client::Shared;
use crate::patience::Patience;
use bytes::Bytes;
use futures_util::stream::try_unfold;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use slice::{ByteRange, ETag, MediaId, OriginBody, OriginError};
use std::sync::Arc;

/// A transfer under way; `range.start` moves on as bytes arrive.
pub(crate) struct Transfer {
    pub(crate) shared: Arc<Shared>,
    /// Which hive the bytes come from.
    pub(crate) hive: usize,
    pub(crate) media: MediaId,
    pub(crate) etag: ETag,
    pub(crate) range: ByteRange,
}

/// Bytes of the transfer's range from `incoming`, and from further requests if that breaks.
pub(crate) fn resuming(transfer: Transfer, incoming: Incoming) -> OriginBody {
    Box::pin(try_unfold((transfer, incoming), |(mut transfer, mut incoming)| async move {
        if transfer.range.is_empty() {
            return transfer.expect_end(&mut incoming).await.map(|()| None);
        }
        match transfer.next_piece(&mut incoming).await {
            Ok(piece) => {
                transfer.advance(&piece)?;
                Ok(Some((piece, (transfer, incoming))))
            }
            Err(error) => {
                // The broken connection must go before a new one is asked for: over a full pool it would be its own obstacle.
                drop(incoming);
                let (piece, incoming) = transfer.resume(error).await?;
                transfer.advance(&piece)?;
                Ok(Some((piece, (transfer, incoming))))
            }
        }
    }))
}

impl Transfer {
    async fn next_piece(&self, incoming: &mut Incoming) -> Result<Bytes, TryError> {
        loop {
            let frame = tokio::time::timeout(self.shared.config.idle_timeout, incoming.frame()).await;
            match frame.map_err(|_| TryError::Timeout)? {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) if !piece.is_empty() => return Ok(piece),
                    Ok(_) | Err(_) => {}
                },
                // An end before the last byte is a break like any other, however clean it looks.
                Some(Err(_)) | None => return Err(TryError::Unreachable),
            }
        }
    }

    /// Opens the rest until a piece of it arrives: headers alone are no progress, so they don't renew the patience.
    async fn resume(&mut self, mut error: TryError) -> Result<(Bytes, Incoming), OriginError> {
        self.shared.stats.resume();
        let shared = Arc::clone(&self.shared);
        let mut patience = Patience::new(&shared, self.media);
        let mut hive = self.hive;
        loop {
            patience.pause_or_fail(hive, error).await?;
            hive = patience.hive();
            let opened = shared.open_once(hive, self.media, &self.etag, self.range, patience.for_answer()).await;
            error = match opened {
                Ok((_, mut incoming)) => match self.next_piece(&mut incoming).await {
                    Ok(piece) => {
                        patience.answered(hive);
                        self.hive = hive;
                        return Ok((piece, incoming));
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
        }
    }

    fn advance(&mut self, piece: &Bytes) -> Result<(), OriginError> {
        let length = piece.len() as u64;
        if length > self.range.len() {
            return Err(self.broken_contract());
        }
        self.shared.stats.received(piece.len());
        self.range.start += length;
        Ok(())
    }

    /// After the last byte there must be none. A reader who reads on to the end also hands the connection back to the pool.
    async fn expect_end(&self, incoming: &mut Incoming) -> Result<(), OriginError> {
        match self.next_piece(incoming).await {
            Ok(_) => Err(self.broken_contract()),
            Err(_) => Ok(()),
        }
    }

    fn broken_contract(&self) -> OriginError {
        tracing::warn!(media = %self.media, "the hive sent more bytes than asked for");
        self.shared.stats.protocol();
        OriginError::Protocol
    }
}
