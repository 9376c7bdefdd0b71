//! The rivals at Telegram: Python clients from PyPI, unmodified, each a process that downloads when told.

use crate::rig::put;
use harness::Failure;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use telegram_sim::{SessionSeed, rsa_public_pem};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Longest wait for one answer of a client.
const PATIENCE: Duration = Duration::from_secs(180);

/// A client that is signed in and knows its film.
pub(crate) struct PythonClient {
    pub(crate) pid: u32,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// Ends with this.
    _child: Child,
}

/// The interpreter that has the clients; made on the first use.
pub(crate) async fn python() -> Result<PathBuf, Failure> {
    let setup = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/telegram-sim/clients/setup.sh");
    let output = Command::new(setup).output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().last().unwrap_or("no Python environment").into());
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

impl PythonClient {
    /// Starts `clients/{name}_download.py` as this account of a simulator's.
    pub(crate) async fn start(
        python: &Path,
        name: &str,
        seed: &SessionSeed,
        message: i32,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let home = seed.dcs.iter().find(|dc| dc.id == seed.home_dc).ok_or("no data-centre")?;
        let job = json!({
            "ip": home.ip,
            "port": home.port,
            "dc": seed.home_dc,
            "api_id": seed.api_id,
            "api_hash": seed.api_hash,
            "rsa": rsa_public_pem(),
            "auth_key": seed.auth_keys.get(&seed.home_dc).ok_or("no key")?,
            "user_id": seed.user_id,
            "message": message,
        });
        let path = folder.join(format!("{name}.json"));
        put(&path, &serde_json::to_vec(&job)?)?;
        let log = std::fs::File::create(folder.join(format!("{name}.log")))?;
        let mut child = Command::new(python)
            .arg(format!("{}/clients/{name}_download.py", env!("CARGO_MANIFEST_DIR")))
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = child.stdout.take().ok_or("no output")?;
        let pid = child.id().ok_or("the client ended at once")?;
        let mut client = Self { pid, input, lines: BufReader::new(output).lines(), _child: child };
        if client.answer("READY").await.is_err() {
            let log = std::fs::read_to_string(folder.join(format!("{name}.log"))).unwrap_or_default();
            return Err(format!("{name} does not sign in: {}", log.lines().last().unwrap_or_default()).into());
        }
        Ok(client)
    }

    /// Downloads the film's first bytes; gives how many came.
    pub(crate) async fn download(&mut self, bytes: u64) -> Result<u64, Failure> {
        self.input.write_all(format!("{bytes}\n").as_bytes()).await?;
        Ok(self.answer("DONE").await?.trim().parse()?)
    }

    /// The rest of the next line that starts with `word`; clients greet on standard output too.
    async fn answer(&mut self, word: &str) -> Result<String, Failure> {
        let wait = async {
            while let Some(line) = self.lines.next_line().await? {
                if let Some(rest) = line.strip_prefix(word) {
                    return Ok(rest.to_owned());
                }
            }
            Err(Failure::from("the client ended"))
        };
        tokio::time::timeout(PATIENCE, wait).await?
    }
}
