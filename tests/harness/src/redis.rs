//! A Redis of the stack's own, on a socket in its folder.

use crate::Failure;
use crate::process::{Process, ProcessError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// How often a Redis that starts is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A running server. Dropping it kills it; what it held is gone.
pub struct Redis {
    process: Process,
    socket: PathBuf,
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub(crate) async fn start(folder: &Path) -> Result<Self, Failure> {
        let socket = folder.join("redis.sock");
        let shown = socket.to_string_lossy();
        let log = folder.join("redis.log");
        let arguments = ["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", &shown, "--dir"];
        let dir = folder.to_string_lossy();
        let arguments: Vec<&str> =
            arguments.into_iter().chain([&*dir, "--logfile", "redis.log", "--daemonize", "no"]).collect();
        let mut process = Process::start(Path::new("redis-server"), &arguments, &log).map_err(missing)?;
        while tokio::net::UnixStream::connect(&socket).await.is_err() {
            if process.has_ended() {
                return Err(format!("redis-server ended: {}", std::fs::read_to_string(&log).unwrap_or_default()).into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(Self { process, socket })
    }

    /// For the settings of a gateway elsewhere.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket.display())
    }

    /// `kill -9`.
    pub async fn kill(self) {
        self.process.kill().await;
    }

    /// What `redis-cli` prints for a command.
    ///
    /// # Errors
    /// When the command fails.
    pub async fn ask(&self, words: &[&str]) -> Result<String, Failure> {
        let output = Command::new("redis-cli").arg("-s").arg(&self.socket).arg("-e").args(words).output().await?;
        let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        let error = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
        if output.status.success() { Ok(text) } else { Err(format!("redis-cli: {text}{error}").into()) }
    }
}

fn missing(error: ProcessError) -> ProcessError {
    match error {
        ProcessError::Start(_, error) if error.kind() == std::io::ErrorKind::NotFound => ProcessError::NoRedis,
        other => other,
    }
}
