//! Answers of HTTP/1 on their way out: head and first bytes together, stretches by the kernel, and no longer than a viewer's patience.

use super::head;
use crate::downstream::Downstream;
use crate::edge::Limits;
use crate::serve::Cut;
use bytes::Bytes;
use cache::Stretch;
use http::Version;
use http::response::Parts;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as SocketStream;
use std::io::{self, IoSlice};
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Least time for a piece, however few bytes it has.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// Where answers go.
pub(super) struct Output {
    stream: Stream,
    secure: bool,
    /// The stream is a plain socket, which the kernel can send files to.
    has_socket: bool,
    /// An answer's head that waits for its first bytes.
    head: Vec<u8>,
    version: Version,
    closes: bool,
    write_timeout: Duration,
    /// Bytes a second.
    min_send_rate: Option<usize>,
    /// Bytes taken since the client was last waited for: they may all still lie in the socket, and have to go out first.
    ahead: u64,
}

impl Output {
    pub(super) fn new(stream: Stream, limits: &Limits) -> Self {
        Self {
            secure: stream.get_ssl_digest().is_some(),
            has_socket: stream.as_any().is::<SocketStream>(),
            stream,
            head: Vec::new(),
            version: Version::HTTP_11,
            closes: false,
            write_timeout: limits.write_timeout,
            min_send_rate: limits.min_send_rate,
            ahead: 0,
        }
    }

    pub(super) fn is_secure(&self) -> bool {
        self.secure
    }

    pub(super) fn has_socket(&self) -> bool {
        self.has_socket
    }

    /// For reading.
    pub(super) fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Another request may follow the answer begun last.
    pub(super) fn is_open(&self) -> bool {
        !self.closes
    }

    /// Starts an answer to a request of this version, maybe the last one.
    pub(super) fn begin(&mut self, version: Version, closes: bool) {
        self.version = version;
        self.closes = closes;
    }

    /// Tells the client that nothing more comes.
    pub(super) async fn shut(&mut self) {
        // Nobody is left to tell if that fails.
        let _ = pingora_timeout::timeout(LEAST_PATIENCE, self.stream.shutdown()).await;
    }

    /// Writes what is left of the head, and these bytes.
    async fn write(&mut self, body: &[u8]) -> Result<(), Cut> {
        let length = (self.head.len() + body.len()) as u64;
        let patience = self.patience(length);
        let Self { stream, head, ahead, .. } = self;
        let written = {
            let mut writing = std::pin::pin!(write_both(stream, head, body));
            // Nearly always the socket takes all at once: then no timer is set.
            match futures_util::poll!(writing.as_mut()) {
                Poll::Ready(written) => {
                    *ahead = ahead.saturating_add(length);
                    written
                }
                Poll::Pending => {
                    *ahead = 0;
                    pingora_timeout::timeout(patience, writing.as_mut()).await.map_err(|_| Cut::ClientStalled)?
                }
            }
        };
        head.clear();
        written.map_err(|_| Cut::ClientGone)
    }

    /// How long a client may take for this many bytes and those before them.
    fn patience(&self, bytes: u64) -> Duration {
        match self.min_send_rate {
            Some(rate) if rate > 0 => {
                let seconds = self.ahead.saturating_add(bytes) as f64 / rate as f64;
                Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).max(LEAST_PATIENCE)
            }
            _ => self.write_timeout,
        }
    }

    /// Hands what is left of the head to the socket, to go out with what follows. Never waits; what the socket doesn't take, stays.
    fn head_ahead(&mut self) -> Result<(), Cut> {
        let Some(socket) = self.stream.as_any().downcast_ref::<SocketStream>() else { return Ok(()) };
        match zero_copy::send_more(socket, &self.head) {
            Ok(sent) => drop(self.head.drain(..sent)),
            Err(error) if would_block(&error) => {}
            Err(_) => return Err(Cut::ClientGone),
        }
        Ok(())
    }
}

impl Downstream for Output {
    async fn head(&mut self, head: Parts) -> Result<(), Cut> {
        self.head.clear();
        head::write(&head, self.version, self.closes, &mut self.head);
        Ok(())
    }

    async fn bytes(&mut self, bytes: Bytes) -> Result<(), Cut> {
        self.write(&bytes).await
    }

    async fn stretch(&mut self, stretch: &Stretch, most: u64) -> Result<u64, Cut> {
        if !self.head.is_empty() {
            self.head_ahead()?;
            if !self.head.is_empty() {
                self.write(&[]).await?;
            }
        }
        let Some(socket) = self.stream.as_any().downcast_ref::<SocketStream>() else { return Ok(0) };
        let (mut at, end) = (stretch.at(), stretch.at() + most.min(stretch.len()));
        while at < end {
            let length = usize::try_from(end - at).unwrap_or(usize::MAX);
            match zero_copy::send_file(socket, stretch.file(), at, length) {
                Ok(sent) => at += sent as u64,
                Err(error) if would_block(&error) => break,
                // A shortened file is told apart from a client that left by whoever reads on.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(_) => return Err(Cut::ClientGone),
            }
        }
        let sent = at - stretch.at();
        self.ahead = self.ahead.saturating_add(sent);
        Ok(sent)
    }

    async fn end(&mut self) -> Result<(), Cut> {
        if !self.head.is_empty() {
            self.write(&[]).await?;
        }
        if self.secure {
            // TLS may hold back what the socket did not take.
            let patience = self.patience(0);
            let flushed = pingora_timeout::timeout(patience, self.stream.flush()).await;
            flushed.map_err(|_| Cut::ClientStalled)?.map_err(|_| Cut::ClientGone)?;
        }
        Ok(())
    }
}

/// Writes both, in as few calls as it takes.
async fn write_both(stream: &mut Stream, first: &[u8], second: &[u8]) -> io::Result<()> {
    if first.is_empty() {
        return stream.write_all(second).await;
    }
    let sent = stream.write_vectored(&[IoSlice::new(first), IoSlice::new(second)]).await?;
    if sent < first.len() {
        stream.write_all(&first[sent..]).await?;
        return stream.write_all(second).await;
    }
    stream.write_all(&second[sent - first.len()..]).await
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
