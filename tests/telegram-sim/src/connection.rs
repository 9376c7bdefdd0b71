//! One client's connection: bytes in, packets out, and the pace at which they leave.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use crate::conduct::Told;
use crate::counters::From;
use crate::faults::Reachability;
use crate::session::Session;
use crate::shape::Pipe;
use crate::state::Shared;
use crate::transport::{Decoder, Encoder};

/// Answers under way on one connection; more are left in the socket, as on a busy server.
const MAX_UNDER_WAY: usize = 64;
/// Finished packets that wait for the wire.
const MAX_WAITING: usize = 8;
/// Longest stretch that's written at once on a wire of limited width.
const PIECE: usize = 16 * 1024;

/// What the wire is told to do.
pub(crate) enum Send {
    /// Speak this transport; comes before anything else.
    Speak(Box<Encoder>),
    /// A packet, with room for the transport's header in front, that counts against this account's width, and what it tells.
    Packet { packet: Vec<u8>, account: Option<usize>, manner: Manner, told: Option<Told> },
    /// A transport error; the connection closes.
    Error(i32),
    /// Close.
    Close,
}

/// How a packet is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Whole,
    /// Half of it, then close.
    Half,
    /// At this many bytes a second.
    Slowly(u64),
}

/// The sending side of a connection, as answers use it.
#[derive(Clone)]
pub(crate) struct Wire {
    sender: mpsc::Sender<Send>,
    pub(crate) under_way: Arc<Semaphore>,
}

impl Wire {
    /// Queues; a connection that's gone swallows it.
    pub(crate) async fn send(&self, what: Send) {
        let _ = self.sender.send(what).await;
    }

    /// Returns when nothing that is sent arrives any more.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Queues a packet that nobody asked for, unless the wire is busy: then it's lost, as such packets may be.
    pub(crate) fn tell(&self, packet: Vec<u8>) {
        let _ = self.sender.try_send(Send::Packet { packet, account: None, manner: Manner::Whole, told: None });
    }
}

/// Serves a connection until either side closes it. `decoder` may have bytes of the client's already.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    dc: i32,
    stream: TcpStream,
    decoder: Decoder,
    from: From,
    mut reachability: watch::Receiver<Reachability>,
) {
    shared.counters.opened(dc, from);
    // Packets are written whole; waiting for more to fill a segment would only add time.
    let _ = stream.set_nodelay(true);
    let rtt = shared.shape.read().rtt_ms;
    if rtt > 0 {
        // Loopback connects at once; over a real network a connection costs a round trip before the first byte.
        sleep(Duration::from_millis(rtt)).await;
    }
    let (reader, writer) = stream.into_split();
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let wire = Wire { sender, under_way: Arc::new(Semaphore::new(MAX_UNDER_WAY)) };
    let mut writing = tokio::spawn(write(Arc::clone(&shared), writer, receiver));
    let silence = reachability.clone();
    let session = Session::new(Arc::clone(&shared), dc, wire.clone());
    // Whichever is first: the client or a broken packet ends it, the writer has closed, or the data-centre goes down.
    tokio::select! {
        () = read(reader, decoder, session, wire, silence) => {}
        _ = &mut writing => {}
        _ = reachability.wait_for(|now| *now == Reachability::Refused) => {}
    }
    writing.abort();
    shared.counters.closed(dc);
}

