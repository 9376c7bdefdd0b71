//! The load generator of the tables that tell first bytes: connections that are kept alive, each with one request at a time, on
//! one thread, so that it takes no more than one core.
//!
//! Over plain HTTP what follows a body's first bytes is dropped by the kernel (`MSG_TRUNC`) and never copied to this process: a
//! loader that copied megabytes would be the limit that is measured. TLS has to be decrypted.

use crate::measure::{Samples, now};
use crate::rig::{Edge, Meter};
use crate::tls::{NAME, agreed};
use harness::Failure;
use rustix::net::{RecvFlags, recv};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

/// What a single read of a head may bring.
const HEAD: usize = 16 << 10;
/// What a single call drops, or decrypts into.
const PIECE: usize = 1 << 20;
/// Ciphertext taken from the socket at once: rustls by itself asks for 4 KiB a call.
const CIPHERTEXT: usize = 256 << 10;
/// Receive buffer of a slow viewer: room for a record of TLS. With less, every answer's beginning waits for the kernel's timers.
const SLOW: u32 = 16 << 10;
/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request, as it is sent.
#[derive(Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    /// Bytes of the range.
    size: u64,
}

/// What a cache said of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cache {
    Hit,
    Miss,
    Other,
}

/// What is kept of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// From before the request was written to the first byte of the body.
    pub(crate) first: Duration,
    pub(crate) cache: Cache,
}

/// What one run is.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) requests: Arc<[Request]>,
    /// Whether requests are asked once only, until there are none left; otherwise over and over.
    pub(crate) once: bool,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    /// Over TLS, if there is one.
    pub(crate) tls: Option<TlsConnector>,
}

/// Who opens a connection.
#[derive(Clone, Copy)]
pub(crate) enum Viewer {
    Fast,
    /// From this address, with little room for what comes.
    Slow(SocketAddr),
}

/// What came of it.
pub(crate) struct Load {
    pub(crate) timings: Vec<Timing>,
    /// From the first request to the last answer.
    pub(crate) wall: f64,
    /// Seconds of processor time that the edge used meanwhile.
    pub(crate) cpu: f64,
}

impl Request {
    pub(crate) fn range(link: &str, first: u64, size: u64) -> Self {
        let last = first + size - 1;
        let text = format!(
            "GET {link} HTTP/1.1\r\nHost: {NAME}\r\nUser-Agent: bench\r\nAccept: */*\r\nRange: bytes={first}-{last}\r\n\r\n"
        );
        Self { bytes: text.into_bytes(), size }
    }
}

impl Load {
    /// Seconds to the first byte.
    pub(crate) fn first(&self, of: impl Fn(Cache) -> bool) -> Samples {
        let mut samples = Samples::default();
        self.timings.iter().filter(|timing| of(timing.cache)).for_each(|timing| samples.add_time(timing.first));
        samples
    }

    pub(crate) fn count(&self) -> f64 {
        self.timings.len() as f64
    }

    /// Answers that are not what a run is about.
    pub(crate) fn others(&self, expected: Cache) -> usize {
        self.timings.iter().filter(|timing| timing.cache != expected).count()
    }
}

impl Plan {
    /// Opens the connections, then asks until the time is up; answers under way then are waited for, and count.
    pub(crate) async fn run(&self, edge: &Edge) -> Result<Load, Failure> {
        let (plan, edge) = (self.clone(), edge.clone());
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(plan.drive(&edge)).map_err(|error| format!("{}: {error}", edge.name).into())
        })
        .await?
    }

    async fn drive(self, edge: &Edge) -> Result<Load, Failure> {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(Connection::open(edge, self.tls.as_ref(), Viewer::Fast).await?);
        }
        let meter = Meter::start(&edge.pids)?;
        let (next, end) = (Arc::new(AtomicUsize::new(0)), now() + self.time);
        let mut asking = JoinSet::new();
        for mut connection in connections {
            let (requests, once, next) = (self.requests.clone(), self.once, next.clone());
            asking.spawn(async move {
                let mut timings = Vec::new();
                while now() < end {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let at = if once { number } else { number % requests.len() };
                    let Some(request) = requests.get(at) else { break };
                    timings.push(connection.ask(request, u64::MAX).await?);
                }
                Ok::<_, Failure>(timings)
            });
        }
        let mut timings = Vec::new();
        let all = async {
            while let Some(done) = asking.join_next().await {
                timings.extend(done??);
            }
            Ok::<_, Failure>(())
        };
        tokio::time::timeout(self.time + PATIENCE, all).await.map_err(|_| "answers do not end")??;
        let (wall, cpu) = meter.stop()?;
        if timings.is_empty() {
            return Err("no answer".into());
        }
        Ok(Load { timings, wall, cpu })
    }
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<BufReader<TcpStream>>>),
}

