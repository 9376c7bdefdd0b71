//! A gateway is replaced by another one while it serves: no request fails, no body is cut or wrong.

use bytes::Bytes;
use harness::{Answer, Failure, Film, Settings, Signal, Stack, self_signed};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use telegram_sim::Shape;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Viewers that watch one long stretch each, slowly, and viewers that jump about.
const WATCHERS: usize = 120;
const JUMPERS: usize = 80;
const WATCHED: u64 = 8 << 20;
const UPGRADES: usize = 5;
const RELOADS: usize = 50;
/// Between two pieces of some kilobytes each, for a watcher: far too slow to come to the end before all is over.
const TICK: Duration = Duration::from_millis(100);
/// For a jumper, between two requests.
const PAUSE: Duration = Duration::from_millis(25);

/// What the viewers share.
struct World {
    films: Vec<(Film, String)>,
    plain: SocketAddr,
    secure: SocketAddr,
    h2c: SocketAddr,
    tls: ClientConfig,
    requests: AtomicU64,
    /// Requests that were not sent, as the connection had been closed in order, or was told that it will be.
    unsent: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Tls,
    H2c,
    H2,
}

const WAYS: [Way; 4] = [Way::Plain, Way::Tls, Way::H2c, Way::H2];

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

async fn over_http1(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Sender, Failure> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(16 << 10);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(Sender::Http1(sender))
}

