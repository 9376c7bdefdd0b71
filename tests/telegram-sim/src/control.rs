//! The control socket: one JSON object a line in, one JSON object a line out.
//!
//! It's for tests that run the simulator as a program. It listens where it's told to, a Unix socket or loopback, and
//! knows no passwords: whoever reaches it may do anything to the simulated world, and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixListener};

use crate::faults::{Reachability, Rule};
use crate::shape::Shape;
use crate::sim::Sim;
use crate::world_file::DocumentSpec;

/// Longest line taken.
const MAX_LINE: usize = 1 << 20;

/// What can be asked for. `{"do":"add_fault","rule":{…}}` and so on; see the crate's documentation for examples.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    AddFault { rule: Rule },
    RemoveFault { id: u64 },
    ClearFaults,
    Faults,
    Shape { shape: Shape },
    GetShape,
    Reachability { dc: i32, state: Reachability },
    Counters,
    ResetCounters,
    SharedKeys,
    Documents,
    Seeds,
    ReplaceDocument { chat_id: i64, message_id: i32, document: DocumentSpec },
    DeleteMessage { chat_id: i64, message_id: i32 },
    ExpireReferences { document: Option<i64> },
    Ban { account: String, error: Option<String> },
    SpoilSalts,
    NewKey { dc: i32 },
    AcceptLoginToken { account: String },
    ExpireCodes,
    OpenCodes,
    SignedInKeys { account: String },
}

impl Sim {
    /// Runs one line of the control socket and returns the answer's line, without its end: `{"ok":true,…}` or
    /// `{"ok":false,"error":"…"}`. Relative paths are relative to `folder`.
    pub fn control(&self, line: &str, folder: &Path) -> String {
        let answer = serde_json::from_str(line).map_err(|error| error.to_string());
        match answer.and_then(|command| self.obey(command, folder)) {
            Ok(Value::Object(mut fields)) => {
                fields.insert("ok".to_owned(), true.into());
                Value::Object(fields).to_string()
            }
            Ok(result) => json!({ "ok": true, "result": result }).to_string(),
            Err(error) => json!({ "ok": false, "error": error }).to_string(),
        }
    }

    fn obey(&self, command: Command, folder: &Path) -> Result<Value, String> {
        let done = |found: bool, what: &str| if found { Ok(json!({})) } else { Err(format!("there is no {what}")) };
        let text = |error: &dyn std::fmt::Display| error.to_string();
        match command {
            Command::AddFault { rule } => Ok(json!({ "id": self.faults().add(rule) })),
            Command::RemoveFault { id } => done(self.faults().remove(id), "rule of that number"),
            Command::ClearFaults => {
                self.faults().clear();
                Ok(json!({}))
            }
            Command::Faults => {
                let one =
                    |(id, rule): (u64, Rule)| json!({ "id": id, "rule": rule, "matched": self.faults().matched(id) });
                Ok(self.faults().list().into_iter().map(one).collect())
            }
            Command::Shape { shape } => {
                self.set_shape(shape);
                Ok(json!({}))
            }
            Command::GetShape => serde_json::to_value(self.shape()).map_err(|error| text(&error)),
            Command::Reachability { dc, state } => done(self.set_reachability(dc, state), "data-centre of that number"),
            Command::Counters => serde_json::to_value(self.counters().snapshot()).map_err(|error| text(&error)),
            Command::SharedKeys => serde_json::to_value(self.shared_keys()).map_err(|error| text(&error)),
            Command::ResetCounters => {
                self.forget_shared_keys();
                self.counters().reset();
                Ok(json!({}))
            }
            Command::Documents => serde_json::to_value(self.world().documents()).map_err(|error| text(&error)),
            Command::Seeds => serde_json::to_value(self.seeds()).map_err(|error| text(&error)),
            Command::ReplaceDocument { chat_id, message_id, document } => {
                let document = document.load(folder).map_err(|error| text(&error))?;
                let id = self.world().replace_document(chat_id, message_id, document).map_err(|error| text(&error))?;
                Ok(json!({ "document": id }))
            }
            Command::DeleteMessage { chat_id, message_id } => {
                self.world().delete_message(chat_id, message_id).map_err(|error| text(&error))?;
                Ok(json!({}))
            }
            Command::ExpireReferences { document } => {
                self.world().expire_references(document).map_err(|error| text(&error))?;
                Ok(json!({}))
            }
            Command::Ban { account, error } => {
                self.world().ban(&account, error.as_deref()).map_err(|error| text(&error))?;
                Ok(json!({}))
            }
            Command::NewKey { dc } => {
                let key = self.world().new_key(dc).map_err(|error| text(&error))?;
                Ok(json!({ "key": crate::derive::hex(&key) }))
            }
            Command::AcceptLoginToken { account } => {
                self.world().accept_login_token(&account, None).map_err(|error| text(&error))?;
                Ok(json!({}))
            }
            Command::ExpireCodes => {
                self.world().expire_codes();
                Ok(json!({}))
            }
            Command::OpenCodes => Ok(json!({ "codes": self.world().open_codes() })),
            Command::SignedInKeys { account } => {
                let keys = self.world().signed_in_keys(&account).map_err(|error| text(&error))?;
                Ok(json!({ "keys": keys }))
            }
            Command::SpoilSalts => {
                self.world().spoil_salts();
                Ok(json!({}))
            }
        }
    }
}

/// A control socket that listens.
pub struct ControlSocket {
    listener: Listener,
    address: String,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl ControlSocket {
    /// Listens on `unix:PATH` or on `IP:PORT`.
    ///
    /// # Errors
    /// Whatever listening says. A Unix socket's path must be free.
    pub async fn bind(address: &str) -> std::io::Result<Self> {
        if let Some(path) = address.strip_prefix("unix:") {
            let listener = UnixListener::bind(path)?;
            return Ok(Self { listener: Listener::Unix(listener, path.into()), address: address.to_owned() });
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?.to_string();
        Ok(Self { listener: Listener::Tcp(listener), address })
    }

    /// Where it listens, in the form that [`ControlSocket::bind`] takes.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Serves until it's dropped. Relative paths in what's asked are relative to `folder`.
    pub async fn serve(self, sim: Arc<Sim>, folder: PathBuf) {
        loop {
            let (sim, folder) = (Arc::clone(&sim), folder.clone());
            match &self.listener {
                Listener::Tcp(listener) => {
                    if let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(converse(sim, folder, stream));
                    }
                }
                Listener::Unix(listener, _) => {
                    if let Ok((stream, _)) = listener.accept().await {
                        tokio::spawn(converse(sim, folder, stream));
                    }
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

async fn converse(sim: Arc<Sim>, folder: PathBuf, stream: impl AsyncRead + AsyncWrite) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut limited = tokio::io::AsyncReadExt::take(&mut reader, MAX_LINE as u64);
        match limited.read_until(b'\n', &mut line).await {
            Ok(count) if count > 0 && line.ends_with(b"\n") => {}
            _ => return,
        }
        let mut answer = sim.control(String::from_utf8_lossy(&line).trim(), &folder);
        answer.push('\n');
        if writer.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
