//! Signals: SIGTERM lets what runs finish and ends, SIGINT ends at once, SIGQUIT has another process take over, SIGHUP reloads.
//!
//! They are caught from the first moment of a start, which takes minutes where plugins are compiled and a large cache is looked through: a
//! SIGHUP or SIGQUIT that comes meanwhile is carried out when the gateway serves, and SIGTERM or SIGINT ends it at once.

use crate::edge::Edge;
use crate::lifecycle::Phase;
use crate::notify;
use crate::upgrade::Upgrade;
use async_trait::async_trait;
use parking_lot::Mutex;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// `SIGXFSZ`, a file at its size limit. Handled, the write fails with an error that the cache knows; unhandled, it kills.
const FILE_SIZE_LIMIT: i32 = 25;

/// The signals, from the moment on at which this is made: what comes before somebody waits for them is kept.
pub(crate) struct Caught {
    watched: Watched,
    serving: Arc<AtomicBool>,
}

impl Caught {
    /// To be called before anything is begun that takes time. Until [`Self::serving`], SIGTERM and SIGINT end the process, with status 0: nothing
    /// runs yet that would have to be finished.
    ///
    /// # Errors
    /// Signals can't be watched.
    pub(crate) fn from_now_on() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let _inside = runtime.enter();
        let watched = Watched::new()?;
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        // Caught for good, although nobody listens: a handler is never taken back.
        drop(signal(SignalKind::from_raw(FILE_SIZE_LIMIT))?);
        let serving = Arc::new(AtomicBool::new(false));
        let is_serving = serving.clone();
        let starting = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            });
            // Whoever serves has heard of it as well.
            if !is_serving.load(Ordering::Acquire) {
                tracing::info!("told to end before it served");
                std::process::exit(0);
            }
        };
        std::thread::Builder::new().name("signals".to_owned()).spawn(starting)?;
        Ok(Self { watched, serving })
    }

    /// From now on [`Signals`] does what is to be done, also about what came before.
    fn serving(&self) {
        self.serving.store(true, Ordering::Release);
    }
}

/// Tells pingora when to stop. What stops it is always the same: it closes its listeners and leaves the rest to the drain.
pub(crate) struct Signals {
    edge: Arc<Edge>,
    upgrade: Arc<Upgrade>,
    hangup: Arc<Notify>,
    /// Until pingora waits for them.
    caught: Mutex<Option<Caught>>,
    /// Called once, when pingora has started its services.
    started: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

struct Watched {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
}

impl Watched {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

impl Signals {
    /// `hangup` is told of each SIGHUP.
    pub(crate) fn new(
        edge: Arc<Edge>,
        upgrade: Arc<Upgrade>,
        hangup: Arc<Notify>,
        caught: Caught,
        started: impl FnOnce() + Send + 'static,
    ) -> Self {
        let (caught, started) = (Mutex::new(Some(caught)), Mutex::new(Some(Box::new(started) as Box<_>)));
        Self { edge, upgrade, hangup, caught, started }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let Some(caught) = self.caught.lock().take() else {
            // pingora asks once.
            return ShutdownSignal::FastShutdown;
        };
        caught.serving();
        let mut watched = caught.watched;
        if let Some(started) = self.started.lock().take() {
            started();
        }
        let lifecycle = self.edge.lifecycle.clone();
        loop {
            tokio::select! {
                _ = watched.terminate.recv() => {
                    notify::stopping();
                    lifecycle.reach(Phase::Ending);
                }
                _ = watched.interrupt.recv() => {
                    self.upgrade.cut_short();
                    return ShutdownSignal::FastShutdown;
                }
                _ = watched.quit.recv() => self.upgrade.begin(&self.edge),
                _ = watched.hangup.recv() => self.hangup.notify_one(),
                () = lifecycle.leaves() => {
                    // pingora asks no more. This runtime of its own lives until the end.
                    tokio::spawn(leaving(self.edge.clone(), self.upgrade.clone(), watched));
                    return ShutdownSignal::GracefulTerminate;
                }
            }
        }
    }
}

/// Signals of a process that is ending or was replaced.
async fn leaving(edge: Arc<Edge>, upgrade: Arc<Upgrade>, mut watched: Watched) {
    loop {
        tokio::select! {
            Some(()) = watched.terminate.recv() => edge.lifecycle.reach(Phase::Ending),
            Some(()) = watched.interrupt.recv() => {
                upgrade.cut_short();
                edge.lifecycle.reach(Phase::Ended);
            }
            Some(()) = watched.quit.recv() => tracing::warn!("SIGQUIT: ignored, this gateway is at its end"),
            Some(()) = watched.hangup.recv() => tracing::warn!("SIGHUP: ignored, this gateway is at its end"),
            else => return,
        }
    }
}
