//! SIGQUIT: another process takes this one's place, of the binary that stands now where this one was started from.
//!
//! This process starts it and waits for it, and goes on serving meanwhile. Up to the moment when the other one says that it serves, nothing is
//! given up that can't be taken back: if it can't read its settings, crashes, or takes too long, this one goes on as if nothing had been.
//!
//! What becomes of each state of the process. Between `yours` and `serving` it is in the other one's hands, although that one does not serve yet:
//!
//! | state | how the other one has it | what this one does from `yours` on |
//! | --- | --- | --- |
//! | listening sockets | passed | accepts until `serving` |
//! | cache folder | read anew; open films are shared | reads and fills what it has open (`cache/src/handover.rs`) |
//! | takedowns | read anew, then told | goes by them, takes new ones, tells them; saves none |
//! | place in the log of purges | read anew, then heard from Redis | writes none |
//! | purges | told, and heard from Redis | does them, tells them |
//! | revocations | told, all of them | goes by them, tells new ones |
//! | settings, plugins | read anew at its start, and once more before it serves | refuses to change them |
//! | tenants of the API | read anew, then heard from Redis | refuses to change them; hears of changes, saves none |
//! | certificates | read anew from files or their store | goes on with those it has, and orders |
//! | a month's bytes | read anew, under the same name | counts on under a name of its own, which is told to Redis alone |
//! | streams over all gateways | begun anew, under the gateway's name | goes on with its own, under a name of its own |
//! | rates without Redis, limits of one gateway | begun anew | goes on with its own |
//! | the day's report | read anew | counts what is in no report |
//! | sessions, one-time links without Redis | begun anew: viewers sign in again | goes on with its own |
//! | metrics | begun anew | nobody reads them |

use crate::edge::Edge;
use crate::kin::{Link, Side, Word};
use crate::lifecycle::Phase;
use crate::sockets::Inherited;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The flag that tells a gateway whose place it takes.
pub(crate) const FLAG: &str = "--upgrade";
/// Longest wait for the other one to read its settings and to compile its plugins.
const PREPARATION: Duration = Duration::from_secs(180);
/// Longest wait for disk calls under way.
const DISK: Duration = Duration::from_secs(20);
/// Longest wait for the other one to look through the cache folder, during which this one serves past it.
const OPENING: Duration = Duration::from_secs(300);
/// How often a wait looks whether this process is to end.
const LOOK: Duration = Duration::from_millis(200);

/// No process has this number.
const CUT_SHORT: u32 = u32::MAX;

/// What a successor is started with.
pub(crate) struct Upgrade {
    binary: PathBuf,
    arguments: Vec<OsString>,
    sockets: parking_lot::Mutex<Vec<Inherited>>,
    /// The process id of one that is being started and does not serve yet, else 0; [`CUT_SHORT`] once there is to be none.
    starting: AtomicU32,
}