async fn over_http2(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Sender, Failure> {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(Sender::Http2(sender))
}

impl World {
    async fn connect(&self, way: Way, slowly: bool) -> Result<Sender, Failure> {
        let address = match way {
            Way::Plain => self.plain,
            Way::H2c => self.h2c,
            Way::Tls | Way::H2 => self.secure,
        };
        let socket = TcpSocket::new_v4()?;
        if slowly {
            // What a viewer has not taken is to wait in the gateway, not on the way.
            socket.set_recv_buffer_size(32 << 10)?;
        }
        let stream = socket.connect(address).await?;
        match way {
            Way::Plain => over_http1(stream).await,
            Way::Tls => over_http1(self.secured(stream, b"http/1.1").await?).await,
            Way::H2c => over_http2(stream).await,
            Way::H2 => over_http2(self.secured(stream, b"h2").await?).await,
        }
    }

    async fn secured(
        &self,
        stream: TcpStream,
        protocol: &[u8],
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failure> {
        let mut config = self.tls.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        let name = ServerName::try_from("films.test")?;
        Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
    }

    fn request(&self, way: Way, link: &str, start: u64, end: u64) -> Result<Request<Empty<Bytes>>, Failure> {
        let request = Request::builder().header("range", format!("bytes={start}-{}", end - 1));
        let request = match way {
            Way::Plain | Way::Tls => request.uri(link).header("host", "films.test"),
            Way::H2c => request.uri(format!("http://films.test{link}")),
            Way::H2 => request.uri(format!("https://films.test{link}")),
        };
        Ok(request.body(Empty::new())?)
    }

    /// An answer to this request, over the connection that there is, or a new one if that one takes no more. What was sent and not
    /// answered is a failure: nothing is asked twice.
    async fn ask(
        &self,
        way: Way,
        kept: &mut Option<Sender>,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        for _ in 0..20 {
            let mut sender = match kept.take() {
                Some(sender) => sender,
                None => self.connect(way, false).await.map_err(|error| format!("{way:?}: no connection: {error}"))?,
            };
            let ready = match &mut sender {
                Sender::Http1(sender) => sender.ready().await,
                Sender::Http2(sender) => sender.ready().await,
            };
            if ready.is_err() {
                self.unsent.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let sent = match &mut sender {
                Sender::Http1(sender) => sender.try_send_request(request.clone()).await,
                Sender::Http2(sender) => sender.try_send_request(request.clone()).await,
            };
            match sent {
                Ok(response) => {
                    self.requests.fetch_add(1, Ordering::Relaxed);
                    *kept = Some(sender);
                    return Ok(response);
                }
                Err(mut error) => {
                    let back = error.take_message().is_some();
                    let error = error.into_error();
                    // HTTP/2 has a word for it (RFC 9113 §6.8): after GOAWAY with NO_ERROR a request without an answer was not taken,
                    // and browsers send it again elsewhere. Here the client has held it back, mostly.
                    let refused = format!("{error:?}").contains("GoAway(b\"\", NO_ERROR, Remote)");
                    if !back && !refused {
                        return Err(format!("{way:?}: sent and not answered: {error:?}").into());
                    }
                    self.unsent.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Err("twenty connections took no request".into())
    }

    fn check(&self, film: &Film, start: u64, at: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        film.compare(start + at, bytes)
    }
}

/// One request after the other, each of another place.
async fn jump(world: Arc<World>, way: Way, seed: u64, over: watch::Receiver<bool>) -> Result<(), Failure> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut kept = None;
    while !*over.borrow() {
        let (film, link) = &world.films[rng.random_range(0..world.films.len())];
        let start = rng.random_range(0..film.size);
        let end = (start + rng.random_range(1..300_000)).min(film.size);
        let request = world.request(way, link, start, end)?;
        let response = world.ask(way, &mut kept, request).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Err(format!("{way:?}: {}", response.status()).into());
        }
        let mut body = response.into_body();
        let mut at = 0;
        while let Some(frame) = body.frame().await {
            let bytes = frame.map_err(|error| format!("{way:?}: cut at {at}: {error:?}"))?;
            let bytes = bytes.into_data().unwrap_or_default();
            world.check(film, start, at, &bytes)?;
            at += bytes.len() as u64;
        }
        if at != end - start {
            return Err(format!("{way:?}: {at} bytes of {}", end - start).into());
        }
        if rng.random_bool(0.2) {
            // The next one comes over a new connection.
            kept = None;
        }
        // Some connections idle between two requests.
        if rng.random_bool(0.3) {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

/// One stretch, piece by piece, until all is over; then the rest at once.
async fn view(
    world: Arc<World>,
    way: Way,
    seed: u64,
    mut over: watch::Receiver<bool>,
    begun: Arc<AtomicU64>,
) -> Result<(), Failure> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (film, link) = &world.films[rng.random_range(0..world.films.len())];
    let start = rng.random_range(0..film.size - WATCHED);
    let request = world.request(way, link, start, start + WATCHED)?;
    let mut kept = Some(world.connect(way, true).await?);
    let response = world.ask(way, &mut kept, request).await?;
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Err(format!("{way:?}: {}", response.status()).into());
    }
    begun.fetch_add(1, Ordering::Relaxed);
    let (mut body, mut at) = (response.into_body(), 0);
    while let Some(frame) = body.frame().await {
        let bytes = frame.map_err(|error| format!("{way:?}: a stream was cut at {at}: {error:?}"))?;
        let bytes = bytes.into_data().unwrap_or_default();
        world.check(film, start, at, &bytes)?;
        at += bytes.len() as u64;
        if !*over.borrow() {
            let _ = tokio::time::timeout(TICK, over.changed()).await;
        }
    }
    if at == WATCHED { Ok(()) } else { Err(format!("{way:?}: {at} bytes of {WATCHED}").into()) }
}

/// Everything listens: plain, TLS, and HTTP/2 without.
async fn start(films: &[(&str, u64)], more: impl Fn(Settings) -> Settings) -> Result<(Stack, Arc<World>), Failure> {
    // Outlives the stack in the operating system's own temporary folder: a successor reads it as well.
    let folder = tempfile::tempdir()?.keep();
    let signed = self_signed(&folder, "films.test")?;
    let listen = format!(
        "[{{ address = \"127.0.0.1:0\" }}, {{ address = \"127.0.0.1:0\", {} }}, {{ address = \"127.0.0.1:0\", h2c = true }}]",
        signed.tls
    );
    let mut settings = Settings::default().gateway("listen", &listen).gateway("log.access", "\"off\"");
    for (name, size) in films {
        settings = settings.film(name, *size);
    }
    let stack = Stack::start(more(settings)).await?;
    let [plain, secure, h2c] = stack.listeners[..] else { return Err("three addresses are listened on".into()) };
    let mut roots = RootCertStore::empty();
    roots.add(signed.certificate)?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let tls = builder.with_root_certificates(roots).with_no_client_auth();
    let films = stack.films.iter().map(|film| (film.clone(), stack.link(film))).collect();
    let (requests, unsent, bytes) = Default::default();
    Ok((stack, Arc::new(World { films, plain, secure, h2c, tls, requests, unsent, bytes })))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_viewer_notices_five_upgrades_and_fifty_reloads() -> Result<(), Failure> {
    // A cache that is too small for the films: evictions and fills all the while, in every process.
    let films = [("a.mkv", 16 << 20), ("b.mkv", 16 << 20), ("c.mkv", 16 << 20)];
    let (stack, world) = start(&films, |settings| settings.gateway("cache.max_size", "\"40MiB\"")).await?;
    let (end, over) = watch::channel(false);
    let begun = Arc::new(AtomicU64::new(0));
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut viewers = JoinSet::new();
    for (number, way) in WAYS.iter().copied().cycle().take(WATCHERS).enumerate() {
        viewers.spawn(view(world.clone(), way, seed.wrapping_add(number as u64), over.clone(), begun.clone()));
    }
    while begun.load(Ordering::Relaxed) < WATCHERS as u64 {
        if let Some(done) = viewers.try_join_next() {
            done??;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for way in WAYS.iter().copied().cycle().take(JUMPERS) {
        viewers.spawn(jump(world.clone(), way, rng.random(), over.clone()));
    }
    let mut pids = vec![stack.successor_of(None).await?];
    for _ in 0..UPGRADES {
        for _ in 0..RELOADS / UPGRADES {
            let before = stack.error_log("gateway").matches("the settings were read again, for local").count();
            stack.signal_gateway(Signal::HUP)?;
            let read = || stack.error_log("gateway").matches("the settings were read again, for local").count();
            while read() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        let pid = stack.signal_gateway(Signal::QUIT)?;
        pids.push(stack.successor_of(Some(pid)).await?);
        // What runs is cut by nobody, whoever serves: a failure shows at once.
        if let Some(done) = viewers.try_join_next() {
            done??;
            return Err("a viewer has ended".into());
        }
    }
    let processes = stack.gateways();
    assert_eq!(viewers.len(), WATCHERS + JUMPERS, "all of them are still at it");
    assert!(
        pids.iter().all(|pid| processes.contains(pid)),
        "each process serves what it has begun: {pids:?} {processes:?}"
    );
    end.send(true)?;
    while let Some(done) = viewers.join_next().await {
        done??;
    }
    let figure = |count: &AtomicU64| count.load(Ordering::Relaxed);
    println!(
        "{} requests, {} MB, {} requests came back unsent; {} processes",
        figure(&world.requests),
        figure(&world.bytes) >> 20,
        figure(&world.unsent),
        pids.len()
    );
    assert!(figure(&world.requests) > (WATCHERS + JUMPERS) as u64 * 2);
    let log = stack.error_log("gateway");
    assert!(!log.contains("failed its checksum") && !log.contains("panicked"), "{log}");
    // The replaced ones end as soon as their last connection does.
    while stack.gateways().len() > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stack.gateways(), [*pids.last().ok_or("no process")?]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_does_not_come_up_changes_nothing() -> Result<(), Failure> {
    let (mut stack, _) = start(&[("a.mkv", 4 << 20)], |settings| settings).await?;
    let serving = stack.successor_of(None).await?;
    let whole = |answer: &Answer| answer.status == 200 && answer.broken.is_none();
    assert!(whole(&stack.get("a.mkv", None).await?));
    stack.set_gateway("limits.max_ranges", "0")?;
    assert_eq!(stack.signal_gateway(Signal::QUIT)?, serving);
    let failed = |stack: &Stack, times: usize| {
        let log = stack.error_log("gateway");
        log.matches("nobody took over; this gateway goes on").count() == times
    };
    while !failed(&stack, 1) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((stack.serving(), stack.gateways()), (Some(serving), vec![serving]));
    let again = stack.get("a.mkv", None).await?;
    assert!(whole(&again) && again.header("x-cache-status") == Some("HIT"), "{again:?}");
    // One that dies when the folder is its own already: it can't be written to, for one.
    stack.set_gateway("limits.max_ranges", "16")?;
    stack.set_gateway("redis", "{ url = \"redis://:not-a-port\", prefix = \"x\" }")?;
    stack.signal_gateway(Signal::QUIT)?;
    while !failed(&stack, 2) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let again = stack.get("a.mkv", None).await?;
    assert!(whole(&again), "{again:?}");
    stack.films[0].compare(0, &again.body)?;
    // The list of takedowns is its own again, too.
    let link = stack.path(&stack.films[0]);
    stack.gateway_command(&["takedown", "add", &link, "--by", "a", "--reason", "b"]).await?.done()?;
    assert_eq!(stack.get("a.mkv", None).await?.status, 451);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takedowns_and_purges_reach_who_was_replaced() -> Result<(), Failure> {
    let films = [("a.mkv", 12 << 20), ("b.mkv", 12 << 20), ("c.mkv", 12 << 20)];
    let (stack, world) = start(&films, |settings| settings).await?;
    let mut bodies = Vec::new();
    for (film, link) in &world.films {
        assert!(stack.get(&film.name, None).await?.broken.is_none());
        let mut kept = Some(world.connect(Way::Plain, true).await?);
        let request = world.request(Way::Plain, link, 0, film.size)?;
        let mut body = world.ask(Way::Plain, &mut kept, request).await?.into_body();
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
        bodies.push(body);
    }
    // Two generations: the first one hears through the second.
    for _ in 0..2 {
        let pid = stack.signal_gateway(Signal::QUIT)?;
        stack.successor_of(Some(pid)).await?;
    }
    let pids = stack.gateways();
    assert_eq!(pids.len(), 3, "{pids:?}");
    let paths: Vec<String> = stack.films.iter().map(|film| stack.path(film)).collect();
    stack.gateway_command(&["takedown", "add", &paths[0], "--by", "a", "--reason", "b"]).await?.done()?;
    stack.gateway_command(&["cache", "purge", &paths[1], "--running", "cut"]).await?.done()?;
    let mut ends = Vec::new();
    for mut body in bodies {
        let mut bytes = 0;
        let end = loop {
            match body.frame().await {
                Some(Ok(frame)) => bytes += frame.into_data().unwrap_or_default().len(),
                Some(Err(_)) => break false,
                None => break true,
            }
        };
        ends.push(end);
        println!("{bytes} bytes, whole: {end}");
    }
    assert_eq!(ends, [false, false, true], "taken down, cut by a purge, and left alone");
    assert_eq!(stack.get("a.mkv", None).await?.status, 451);
    // A replaced one that is told to end does so, and the one that serves does not.
    let serving = stack.serving().ok_or("nobody serves")?;
    for pid in pids.iter().filter(|pid| **pid != serving) {
        let _ = stack.signal_process(*pid, Signal::TERM);
    }
    while stack.gateways().len() > 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(stack.gateways(), [serving]);
    assert_eq!(stack.client.ask(Method::GET, &stack.link(&stack.films[2]), &[]).await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_cuts_what_outlasts_its_limit() -> Result<(), Failure> {
    let shape = Shape { account_bytes_per_second: 1 << 20, ..Shape::default() };
    let slow = |settings: Settings| Settings { shape, ..settings }.gateway("limits.drain", "\"2s\"");
    let (mut stack, world) = start(&[("a.mkv", 64 << 20)], slow).await?;
    let (film, link) = &world.films[0];
    let mut kept = Some(world.connect(Way::Plain, true).await?);
    let mut body = world.ask(Way::Plain, &mut kept, world.request(Way::Plain, link, 0, film.size)?).await?.into_body();
    assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
    let gateway = stack.gateway.take().ok_or("no gateway")?;
    // The helper waits for twenty seconds, the film takes a minute.
    assert!(gateway.signal("TERM").await, "it ends by itself, with status 0");
    let cut = loop {
        match body.frame().await {
            Some(Ok(_)) => {}
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(cut, "half a film must not look whole");
    Ok(())
}
