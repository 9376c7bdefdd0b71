//! Hostile clients of every kind at once, on every kind of listener, while viewers watch: who means no good is ended within the bounds that the
//! settings state, viewers notice nothing, and nothing is left behind.

use bytes::Bytes;
use harness::hostile::{Attack, Door, attacks, knock};
use harness::{Failure, Film, Settings, Stack, eventually, self_signed};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const FILM: u64 = 16 << 20;
/// Of each attack.
const COPIES: u8 = 3;
const PACE: Duration = Duration::from_millis(100);
/// Longer than any bound of the settings below; a busy machine has ten times that.
const PATIENCE: Duration = Duration::from_secs(25);
const IDLE: usize = 300;
/// Bytes of memory for a connection that asks for nothing, of a build that is not optimised, over TLS.
const IDLE_BYTES: u64 = 96 << 10;

/// Addresses to connect to.
#[derive(Clone, Copy)]
struct Doors {
    plain: SocketAddr,
    h2c: SocketAddr,
    tls: SocketAddr,
}

impl Doors {
    fn of(&self, door: Door) -> SocketAddr {
        match door {
            Door::Plain => self.plain,
            Door::H2c => self.h2c,
            Door::Tls | Door::TlsH2 | Door::Raw => self.tls,
        }
    }
}

/// A client's side of TLS for a protocol.
type Tls = Arc<dyn Fn(&[u8]) -> TlsConnector + Send + Sync>;

fn certificate(folder: &Path) -> Result<(String, Tls), Failure> {
    let signed = self_signed(folder, "films.test")?;
    let mut roots = RootCertStore::empty();
    roots.add(signed.certificate)?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = builder.with_root_certificates(roots).with_no_client_auth();
    let tls = move |protocol: &[u8]| {
        let mut config = config.clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsConnector::from(Arc::new(config))
    };
    Ok((signed.tls, Arc::new(tls)))
}

/// One viewer: opens a connection, asks for three ranges on it, compares them, and does so until the storm is over.
async fn watch(
    film: Film,
    link: String,
    door: Door,
    doors: Doors,
    tls: Tls,
    over: Arc<AtomicBool>,
) -> Result<u64, Failure> {
    let mut whole = 0;
    while !over.load(Ordering::Relaxed) {
        let wire = knock(door, doors.of(door), [127, 0, 0, 1].into(), &*tls).await?;
        for first in [0_u64, 5_000_001, FILM - 70_000] {
            let last = first + 65_535;
            let request = Request::builder().uri(format!("http://films.test{link}")).header("host", "films.test");
            let request = request.header("range", format!("bytes={first}-{last}")).body(Empty::<Bytes>::new())?;
            // A connection for each range but over HTTP/2: hyper's senders differ in type.
            let response = if matches!(door, Door::H2c | Door::TlsH2) {
                let wire = knock(door, doors.of(door), [127, 0, 0, 1].into(), &*tls).await?;
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(wire)).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            } else {
                let wire = knock(door, doors.of(door), [127, 0, 0, 1].into(), &*tls).await?;
                let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(wire)).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            };
            if response.status() != 206 {
                return Err(format!("a viewer ({door:?}) got {}", response.status()).into());
            }
            let bytes = response.into_body().collect().await?.to_bytes();
            if bytes.len() != 65_536 {
                return Err(format!("a viewer ({door:?}) got {} bytes", bytes.len()).into());
            }
            film.compare(first, &bytes)?;
            whole += 1;
        }
        drop(wire);
    }
    Ok(whole)
}

