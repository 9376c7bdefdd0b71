//! A body that goes on elsewhere when the gateway that it comes from does not.

use crate::origin::Shared;
use crate::peer::{Peer, Silent};
use crate::route::{Route, Verdict};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::try_unfold;
use slice::{ByteRange, ETag, MediaId, Opened, OriginBody, OriginError, SliceOrigin};
use std::sync::Arc;

/// A transfer; `range` is what is still to come.
pub(crate) struct Transfer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) media: MediaId,
    pub(crate) etag: ETag,
    pub(crate) range: ByteRange,
    pub(crate) route: Route,
}

/// Where a transfer's bytes come from.
pub(crate) enum Source {
    Gateway(Arc<Peer>, OriginBody),
    Hive(OriginBody),
}

impl Transfer {
    /// Opens what is still to come, at whoever is next.
    pub(crate) async fn open(&mut self) -> Result<(Opened, Option<Arc<Peer>>), OriginError> {
        while let Some(peer) = self.route.next() {
            let error = match peer.attend(peer.client.open(self.media, &self.etag, self.range)).await {
                Ok(Ok(opened)) => return Ok((opened, Some(peer))),
                Ok(Err(error)) => Ok(error),
                Err(silent) => Err(silent),
            };
            if let Verdict::Final(error) = self.route.failed(&peer, error) {
                return Err(error);
            }
        }
        Ok((self.shared.hive.open(self.media, &self.etag, self.range).await?, None))
    }

    /// The bytes of the range, from `source` and from where else it takes.
    pub(crate) fn flow(self, source: Source) -> OriginBody {
        Box::pin(try_unfold((self, source), |(mut transfer, mut source)| async move {
            loop {
                match &mut source {
                    Source::Hive(body) => {
                        let piece = body.next().await.transpose()?;
                        return Ok(piece.map(|piece| (piece, (transfer, source))));
                    }
                    Source::Gateway(..) if transfer.range.is_empty() => return Ok(None),
                    Source::Gateway(peer, body) => {
                        let error = match peer.attend(body.next()).await {
                            Ok(Some(Ok(piece))) => {
                                transfer.advance(&piece)?;
                                return Ok(Some((piece, (transfer, source))));
                            }
                            Ok(Some(Err(error))) => Ok(error),
                            Ok(None) => Ok(OriginError::Protocol),
                            Err(silent) => Err(silent),
                        };
                        let peer = Arc::clone(peer);
                        source = transfer.resume(&peer, error).await?;
                    }
                }
            }
        }))
    }

    async fn resume(&mut self, peer: &Arc<Peer>, error: Result<OriginError, Silent>) -> Result<Source, OriginError> {
        if let Verdict::Final(error) = self.route.failed(peer, error) {
            return Err(error);
        }
        self.shared.stats.resumed.add(1);
        let (opened, peer) = self.open().await?;
        Ok(Source::new(opened.body, peer))
    }

    fn advance(&mut self, piece: &Bytes) -> Result<(), OriginError> {
        let length = piece.len() as u64;
        if length > self.range.len() {
            return Err(OriginError::Protocol);
        }
        self.shared.stats.asked_bytes.add(length);
        self.range.start += length;
        Ok(())
    }
}

impl Source {
    pub(crate) fn new(body: OriginBody, peer: Option<Arc<Peer>>) -> Self {
        match peer {
            Some(peer) => Self::Gateway(peer, body),
            None => Self::Hive(body),
        }
    }
}
