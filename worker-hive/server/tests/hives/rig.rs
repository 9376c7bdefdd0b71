//! A simulated Telegram, a redis-server, and hives as processes of their own.

use futures_util::StreamExt;
use hive_client::{HiveAddress, HiveClient, HiveConfig};
use secrecy::SecretString;
use serde_json::Value;
use sha2::{Digest, Sha256};
use slice::{ByteRange, ETag, MediaId, OriginBody, SliceOrigin};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use telegram_sim::{Account, Channel, Content, Document, Shape, Sim, World};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const SIZE: u64 = 24 * MIB;
/// Slow enough that much happens while a film is read, on whichever machine.
const WIDTH: u64 = 3 * MIB;
const CHANNEL: i64 = 1_234_567_890;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Rig {
    pub(crate) sim: Sim,
    pub(crate) folder: TempDir,
    redis: Option<Child>,
    /// None for hives that don't know of each other.
    lease: Option<&'static str>,
}

/// A running hive. Dropping it kills it.
pub(crate) struct Hive {
    pub(crate) name: &'static str,
    process: Child,
    listen: String,
    admin: String,
    log: PathBuf,
}

impl Rig {
    /// A world of two bots that see one film, with leases of this length.
    pub(crate) async fn start(lease: &'static str) -> Self {
        let mut rig = Self::without_redis();
        rig.lease = Some(lease);
        rig.start_redis().await;
        rig
    }

    /// Hives that don't know of each other.
    pub(crate) fn without_redis() -> Self {
        let film = Document::generated("film.mkv", 2, SIZE, 7);
        let world = World::new(7)
            .with_channel(Channel::new(CHANNEL, "films").with_document(1, film))
            .with_account(Account::bot("ann", 7001))
            .with_account(Account::bot("ben", 7002));
        let sim = Sim::start(world).unwrap();
        sim.set_shape(Shape { account_bytes_per_second: WIDTH, ..Shape::default() });
        Self { sim, folder: tempfile::tempdir().unwrap(), redis: None, lease: None }
    }

