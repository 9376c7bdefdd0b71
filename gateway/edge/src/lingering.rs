//! A connection of HTTP/2 that ends in order: what was sent reaches a client that reads slowly, although the server is done with it.
//!
//! A socket that is closed while the client still sends (here: window updates, pings) is reset by the kernel, and the client's kernel then throws
//! away what it has not read yet, the end of a film for one. So the socket is kept, and what comes is thrown away, until the client
//! has closed its side (RFC 9112 §9.6 has the same for HTTP/1, where clients say nothing while they read). For so long and so many bytes only:
//! who is closed for others, or sent more than requests need, is not waited for.
//!
//! It is also where the connection's client is made to begin in time, and where its frames are counted.

use crate::clock;
use crate::connections::{Event, Place, Slot};
use crate::frames::{Frames, PREFACE};
use crate::lifecycle::{Connected, Lingers};
use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::http::ResponseHeader;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use std::any::Any;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;

/// Bytes that are thrown away at most: window updates of what may still lie in both sockets' buffers.
const MOST_BYTES: usize = 64 << 10;
/// Times the longest silence that all of it may take.
const SILENCES: u32 = 10;

/// A stream that is closed only when its client is done. Counts as a connection until then.
#[derive(Debug)]
pub(crate) struct Lingering {
    stream: Option<Stream>,
    held: Option<(Connected, Place)>,
    /// Longest silence that is waited through.
    patience: Duration,
    /// Read ahead.
    read: BytesMut,
    /// None of who may send what it likes.
    frames: Option<Frames>,
    /// Is not waited for.
    hostile: bool,
    /// For the connection's requests.
    tells: Arc<ProxyDigest>,
}

impl Lingering {
    /// `trusted` is a proxy that many viewers speak through.
    pub(crate) fn new(stream: Stream, connected: Connected, place: Place, patience: Duration, trusted: bool) -> Self {
        // Of what pingora hands from a connection to its requests, the one part that may hold anything.
        let slot: Box<dyn Any + Send + Sync> = Box::new(place.slot.clone());
        let no_head = ResponseHeader::from(http::Response::new(()).into_parts().0);
        let tells = Arc::new(ProxyDigest::new(Box::new(no_head), Some(slot)));
        let frames = (!trusted).then(|| Frames::new(clock::tick()));
        let held = Some((connected, place));
        Self { stream: Some(stream), held, patience, read: BytesMut::new(), frames, hostile: false, tells }
    }

    /// Waits until the client has begun to speak HTTP/2. False: it did not, or not in time.
    pub(crate) async fn begins(&mut self, within: Duration) -> bool {
        let Self { stream: Some(stream), read, .. } = self else { return false };
        let preface = async {
            while read.len() < PREFACE.len() && PREFACE.starts_with(read) {
                if !matches!(stream.read_buf(read).await, Ok(1..)) {
                    return false;
                }
            }
            read.starts_with(PREFACE)
        };
        let begun = matches!(pingora_timeout::timeout(within, preface).await, Ok(true));
        self.hostile |= !begun;
        if !begun && let Some((_, place)) = &self.held {
            place.count(Event::Http2Unbegun);
        }
        begun
    }

    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Looks at what the client sent.
    fn judge(&mut self, bytes: &[u8]) -> io::Result<()> {
        let well = self.frames.as_mut().is_none_or(|frames| frames.came(bytes, clock::tick));
        if well {
            return Ok(());
        }
        if !std::mem::replace(&mut self.hostile, true)
            && let Some((_, place)) = &self.held
        {
            place.count(Event::Http2Flood);
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    fn note(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Some(frames), Poll::Ready(Ok(bytes))) = (&mut self.frames, written) {
            frames.sent(*bytes);
        }
    }
}

/// The connection of a request.
pub(crate) fn slot_of(digest: Option<&Digest>) -> Option<&Arc<Slot>> {
    digest?.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some((connected, place)) = self.held.take().filter(|(_, place)| !self.hostile && !place.slot.is_ended())
        else {
            return;
        };
        if let (Some(stream), Ok(runtime)) = (self.stream.take(), Handle::try_current()) {
            runtime.spawn(linger(stream, connected.lingers(), place, self.patience));
        }
    }
}

async fn linger(mut stream: Stream, _lingers: Lingers, place: Place, patience: Duration) {
    let rest = async {
        let _ = pingora_timeout::timeout(patience, stream.shutdown()).await;
        let (mut bytes, mut read) = ([0; 1024], 0);
        while let Ok(Ok(more @ 1..)) = pingora_timeout::timeout(patience, stream.read(&mut bytes)).await {
            read += more;
            if read > MOST_BYTES {
                return false;
            }
        }
        true
    };
    let over = tokio::select! {
        over = pingora_timeout::timeout(patience * SILENCES, rest) => over.unwrap_or(false),
        () = place.slot.ended() => true,
    };
    if !over {
        place.count(Event::LingerCut);
    }
}

impl AsyncRead for Lingering {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        if self.read.is_empty() {
            std::task::ready!(Pin::new(self.stream()?).poll_read(cx, into))?;
        } else {
            let ahead = self.read.len().min(into.remaining());
            into.put_slice(self.read.get(..ahead).unwrap_or_default());
            self.read.advance(ahead);
        }
        Poll::Ready(self.judge(into.filled().get(before..).unwrap_or_default()))
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.stream()?).poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(self.stream()?).poll_write_vectored(cx, bytes);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream()?).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.stream()?).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Lingering {
    async fn shutdown(&mut self) {
        if let Some(stream) = &mut self.stream {
            stream.shutdown().await;
        }
    }
}

impl UniqueID for Lingering {
    fn id(&self) -> UniqueIDType {
        self.stream.as_ref().map_or(-1, |stream| stream.id())
    }
}

impl Ssl for Lingering {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.as_ref()?.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.as_ref()?.selected_alpn_proto()
    }
}

impl GetTimingDigest for Lingering {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.as_ref().map(|stream| stream.get_timing_digest()).unwrap_or_default()
    }
}

impl GetProxyDigest for Lingering {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.tells.clone())
    }
}

impl GetSocketDigest for Lingering {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.as_ref()?.get_socket_digest()
    }
}

/// Not to be looked into: it has begun to speak HTTP/2, and pingora would wait for a beginning that was read already.
impl Peek for Lingering {}
