//! An ACME server of the tests' own, and the names that lead to the gateways it validates: see `tests/acme/server.py`.

use crate::process::Process;
use crate::{Failure, Settings, disk};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

/// A running server. Dropping it kills it.
pub struct AcmeServer {
    folder: TempDir,
    directory: String,
    _process: Process,
}

impl AcmeServer {
    /// Starts one, with a root and a memory of its own.
    ///
    /// # Errors
    /// When its Python environment can't be made, or it does not come up.
    pub async fn start() -> Result<Self, Failure> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../acme");
        let output = Command::new(scripts.join("setup.sh")).output().await?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let python = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        let folder = tempfile::Builder::new().prefix("streamvault-acme").tempdir()?;
        let (script, shown) = (scripts.join("server.py"), folder.path().to_string_lossy().into_owned());
        let log = folder.path().join("server.log");
        let mut process = Process::start(&python, &["-u", &script.to_string_lossy(), &shown], &log)?;
        let directory = process.wait_for("LISTEN").await?;
        Ok(Self { folder, directory, _process: process })
    }

    /// Lets the stack's gateway order here, by these challenges (as TOML).
    #[must_use]
    pub fn for_gateway(&self, settings: Settings, challenges: &str) -> Settings {
        self.keys(challenges).into_iter().fold(settings, |settings, (key, value)| settings.gateway(key, &value))
    }

    /// The same settings by themselves.
    #[must_use]
    pub fn keys(&self, challenges: &str) -> [(&'static str, String); 5] {
        [
            ("certificates.acme.directory", format!("{:?}", self.directory)),
            ("certificates.acme.root", format!("\"{}\"", self.root().display())),
            ("certificates.acme.terms_agreed", "true".to_owned()),
            ("certificates.acme.contact", "[\"ops@streamvault.test\"]".to_owned()),
            ("certificates.acme.challenges", challenges.to_owned()),
        ]
    }

    /// What vouches for the server, and for the certificates it issues.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Where ports 80 and 443 of every name lead from now on. Challenges wait until they are known.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn lead(&self, http: SocketAddr, https: SocketAddr) -> Result<(), Failure> {
        let ports = serde_json::json!({ "80": http.port(), "443": https.port() });
        let new = self.folder.path().join("ports.new");
        disk::put(&new, &serde_json::to_vec(&ports)?)?;
        Ok(std::fs::rename(new, self.folder.path().join("ports.json"))?)
    }

    /// From how many seconds ago to how many from now the next certificates are good.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn set_validity(&self, ago: u64, from_now: u64) -> Result<(), Failure> {
        disk::put(&self.folder.path().join("validity.json"), format!("[{ago}, {from_now}]").as_bytes())
    }

    /// The names of each order that anybody asked for, in the order they came.
    #[must_use]
    pub fn orders(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.folder.path().join("orders.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// What it wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}
