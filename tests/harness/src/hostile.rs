//! Clients that mean no good: bytes as they are, from addresses of their own, as fast or as slowly as it hurts most.

use crate::Failure;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

/// Where it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// HTTP/1 in the clear.
    Plain,
    /// HTTP/2 in the clear.
    H2c,
    /// TLS, with HTTP/1 inside.
    Tls,
    /// TLS, with HTTP/2 inside.
    TlsH2,
    /// A port that expects TLS, which never comes.
    Raw,
}

/// How the server ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a status of HTTP/1.
    Status(u16),
    /// By closing the connection, whatever it says before.
    Closed,
}

/// What one hostile client does.
#[derive(Clone, Debug)]
pub struct Attack {
    /// In words.
    pub name: &'static str,
    /// Where.
    pub door: Door,
    /// What it sends at once.
    pub first: Vec<u8>,
    /// What it goes on to send, over and over, until it is ended; nothing if empty.
    pub then: Vec<u8>,
    /// Whether it reads what is said to it.
    pub reads: bool,
    /// What it comes to.
    pub ending: Ending,
    /// The event that counts it in `streamvault_connection_events_total`, if there is one.
    pub event: Option<&'static str>,
}

/// Both ways of a connection.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// What clients of HTTP/2 say first (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of HTTP/2 (RFC 9113 §4.1).
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A text of a header block, as it is (RFC 7541 §5.2).
fn text(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if text.len() < 127 {
        bytes.push(u8::try_from(text.len()).unwrap_or(0));
    } else {
        bytes.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            bytes.push(u8::try_from(rest % 128).unwrap_or(0) | 128);
            rest /= 128;
        }
        bytes.push(u8::try_from(rest).unwrap_or(0));
    }
    bytes.extend(text);
    bytes
}

/// A header block that asks for a target with GET.
fn asks(target: &str) -> Vec<u8> {
    [&[0x82, 0x86, 0x04], &*text(target.as_bytes()), &[0x01], &*text(b"films.test")].concat()
}

/// What begins a connection of HTTP/2, with these settings.
fn begin(settings: &[(u16, u32)]) -> Vec<u8> {
    let pairs = settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    [PREFACE, &frame(SETTINGS, 0, 0, &pairs.collect::<Vec<u8>>())].concat()
}

/// Streams that ask for a target, `count` of them from the first on.
fn streams(target: &str, count: u32) -> Vec<u8> {
    (0..count).flat_map(|n| frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &asks(target))).collect()
}

/// Every kind of attack; `link` opens a film that is larger than all buffers.
#[must_use]
pub fn attacks(link: &str) -> Vec<Attack> {
    let mut all = Vec::new();
    let mut add = |name, door, first: Vec<u8>, then: Vec<u8>, ending, event| {
        all.push(Attack { name, door, first, then, reads: true, ending, event });
    };
    for door in [Door::Plain, Door::Tls] {
        let head = b"GET / HTTP/1.1\r\nHost: films.test\r\n".to_vec();
        let post = b"POST /sign HTTP/1.1\r\nHost: films.test\r\nContent-Length: 1000\r\n\r\n".to_vec();
        let long = [&*head, b"X-Long: ", &vec![b'x'; 3 << 20], b"\r\n\r\n"].concat();
        let many = [&*head, &b"X-Many: 1\r\n".repeat(100_000), b"\r\n"].concat();
        let (late, closed) = (Ending::Status(408), Ending::Closed);
        add("a head, a byte at a time", door, head, b"x".to_vec(), late, Some("head_late"));
        add("blank lines without end", door, b"\r\n".to_vec(), b"\r\n".to_vec(), late, Some("head_late"));
        add("a body, a byte at a time", door, post, b"x".to_vec(), late, Some("body_late"));
        add("a head of megabytes", door, long, vec![], Ending::Status(431), None);
        add("a hundred thousand fields", door, many, vec![], Ending::Status(431), None);
        add("no request", door, b"\0\x01\x02\r\n\r\n".to_vec(), vec![], Ending::Status(400), None);
        add("silence", door, vec![], vec![], closed, None);
    }
    for door in [Door::H2c, Door::TlsH2] {
        let (begun, closed) = (begin(&[]), Ending::Closed);
        let mut flood =
            |name, frames: Vec<u8>, event| add(name, door, [&*begun, &frames].concat(), vec![], closed, event);
        flood("silence after the preface", vec![], None);
        flood("a head that does not end", frame(HEADERS, END_STREAM, 1, &asks("/")), None);
        let part = [frame(HEADERS, END_STREAM, 1, &asks("/")), frame(CONTINUATION, 0, 1, b"").repeat(5000)];
        flood("parts of a head without end", part.concat(), None);
        flood("pings", frame(PING, 0, 0, &[7; 8]).repeat(20_000), Some("http2_flood"));
        flood("settings", frame(SETTINGS, 0, 0, &[]).repeat(20_000), Some("http2_flood"));
        flood("priorities", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]).repeat(20_000), Some("http2_flood"));
        let open = frame(HEADERS, END_HEADERS, 1, &asks("/"));
        flood("empty bodies", [open, frame(DATA, 0, 1, b"").repeat(20_000)].concat(), None);
        let reset =
            |n: u32| [frame(HEADERS, END_STREAM | END_HEADERS, n, &asks(link)), frame(RST_STREAM, 0, n, &[0, 0, 0, 8])];
        flood("streams that are reset at once", (0..5000).flat_map(|n| reset(2 * n + 1)).flatten().collect(), None);
        // One long field in the table, and a byte for each time that it is meant (RFC 7541 §7.3).
        let long = [&[0x40], &*text(b"x-bomb"), &text(&[b'x'; 4000])].concat();
        let bomb = [asks("/"), long, vec![0xbe; 8000]].concat();
        flood("a head that swells", frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb).repeat(2), None);
    }
    add("half a preface", Door::TlsH2, b"PRI * HT".to_vec(), vec![], Ending::Closed, Some("http2_unbegun"));
    add("no handshake", Door::Raw, vec![], vec![], Ending::Closed, Some("handshake_late"));
    // A record's head, of a first message that comes a byte at a time.
    let hello = vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    add("a handshake, a byte at a time", Door::Raw, hello, vec![7], Ending::Closed, Some("handshake_late"));
    add(
        "a handshake that is none",
        Door::Raw,
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![],
        Ending::Closed,
        Some("handshake_failed"),
    );
    let request = format!("GET {link} HTTP/1.1\r\nHost: films.test\r\n\r\n").into_bytes();
    for (door, first) in [
        (Door::Plain, request.clone()),
        (Door::Tls, request),
        // Windows of nothing, and windows as wide as they get, while nobody reads what comes.
        (Door::H2c, [begin(&[(4, 0)]), streams(link, 20)].concat()),
        (
            Door::TlsH2,
            [begin(&[(4, i32::MAX as u32)]), frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes()), streams(link, 20)]
                .concat(),
        ),
    ] {
        all.push(Attack {
            name: "a film that nobody reads",
            door,
            first,
            then: vec![],
            reads: false,
            ending: Ending::Closed,
            event: None,
        });
    }
    all
}

