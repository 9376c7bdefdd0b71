//! What the tables stand on: simulator, hive and gateway of the harness, with nginx beside the gateway.

use crate::measure::{cpu_seconds, now};
use crate::nginx::Nginx;
use crate::tls::Certificate;
use harness::{Client, Failure, Process, Settings, Stack};
use http::Method;
use http_body_util::BodyExt;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const TOKEN: &str = "bench-token";

pub(crate) struct Rig {
    pub(crate) stack: Stack,
    /// `None` where it is not installed.
    pub(crate) nginx: Option<Nginx>,
    /// What all servers show over TLS.
    pub(crate) certificate: Certificate,
    /// The gateway's second listener.
    tls: SocketAddr,
    folder: TempDir,
}

/// A server: who is asked, and whose processor time that takes.
#[derive(Clone)]
pub(crate) struct Edge {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    /// Where it speaks TLS, if it does.
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) pids: Vec<u32>,
}

/// One request, timed.
pub(crate) struct Fetch {
    pub(crate) first_byte: Duration,
    pub(crate) whole: Duration,
    pub(crate) bytes: u64,
    pub(crate) cache: String,
}

impl Rig {
    pub(crate) async fn start(settings: Settings, beside_nginx: bool) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("streamvault-bench-").tempdir()?;
        // Logs are written as in operation. Media are trusted for long, so that no figure holds a question it is not about.
        let log = folder.path().join("access.log");
        let (certificate, tls) = (Certificate::make(folder.path())?, free_address()?);
        let (chain, key) = (&certificate.chain, &certificate.key);
        let secure = format!("{{ address = \"{tls}\", tls = {{ certificate = {chain:?}, key = {key:?} }} }}");
        let settings = settings
            .gateway("listen", &format!("[{{ address = \"127.0.0.1:0\" }}, {secure}]"))
            .gateway("log.access", &format!("{{ file = {log:?} }}"))
            .gateway("hive.token", &format!("{TOKEN:?}"))
            .gateway("cache.metadata_ttl", "\"1h\"")
            // All viewers come from a few addresses here.
            .gateway("connections.max_per_address", "0")
            .hive("token", &format!("{TOKEN:?}"))
            .hive("cache.location_ttl", "\"1h\"");
        let stack = Stack::start(settings).await?;
        let nginx = if beside_nginx && is_installed("nginx") {
            Some(Nginx::start(&hive_socket(&stack), TOKEN, &certificate).await?)
        } else {
            None
        };
        Ok(Self { stack, nginx, certificate, tls, folder })
    }

    /// The servers at the edge, ours first.
    pub(crate) fn edges(&self) -> Result<Vec<Edge>, Failure> {
        let (client, tls) = (self.stack.client, Some(self.tls));
        let mut edges = vec![Edge { name: "gateway", client, tls, pids: vec![self.gateway_pid()?] }];
        if let Some(nginx) = &self.nginx {
            let (client, tls) = (nginx.client, Some(nginx.tls));
            edges.push(Edge { name: "nginx", client, tls, pids: nginx.pids().to_vec() });
        }
        Ok(edges)
    }

    pub(crate) fn gateway_pid(&self) -> Result<u32, Failure> {
        Ok(self.stack.gateway.as_ref().and_then(Process::id).ok_or("the gateway ended")?)
    }

    pub(crate) fn hive_pid(&self) -> Result<u32, Failure> {
        Ok(self.stack.hive.as_ref().and_then(Process::id).ok_or("the hive ended")?)
    }

    /// A folder for a table's own files, gone with the rig.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Edge {
    /// Asks for a range of a film and reads up to `most` bytes of it, then leaves, as a viewer does who seeks elsewhere.
    pub(crate) async fn fetch(&self, link: &str, range: &str, most: u64) -> Result<Fetch, Failure> {
        self.fetch_as(link, &[("range", range)], most).await
    }

    /// As [`Self::fetch`], with these headers, of which one is the range.
    pub(crate) async fn fetch_as(&self, link: &str, headers: &[(&str, &str)], most: u64) -> Result<Fetch, Failure> {
        let started = now();
        let (status, headers, mut body) = self.client.open(Method::GET, link, headers).await?;
        if status != http::StatusCode::PARTIAL_CONTENT {
            return Err(format!("{} answers {status} to a range", self.name).into());
        }
        let cache = headers.get("x-cache-status").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let mut fetch = Fetch { first_byte: Duration::ZERO, whole: Duration::ZERO, bytes: 0, cache };
        while fetch.bytes < most
            && let Some(frame) = body.frame().await
        {
            let length = frame?.into_data().map_or(0, |data| data.len());
            if fetch.bytes == 0 && length > 0 {
                fetch.first_byte = started.elapsed();
            }
            fetch.bytes += length as u64;
        }
        fetch.whole = started.elapsed();
        Ok(fetch)
    }
}

/// Wall clock and processor time since a moment.
pub(crate) struct Meter<'a> {
    started: Instant,
    cpu: f64,
    pids: &'a [u32],
}

impl<'a> Meter<'a> {
    pub(crate) fn start(pids: &'a [u32]) -> Result<Self, Failure> {
        Ok(Self { cpu: cpu_seconds(pids)?, started: now(), pids })
    }

    /// Seconds on the wall, seconds of processor.
    pub(crate) fn stop(&self) -> Result<(f64, f64), Failure> {
        let wall = self.started.elapsed().as_secs_f64();
        Ok((wall, cpu_seconds(self.pids)? - self.cpu))
    }
}

/// Known to be free a moment ago: for who can't be asked which port it took.
pub(crate) fn free_address() -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// True where a program is on the path.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Where the harness has its hive listen: beside the gateway's cache.
fn hive_socket(stack: &Stack) -> PathBuf {
    stack.cache_folder().with_file_name("hive.sock")
}

#[expect(clippy::disallowed_methods, reason = "settings and lists of requests in folders of our own")]
pub(crate) fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    Ok(std::fs::write(path, bytes)?)
}
