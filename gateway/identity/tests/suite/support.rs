//! Keys made by OpenSSL, and a redis-server of one test's own.

use identity::{SignAlgorithm, SigningKey, Store};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const SECRET: &str = "a secret that nobody guesses, of 32 bytes or more";

/// A file of `tests/keys`.
pub(crate) fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys").join(name)).unwrap()
}

pub(crate) fn key(id: &str, algorithm: SignAlgorithm) -> SigningKey {
    let material = match algorithm {
        SignAlgorithm::Hs256 => SECRET.to_owned(),
        SignAlgorithm::Es256 => file("p256.pem"),
        SignAlgorithm::EdDsa => file("ed25519.pem"),
    };
    SigningKey { id: id.to_owned(), algorithm, material: material.into() }
}

/// Listens on a socket in a temporary folder, keeps nothing on disk, dies with its handle.
pub(crate) struct RedisServer {
    folder: tempfile::TempDir,
    process: Child,
}

impl RedisServer {
    /// One that answers. It is installed by `scripts/setup test`.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(folder.path().join("redis.sock"))
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { folder, process };
        while std::os::unix::net::UnixStream::connect(server.socket()).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    pub(crate) fn store(&self) -> Store {
        let url = format!("redis+unix://{}", self.socket().display());
        Store::redis(redis_link::Server::single(&url).unwrap(), "sv", Duration::from_secs(5))
    }

    /// All that it holds, as text.
    pub(crate) fn dump(&self) -> String {
        let keys = self.cli(&["KEYS", "*"]);
        keys.lines().fold(keys.clone(), |text, key| text + &self.cli(&["HGETALL", key]))
    }

    /// What it answers, as text.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli").arg("-s").arg(self.socket()).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
