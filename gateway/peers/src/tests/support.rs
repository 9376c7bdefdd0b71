use crate::{Member, Peers, PeersConfig};
use futures_util::StreamExt;
use hive_client::HiveAddress;
use parking_lot::Mutex;
use secrecy::SecretString;
use slice::{ByteRange, ETag, MediaId, MediaMeta, Opened, OriginError, SliceOrigin};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(super) const FILM: &[u8] = b"0123456789";
pub(super) const RANGE: ByteRange = ByteRange { start: 2, end: 8 };

/// The hive: the film, and what it was asked.
#[derive(Default)]
pub(super) struct Hive {
    pub(super) asked: Mutex<Vec<String>>,
}

pub(super) fn meta() -> MediaMeta {
    MediaMeta {
        etag: ETag::new("v1"),
        size: FILM.len() as u64,
        content_type: "a/b".to_owned(),
        last_modified: None,
        file_name: None,
        spans: None,
    }
}

#[async_trait::async_trait]
impl SliceOrigin for Hive {
    async fn describe(&self, _: MediaId) -> Result<MediaMeta, OriginError> {
        self.asked.lock().push("describe".to_owned());
        Ok(meta())
    }

    async fn open(&self, _: MediaId, _: &ETag, range: ByteRange) -> Result<Opened, OriginError> {
        self.asked.lock().push(format!("{}..{}", range.start, range.end));
        let at = |at: u64| usize::try_from(at).unwrap();
        let bytes = bytes::Bytes::from_static(&FILM[at(range.start)..at(range.end)]);
        Ok(Opened { meta: meta(), body: Box::pin(futures_util::stream::iter([Ok(bytes)])) })
    }
}

/// What a gateway does with a request: answers, or holds its tongue after these bytes for as long as the test runs.
pub(super) enum Act {
    Say(String),
    Hold(String),
}

/// Another gateway.
pub(super) struct Other {
    pub(super) address: HiveAddress,
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    pub(super) serving: tokio::task::JoinHandle<()>,
}

pub(super) async fn other(act: impl Fn(&str) -> Act + Send + 'static) -> Other {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = HiveAddress::Tcp(listener.local_addr().unwrap().to_string());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&asked);
    let serving = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = head(&mut stream).await;
            if request.is_empty() {
                continue;
            }
            let act = act(&request);
            requests.lock().push(request);
            match act {
                Act::Say(answer) => {
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
                Act::Hold(beginning) => {
                    let _ = stream.write_all(beginning.as_bytes()).await;
                    held.push(stream);
                }
            }
        }
    });
    Other { address, asked, serving }
}

impl Other {
    /// Requests for media, not those for a sign of life.
    pub(super) fn media_requests(&self) -> usize {
        self.asked.lock().iter().filter(|request| request.contains(" /v1/media/")).count()
    }

    /// It is gone, and nobody listens there any more.
    pub(super) async fn die(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(count) if count > 0 => request.extend_from_slice(&piece[..count]),
            _ => return String::new(),
        }
    }
    String::from_utf8(request).unwrap()
}

pub(super) const ALIVE: &str = "HTTP/1.1 204 No Content\r\n\r\n";
pub(super) const DESCRIBED: &str =
    "HTTP/1.1 200 OK\r\netag: \"v1\"\r\nx-media-size: 10\r\ncontent-type: a/b\r\ncontent-length: 10\r\n\r\n";

pub(super) fn is_for_life(request: &str) -> bool {
    request.starts_with("HEAD / ")
}

/// The bytes asked for of a film of this version, but at most so many before it breaks.
pub(super) fn part(request: &str, etag: &str, most: usize) -> String {
    let range = request.lines().find_map(|line| line.strip_prefix("range: bytes=")).unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    let body = std::str::from_utf8(&FILM[first..=last]).unwrap();
    format!(
        "HTTP/1.1 206 Partial Content\r\netag: \"{etag}\"\r\nx-media-size: 10\r\ncontent-type: a/b\r\ncontent-range: \
         bytes {first}-{last}/10\r\ncontent-length: {}\r\n\r\n{}",
        body.len(),
        &body[..body.len().min(most)]
    )
}

pub(super) fn fault(status: &str, code: &str) -> String {
    format!("HTTP/1.1 {status}\r\nx-hive-fault: {code}\r\ncontent-length: 0\r\n\r\n")
}

/// This gateway, in a fleet with those others, and a media that the first of them owns, then the second, and then this one.
pub(super) fn gateway(others: &[&Other]) -> (Peers, Arc<Hive>, MediaId) {
    gateway_with(others, Duration::from_secs(5))
}

pub(super) fn gateway_with(others: &[&Other], patience: Duration) -> (Peers, Arc<Hive>, MediaId) {
    let own = HiveAddress::Tcp("this.test:1".to_owned());
    let addresses = others.iter().map(|other| other.address.clone()).chain([own.clone()]);
    let config = PeersConfig {
        own,
        members: addresses.map(|address| Member { address, weight: 1 }).collect(),
        token: SecretString::from("token"),
        connect_timeout: Duration::from_secs(5),
        patience,
        response_timeout: Duration::from_secs(60),
        max_idle: 0,
        max_transfers: 64,
    };
    let hive = Arc::new(Hive::default());
    let peers = Peers::new(config, hive.clone()).unwrap();
    let wanted: Vec<usize> = (0..=others.len()).collect();
    let media = (1..).map(|message| MediaId::message(-5, message));
    let mut media = media.filter(|media| peers.shared.ring.order(media.to_string().as_bytes()) == wanted);
    let media = media.next().unwrap();
    (peers, hive, media)
}

pub(super) async fn read(peers: &Peers, media: MediaId) -> Result<Vec<u8>, OriginError> {
    let mut body = peers.open(media, &ETag::new("v1"), RANGE).await?.body;
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

pub(super) fn count(peers: &Peers, name: &str) -> u64 {
    peers.stats().snapshot().into_iter().find(|(known, _)| *known == name).unwrap().1
}
