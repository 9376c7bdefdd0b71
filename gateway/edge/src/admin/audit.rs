//! One line for each change: who, what, from what to what.

use admin_api::Audit;
use serde::Serialize;
use serde_json::Value;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Who sends signals, and who acts by the clock.
pub(crate) const LOCAL: &str = "local";

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    #[serde(flatten)]
    audit: &'a Audit,
}

/// Tells the program's own log, and the file if there is one. The file is opened for each line: changes are rare, and it may be moved away.
pub(crate) async fn write(file: Option<PathBuf>, at: u64, audit: &Audit) {
    let Audit { who, what, target, before, after, status, refused } = audit;
    match refused {
        None => tracing::info!(target: "audit", who, what, target, %before, %after, status, "changed"),
        Some(reason) => tracing::info!(target: "audit", who, what, target, status, reason, "refused"),
    }
    let Some(file) = file else { return };
    let at = crate::columns::time(at);
    let Ok(mut line) = serde_json::to_vec(&Line { at, audit }) else { return };
    line.push(b'\n');
    let path = file.clone();
    let written = tokio::task::spawn_blocking(move || append(&path, &line)).await;
    match written {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(%error, file = %file.display(), "a change could not be written to admin.audit")
        }
        Err(error) => tracing::error!(%error, "a change could not be written to admin.audit"),
    }
}

/// One write: lines of two processes, as during an upgrade, don't mix.
fn append(path: &Path, line: &[u8]) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)?.write_all(line)
}

/// A change that nobody asked the API for.
pub(crate) fn local(what: &'static str, target: &str, after: Value) -> Audit {
    Audit {
        who: LOCAL.to_owned(),
        what,
        target: target.to_owned(),
        before: Value::Null,
        after,
        status: 200,
        refused: None,
    }
}