/// A viewer's connection, kept alive.
pub(crate) struct Connection {
    wire: Wire,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects, over TLS where there is a connector.
    pub(crate) async fn open(edge: &Edge, tls: Option<&TlsConnector>, viewer: Viewer) -> Result<Self, Failure> {
        let address = if tls.is_some() { edge.tls.ok_or("it has no TLS")? } else { edge.client.address };
        let socket = TcpSocket::new_v4()?;
        let (piece, ciphertext) = match viewer {
            Viewer::Fast => (PIECE, CIPHERTEXT),
            Viewer::Slow(source) => {
                socket.bind(source)?;
                socket.set_recv_buffer_size(SLOW)?;
                (HEAD, 1)
            }
        };
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        let wire = match tls {
            None => Wire::Plain(stream),
            Some(tls) => {
                let stream = BufReader::with_capacity(ciphertext, stream);
                Wire::Tls(Box::new(tls.connect(ServerName::try_from(NAME)?, stream).await?))
            }
        };
        // Never written to where the kernel drops what comes, so that no memory stands behind it.
        Ok(Self { wire, buffer: vec![0; piece] })
    }

    /// What was agreed on; nothing without TLS.
    pub(crate) fn agreed(&self) -> String {
        match &self.wire {
            Wire::Plain(_) => String::new(),
            Wire::Tls(stream) => agreed(stream.get_ref().1),
        }
    }

    /// Asks and reads up to `most` bytes of the body: less than all, and the connection is of no more use.
    pub(crate) async fn ask(&mut self, request: &Request, most: u64) -> Result<Timing, Failure> {
        let started = now();
        match &mut self.wire {
            Wire::Plain(stream) => stream.write_all(&request.bytes).await?,
            Wire::Tls(stream) => stream.write_all(&request.bytes).await?,
        }
        let (mut filled, body) = self.head().await?;
        let head = self.buffer.get(..body).ok_or("no head")?;
        let cache = check(head, request.size)?;
        if filled == body {
            let room = self.buffer.get_mut(..HEAD).ok_or("room")?;
            filled += match &mut self.wire {
                Wire::Plain(stream) => stream.read(room).await?,
                Wire::Tls(stream) => stream.read(room).await?,
            };
        }
        let first = started.elapsed();
        let most = most.min(request.size);
        let mut got = (filled - body) as u64;
        while got < most {
            match self.skip(usize::try_from(most - got)?.min(PIECE)).await? {
                0 => return Err(format!("a body ended after {got} of {} bytes", request.size).into()),
                more => got += more as u64,
            }
        }
        if got == 0 || got > request.size {
            return Err(format!("{got} bytes came for {}", request.size).into());
        }
        Ok(Timing { first, cache })
    }

    /// Reads until the head is whole; bytes read, and where the body begins in them.
    async fn head(&mut self) -> Result<(usize, usize), Failure> {
        let mut filled = 0;
        loop {
            let room = self.buffer.get_mut(filled..HEAD).filter(|room| !room.is_empty()).ok_or("a head without end")?;
            let read = match &mut self.wire {
                Wire::Plain(stream) => stream.read(room).await?,
                Wire::Tls(stream) => stream.read(room).await?,
            };
            if read == 0 {
                return Err("closed before an answer".into());
            }
            filled += read;
            let read = self.buffer.get(..filled).unwrap_or_default();
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                return Ok((filled, end + 4));
            }
        }
    }

    /// Reads some of the body's bytes, at most as many, to no end.
    pub(crate) async fn skip(&mut self, most: usize) -> Result<usize, Failure> {
        let room = self.buffer.get_mut(..most).ok_or("room")?;
        match &mut self.wire {
            Wire::Plain(stream) => {
                let dropped =
                    stream.async_io(Interest::READABLE, || Ok(recv(&*stream, &mut *room, RecvFlags::TRUNC)?.1)).await?;
                Ok(dropped)
            }
            Wire::Tls(stream) => Ok(stream.read(room).await?),
        }
    }
}

/// Fails unless this is the head of the range that was asked for.
fn check(head: &[u8], size: u64) -> Result<Cache, Failure> {
    let bad = || Failure::from(format!("a wrong answer: {}", String::from_utf8_lossy(head)));
    if !head.starts_with(b"HTTP/1.1 206 ") {
        return Err(bad());
    }
    let (mut cache, mut length) = (Cache::Other, None);
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            length = std::str::from_utf8(value).ok().and_then(|value| value.parse::<u64>().ok());
        } else if name.eq_ignore_ascii_case(b"x-cache-status") {
            cache = match value {
                b"HIT" => Cache::Hit,
                b"MISS" => Cache::Miss,
                _ => Cache::Other,
            };
        }
    }
    if length == Some(size) { Ok(cache) } else { Err(bad()) }
}
