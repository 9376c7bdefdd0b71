//! One connection of HTTP/1: requests in, one after the other, answers out.

use super::head::{self, BadHead, Head, LONGEST_HEAD, Length};
use super::output::Output;
use crate::clock;
use crate::connections::{Event, Slot};
use crate::edge::Edge;
use crate::exchange::{Asked, Exchange};
use crate::flow::Answered;
use crate::refusal::Refusal;
use crate::remote::Remote;
use crate::service::{self, Body, LONGEST_BODY};
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
    https_port: Option<u16>,
    slot: &'a Arc<Slot>,
    shutdown: ShutdownWatch,
    /// Fires when the connection may have been idle for too long, and is then set for the rest. Moving it with each request would cost
    /// more than reading the request.
    idle: Pin<Box<Sleep>>,
    /// The server stops. One wait for the whole connection; `None` once it has, and another process has taken its place.
    stops: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// What came of reading.
#[derive(Debug)]
pub(super) enum Read {
    Bytes,
    /// Nothing more will come, or nothing is waited for any more.
    End,
}

/// Why there is no body.
#[derive(Debug)]
enum NoBody {
    Gone,
    Late,
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        edge: &'a Arc<Edge>,
        stream: Stream,
        https_port: Option<u16>,
        slot: &'a Arc<Slot>,
        shutdown: ShutdownWatch,
    ) -> Self {
        let digest = stream.get_socket_digest();
        let address = digest.as_ref().and_then(|digest| digest.peer_addr()).and_then(|peer| peer.as_inet());
        let remote = address.map(|peer| Remote::new(peer.ip()));
        let output = Output::new(stream, &edge.live.limits());
        let idle = Box::pin(tokio::time::sleep(edge.live.limits().keepalive));
        let mut watch = shutdown.clone();
        let stops: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            // A server whose sender is gone has stopped.
            let _ = watch.wait_for(|stops| *stops).await;
        });
        let stops = Some(stops);
        Self { edge, output, read: BytesMut::new(), remote, https_port, slot, shutdown, idle, stops }
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
                    // Until the next one, or until the connection is closed in order: an end waits for that as well.
                    let _closing = self.edge.lifecycle.closing();
                    if !self.exchange(&head).await {
                        return;
                    }
                    if !self.output.is_open() {
                        // Who goes on to send although the server stops has not heard of it yet.
                        let lingers = head.body != Length::None || *self.shutdown.borrow();
                        return self.close(lingers).await;
                    }
                }
                Ok(None) => return self.close(false).await,
                Err(bad) => {
                    let _closing = self.edge.lifecycle.closing();
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
        let (mut until, mut parsed) = (None, 0);
        loop {
            if !self.read.is_empty() {
                if is_worth_parsing(&self.read, parsed) {
                    if let Some(head) = head::take(&mut self.read)? {
                        return Ok(Some(head));
                    }
                    parsed = self.read.len();
                }
                // From the first byte on, be it of the blank lines that may come before a head.
                let until = *until.get_or_insert_with(|| clock::tick() + self.edge.live.limits().head_timeout);
                let left = until.saturating_sub(clock::tick());
                match pingora_timeout::timeout(left, self.more()).await {
                    Ok(Read::Bytes) => continue,
                    Ok(Read::End) => return Ok(None),
                    Err(_) => {
                        self.edge.connections.count(Event::HeadLate);
                        return Err(BadHead::Late);
                    }
                }
            }
            if let Read::End = self.first().await {
                return Ok(None);
            }
        }
    }

    /// Waits for the first bytes of a request, for as long as an idle connection is kept, or until the server stops.
    ///
    /// Not if another process takes its place: a request may be on its way, which would be lost although nothing is wrong. It is
    /// answered, and told that the connection closes; what stays idle closes in its time.
    async fn first(&mut self) -> Read {
        let (keepalive, since) = (self.edge.live.limits().keepalive, clock::tick());
        loop {
            let Self { edge, output, read, idle, stops, .. } = self;
            tokio::select! {
                biased;
                read = more(output, read) => return read,
                () = stopped(stops.as_mut()) => {
                    if !edge.lifecycle.is_replaced() {
                        return Read::End;
                    }
                    *stops = None;
                }
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
        let edge = self.edge;
        let (remote, secure) = edge.proxies.see(self.remote.as_ref(), self.output.is_secure(), &head.parts.headers);
        // Whoever closes idle connections for others may have been quicker.
        let Ok(_busy) = edge.connections.begin(self.slot) else { return false };
        let (body, late) = match self.body(head).await {
            Ok(body) => (body, false),
            Err(NoBody::Late) => (Body::Unread, true),
            Err(NoBody::Gone) => return false,
        };
        let asked = Asked {
            head: &head.parts,
            target: &head.target,
            remote: remote.as_ref(),
            protocol: "http/1",
            secure,
            https_port: self.https_port,
            sends_stretches: self.output.has_socket(),
            body: &body,
        };
        let mut exchange = Exchange::begin(edge, &asked);
        let decided = tokio::select! {
            biased;
            decided = decide(&mut exchange, edge, &asked, late) => Some(decided),
            () = self.gone() => None,
        };
        let Some(decided) = decided else {
            exchange.left();
            exchange.finish(edge);
            return false;
        };
        let closes = !head.keeps_alive || body == Body::Unread || *self.shutdown.borrow();
        self.output.begin(head.parts.version, closes);
        let sent = exchange.deliver(edge, decided, &mut self.output).await;
        exchange.finish(edge);
        sent.is_ok()
    }

    /// Reads the body, where there is a use for it.
    async fn body(&mut self, head: &Head) -> Result<Body, NoBody> {
        let length = match head.body {
            Length::None => return Ok(Body::None),
            Length::Bytes(length) if service::takes_body(&head.target) => length,
            Length::Bytes(_) | Length::Chunked => return Ok(Body::Unread),
        };
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= LONGEST_BODY) else {
            return Ok(Body::Unread);
        };
        if head.waits() && self.read.len() < length && self.output.go_on().await.is_err() {
            return Err(NoBody::Gone);
        }
        let edge = self.edge;
        let within = edge.live.limits().body_timeout;
        let all = async {
            while self.read.len() < length {
                if let Read::End = self.more().await {
                    return Err(NoBody::Gone);
                }
            }
            Ok(Body::Whole(self.read.split_to(length).freeze()))
        };
        pingora_timeout::timeout(within, all).await.unwrap_or_else(|_| {
            edge.connections.count(Event::BodyLate);
            Err(NoBody::Late)
        })
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
            https_port: None,
            sends_stretches: false,
            body: &Body::None,
        };
        let mut exchange = Exchange::begin(self.edge, &asked);
        self.output.begin(parts.version, true);
        let sent = exchange.deliver(self.edge, Err(refusal(bad)), &mut self.output).await;
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

/// Runs the flow, unless the body did not come.
async fn decide(exchange: &mut Exchange, edge: &Edge, asked: &Asked<'_>, late: bool) -> Result<Answered, Refusal> {
    if late { Err(Refusal::RequestLate) } else { exchange.decide(edge, asked).await }
}

fn refusal(bad: BadHead) -> Refusal {
    match bad {
        BadHead::Late => Refusal::RequestLate,
        BadHead::TooLarge => Refusal::HeadTooLarge,
        _ => Refusal::BadHead(bad.to_string()),
    }
}

/// Whether a head's end may have come, or its fault be seen: parsed at each byte of 64 KiB, it would be parsed 65,536 times.
fn is_worth_parsing(read: &[u8], parsed: usize) -> bool {
    let new = read.get(parsed..).unwrap_or_default();
    parsed == 0 || read.len() >= (2 * parsed).min(LONGEST_HEAD) || new.contains(&b'\n')
}

async fn stopped(stops: Option<&mut Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match stops {
        Some(stops) => stops.await,
        None => std::future::pending().await,
    }
}

async fn more(output: &mut Output, read: &mut BytesMut) -> Read {
    read.reserve(READ);
    match output.stream().read_buf(read).await {
        Ok(0) | Err(_) => Read::End,
        Ok(_) => Read::Bytes,
    }
}
