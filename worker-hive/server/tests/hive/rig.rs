//! A simulated Telegram, a hive in front of it, and a plain HTTP client.

use config::{ListenAddress, Secret};
use hive_server::{Hive, HiveOptions};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use mtproto::{ClientConfig, SessionFolder, SessionSeed};
use pool::PoolConfig;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use telegram_sim::{Account, Channel, Content, Counts, Document, Sim, World};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const TOKEN: &str = "test-token";
pub(crate) const CHANNEL: i64 = 1_234_567_890;
pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;
/// No answer of a hive may take longer, whatever goes wrong: a test that hangs is a failure with a name.
const PATIENCE: Duration = Duration::from_secs(60);

/// One running set-up. The store outlives the hive, so that a test can start the hive again.
pub(crate) struct Rig {
    pub(crate) sim: Sim,
    folder: TempDir,
    hive: Option<Hive>,
}

/// What came back. `broken` holds the body's error; then `body` is what arrived before it.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) broken: Option<String>,
}

/// A world of accounts and one channel with these documents under messages 1, 2, …
pub(crate) fn world(accounts: Vec<Account>, documents: Vec<Document>) -> World {
    let mut channel = Channel::new(CHANNEL, "films");
    for (index, document) in documents.into_iter().enumerate() {
        channel = channel.with_document(i32::try_from(index).unwrap() + 1, document);
    }
    let world = World::new(7).with_channel(channel);
    accounts.into_iter().fold(world, World::with_account)
}

pub(crate) fn film(dc: i32, size: u64) -> Document {
    Document::generated("film.mkv", dc, size, seed_of(dc, size))
}

/// The bytes of `film(dc, size)`.
pub(crate) fn film_bytes(dc: i32, size: u64, start: u64, end: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
    Content::Generated { seed: seed_of(dc, size) }.read_at(start, &mut bytes).unwrap();
    bytes
}

fn seed_of(dc: i32, size: u64) -> u64 {
    size * 10 + u64::try_from(dc).unwrap()
}

