//! One connection of HTTP/1: requests in, one after the other, answers out.

use super::head::{self, BadHead, Head, LONGEST_HEAD};
use super::output::Output;
use crate::clock;
use crate::edge::Edge;
use crate::exchange::{Asked, Exchange};
use crate::refusal::Refusal;
use crate::remote::Remote;
use bytes::BytesMut;
use pingora::protocols::Stream;
use pingora::server::ShutdownWatch;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::Sleep;

/// Room that each read makes. Few heads are longer.
const READ: usize = 2 << 10;
/// How long a head may take from its first byte to its last: nobody holds a connection by sending a byte a minute.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// How long what a client still sends is thrown away before the connection closes: closed at once, the kernel would reset it, and
/// the answer might be lost on its way (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);

/// A connection, between two requests or in the middle of one.
pub(super) struct Connection<'a> {
    edge: &'a Edge,
    output: Output,
    /// Read, and not yet used.
    read: BytesMut,
    remote: Option<Remote>,
    shutdown: ShutdownWatch,
    /// Fires when the connection may have been idle for too long, and is then set for the rest. Moving it with each request would cost
    /// more than reading the request.
    idle: Pin<Box<Sleep>>,
    /// The server stops. One wait for the whole connection.
    stops: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// What came of reading.
#[derive(Debug)]
pub(super) enum Read {
    Bytes,
    /// Nothing more will come, or nothing is waited for any more.
    End,
}

impl<'a> Connection<'a> {
    pub(super) fn new(edge: &'a Arc<Edge>, stream: Stream, shutdown: ShutdownWatch) -> Self {
        let digest = stream.get_socket_digest();
        let address = digest.as_ref().and_then(|digest| digest.peer_addr()).and_then(|peer| peer.as_inet());
        let remote = address.map(|peer| Remote::new(peer.ip()));
        let output = Output::new(stream, &edge.limits);
        let idle = Box::pin(tokio::time::sleep(edge.limits.keepalive));
        let mut watch = shutdown.clone();
        let stops = Box::pin(async move {
            // A server whose sender is gone has stopped.
            let _ = watch.wait_for(|stops| *stops).await;
        });
        Self { edge, output, read: BytesMut::new(), remote, shutdown, idle, stops }
    }

    /// Not over TLS.
    pub(super) fn is_plain(&self) -> bool {
        !self.output.is_secure()
    }

    /// What was read and not yet used.
    pub(super) fn read(&self) -> &[u8] {
        &self.read
    }

    /// The stream, and what was read from it.
    pub(super) fn into_parts(self) -> (Stream, BytesMut) {
        (self.output.into_stream(), self.read)
    }

    /// Serves requests until the client or the connection's time is done.
    pub(super) async fn serve(mut self) {
        loop {
            match self.next_head().await {
                Ok(Some(head)) => {
                    if !self.exchange(&head).await {
                        return;
                    }
                    if !self.output.is_open() {
                        return self.close(head.has_body).await;
                    }
                }
                Ok(None) => return self.close(false).await,
                Err(bad) => {
                    if self.refuse(bad).await {
                        self.close(true).await;
                    }
                    return;
                }
            }
        }
    }

    /// Waits for the next request. `None`: there will be none.
    async fn next_head(&mut self) -> Result<Option<Head>, BadHead> {
        let mut until = None;
        loop {
            if !self.read.is_empty() {
                if let Some(head) = head::take(&mut self.read)? {
                    return Ok(Some(head));
                }
                let until = *until.get_or_insert_with(|| clock::tick() + HEAD_PATIENCE);
                let left = until.saturating_sub(clock::tick());
                match pingora_timeout::timeout(left, self.more()).await {
                    Ok(Read::Bytes) => continue,
                    Ok(Read::End) | Err(_) => return Ok(None),
                }
            }
            if let Read::End = self.first().await {
                return Ok(None);
            }
        }
    }

    /// Waits for the first bytes of a request, for as long as an idle connection is kept, or until the server stops.
    async fn first(&mut self) -> Read {
        let (keepalive, since) = (self.edge.limits.keepalive, clock::tick());
        loop {
            let Self { output, read, idle, stops, .. } = self;
            tokio::select! {
                biased;
                read = more(output, read) => return read,
                () = stops => return Read::End,
                () = idle.as_mut() => {}
            }
            let left = keepalive.saturating_sub(clock::tick().saturating_sub(since));
            if left.is_zero() {
                return Read::End;
            }
            self.idle.set(tokio::time::sleep(left));
        }
    }

    /// Waits for more bytes. Dropping the future loses nothing.
    pub(super) async fn more(&mut self) -> Read {
        more(&mut self.output, &mut self.read).await
    }

    /// Returns when the client is gone. What it sends meanwhile is the beginning of its next request.
    async fn gone(&mut self) {
        while self.read.len() < LONGEST_HEAD {
            if let Read::End = self.more().await {
                return;
            }
        }
        std::future::pending().await
    }

    /// Answers one request. False: the connection must break off.
    async fn exchange(&mut self, head: &Head) -> bool {
        let (edge, remote) = (self.edge, self.remote.clone());
        let asked = Asked {
            head: &head.parts,
            target: &head.target,
            remote: remote.as_ref(),
            protocol: "http/1",
            secure: self.output.is_secure(),
            sends_stretches: self.output.has_socket(),
        };
        let mut exchange = Exchange::begin(edge, &asked);
        let decided = tokio::select! {
            biased;
            decided = exchange.decide(edge, &asked) => Some(decided),
            () = self.gone() => None,
        };
        let Some(decided) = decided else {
            exchange.left();
            exchange.finish(edge);
            return false;
        };
        let closes = !head.keeps_alive || head.has_body || *self.shutdown.borrow();
        self.output.begin(head.parts.version, closes);
        let sent = exchange.deliver(edge, decided, &mut self.output).await;
        exchange.finish(edge);
        sent.is_ok()
    }

    /// Answers what is no request.
    async fn refuse(&mut self, bad: BadHead) -> bool {
        let (parts, ()) = http::Request::new(()).into_parts();
        let remote = self.remote.clone();
        let asked = Asked {
            head: &parts,
            target: b"",
            remote: remote.as_ref(),
            protocol: "http/1",
            secure: self.output.is_secure(),
            sends_stretches: false,
        };
        let mut exchange = Exchange::begin(self.edge, &asked);
        self.output.begin(parts.version, true);
        let sent = exchange.deliver(self.edge, Err(Refusal::BadHead(bad.to_string())), &mut self.output).await;
        exchange.finish(self.edge);
        sent.is_ok()
    }

    /// Ends the connection in order. `lingers` if the client may still be sending.
    async fn close(mut self, lingers: bool) {
        self.output.shut().await;
        if lingers {
            let rest = async {
                while let Read::Bytes = self.more().await {
                    self.read.clear();
                }
            };
            // Whoever goes on sending beyond it gets the reset.
            let _ = pingora_timeout::timeout(LINGER, rest).await;
        }
    }
}

async fn more(output: &mut Output, read: &mut BytesMut) -> Read {
    read.reserve(READ);
    match output.stream().read_buf(read).await {
        Ok(0) | Err(_) => Read::End,
        Ok(_) => Read::Bytes,
    }
}
