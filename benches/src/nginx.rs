//! The rival at the edge: the system's nginx as a slice cache with signed links, over the same hive.

use crate::measure::children;
use crate::rig::free_address;
use crate::tls::Certificate;
use harness::{Client, Failure, Process, SECRET};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const SETTINGS: &str = include_str!("../load/nginx.conf");

/// A running nginx with one worker.
pub(crate) struct Nginx {
    pub(crate) client: Client,
    /// Where it speaks TLS.
    pub(crate) tls: SocketAddr,
    master: u32,
    workers: Vec<u32>,
    /// Dropped after `drop` had all processes end.
    _process: Process,
    _folder: TempDir,
}

impl Nginx {
    /// Starts it with an empty cache on the disk of temporary files, where the gateway's is too.
    pub(crate) async fn start(hive: &Path, token: &str, certificate: &Certificate) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("streamvault-nginx-").tempdir()?;
        let (address, tls) = (free_address()?, free_address()?);
        // Without it, root's nginx gives its worker to a user who can open neither the cache nor the hive's socket.
        let user = if std::fs::metadata(folder.path())?.uid() == 0 { "user root;" } else { "" };
        let mut settings = SETTINGS.to_owned();
        for (name, value) in [
            ("@user@", user),
            ("@folder@", &folder.path().to_string_lossy()),
            ("@listen@", &address.to_string()),
            ("@tls@", &tls.to_string()),
            ("@certificate@", &certificate.chain.to_string_lossy()),
            ("@key@", &certificate.key.to_string_lossy()),
            ("@hive@", &hive.to_string_lossy()),
            ("@token@", token),
            ("@secret@", SECRET),
        ] {
            settings = settings.replace(name, value);
        }
        let path = folder.path().join("nginx.conf");
        crate::rig::put(&path, settings.as_bytes())?;
        let log = folder.path().join("error.log");
        let arguments = ["-e", &log.to_string_lossy(), "-c", &path.to_string_lossy()];
        let process = Process::start(Path::new("nginx"), &arguments, &log)?;
        let master = process.id().ok_or("nginx ended at once")?;
        for _ in 0..1000 {
            let workers: Vec<u32> = children(master).into_iter().filter(|pid| is_worker(*pid)).collect();
            if !workers.is_empty() && tokio::net::TcpStream::connect(address).await.is_ok() {
                let client = Client { address };
                return Ok(Self { client, tls, master, workers, _process: process, _folder: folder });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(format!("nginx does not come up: {}", std::fs::read_to_string(&log).unwrap_or_default()).into())
    }

    /// The processes whose time counts: not the master and its keepers of the cache, which have little to do.
    pub(crate) fn pids(&self) -> &[u32] {
        &self.workers
    }
}

fn is_worker(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with("nginx: worker"))
}

impl Drop for Nginx {
    /// Its children outlive a master that is killed, so it is asked to end, and given the time to end them.
    fn drop(&mut self) {
        let _ = std::process::Command::new("kill").arg("-TERM").arg(self.master.to_string()).status();
        for _ in 0..400 {
            if children(self.master).is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
