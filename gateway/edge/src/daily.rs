//! The day's report: counted as requests end, put away so that a restart costs nothing, told when the day is over.

use crate::access_log::Entry;
use crate::clock;
use crate::edge::Edge;
use crate::outcome::Outcome;
use config::gateway::DailyReport;
use http::StatusCode;
use report::{CacheUse, Dead, Ended, Kept, Ledger, Report, Storage, Verdict};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How often the day so far is put away.
const KEEP: Duration = Duration::from_secs(60);
/// How long the command may take that posts a report.
const POST: Duration = Duration::from_secs(60);
/// Bytes of the largest file that is read.
const LARGEST: u64 = 64 << 20;
const STATE: &str = "today.state";

/// Counts days and tells of them.
pub(crate) struct Daily {
    pub(crate) ledger: Ledger,
    settings: DailyReport,
    /// The folder, and telling of days, are another process's.
    handed_over: AtomicBool,
}

impl Daily {
    /// Goes on with the day that the process before put away.
    pub(crate) fn open(settings: &DailyReport) -> Result<Self> {
        let mut kept = None;
        if let Some(folder) = &settings.folder {
            match std::fs::create_dir(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            match read(&folder.join(STATE)) {
                Ok(text) => match serde_json::from_str::<Kept>(&text) {
                    Ok(state) => kept = Some(state),
                    Err(error) => tracing::warn!(%error, "the day so far can't be read, and is counted anew"),
                },
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let handed_over = AtomicBool::new(false);
        Ok(Self { ledger: Ledger::new(clock::unix(), kept), settings: settings.clone(), handed_over })
    }

    /// Counts a request that ended.
    pub(crate) fn note(&self, entry: &Entry, outcome: Outcome, now: i64) {
        let dead = match outcome {
            Outcome::MediaNotFound => Some(Dead::NotFound),
            Outcome::MediaGone => Some(Dead::Gone),
            _ => None,
        };
        self.ledger.note(&Ended {
            now,
            tenant: entry.tenant.as_ref(),
            viewer: entry.viewer.as_deref().or(entry.remote.as_deref()),
            verdict: verdict(outcome),
            cache: entry.cache.map(cache_use),
            bytes: entry.bytes,
            dead: dead.and_then(|dead| Some((dead, entry.media?.to_string()))),
        });
    }

    /// The day so far.
    pub(crate) fn today(&self, storage: Storage) -> Report {
        self.ledger.today(clock::unix(), storage, self.settings.dead_links)
    }

    /// A day that is over, out of its file.
    pub(crate) fn read(&self, day: &str) -> Result<Report> {
        let folder = self.settings.folder.as_ref().ok_or_else(|| Error::other("report.folder is not set"))?;
        let plain = day.len() == 10 && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        if !plain {
            return Err(Error::new(ErrorKind::InvalidInput, "a day is written 2026-11-22"));
        }
        serde_json::from_str(&read(&folder.join(format!("{day}.json")))?).map_err(Error::other)
    }

    /// Puts the day so far away for the process that takes over, which goes on with it. What ends here from now on is in no report. Blocks on the
    /// disk.
    pub(crate) fn hand_over(&self) {
        self.keep();
        self.handed_over.store(true, Ordering::Release);
    }

    /// The day is this process's again, with what has ended here meanwhile.
    pub(crate) fn take_back(&self) {
        self.handed_over.store(false, Ordering::Release);
    }

    fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    /// Puts the day so far away. Blocks on the disk.
    pub(crate) fn keep(&self) {
        if self.is_handed_over() {
            return;
        }
        let Some(folder) = &self.settings.folder else { return };
        let Some(kept) = self.ledger.keep() else { return };
        let written = serde_json::to_string(&kept).map_err(Error::other).and_then(|text| put(folder, STATE, &text));
        if let Err(error) = written {
            tracing::warn!(%error, "the day so far can't be put away; a restart will count it anew");
        }
    }

    /// Tells of a day that is over.
    async fn tell(&self, report: &Report) {
        if let Some(folder) = &self.settings.folder {
            let text = serde_json::to_string_pretty(report).map_err(Error::other);
            if let Err(error) = text.and_then(|text| put(folder, &format!("{}.json", report.day), &text)) {
                tracing::error!(%error, day = report.day, "the day's report can't be written");
            }
        }
        if let [program, arguments @ ..] = self.settings.command.as_slice() {
            match tokio::time::timeout(POST, post(program, arguments, report.to_string())).await {
                Ok(Ok(())) => tracing::info!(day = report.day, "the day's report was posted"),
                Ok(Err(error)) => tracing::error!(%error, day = report.day, "the day's report can't be posted"),
                Err(_) => tracing::error!(day = report.day, "report.command took longer than a minute"),
            }
        }
    }
}

impl Edge {
    /// The cache's disk, for a report.
    pub(crate) fn storage(&self) -> Storage {
        let stats = self.cache.stats();
        Storage { bytes_on_disk: stats.bytes_on_disk, max_size: self.live.max_size(), media: stats.media }
    }

    /// Runs for as long as the gateway does.
    pub(crate) async fn tell_of_days(&self) {
        loop {
            tokio::time::sleep(KEEP).await;
            if self.daily.is_handed_over() {
                continue;
            }
            let done = self.daily.ledger.take_done(clock::unix(), self.storage(), self.daily.settings.dead_links);
            if let Some(done) = done {
                self.daily.tell(&done).await;
            }
            self.daily.keep();
        }
    }
}

/// Runs a program with a message on its standard input. What it says goes to the log.
async fn post(program: &str, arguments: &[String], message: String) -> Result<()> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // Who doesn't read it may know why.
        let _ = input.write_all(message.as_bytes()).await;
    }
    let output = child.wait_with_output().await?;
    if output.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).trim_end().chars().take(500).collect();
    Err(Error::other(format!("{}: {said}", output.status)))
}