    /// Starts an empty one.
    pub(crate) async fn start_redis(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "redis.sock"])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed: apt-get install redis-server");
        self.redis = Some(process);
        let socket = self.folder.path().join("redis.sock");
        until("redis-server listens", async || tokio::net::UnixStream::connect(&socket).await.is_ok()).await;
    }

    /// `kill -9`.
    pub(crate) fn kill_redis(&mut self) {
        let mut redis = self.redis.take().unwrap();
        redis.kill().unwrap();
        redis.wait().unwrap();
    }

    /// What Redis knows of the accounts.
    pub(crate) fn leases(&self) -> String {
        let socket = self.folder.path().join("redis.sock");
        let words = ["HGETALL", "sv:{leases}:accounts"];
        let output = Command::new("redis-cli").arg("-s").arg(socket).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn configure(&self, name: &str, store: &str) {
        let root = self.folder.path().display();
        let centre = |id: i32| format!("{{ id = {id}, address = \"{}\" }}", self.sim.dc_addr(id).unwrap());
        let mut text = format!(
            "listen = \"127.0.0.1:0\"\ntoken = \"t\"\n[admin]\naddress = \"127.0.0.1:0\"\n[store]\nfolder = \"{root}/{store}\"\n\
             [catalog]\nfile = \"{root}/{name}.catalog\"\n\
             [telegram]\ndevice_model = \"{name}\"\ndata_centres = [{}, {}]\n[pool]\nconnections_per_session = 2\n",
            centre(2),
            centre(4),
        );
        if let Some(lease) = self.lease {
            let url = format!("redis+unix://{root}/redis.sock");
            text += &format!("[redis]\nurl = \"{url}\"\nhive = \"{name}\"\nlease = \"{lease}\"\n");
        }
        write(&self.folder.path().join(format!("{name}.toml")), &text);
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker-hive"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command of a hive's to its end, and returns what it said on standard error.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    }

    /// Brings these accounts into the hive's store, which is made.
    pub(crate) fn import(&self, name: &str, store: &str, accounts: &[&str]) {
        self.configure(name, store);
        for seed in self.sim.seeds() {
            if accounts.contains(&seed.account.as_str()) {
                let file = format!("{name}-{}.json", seed.account);
                write(&self.folder.path().join(&file), &serde_json::to_string(&seed).unwrap());
                self.run(&["import", "--config", &format!("{name}.toml"), "--skip-existing", &file]);
            }
        }
    }

    /// Starts a hive with both accounts in a store of this name.
    pub(crate) fn hive(&self, name: &'static str, store: &str) -> Hive {
        self.import(name, store, &["ann", "ben"]);
        self.spawn(name)
    }

    pub(crate) fn spawn(&self, name: &'static str) -> Hive {
        let log = self.folder.path().join(format!("{name}.log"));
        let stderr = std::fs::File::create(&log).unwrap();
        let config = format!("{name}.toml");
        let mut command = self.command(&["run", "--config", &config]);
        let mut process = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut line = |head: &str| match said.next() {
            Some(Ok(line)) => line.strip_prefix(head).unwrap_or_else(|| panic!("{line}")).to_owned(),
            _ => panic!("{name} said nothing: {}", std::fs::read_to_string(&log).unwrap()),
        };
        let (listen, admin) = (line("LISTEN "), line("ADMIN "));
        Hive { name, process, listen, admin, log }
    }

    /// Waits until each of the hives has one account.
    pub(crate) async fn until_shared(&self, one: &Hive, other: &Hive) {
        until("one account each", async || one.accounts().await.len() == 1 && other.accounts().await.len() == 1).await;
    }

    /// No key was in use by two hives at once.
    pub(crate) fn assert_never_two(&self) {
        assert_eq!(self.sim.shared_keys(), []);
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.redis.is_some() {
            self.kill_redis();
        }
    }
}

impl Hive {
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for it to end by itself.
    pub(crate) async fn ended(&mut self) {
        until("the hive ends", async || self.process.try_wait().unwrap().is_some()).await;
    }

    /// Names of the accounts that it runs.
    pub(crate) async fn accounts(&self) -> Vec<String> {
        let sessions = self.ask("/v1/sessions").await;
        let sessions = sessions["sessions"].as_array().unwrap();
        let runs = |session: &&Value| session["state"] != "disabled";
        sessions.iter().filter(runs).map(|session| session["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Streams that it serves.
    pub(crate) async fn streams(&self) -> u64 {
        let sessions = self.ask("/v1/sessions").await;
        sessions["sessions"].as_array().unwrap().iter().map(|session| session["streams"].as_u64().unwrap()).sum()
    }

    pub(crate) async fn ask(&self, path: &str) -> Value {
        serde_json::from_str(&self.answer(path).await.1).unwrap()
    }

    pub(crate) async fn is_healthy(&self) -> bool {
        self.answer("/healthz").await.0.contains(" 200 ")
    }

    /// Head and body.
    async fn answer(&self, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nhost: h\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Hive {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}:\n{}", self.name, std::fs::read_to_string(&self.log).unwrap_or_default());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A gateway's client of these hives.
pub(crate) fn client(hives: &[&Hive]) -> HiveClient {
    HiveClient::new(HiveConfig {
        addresses: hives.iter().map(|hive| HiveAddress::Tcp(hive.listen.clone())).collect(),
        token: SecretString::from("t"),
        http2: false,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(20),
        idle_timeout: Duration::from_secs(5),
        retry_window: Duration::from_secs(60),
        max_idle: 4,
        hop: None,
    })
    .unwrap()
}

/// A film on its way.
pub(crate) struct Film {
    body: OriginBody,
    hash: Sha256,
    pub(crate) read: u64,
}

impl Film {
    pub(crate) async fn open(client: &HiveClient) -> Self {
        Self::try_open(client).await.expect("the film can't be had")
    }

    /// None when the hives have no bytes of it.
    pub(crate) async fn try_open(client: &HiveClient) -> Option<Self> {
        let media = MediaId::message(-1_000_000_000_000 - CHANNEL, 1);
        let meta = client.describe(media).await.unwrap();
        let whole = ByteRange { start: 0, end: SIZE };
        let body = client.open(media, &ETag::new(meta.etag.as_str()), whole).await.ok()?.body;
        Some(Self { body, hash: Sha256::new(), read: 0 })
    }

    /// Reads on up to here.
    pub(crate) async fn read_to(&mut self, end: u64) {
        while self.read < end {
            let piece = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("a film stands still").unwrap();
            let piece = piece.unwrap();
            self.hash.update(&piece);
            self.read += u64::try_from(piece.len()).unwrap();
        }
    }

    /// Reads the rest, which must be right.
    pub(crate) async fn finish(mut self) {
        self.read_to(SIZE).await;
        let mut bytes = vec![0; usize::try_from(SIZE).unwrap()];
        Content::Generated { seed: 7 }.read_at(0, &mut bytes).unwrap();
        assert!(self.read == SIZE && self.hash.finalize() == Sha256::digest(&bytes), "wrong bytes");
    }
}

/// Asks again until it holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

fn write(path: &Path, text: &str) {
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}