async fn read(
    mut reader: OwnedReadHalf,
    mut decoder: Decoder,
    mut session: Session,
    wire: Wire,
    reachability: watch::Receiver<Reachability>,
) {
    let (mut spoken, mut silent) = (false, false);
    let mut buffer = vec![0; 64 * 1024];
    if let Err(error) = take_packets(&mut decoder, &mut session, &wire, &mut spoken).await {
        debug!(%error, "closing a connection");
        return;
    }
    loop {
        let read = tokio::select! {
            () = sleep_until(session.deadline()) => return,
            read = reader.read(&mut buffer) => read,
        };
        let count = match read {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        // A connection that fell silent stays so: with bytes missing, the rest of the stream makes no sense.
        silent = silent || *reachability.borrow() == Reachability::Silent;
        if silent {
            continue;
        }
        decoder.push(&buffer[..count]);
        if let Err(error) = take_packets(&mut decoder, &mut session, &wire, &mut spoken).await {
            debug!(%error, "closing a connection");
            return;
        }
    }
}

async fn take_packets(
    decoder: &mut Decoder,
    session: &mut Session,
    wire: &Wire,
    spoken: &mut bool,
) -> Result<(), Closed> {
    if !*spoken && let Some(encoder) = decoder.encoder().map_err(|error| Closed(error.to_string()))? {
        *spoken = true;
        wire.send(Send::Speak(Box::new(encoder))).await;
    }
    while let Some(packet) = decoder.next().map_err(|error| Closed(error.to_string()))? {
        session.take(packet).await?;
    }
    Ok(())
}

/// Why the server closes a connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Closed(pub(crate) String);

async fn write(shared: Arc<Shared>, mut socket: OwnedWriteHalf, mut receiver: mpsc::Receiver<Send>) {
    let mut pipe = Pipe::default();
    let mut encoder = None;
    while let Some(what) = receiver.recv().await {
        let done = match (what, &mut encoder) {
            (Send::Speak(spoken), _) => {
                encoder = Some(spoken);
                Ok(true)
            }
            (Send::Packet { mut packet, account, manner, told }, Some(encoder)) => {
                let start = encoder.frame(&mut packet);
                let frame = &packet[start..];
                let done = match manner {
                    Manner::Whole => paced(&shared, &mut socket, &mut pipe, frame, account, 0).await.map(|()| true),
                    Manner::Slowly(rate) => {
                        paced(&shared, &mut socket, &mut pipe, frame, account, rate).await.map(|()| true)
                    }
                    Manner::Half => {
                        let half = &frame[..frame.len() / 2];
                        paced(&shared, &mut socket, &mut pipe, half, account, 0).await.map(|()| false)
                    }
                };
                if let (Ok(true), Some(told)) = (&done, told) {
                    shared.counters.book.told(told);
                }
                done
            }
            (Send::Error(code), Some(encoder)) => socket.write_all(&encoder.error(code)).await.map(|()| false),
            (Send::Close, _) | (_, None) => Ok(false),
        };
        if !matches!(done, Ok(true)) {
            break;
        }
    }
    // Calls under way learn that they are over before the client does: what it asks elsewhere next must not count beside them.
    drop(receiver);
    let _ = socket.shutdown().await;
}

/// Writes a frame no faster than the connection's and the account's width and `rate` allow (0: any).
async fn paced(
    shared: &Shared,
    socket: &mut OwnedWriteHalf,
    pipe: &mut Pipe,
    frame: &[u8],
    account: Option<usize>,
    rate: u64,
) -> std::io::Result<()> {
    let (width, account_width) = {
        let shape = shared.shape.read();
        (shape.connection_bytes_per_second, shape.account_bytes_per_second)
    };
    let narrowest = [width, account_width, rate].into_iter().filter(|&rate| rate > 0).min();
    let Some(narrowest) = narrowest else { return socket.write_all(frame).await };
    let mut trickle = Pipe::default();
    // Fifty pieces a second at most, so that a narrow wire doesn't deliver in lumps.
    let piece = usize::try_from(narrowest / 50).unwrap_or(PIECE).clamp(1, PIECE);
    for part in frame.chunks(piece) {
        let now = shared.elapsed();
        let mut out = pipe.push(now, part.len(), width).max(trickle.push(now, part.len(), rate));
        if let Some(account) = account {
            out = out.max(shared.through_account_pipe(account, part.len()));
        }
        sleep_until(shared.start + out).await;
        socket.write_all(part).await?;
    }
    Ok(())
}

/// When an answer to something asked now is due.
pub(crate) fn due(shared: &Shared) -> Instant {
    Instant::now() + Duration::from_millis(shared.shape.read().rtt_ms)
}