/// What a report calls an ending.
fn verdict(outcome: Outcome) -> Verdict {
    let busy = matches!(outcome, Outcome::Suspended | Outcome::TenantStreams);
    match outcome.status() {
        None if outcome == Outcome::BodyCut => Verdict::Failed,
        None => Verdict::Served,
        Some(status) if status.is_server_error() && !busy => Verdict::Failed,
        Some(StatusCode::FOUND) => Verdict::Served,
        Some(_) => Verdict::Refused,
    }
}

/// Whether a request to the hive was made for the answer.
fn cache_use(status: &str) -> CacheUse {
    match status {
        "HIT" | "JOINED" | "STALE" | "UPDATING" | "REVALIDATED" => CacheUse::Hit,
        _ => CacheUse::Miss,
    }
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file whole or not at all.
#[expect(clippy::disallowed_methods, reason = "this file owns the folder of reports")]
fn put(folder: &Path, name: &str, text: &str) -> Result<()> {
    let new: PathBuf = folder.join(format!("{name}.new"));
    std::fs::write(&new, text)?;
    std::fs::rename(&new, folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::{Daily, cache_use, verdict};
    use crate::access_log::Entry;
    use crate::clock;
    use crate::outcome::Outcome;
    use config::gateway::DailyReport;
    use report::{CacheUse, Storage, Verdict};

    #[test]
    fn endings_count_as_operators_would_count_them() {
        for (outcome, wanted) in [
            (Outcome::Served, Verdict::Served),
            (Outcome::ClientGone, Verdict::Served),
            (Outcome::Redirected, Verdict::Served),
            (Outcome::LinkExpired, Verdict::Refused),
            (Outcome::TenantStreams, Verdict::Refused),
            (Outcome::Suspended, Verdict::Refused),
            (Outcome::HiveBusy, Verdict::Failed),
            (Outcome::BodyCut, Verdict::Failed),
            (Outcome::Internal, Verdict::Failed),
        ] {
            assert_eq!(verdict(outcome), wanted, "{}", outcome.word());
        }
        assert_eq!((cache_use("HIT"), cache_use("PARTIAL")), (CacheUse::Hit, CacheUse::Miss));
    }

    #[tokio::test]
    async fn days_are_put_away_told_and_posted() {
        let folder = tempfile::tempdir().unwrap();
        let posted = folder.path().join("posted");
        let settings = DailyReport {
            folder: Some(folder.path().join("reports")),
            command: vec!["/bin/sh".to_owned(), "-c".to_owned(), format!("cat > {}", posted.display())],
            ..DailyReport::default()
        };
        let first = Daily::open(&settings).unwrap();
        first.note(&Entry { bytes: 5, ..Entry::default() }, Outcome::Served, clock::unix());
        first.keep();
        let second = Daily::open(&settings).unwrap();
        second.note(&Entry { bytes: 7, ..Entry::default() }, Outcome::Served, clock::unix());
        let report = second.today(Storage::default());
        assert_eq!((report.sums.served, report.sums.bytes), (2, 12));
        second.tell(&report).await;
        assert_eq!(second.read(&report.day).unwrap(), report);
        assert_eq!(std::fs::read_to_string(&posted).unwrap(), report.to_string());
        for day in ["../../etc", "2026-11-2", "1999-01-01"] {
            assert!(second.read(day).is_err(), "{day}");
        }
        // What a process counts that was replaced is not written over what the next one has.
        second.hand_over();
        let third = Daily::open(&settings).unwrap();
        third.note(&Entry { bytes: 1, ..Entry::default() }, Outcome::Served, clock::unix());
        third.keep();
        second.note(&Entry { bytes: 100, ..Entry::default() }, Outcome::Served, clock::unix());
        second.keep();
        assert_eq!(Daily::open(&settings).unwrap().today(Storage::default()).sums.bytes, 13);
        // A file that somebody spoilt is no reason not to start.
        std::fs::File::create(folder.path().join("reports/today.state")).unwrap();
        assert_eq!(Daily::open(&settings).unwrap().today(Storage::default()).sums.served, 0);
    }
}
