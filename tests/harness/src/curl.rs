//! Viewers that are somebody else's programs: curl and Chromium, over TLS, with names that lead to this machine.

use crate::Failure;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// Asks by name, and believes one root only.
#[derive(Clone, Debug)]
pub struct Curl {
    /// PEM file of the root.
    pub root: PathBuf,
    /// Where every name leads.
    pub address: SocketAddr,
}

/// What curl got.
#[derive(Clone, Debug)]
pub struct Got {
    /// The answer's status; 0 without one.
    pub status: u16,
    /// `2` or `1.1`.
    pub version: String,
    /// Curl's own exit status: 35 is a handshake that failed, 60 a certificate that nobody believes.
    pub exit: i32,
    /// Head lines, in lower case up to the colon.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// Curl's complaints.
    pub error: String,
}

impl Got {
    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Curl {
    /// GET of `https://HOST` or `http://HOST` and a target, with more of curl's options.
    ///
    /// # Errors
    /// When curl can't be run. That it got nothing is in [`Got::exit`].
    pub async fn get(&self, scheme: &str, host: &str, target: &str, more: &[&str]) -> Result<Got, Failure> {
        let folder = tempfile::tempdir()?;
        let (head, body) = (folder.path().join("head"), folder.path().join("body"));
        let port = if scheme == "https" { 443 } else { 80 };
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "60", "--noproxy", "*", "--path-as-is", "-w", "%{http_code} %{http_version}"])
            .arg("--connect-to")
            .arg(format!("{host}:{port}:{}", self.address))
            .arg("--cacert")
            .arg(&self.root)
            .arg("-D")
            .arg(&head)
            .arg("-o")
            .arg(&body)
            .args(more)
            .arg(format!("{scheme}://{host}{target}"))
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (status, version) = said.split_once(' ').unwrap_or(("0", ""));
        Ok(Got {
            status: status.parse().unwrap_or(0),
            version: version.to_owned(),
            exit: output.status.code().unwrap_or(-1),
            headers: headers(&head),
            body: std::fs::read(&body).unwrap_or_default(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// What Chromium makes of pages, believing one root only: its DOM, or the page that it shows instead.
///
/// # Errors
/// When Chromium or certutil is not installed, or fails.
pub async fn browse(root: &Path, address: SocketAddr, urls: &[&str]) -> Result<Vec<String>, Failure> {
    let home = tempfile::tempdir()?;
    let database = home.path().join(".pki/nssdb");
    std::fs::create_dir_all(&database)?;
    let database = format!("sql:{}", database.display());
    let root = root.display().to_string();
    run(Command::new("certutil").args(["-N", "--empty-password", "-d", &database])).await?;
    run(Command::new("certutil").args(["-A", "-t", "C,,", "-n", "test", "-i", &root, "-d", &database])).await?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = ["chromium", "chromium-browser", "google-chrome"]
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)))
        .find(|file| file.is_file());
    let chromium = found.ok_or("Chromium is not installed: run scripts/setup test")?;
    let mut pages = Vec::new();
    for url in urls {
        let mut command = Command::new(&chromium);
        command.env("HOME", home.path()).args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic"]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
        command.args(["--disable-sync", "--dump-dom"]);
        command.arg(format!("--user-data-dir={}", home.path().join("profile").display()));
        command.arg(format!("--host-resolver-rules=MAP *.test:443 {address}, MAP * ~NOTFOUND")).arg(url);
        pages.push(run(&mut command).await?);
    }
    Ok(pages)
}

async fn run(command: &mut Command) -> Result<String, Failure> {
    let shown = command.as_std().get_program().to_string_lossy().into_owned();
    let output = tokio::time::timeout(Duration::from_secs(60), command.kill_on_drop(true).output()).await?;
    let output = output.map_err(|error| format!("{shown}: {error}; run scripts/setup test"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{shown}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

fn headers(file: &Path) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let pair = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    text.lines().filter_map(pair).collect()
}
