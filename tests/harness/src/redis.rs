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

/// Servers on ports of this machine, in a folder of their own: a Cluster of one node, or a master and the Sentinel that watches it.
pub struct RedisFleet {
    servers: Vec<Redis>,
    ports: Vec<u16>,
    _folder: tempfile::TempDir,
}

impl RedisFleet {
    /// A Cluster whose one node owns all slots.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn cluster() -> Result<Self, Failure> {
        let bus = free_port()?.to_string();
        let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-announce-ip", "127.0.0.1"];
        let fleet = Self::start(&[("node", &arguments)]).await?;
        let [node] = fleet.servers.as_slice() else { return Err("no node".into()) };
        node.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await?;
        while !node.ask(&["CLUSTER", "INFO"]).await?.contains("cluster_state:ok") {
            tokio::time::sleep(LOOK).await;
        }
        Ok(fleet)
    }

    /// A master that a Sentinel knows as `films`. The Sentinel is the second of both.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn with_sentinel() -> Result<Self, Failure> {
        let mut fleet = Self::start(&[("master", &[])]).await?;
        let monitor = format!("sentinel monitor films 127.0.0.1 {} 1\n", fleet.port(0));
        let folder = fleet._folder.path().join("sentinel");
        let file = folder.join("sentinel.conf");
        crate::disk::put(&file, monitor.as_bytes())?;
        let port = free_port()?;
        let (port_text, file) = (port.to_string(), file.to_string_lossy().into_owned());
        let arguments = [&*file, "--sentinel", "--port", &port_text, "--bind", "127.0.0.1"];
        fleet.servers.push(Redis::with(&folder, &arguments).await?);
        fleet.ports.push(port);
        Ok(fleet)
    }

    async fn start(servers: &[(&str, &[&str])]) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("streamvault-redis-").tempdir()?;
        let (mut started, mut ports) = (Vec::new(), Vec::new());
        for (name, more) in servers {
            let place = folder.path().join(name);
            crate::disk::put(&place.join("log"), b"")?;
            let port = free_port()?;
            let text = port.to_string();
            let arguments = ["--port", &text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
            let arguments: Vec<&str> = arguments.into_iter().chain(more.iter().copied()).collect();
            started.push(Redis::with(&place, &arguments).await?);
            ports.push(port);
        }
        Ok(Self { servers: started, ports, _folder: folder })
    }

    /// A server's port.
    #[must_use]
    pub fn port(&self, index: usize) -> u16 {
        self.ports.get(index).copied().unwrap_or_default()
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

impl Redis {
    /// Starts one.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub(crate) async fn start(folder: &Path) -> Result<Self, Failure> {
        Self::with(folder, &["--port", "0", "--save", "", "--appendonly", "no"]).await
    }

    /// One with these arguments before those that every server has.
    async fn with(folder: &Path, arguments: &[&str]) -> Result<Self, Failure> {
        let socket = folder.join("redis.sock");
        let shown = socket.to_string_lossy();
        let log = folder.join("redis.log");
        let dir = folder.to_string_lossy();
        let common = ["--unixsocket", &*shown, "--dir", &*dir, "--logfile", "redis.log", "--daemonize", "no"];
        let arguments: Vec<&str> = arguments.iter().copied().chain(common).collect();
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
