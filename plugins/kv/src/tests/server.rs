//! A redis-server of one test's own.

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Listens on a socket in a temporary folder, keeps nothing on disk, dies with its handle.
pub(super) struct RedisServer {
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// A server that answers.
    pub(super) async fn start() -> Self {
        let mut server = Self::absent();
        server.run().await;
        server
    }

    /// One that is yet to be started.
    pub(super) fn absent() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), process: None }
    }

    pub(super) async fn run(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(self.socket())
            .current_dir(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed: apt-get install redis-server");
        self.process = Some(process);
        let client = self.client();
        super::eventually("redis-server answers", async || match client.get_multiplexed_async_connection().await {
            Ok(mut connection) => redis::cmd("PING").query_async::<String>(&mut connection).await.is_ok(),
            Err(_) => false,
        })
        .await;
    }

    pub(super) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(super) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn client(&self) -> Client {
        Client::open(self.url()).unwrap()
    }

    pub(super) async fn connect(&self) -> MultiplexedConnection {
        self.client().get_multiplexed_async_connection().await.unwrap()
    }

    /// One command, as an operator would type it; no argument has a blank.
    pub(super) async fn cli<T: FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut cmd = Cmd::new();
        words.by_ref().for_each(|word| {
            cmd.arg(word);
        });
        cmd.query_async(&mut self.connect().await).await.unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