/// Why nobody took over.
#[derive(Debug, thiserror::Error)]
enum UpgradeError {
    #[error("it can't be started: {0}")]
    Start(#[source] io::Error),
    #[error("{0}")]
    Link(#[from] io::Error),
    #[error("it has ended; its own log says why")]
    Ended,
    #[error("it took too long")]
    Late,
    #[error("this one is told to end")]
    Ending,
    #[error("it said something else")]
    Confused,
    #[error("the cache's disk is stuck")]
    Disk,
    #[error("the disk of takedown.file is stuck")]
    Takedowns,
    #[error("a reload or a change of a tenant takes too long")]
    Busy,
    #[error("this one was told to end before it heard that the other one serves")]
    TooLate,
}

impl Upgrade {
    /// Notes how this process was started. To be called early: the working folder and the search path count as they were.
    pub(crate) fn new(sockets: Vec<Inherited>) -> Self {
        let mut arguments = std::env::args_os();
        let name = arguments.next().unwrap_or_default();
        let here = std::env::current_dir().unwrap_or_default();
        let search = std::env::var_os("PATH").unwrap_or_default();
        let found = binary(&name, &here, &search, Path::is_file);
        // Where a link leads to by now, rather than where it led to then.
        let binary = found.or_else(|| std::env::current_exe().ok()).unwrap_or_else(|| PathBuf::from(name));
        let arguments = arguments.filter(|argument| argument != FLAG).collect();
        Self { binary, arguments, sockets: parking_lot::Mutex::new(sockets), starting: AtomicU32::new(0) }
    }

    /// This process ends at once: one that it is starting would be left behind, and go on to serve. From now on it starts none.
    pub(crate) fn cut_short(&self) {
        let pid = self.starting.swap(CUT_SHORT, Ordering::AcqRel);
        if pid != 0 && pid != CUT_SHORT {
            signal(pid, Signal::INT);
        }
    }

    /// Starts a successor, from a thread of its own.
    pub(crate) fn begin(self: &Arc<Self>, edge: &Arc<Edge>) {
        if std::process::id() == 1 {
            tracing::error!(
                "SIGQUIT: ignored, as the container ends with its first process: start a new container, or give this one an init"
            );
            return;
        }
        if !edge.lifecycle.begin_upgrade() {
            tracing::warn!("SIGQUIT: ignored, another gateway takes over already");
            return;
        }
        let (upgrade, edge) = (self.clone(), edge.clone());
        let lifecycle = edge.lifecycle.clone();
        let run = move || upgrade.run(&edge);
        if let Err(error) = std::thread::Builder::new().name("upgrade".to_owned()).spawn(run) {
            tracing::error!(%error, "SIGQUIT: nothing was changed");
            lifecycle.abandon_upgrade();
        }
    }

    fn run(&self, edge: &Arc<Edge>) {
        tracing::info!(binary = %self.binary.display(), "SIGQUIT: starting the gateway that is to take over");
        let (link, mut child) = match self.start() {
            Ok(started) => started,
            Err(error) => {
                tracing::error!(%error, "nobody took over; this gateway goes on");
                return edge.lifecycle.abandon_upgrade();
            }
        };
        let pid = child.id();
        let is_wanted = self.starting.compare_exchange(0, pid, Ordering::AcqRel, Ordering::Acquire).is_ok();
        let handed_over = if is_wanted { self.hand_over(edge, &link, pid) } else { Err(UpgradeError::Ending) };
        let was_cut_short = self.starting.compare_exchange(pid, 0, Ordering::AcqRel, Ordering::Acquire).is_err();
        match handed_over {
            Err(error) if was_cut_short => {
                // Nothing is taken back by a process that is ending this very moment.
                tracing::warn!(%error, pid, "nobody took over");
                let _ = child.kill();
                let _ = child.wait();
            }
            Ok(()) => {
                edge.acts.kin.listen(Side::Successor, &link);
                edge.acts.kin.leave(Side::Successor);
                // If it is gone, it is not to stay as a zombie.
                let _ = child.try_wait();
            }
            Err(error @ UpgradeError::TooLate) => {
                // It may have begun to serve somebody, and has all that is to be saved: it ends in order, as this one does.
                tracing::warn!(%error, pid, "both end");
                signal(pid, Signal::TERM);
                edge.lifecycle.abandon_upgrade();
            }
            Err(error) => {
                edge.acts.kin.leave(Side::Successor);
                let _ = child.kill();
                let _ = child.wait();
                take_back(edge);
                match error {
                    UpgradeError::Ending => tracing::warn!(%error, pid, "nobody took over"),
                    error => tracing::error!(%error, pid, "nobody took over; this gateway goes on"),
                }
                edge.lifecycle.abandon_upgrade();
            }
        }
    }

    fn start(&self) -> Result<(Arc<Link>, Child), UpgradeError> {
        let (link, theirs) = Link::pair()?;
        let mut command = Command::new(&self.binary);
        let child = command.args(&self.arguments).arg(FLAG).stdin(theirs).spawn().map_err(UpgradeError::Start)?;
        Ok((Arc::new(link), child))
    }

    /// On success the other one serves, and this one is being left.
    fn hand_over(&self, edge: &Arc<Edge>, link: &Arc<Link>, pid: u32) -> Result<(), UpgradeError> {
        for Inherited { role, address, socket } in &*self.sockets.lock() {
            let word = Word::Listener { role: *role, address: address.clone() };
            link.send(&word, Some(socket.as_fd()))?;
        }
        link.send(&Word::Go, None)?;
        wait(edge, link, &Word::Ready, PREPARATION)?;
        // Acts from here on are told: what is done before the folders go is in them, too.
        edge.acts.kin.join(Side::Successor, link.clone());
        let_go(edge)?;
        link.tell(&Word::Yours)?;
        edge.acts.tell_successor();
        wait(edge, link, &Word::Serving, OPENING)?;
        edge.rates.rates.go_apart();
        if !edge.lifecycle.replace() {
            return Err(UpgradeError::TooLate);
        }
        tracing::info!(pid, "another gateway has taken over; this one serves what it has begun");
        // As the sockets of this process are closed: one that nobody accepts from would swallow connections, if the other one ended.
        self.sockets.lock().clear();
        Ok(())
    }
}

/// Folders and files are the other one's from now on, as they are now. What fails leaves some of it done, for [`take_back`].
fn let_go(edge: &Edge) -> Result<(), UpgradeError> {
    if !edge.reloader.hand_over(DISK) {
        return Err(UpgradeError::Busy);
    }
    if !edge.acts.hand_over(DISK) {
        return Err(UpgradeError::Takedowns);
    }
    if !edge.cache.hand_over(DISK) {
        return Err(UpgradeError::Disk);
    }
    if let Err(error) = edge.rates.rates.hand_over() {
        tracing::warn!(%error, "what tenants sent this month was not written down");
    }
    edge.daily.hand_over();
    Ok(())
}

/// Has it end: in order by SIGTERM, at once by SIGINT.
fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(Err(error)) = pid.map(|pid| kill_process(pid, signal)) {
        tracing::warn!(%error, "the gateway that took over could not be told to end");
    }
}

/// Waits for a word, and sends what waits to be sent. Acts that the other one tells meanwhile there are none: it does not serve yet.
fn wait(edge: &Edge, link: &Link, expected: &Word, patience: Duration) -> Result<(), UpgradeError> {
    let mut waited = Duration::ZERO;
    loop {
        match link.receive(Some(LOOK)) {
            Ok(Some((Word::Unknown, _))) => {}
            Ok(Some((word, _))) if word == *expected => return Ok(()),
            Ok(Some(_)) => return Err(UpgradeError::Confused),
            Ok(None) => return Err(UpgradeError::Ended),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => waited += LOOK,
            Err(error) => return Err(error.into()),
        }
        if edge.lifecycle.phase() > Phase::Serving {
            return Err(UpgradeError::Ending);
        }
        if waited >= patience {
            return Err(UpgradeError::Late);
        }
    }
}

/// The folders are this process's again, as far as that can be had.
fn take_back(edge: &Edge) {
    // First of all, as what was taken down meanwhile is on no disk yet.
    if let Err(error) = edge.acts.take_back() {
        tracing::error!(%error, "the list of takedowns could not be taken back: what is taken down is gone with a restart");
    }
    edge.rates.rates.take_back();
    edge.daily.take_back();
    edge.reloader.take_back();
    // An end needs it no more, and waits for this.
    if edge.lifecycle.phase() <= Phase::Serving
        && let Err(error) = edge.cache.take_back()
    {
        tracing::error!(%error, "the cache folder could not be taken back: it is passed by until a restart");
    }
}

/// Where the binary of this name lies, as whoever started the process found it; links are left as they are.
fn binary(name: &OsStr, here: &Path, search: &OsStr, is_there: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let name = Path::new(name);
    if name.as_os_str().is_empty() {
        return None;
    }
    if name.components().count() > 1 || name.is_absolute() || name.starts_with(".") {
        // Joined with an absolute path it is that one.
        return Some(here.join(name));
    }
    std::env::split_paths(search).map(|folder| here.join(folder).join(name)).find(|path| is_there(path))
}

#[cfg(test)]
mod tests {
    use super::binary;
    use std::ffi::OsStr;
    use std::path::Path;

    #[test]
    fn the_binary_is_where_the_shell_found_it() {
        for (name, found) in [
            ("/usr/bin/gateway", Some("/usr/bin/gateway")),
            ("./gateway", Some("/srv/gateway")),
            ("target/gateway", Some("/srv/target/gateway")),
            ("../gateway", Some("/srv/../gateway")),
            ("gateway", Some("/opt/bin/gateway")),
            ("other", None),
            ("", None),
        ] {
            let is_there = |path: &Path| path == Path::new("/opt/bin/gateway");
            let search = OsStr::new("/usr/bin:/opt/bin");
            let at = binary(OsStr::new(name), Path::new("/srv"), search, is_there);
            assert_eq!(at.as_deref(), found.map(Path::new), "{name}");
        }
    }
}