/// Connects from an address of this machine, with TLS where the door has it.
///
/// # Errors
/// When the connection or the handshake fails.
pub async fn knock(
    door: Door,
    address: SocketAddr,
    from: IpAddr,
    tls: impl Fn(&[u8]) -> TlsConnector,
) -> Result<Box<dyn Wire>, Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    // So that little of what nobody reads fits in between.
    socket.set_recv_buffer_size(16 << 10)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    let protocol: &[u8] = match door {
        Door::Tls => b"http/1.1",
        Door::TlsH2 => b"h2",
        Door::Plain | Door::H2c | Door::Raw => return Ok(Box::new(stream)),
    };
    Ok(Box::new(tls(protocol).connect(ServerName::try_from("films.test")?, stream).await?))
}

impl Attack {
    /// Does it to a connection until the server ends it; gives what the server said first. `pace` lies between the bytes that it goes on to
    /// send, and nobody waits longer than `patience`.
    ///
    /// # Errors
    /// When the server lets it have its way.
    pub async fn run(&self, wire: Box<dyn Wire>, pace: Duration, patience: Duration) -> Result<Vec<u8>, Failure> {
        let (mut reads, mut writes) = tokio::io::split(wire);
        let send = async {
            // Ended in the middle of it, there is nobody to send the rest to.
            let mut sent = writes.write_all(&self.first).await;
            while sent.is_ok() && !self.then.is_empty() {
                tokio::time::sleep(pace).await;
                sent = writes.write_all(&self.then).await;
            }
            let _ = writes.flush().await;
            std::future::pending::<()>().await;
        };
        let read = async {
            let (mut said, mut piece) = (Vec::new(), [0; 4096]);
            if !self.reads {
                // Nobody tells who doesn't read: by then it is over, and what is left in the socket is read to its end.
                tokio::time::sleep(patience / 2).await;
            }
            while let Ok(more @ 1..) = reads.read(&mut piece).await {
                if said.len() < 4096 {
                    said.extend_from_slice(piece.get(..more).unwrap_or_default());
                }
            }
            said
        };
        let said = async {
            tokio::select! {
                said = read => said,
                () = send => Vec::new(),
            }
        };
        let said = tokio::time::timeout(patience, said).await.map_err(|_| format!("{self}: nobody ends it"))?;
        match self.ending {
            Ending::Status(status) if !said.starts_with(format!("HTTP/1.1 {status} ").as_bytes()) => {
                Err(format!("{self}: {:?}", String::from_utf8_lossy(said.get(..60).unwrap_or(&said))).into())
            }
            _ => Ok(said),
        }
    }
}

impl std::fmt::Display for Attack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.name, self.door)
    }
}