pub(crate) fn sha(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn path(message: i32) -> String {
    format!("/v1/media/-100{CHANNEL}/{message}")
}

impl Rig {
    pub(crate) async fn start(accounts: Vec<Account>, documents: Vec<Document>) -> Self {
        Self::start_with(accounts, documents, |_| {}).await
    }

    pub(crate) async fn start_with(
        accounts: Vec<Account>,
        documents: Vec<Document>,
        change: impl FnOnce(&mut HiveOptions),
    ) -> Self {
        Self::start_in(world(accounts, documents), change).await
    }

    pub(crate) async fn start_in(world: World, change: impl FnOnce(&mut HiveOptions)) -> Self {
        let sim = Sim::start(world).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let sessions = SessionFolder::open(&folder.path().join("store")).unwrap();
        for seed in sim.seeds() {
            let text = serde_json::to_string(&seed).unwrap();
            sessions.import(&SessionSeed::parse(&text).unwrap()).unwrap();
        }
        let mut rig = Self { sim, folder, hive: None };
        let mut options = rig.options();
        change(&mut options);
        rig.run(options).await;
        rig
    }

    /// Short times, so that what is lost is missed soon; long enough for a busy machine.
    pub(crate) fn options(&self) -> HiveOptions {
        HiveOptions {
            listen: ListenAddress::Tcp("127.0.0.1:0".parse().unwrap()),
            admin: "127.0.0.1:0".parse().unwrap(),
            token: Secret::inline(TOKEN).unwrap(),
            store: self.folder.path().join("store"),
            store_key: None,
            leases: None,
            catalog: self.folder.path().join("catalog.sqlite"),
            client: ClientConfig {
                connections: 2,
                connect_timeout: Duration::from_secs(3),
                call_timeout: Duration::from_secs(3),
                reconnect_first: Duration::from_millis(20),
                reconnect_last: Duration::from_millis(500),
                ..ClientConfig::default()
            },
            pool: PoolConfig { deadline: Duration::from_secs(20), ..PoolConfig::default() },
            drain: Duration::from_secs(5),
            stall: Duration::from_secs(60),
            traces: None,
        }
    }

    pub(crate) async fn run(&mut self, options: HiveOptions) {
        self.hive = Some(Hive::start(options).await.unwrap());
    }

    pub(crate) fn hive(&self) -> &Hive {
        self.hive.as_ref().unwrap()
    }

    pub(crate) fn take_hive(&mut self) -> Hive {
        self.hive.take().unwrap()
    }

    pub(crate) async fn stop_hive(&mut self) {
        self.take_hive().stop(std::future::pending()).await;
    }

    /// Asks the operator's listener.
    pub(crate) async fn admin(&self, path: &str) -> (StatusCode, String) {
        let address = self.hive().admin().unwrap();
        let answer = finish(request(address, Method::GET, path, &[]).await).await;
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    /// Waits until the operator would see this line.
    pub(crate) async fn until_metric(&self, line: &str) {
        let wait = async {
            while !self.admin("/metrics").await.1.lines().any(|seen| seen == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {line}"));
    }

    pub(crate) fn path_in_folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.sim.counters().snapshot()
    }

    /// Waits until the sim counts as the test says; the panic shows what it counted last.
    pub(crate) async fn until(&self, what: &str, reached: impl Fn(&Counts) -> bool) {
        let wait = async {
            while !reached(&self.counts()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}: {:?}", self.counts()));
    }

    pub(crate) async fn get(&self, message: i32, range: Option<(u64, u64)>) -> Answer {
        let range = range.map(|(first, last)| format!("bytes={first}-{last}"));
        let headers: Vec<(&str, &str)> = range.as_deref().map(|range| ("range", range)).into_iter().collect();
        self.ask(Method::GET, &path(message), &headers).await
    }

    pub(crate) async fn head(&self, message: i32) -> Answer {
        self.ask(Method::HEAD, &path(message), &[]).await
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![("authorization", "Bearer test-token")];
        all.extend_from_slice(headers);
        self.ask_raw(method, path, &all).await
    }

    pub(crate) async fn ask_raw(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        timeout(PATIENCE, async { finish(self.open(method, path, headers).await).await }).await.expect("the hive hangs")
    }

    /// Asks with a JSON body.
    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let ListenAddress::Tcp(address) = *self.hive().address() else { panic!("not on TCP") };
        let mut all = vec![("authorization", "Bearer test-token"), ("content-type", "application/json")];
        all.extend_from_slice(headers);
        let body = Bytes::copy_from_slice(body.as_bytes());
        let answer = async { finish(request_with(address, method, path, &all, body).await).await };
        timeout(PATIENCE, answer).await.expect("the hive hangs")
    }

    /// Sends a request and returns when the head is here; the body is still on its way.
    pub(crate) async fn open(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> http::Response<Incoming> {
        let ListenAddress::Tcp(address) = *self.hive().address() else { panic!("not on TCP") };
        request(address, method, path, headers).await
    }
}

pub(crate) async fn request(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> http::Response<Incoming> {
    request_with(address, method, path, headers, Bytes::new()).await
}

async fn request_with(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> http::Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", "hive");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap()
}

/// Reads the body to its end, however it ends.
pub(crate) async fn finish(response: http::Response<Incoming>) -> Answer {
    let (head, mut incoming) = response.into_parts();
    let (mut body, mut broken) = (Vec::new(), None);
    while let Some(frame) = incoming.frame().await {
        match frame {
            Ok(frame) => body.extend_from_slice(frame.data_ref().unwrap_or(&Bytes::new())),
            Err(error) => {
                broken = Some(error.to_string());
                break;
            }
        }
    }
    Answer { status: head.status, headers: head.headers, body, broken }
}

impl Answer {
    pub(crate) fn fault(&self) -> Option<wire::Fault> {
        wire::Fault::read(&self.headers).ok().map(|(fault, _)| fault)
    }

    /// The body, which must be whole.
    pub(crate) fn whole(self) -> Vec<u8> {
        assert_eq!(self.broken, None, "{} bytes arrived", self.body.len());
        assert!(self.status.is_success(), "{} {:?}", self.status, self.fault());
        self.body
    }
}
