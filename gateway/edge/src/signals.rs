//! Signals, and the end of the process.

use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use prometheus::IntGauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Longest time that SIGTERM leaves running transfers.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);
/// What of it is left for the ends of those that did not end by themselves.
const LAST: Duration = Duration::from_secs(4);
/// How often the drain looks whether it is done.
const LOOK: Duration = Duration::from_millis(20);
/// `SIGXFSZ`, a file at its size limit. Handled, the write fails with an error that the cache knows; unhandled, it kills.
const FILE_SIZE_LIMIT: i32 = 25;

/// Tells pingora when to stop: SIGTERM drains, SIGINT stops at once, SIGQUIT hands over to a new process. SIGHUP reloads.
pub(crate) struct Signals {
    draining: Arc<AtomicBool>,
    hangup: Arc<Notify>,
}

/// Set once SIGTERM came.
pub(crate) struct Drain {
    draining: Arc<AtomicBool>,
}

impl Signals {
    /// `hangup` is told of each SIGHUP.
    pub(crate) fn new(hangup: Arc<Notify>) -> (Self, Drain) {
        let draining = Arc::new(AtomicBool::new(false));
        (Self { draining: draining.clone(), hangup }, Drain { draining })
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::hangup()];
        let [Ok(mut terminate), Ok(mut interrupt), Ok(mut quit), Ok(mut hangup)] = kinds.map(signal) else {
            tracing::error!("signals can't be watched");
            return ShutdownSignal::FastShutdown;
        };
        let _caught = signal(SignalKind::from_raw(FILE_SIZE_LIMIT));
        loop {
            tokio::select! {
                _ = terminate.recv() => {
                    self.draining.store(true, Ordering::Release);
                    return ShutdownSignal::GracefulTerminate;
                }
                _ = interrupt.recv() => return ShutdownSignal::FastShutdown,
                _ = quit.recv() => return ShutdownSignal::GracefulUpgrade,
                _ = hangup.recv() => self.hangup.notify_one(),
            }
        }
    }
}

impl Drain {
    /// Watches from a thread of its own and calls `end` as soon as nothing runs after SIGTERM. pingora by itself would wait for
    /// the whole time, whether or not anybody is left.
    /// `close` is called a little before pingora would drop what still runs, so that each transfer ends with its log line.
    pub(crate) fn watch(
        self,
        active: IntGauge,
        close: impl FnOnce() + Send + 'static,
        end: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        let watch = move || {
            while !self.draining.load(Ordering::Acquire) {
                std::thread::sleep(LOOK);
            }
            let patience = DRAIN.saturating_sub(LAST);
            let mut waited = Duration::ZERO;
            while active.get() > 0 && waited < patience {
                std::thread::sleep(LOOK);
                waited = waited.saturating_add(LOOK);
            }
            close();
            while active.get() > 0 {
                std::thread::sleep(LOOK);
            }
            end();
        };
        std::thread::Builder::new().name("drain".to_owned()).spawn(watch).map(drop)
    }
}
