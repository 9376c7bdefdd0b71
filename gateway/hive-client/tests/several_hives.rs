//! Several hives: the next one is asked where one can't answer, also in the middle of a body, and only all of them together know that
//! something is nowhere.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use futures_util::StreamExt;
use hive_client::{HiveAddress, HiveClient, HiveConfig};
use secrecy::SecretString;
use slice::{ByteRange, ETag, MediaId, OriginError, SliceOrigin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const MEDIA: MediaId = MediaId::message(-1_001_700_000_001, 7);
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nx-hive-fault: not-found\r\ncontent-length: 0\r\n\r\n";
const NO_SESSION: &str =
    "HTTP/1.1 503 Service Unavailable\r\nx-hive-fault: no-session\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
const DESCRIBED: &str =
    "HTTP/1.1 200 OK\r\netag: \"v1\"\r\nx-media-size: 10\r\ncontent-type: a/b\r\ncontent-length: 10\r\n\r\n";

/// Sends what is asked for out of "0123456789", but at most so many bytes before it breaks.
fn part(request: &str, most: usize) -> String {
    let range = request.lines().find_map(|line| line.strip_prefix("range: bytes=")).unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let body = &"0123456789"[first..=last];
    format!(
        "HTTP/1.1 206 Partial Content\r\netag: \"v1\"\r\nx-media-size: 10\r\ncontent-type: a/b\r\ncontent-range: bytes \
         {first}-{last}/10\r\ncontent-length: {}\r\n\r\n{}",
        body.len(),
        &body[..body.len().min(most)]
    )
}

struct Hive {
    address: HiveAddress,
    requests: Arc<AtomicUsize>,
    serving: tokio::task::JoinHandle<()>,
}

/// Answers every request by itself and closes.
async fn hive(answer: impl Fn(&str) -> String + Send + 'static) -> Hive {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = HiveAddress::Tcp(listener.local_addr().unwrap().to_string());
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut piece = [0; 1024];
                match stream.read(&mut piece).await {
                    Ok(count) if count > 0 => request.extend_from_slice(&piece[..count]),
                    _ => break,
                }
            }
            if request.is_empty() {
                continue;
            }
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(answer(&String::from_utf8(request).unwrap()).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    Hive { address, requests, serving }
}

fn client(hives: &[&Hive]) -> HiveClient {
    HiveClient::new(config(hives.iter().map(|hive| hive.address.clone()).collect())).unwrap()
}

fn config(addresses: Vec<HiveAddress>) -> HiveConfig {
    HiveConfig {
        addresses,
        token: SecretString::from("token"),
        http2: false,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        retry_window: Duration::from_secs(3),
        max_idle: 0,
        hop: None,
    }
}

async fn read(client: &HiveClient) -> Result<Vec<u8>, OriginError> {
    let mut body = client.open(MEDIA, &ETag::new("v1"), ByteRange { start: 2, end: 8 }).await?.body;
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_body_that_breaks_goes_on_at_the_next_hive() {
    // Whichever is asked first gives two bytes and is gone.
    for breaks in 0..2 {
        let one = hive(move |request| part(request, if breaks == 0 { 2 } else { 10 })).await;
        let other = hive(move |request| part(request, if breaks == 1 { 2 } else { 10 })).await;
        assert_eq!(read(&client(&[&one, &other])).await.unwrap(), b"234567");
    }
}

#[tokio::test]
async fn a_dead_hive_is_passed_over_and_not_asked_again_at_once() {
    for order in 0..2 {
        let (dead, alive) = (hive(|_| String::new()).await, hive(|request| part(request, 10)).await);
        dead.serving.abort();
        while !dead.serving.is_finished() {
            tokio::task::yield_now().await;
        }
        let client = if order == 0 { client(&[&dead, &alive]) } else { client(&[&alive, &dead]) };
        for _ in 0..3 {
            assert_eq!(read(&client).await.unwrap(), b"234567");
        }
        let unreachable = client.stats().snapshot().into_iter().find(|(name, _)| *name == "unreachable").unwrap().1;
        assert!(unreachable <= 1, "asked {unreachable} times though it is dead");
        assert_eq!(alive.requests.load(Ordering::SeqCst), 3);
    }
}

#[tokio::test]
async fn who_has_no_session_to_spare_is_passed_over() {
    for order in 0..2 {
        let (busy, free) = (hive(|_| NO_SESSION.to_owned()).await, hive(|request| part(request, 10)).await);
        let client = if order == 0 { client(&[&busy, &free]) } else { client(&[&free, &busy]) };
        assert_eq!(read(&client).await.unwrap(), b"234567");
        assert!(client.health().iter().all(|(_, quarantined)| !quarantined));
    }
}

#[tokio::test]
async fn nothing_is_absent_before_every_hive_said_so() {
    let (sees, blind) = (hive(|_| DESCRIBED.to_owned()).await, hive(|_| NOT_FOUND.to_owned()).await);
    for hives in [[&sees, &blind], [&blind, &sees]] {
        assert_eq!(client(&hives).describe(MEDIA).await.unwrap().size, 10);
    }
    let (one, other) = (hive(|_| NOT_FOUND.to_owned()).await, hive(|_| NOT_FOUND.to_owned()).await);
    assert_eq!(client(&[&one, &other]).describe(MEDIA).await.unwrap_err(), OriginError::NotFound);
    assert_eq!(one.requests.load(Ordering::SeqCst) + other.requests.load(Ordering::SeqCst), 2);
    // One says no and one says nothing: nobody knows.
    let mute = hive(|_| String::new()).await;
    let unknown = client(&[&one, &mute]).describe(MEDIA).await.unwrap_err();
    assert_eq!(unknown, OriginError::Unreachable);
}

/// Both wait for requests; whoever gets the first one breaks, and the other one takes its time.
#[tokio::test]
async fn who_is_given_no_time_for_an_answer_is_not_taken_for_dead() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut addresses = Vec::new();
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(HiveAddress::Tcp(listener.local_addr().unwrap().to_string()));
        let asked = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1024]).await;
                if asked.fetch_add(1, Ordering::SeqCst) > 0 {
                    open.push(stream);
                }
            }
        });
    }
    let retry_window = Duration::from_millis(300);
    let client = HiveClient::new(HiveConfig { retry_window, ..config(addresses) }).unwrap();
    assert_eq!(read(&client).await.unwrap_err(), OriginError::Timeout);
    assert!(asked.load(Ordering::SeqCst) >= 1);
    let lost = client.health().iter().filter(|(_, quarantined)| *quarantined).count();
    assert!(lost <= 1, "a hive that had a part of a second is not dead");
}
