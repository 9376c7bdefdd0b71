//! One child process: started, watched for its first lines, ended.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Longest wait for a process to say that it is up, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that did not do what the harness needs.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The binary is not there.
    #[error("{0} is not built: run `cargo build --workspace --bins`, or `make test`, which does")]
    NotBuilt(PathBuf),
    /// A plugin is not there.
    #[error("{0} is missing: run `scripts/guests`, or `make test`, which does")]
    NoPlugin(PathBuf),
    /// The machine has no Redis.
    #[error("redis-server is not installed: run `scripts/setup`")]
    NoRedis,
    /// It could not be started.
    #[error("{0}: {1}")]
    Start(String, std::io::Error),
    /// It ended or fell silent before it said what was waited for.
    #[error("{name} did not say {word:?} (its log: {log})")]
    Silent {
        /// The program.
        name: String,
        /// What it should have said.
        word: String,
        /// The last lines of its standard error.
        log: String,
    },
}

/// A running child. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: PathBuf,
}

/// A binary of the workspace, beside the test that asks.
///
/// # Errors
/// [`ProcessError::NotBuilt`].
pub fn binary(name: &str) -> Result<PathBuf, ProcessError> {
    let path = profile_folder().join(name);
    if path.is_file() { Ok(path) } else { Err(ProcessError::NotBuilt(path)) }
}

/// Cargo's folder for what it builds, above those of its profiles.
pub(crate) fn target_folder() -> PathBuf {
    let mut folder = profile_folder();
    folder.pop();
    folder
}

fn profile_folder() -> PathBuf {
    let mut folder = std::env::current_exe().unwrap_or_default();
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder
}

impl Process {
    /// Starts a program; its standard error is appended to `log`.
    ///
    /// # Errors
    /// [`ProcessError::Start`].
    pub fn start(program: &Path, arguments: &[&str], log: &Path) -> Result<Self, ProcessError> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let failed = |error| ProcessError::Start(name.clone(), error);
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(log).map_err(failed)?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(stderr))
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdout = child.stdout.take().ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { name, child, lines: BufReader::new(stdout).lines(), log: log.to_owned() })
    }

    /// Reads standard output up to a line that starts with `word`; gives the rest of that line.
    ///
    /// # Errors
    /// [`ProcessError::Silent`] when the output ends or twenty seconds pass first.
    pub async fn wait_for(&mut self, word: &str) -> Result<String, ProcessError> {
        let wait = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                if let Some(rest) = line.strip_prefix(word) {
                    return Some(rest.trim().to_owned());
                }
            }
            None
        };
        let said = tokio::time::timeout(PATIENCE, wait).await.ok().flatten();
        said.ok_or_else(|| ProcessError::Silent {
            name: self.name.clone(),
            word: word.to_owned(),
            log: self.log_tail(),
        })
    }

    /// Reads what follows each `word` at a line's start, up to a line that starts with `last`; gives all, and the rest of that last line.
    ///
    /// # Errors
    /// As [`Self::wait_for`].
    pub async fn wait_for_all(&mut self, word: &str, last: &str) -> Result<(Vec<String>, String), ProcessError> {
        let mut all = Vec::new();
        let wait = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                if let Some(rest) = line.strip_prefix(last) {
                    return Some(rest.trim().to_owned());
                }
                all.extend(line.strip_prefix(word).map(|rest| rest.trim().to_owned()));
            }
            None
        };
        match tokio::time::timeout(PATIENCE, wait).await.ok().flatten() {
            Some(rest) => Ok((all, rest)),
            None => Err(ProcessError::Silent { name: self.name.clone(), word: last.to_owned(), log: self.log_tail() }),
        }
    }

    /// The next line of standard output; `None` at its end.
    pub async fn next_line(&mut self) -> Option<String> {
        self.lines.next_line().await.ok().flatten()
    }

    /// Process id; `None` once it ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// True once it ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal by name that it lives on after (`HUP`).
    ///
    /// # Errors
    /// When there is nothing to send it to.
    pub async fn notify(&self, signal: &str) -> std::io::Result<()> {
        let id = self.child.id().ok_or(std::io::ErrorKind::NotFound)?;
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status().await?;
        if sent.success() { Ok(()) } else { Err(std::io::ErrorKind::NotFound.into()) }
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) {
        let _ = self.child.kill().await;
    }

    /// Sends a signal by name (`TERM`, `INT`) and waits for the end; true when it ended by itself with status 0.
    pub async fn signal(mut self, signal: &str) -> bool {
        let Some(id) = self.child.id() else { return false };
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status().await;
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        sent.is_ok_and(|s| s.success()) && matches!(ended, Ok(Ok(status)) if status.success())
    }

    /// Resident set in bytes, by the kernel's word.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()?)).ok()?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))?;
        kib.trim().parse::<u64>().ok()?.checked_mul(1024)
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(20).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}
