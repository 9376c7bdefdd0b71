//! Gateways that took the place of the one that the harness started: its children's children, which nobody else ends.

use crate::{Failure, Stack};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for one to take over.
const PATIENCE: Duration = Duration::from_secs(40);

/// Kills every gateway that runs with these settings when it is dropped.
pub(crate) struct Successors {
    settings: PathBuf,
}

impl Successors {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { settings: folder.join("gateway.toml") }
    }

    /// The processes that were started as `gateway run --config` with these settings.
    fn pids(&self) -> Vec<u32> {
        let is_ours = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.get(1) == Some(&&b"run"[..]) && words.contains(&self.settings.as_os_str().as_encoded_bytes())
        };
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
    }
}

impl Drop for Successors {
    fn drop(&mut self) {
        for pid in self.pids() {
            let _ = send(pid, Signal::KILL);
        }
    }
}

fn send(pid: u32, signal: Signal) -> Result<(), Failure> {
    let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("no process has the number 0")?;
    Ok(kill_process(pid, signal)?)
}

impl Stack {
    /// The process that serves, by the gateway's own pid file.
    #[must_use]
    pub fn serving(&self) -> Option<u32> {
        std::fs::read_to_string(self.folder.path().join("gateway.pid")).ok()?.trim().parse().ok()
    }

    /// Every process of the stack's gateway, replaced ones too.
    #[must_use]
    pub fn gateways(&self) -> Vec<u32> {
        self.successors.pids()
    }

    /// Waits until a gateway serves that is not this one, and gives its number.
    ///
    /// # Errors
    /// When none does within forty seconds.
    pub async fn successor_of(&self, pid: Option<u32>) -> Result<u32, Failure> {
        let look = async {
            loop {
                match self.serving() {
                    Some(serving) if Some(serving) != pid => return serving,
                    _ => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, look).await;
        found.map_err(|_| format!("nobody took over: {}", self.error_log("gateway")).into())
    }

    /// Sends the serving gateway a signal by its number in `kill -l`.
    ///
    /// # Errors
    /// When there is none.
    pub fn signal_gateway(&self, signal: Signal) -> Result<u32, Failure> {
        let pid = self.serving().ok_or("no gateway serves")?;
        send(pid, signal)?;
        Ok(pid)
    }

    /// Sends one of the gateway's processes a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal_process(&self, pid: u32, signal: Signal) -> Result<(), Failure> {
        send(pid, signal)
    }
}
