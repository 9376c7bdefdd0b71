//! Servers of one test's own, and gateways that use them.

use rates::{FleetConfig, Rate, Rates, Route, RouteRates, Who};
use redis_link::{Login, Server};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// In November 2026.
pub(crate) const UNIX: i64 = 1_795_304_400;
/// More than any test waits for a Redis that is there.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server; it dies with its handle.
pub(crate) struct Redis {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) port: u16,
    arguments: Vec<String>,
    process: Option<Child>,
}

/// A port that was free a moment ago, and whose neighbour for a Cluster's own talk is asked for apart.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

impl Redis {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut redis = Self { folder: tempfile::tempdir().unwrap(), port: free_port(), arguments, process: None };
        redis.run().await;
        redis
    }

    /// A Sentinel that watches one master.
    pub(crate) async fn sentinel(master: u16) -> Self {
        let redis = Self {
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            arguments: vec!["sentinel.conf".to_owned(), "--sentinel".to_owned()],
            process: None,
        };
        let text = format!(
            "sentinel monitor films 127.0.0.1 {master} 1\nsentinel down-after-milliseconds films 300\n\
             sentinel failover-timeout films 2000\n"
        );
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(redis.folder.path().join("sentinel.conf"), text).unwrap();
        let mut redis = redis;
        redis.run().await;
        redis
    }

    pub(crate) async fn run(&mut self) {
        let process = Command::new("redis-server")
            .args(&self.arguments)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed: apt-get install redis-server");
        self.process = Some(process);
        eventually("redis-server answers", async || self.cli("PING").contains("PONG")).await;
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn cli(&self, command: &str) -> String {
        let output =
            Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(command.split(' ')).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn server(&self) -> Server {
        Server::single(&format!("redis://127.0.0.1:{}/", self.port)).unwrap()
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn nobody() -> Login {
    Login::default()
}

/// One gateway's rates, in touch with Redis.
pub(crate) struct Gateway {
    pub(crate) rates: Arc<Rates>,
    start: Instant,
    task: JoinHandle<()>,
}

impl Gateway {
    pub(crate) fn start(server: Server, file: Option<&Path>) -> Self {
        let fleet = FleetConfig { server, prefix: "test".to_owned(), timeout: PATIENCE, gateways: 1 };
        let rates = Arc::new(Rates::new(Some(fleet), file.map(Path::to_owned), UNIX).unwrap());
        let (runner, start) = (rates.clone(), Instant::now());
        let task = tokio::spawn(async move { runner.run(|| start.elapsed(), || UNIX).await });
        Self { rates, start, task }
    }

    pub(crate) fn is_away(&self) -> bool {
        self.rates.stats().redis_away == 1
    }

    pub(crate) async fn sees(&self, gateways: u64) {
        eventually("the gateways see each other", async || !self.is_away() && self.rates.gateways() == gateways).await;
    }

    /// How many of so many requests pass.
    pub(crate) async fn pass(&self, tokens: u32, requests: usize, address: &str) -> usize {
        let rates = RouteRates { address: Some(daily(tokens)), ..RouteRates::default() };
        let who = Who { tenant: "films", address: Some(address), identity: None };
        let mut passed = 0;
        for _ in 0..requests {
            passed += usize::from(self.rates.check(Route::Sign, &rates, &who, self.start.elapsed()).await.is_ok());
        }
        passed
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn daily(tokens: u32) -> Rate {
    Rate::new(tokens, Duration::from_secs(86_400)).unwrap()
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}
