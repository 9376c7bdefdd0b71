//! Answers of HTTP/1 on their way out: head and first bytes together, stretches by the kernel, and no longer than a viewer's patience.

use super::head;
use crate::downstream::{Downstream, Went};
use crate::fields::AnswerHead;
use crate::live::Limits;
use crate::serve::Cut;
use bytes::Bytes;
use cache::Stretch;
use http::Version;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as SocketStream;
use std::io::{self, IoSlice};
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// Least time for a piece, however few bytes it has.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);

/// What TCP sends in one go where segments are put together by the network card, and on loopback. Where it is paced, each turn of a
/// request is one: of more the first one would leave at once, and each other wait for a timer, which costs more than its bytes do;
/// handed over after others' turns, its time has come.
const SEGMENT: u64 = 65_483;
const PAGE: u64 = 4096;

/// Where answers go.
pub(super) struct Output {
    stream: Stream,
    secure: bool,
    /// The stream is a plain socket, which the kernel can send files to.
    has_socket: bool,
    /// TCP sends by the clock. Asked when it first matters.
    is_paced: Option<bool>,
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
            is_paced: None,
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

    /// Tells a client that waits with its body to send it.
    pub(super) async fn go_on(&mut self) -> Result<(), Cut> {
        self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        self.flush().await
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

    /// Waits until the socket has taken what TLS holds back, if it does.
    async fn flush(&mut self) -> Result<(), Cut> {
        let patience = self.patience(0);
        let flushed = {
            let mut flushing = std::pin::pin!(self.stream.flush());
            match futures_util::poll!(flushing.as_mut()) {
                Poll::Ready(flushed) => flushed,
                Poll::Pending => {
                    self.ahead = 0;
                    pingora_timeout::timeout(patience, flushing).await.map_err(|_| Cut::ClientStalled)?
                }
            }
        };
        flushed.map_err(|_| Cut::ClientGone)
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
}

impl Downstream for Output {
    async fn head(&mut self, head: AnswerHead) -> Result<(), Cut> {
        self.head.clear();
        head::write(&head, self.version, self.closes, &mut self.head);
        Ok(())
    }

    async fn bytes(&mut self, bytes: Bytes) -> Result<(), Cut> {
        self.write(&bytes).await?;
        drop(bytes);
        // What TLS holds back is waited for here: with the next piece in hand, a slow viewer would cost the memory of both.
        if self.secure { self.flush().await } else { Ok(()) }
    }

    fn turn(&mut self) -> u64 {
        let Some(socket) = self.stream.as_any().downcast_ref::<SocketStream>() else { return u64::MAX };
        if *self.is_paced.get_or_insert_with(|| zero_copy::is_paced(socket)) { SEGMENT } else { u64::MAX }
    }

    async fn stretch(&mut self, stretch: &Stretch, most: u64) -> Result<Went, Cut> {
        if !self.head.is_empty() {
            self.write(&[]).await?;
        }
        let Some(socket) = self.stream.as_any().downcast_ref::<SocketStream>() else { return Ok(Went::Full(0)) };
        let most = if most < stretch.len() { to_page_end(stretch.at(), most) } else { stretch.len() };
        let length = usize::try_from(most).unwrap_or(usize::MAX);
        let sent = match zero_copy::send_file(socket, stretch.file(), stretch.at(), length) {
            Ok(sent) => sent as u64,
            // A shortened file is told apart from a client that left by whoever reads on.
            Err(error) if would_block(&error) || error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(_) => return Err(Cut::ClientGone),
        };
        self.ahead = self.ahead.saturating_add(sent);
        // Asked for the rest, the kernel would say that there is no room.
        Ok(if sent < most { Went::Full(sent) } else { Went::On(sent) })
    }

    async fn end(&mut self) -> Result<(), Cut> {
        // Bytes were flushed as they were written.
        if self.head.is_empty() { Ok(()) } else { self.bytes(Bytes::new()).await }
    }
}

/// The most of these bytes that end with a page, if any do: a segment has 17 places for pages (`MAX_SKB_FRAGS`), and parts of pages take
/// places, too.
fn to_page_end(at: u64, length: u64) -> u64 {
    ((at + length) / PAGE * PAGE).checked_sub(at).filter(|length| *length > 0).unwrap_or(length)
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

#[cfg(test)]
mod tests {
    use super::to_page_end;

    #[test]
    fn parts_of_stretches_end_with_pages() {
        for (at, length, end) in [
            (0, 65_483, 61_440),
            (1, 65_483, 61_439),
            (4095, 65_483, 65_537 - 4096),
            (4096, 8192, 8192),
            (5, 4090, 4090),
            (5, 4091, 4091),
        ] {
            assert_eq!(to_page_end(at, length), end, "{at} {length}");
        }
    }
}
