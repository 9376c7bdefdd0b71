//! A thread for calls that would keep a request's thread.
//!
//! A guest gives its thread away at each tick, but everybody else on that thread has waited for a tick by then. So who is seen to run
//! for that long is asked on a thread of its own from then on, whose only company is others of its kind, and which the
//! system prefers to run when the requests' threads have nothing to do.

use crate::state::TICK;
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

/// Without another long call for this long, a plugin is asked on the requests' threads again.
const PROBATION: Duration = Duration::from_secs(10);
/// Running time in one call that is too much for a request's thread. Half a tick: between two ticks a guest runs for nearly one.
const LONG: Duration = Duration::from_micros(TICK.as_micros() as u64 / 2);
/// How much the system prefers other threads (`nice`).
const NICE: i32 = 10;

/// The thread. Ends, and drops what it was asked, when this is dropped.
pub(crate) struct Aside {
    handle: Handle,
    _stop: oneshot::Sender<()>,
}

impl Aside {
    /// # Errors
    /// If there can be no thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let work = move || {
            // Refused only where the system has forbidden it; then the thread is one like the others.
            let _ = setpriority_process(Some(gettid()), NICE);
            let _ = runtime.block_on(stopped);
        };
        std::thread::Builder::new().name("plugin-aside".to_owned()).spawn(work)?;
        Ok(Self { handle, _stop: stop })
    }

    /// Runs a call to its end. Dropping the future drops the call.
    ///
    /// # Errors
    /// The call panicked, or the thread has ended.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        AbortOnDropHandle::new(self.handle.spawn(call)).await
    }
}

/// Where calls of one generation belong.
#[derive(Debug)]
pub(crate) struct Lane {
    /// The host's ticks.
    now: Arc<AtomicU64>,
    /// Tick until which calls run aside; 0 for never.
    aside_until: AtomicU64,
}

impl Lane {
    pub(crate) fn new(now: Arc<AtomicU64>) -> Self {
        Self { now, aside_until: AtomicU64::new(0) }
    }

    pub(crate) fn is_aside(&self) -> bool {
        let until = self.aside_until.load(Relaxed);
        until != 0 && self.now.load(Relaxed) < until
    }

    /// A call has run for so long, and goes on.
    pub(crate) fn ran(&self, time: Duration) {
        if time >= LONG {
            let probation = u64::try_from(PROBATION.as_millis()).unwrap_or(u64::MAX);
            self.aside_until.store(self.now.load(Relaxed).saturating_add(probation), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Aside, LONG, Lane, PROBATION};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::time::Duration;

    #[test]
    fn who_runs_long_is_aside_until_it_has_not_for_a_while() {
        let now = Arc::new(AtomicU64::new(5));
        let lane = Lane::new(now.clone());
        assert!(!lane.is_aside());
        lane.ran(LONG - Duration::from_micros(1));
        assert!(!lane.is_aside());
        lane.ran(LONG);
        assert!(lane.is_aside());
        now.fetch_add(u64::try_from(PROBATION.as_millis()).unwrap() - 1, Relaxed);
        assert!(lane.is_aside());
        lane.ran(LONG);
        now.fetch_add(1, Relaxed);
        assert!(lane.is_aside());
        now.fetch_add(u64::try_from(PROBATION.as_millis()).unwrap(), Relaxed);
        assert!(!lane.is_aside());
    }

    #[tokio::test]
    async fn calls_run_elsewhere_and_end_with_their_caller() {
        let aside = Aside::start().unwrap();
        let here = std::thread::current().id();
        assert_ne!(aside.run(async { std::thread::current().id() }).await.unwrap(), here);
        assert!(aside.run(async { panic!("on purpose") }).await.is_err());
        let (alive, dropped) = tokio::sync::oneshot::channel::<()>();
        let endless = aside.run(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        assert!(tokio::time::timeout(Duration::from_millis(1), endless).await.is_err());
        assert!(dropped.await.is_err(), "its caller left");
    }
}