async fn counted(stack: &Stack, event: &str) -> Result<u64, Failure> {
    Ok(stack.metric(&format!("streamvault_connection_events_total{{event=\"{event}\"}}")).await? as u64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_passes_and_viewers_notice_nothing() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let (secure, tls) = certificate(folder.path())?;
    let any = "address = \"127.0.0.1:0\"";
    let mut settings = Settings::default()
        .film("a.mkv", FILM)
        .gateway("listen", &format!("[{{ {any} }}, {{ {any}, h2c = true }}, {{ {any}, {secure} }}]"));
    for (key, value) in [
        ("connections.head_timeout", "\"1s\""),
        ("connections.body_timeout", "\"1s\""),
        ("connections.handshake_timeout", "\"1s\""),
        ("limits.keepalive", "\"2s\""),
        ("limits.write_timeout", "\"2s\""),
    ] {
        settings = settings.gateway(key, value);
    }
    let stack = Stack::start(settings).await?;
    let [plain, h2c, secure] = stack.listeners[..] else { return Err("three listeners".into()) };
    let doors = Doors { plain, h2c, tls: secure };
    let film = stack.film("a.mkv")?.clone();
    let link = stack.link(&film);
    let answer = stack.client.ask(Method::GET, &link, &[]).await?;
    film.compare(0, &answer.body)?;

    let over = Arc::new(AtomicBool::new(false));
    let mut viewers = JoinSet::new();
    for door in [Door::Plain, Door::H2c, Door::Tls, Door::TlsH2] {
        viewers.spawn(watch(film.clone(), link.clone(), door, doors, tls.clone(), over.clone()));
    }
    let (mut storm, mut expected) = (JoinSet::new(), BTreeMap::new());
    for (number, attack) in attacks(&link).into_iter().enumerate() {
        for copy in 0..COPIES {
            if let Some(event) = attack.event {
                *expected.entry(event).or_insert(0) += 1;
            }
            let from = IpAddr::from([127, 0, 1 + copy, u8::try_from(number + 1)?]);
            storm.spawn(assault(attack.clone(), doors, from, tls.clone()));
        }
    }
    let mut failures = Vec::new();
    while let Some(attack) = storm.join_next().await {
        failures.extend(attack?.err().map(|error| error.to_string()));
    }
    assert!(failures.is_empty(), "{failures:#?}");
    over.store(true, Ordering::Relaxed);
    while let Some(viewer) = viewers.join_next().await {
        assert!(viewer?? > 0);
    }
    for (event, least) in expected {
        let counted = counted(&stack, event).await?;
        assert!(counted >= least, "{event}: {counted} of {least}");
    }
    // One that sends no window, and twenty streams in it, or one film that is not taken.
    let stalled = stack.metric("streamvault_requests_total{outcome=\"client-stalled\"}").await?;
    assert!(stalled >= f64::from(COPIES) * 2.0, "{stalled}");
    at_rest(&stack).await?;
    assert!(!stack.error_log("gateway").contains("panicked"), "{}", stack.error_log("gateway"));
    Ok(())
}

async fn assault(attack: Attack, doors: Doors, from: IpAddr, tls: Tls) -> Result<(), Failure> {
    let wire = knock(attack.door, doors.of(attack.door), from, &*tls).await.map_err(|e| format!("{attack}: {e}"))?;
    attack.run(wire, PACE, PATIENCE).await.map(drop)
}

/// Nothing of viewers and attackers is left: connections, requests, streams, fills.
async fn at_rest(stack: &Stack) -> Result<(), Failure> {
    for gauge in [
        "streamvault_connections{what=\"open\"}",
        "streamvault_connections{what=\"addresses\"}",
        "streamvault_active_requests",
        "streamvault_limit_state{what=\"streams\"}",
        "streamvault_cache_state{what=\"running_fills\"}",
        "streamvault_cache_state{what=\"waiting_fills\"}",
    ] {
        eventually(gauge, async || Ok(stack.metric(gauge).await? == 0.0)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_too_many_connections_costs_nobody_else_one() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let (secure, tls) = certificate(folder.path())?;
    let any = "address = \"127.0.0.1:0\"";
    let settings = Settings::default()
        .film("a.mkv", FILM)
        .gateway("listen", &format!("[{{ {any} }}, {{ {any}, {secure} }}]"))
        .gateway("connections.max", &IDLE.to_string())
        .gateway("connections.max_per_address", &(IDLE - 50).to_string());
    let stack = Stack::start(settings).await?;
    let [plain, secure] = stack.listeners[..] else { return Err("two listeners".into()) };
    let doors = Doors { plain, h2c: plain, tls: secure };
    let film = stack.film("a.mkv")?.clone();
    let link = stack.link(&film);
    let get = async || -> Result<(), Failure> {
        let answer = stack.client.ask(Method::GET, &link, &[("range", "bytes=1000-9999999")]).await?;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (206, 9_999_000));
        film.compare(1000, &answer.body)
    };
    get().await?;
    // From one address no more than it may.
    let from = |last| IpAddr::from([127, 0, 2, last]);
    let gateway = stack.gateway.as_ref().ok_or("no gateway")?;
    let before = gateway.resident_bytes().ok_or("the gateway is gone")?;
    let mut idle = Vec::new();
    while idle.len() < IDLE - 50 {
        idle.push(knock(Door::TlsH2, doors.tls, from(1), &*tls).await?);
    }
    let after = gateway.resident_bytes().ok_or("the gateway is gone")?;
    let each = after.saturating_sub(before) / idle.len() as u64;
    println!("{each} bytes for an idle connection");
    assert!(each < IDLE_BYTES, "{each} bytes for an idle connection");
    for _ in 0..10 {
        assert!(knock(Door::TlsH2, doors.tls, from(1), &*tls).await.is_err(), "one more than an address may have");
    }
    assert_eq!(counted(&stack, "refused_address").await?, 10);
    // A viewer whose connection idles for as long as anybody's is not who is closed for others.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut others = Vec::new();
    for last in 2..=200 {
        others.push(knock(Door::TlsH2, doors.tls, from(last), &*tls).await?);
    }
    get().await?;
    let (closed, full) = (counted(&stack, "closed_for_others").await?, counted(&stack, "refused_full").await?);
    assert!(closed >= 149 && full == 0, "{closed} closed, {full} refused");
    assert!(stack.metric("streamvault_connections{what=\"open\"}").await? <= IDLE as f64);
    drop((idle, others));
    at_rest(&stack).await
}
