//! How long a guest has run, by the clock of the thread that it runs on.
//!
//! Not by the wall's: on a machine that is busy a thread may wait longer for a core than a guest may run, and a guard that failed
//! for that would refuse good viewers. Not by the number of ticks either: one copy of a large memory is one tick, however
//! long it takes.

use crate::state::TICK;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Running time of the call at hand.
///
/// On a request's thread, what comes before a call's first tick or store operation is not measured, as reading the clock would cost
/// more than most calls do: that is a tick, or a single operation that takes longer.
#[derive(Debug, Default)]
pub(crate) struct Running {
    used: Duration,
    /// Shared with the future that gives the thread away, since it alone knows when the guest goes on.
    since: Arc<Mutex<Option<Mark>>>,
}

/// A moment on one thread.
#[derive(Clone, Copy, Debug)]
struct Mark {
    thread: ThreadId,
    time: Duration,
}

impl Mark {
    fn now() -> Self {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        let time = Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default());
        Self { thread: thread::current().id(), time }
    }

    /// Only WASI moves a guest to another thread unseen; the clocks of two threads have nothing in common.
    fn elapsed(self) -> Duration {
        let now = Self::now();
        if now.thread == self.thread { now.time.saturating_sub(self.time) } else { TICK }
    }
}

impl Running {
    /// A new call begins.
    pub(crate) fn reset(&mut self) {
        self.used = Duration::ZERO;
        *self.since.lock() = None;
    }

    /// Running time so far.
    pub(crate) fn used(&self) -> Duration {
        self.used
    }

    /// The guest stops running: it waits for others, or is done.
    pub(crate) fn stop(&mut self) {
        let since = self.since.lock().take();
        self.used = self.used.saturating_add(since.map_or(Duration::ZERO, Mark::elapsed));
    }

    /// The guest goes on.
    pub(crate) fn go_on(&self) {
        *self.since.lock() = Some(Mark::now());
    }

    /// Gives the thread away once, after [`Running::stop`]. tokio's own yield lets timers and sockets of this thread run in between;
    /// a mere wake would not.
    pub(crate) fn pause(&self) -> impl Future<Output = ()> + Send + 'static {
        let since = Arc::clone(&self.since);
        async move {
            tokio::task::yield_now().await;
            *since.lock() = Some(Mark::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, Running};
    use crate::state::TICK;
    use std::time::Duration;

    fn work() {
        let start = Mark::now();
        while start.elapsed() < TICK {}
    }

    #[test]
    fn only_running_counts() {
        let mut running = Running::default();
        running.go_on();
        work();
        running.stop();
        let used = running.used();
        assert!(used >= TICK, "{used:?}");
        work();
        running.stop();
        assert_eq!(running.used(), used, "what others did meanwhile");
        running.go_on();
        work();
        running.stop();
        assert!(running.used() >= used + TICK);
        running.reset();
        assert_eq!(running.used(), Duration::ZERO);
    }

    #[test]
    fn on_another_thread_it_counts_as_a_tick() {
        let mut running = Running::default();
        running.go_on();
        let moved = std::thread::spawn(move || {
            work();
            running.stop();
            running.used()
        });
        assert_eq!(moved.join().unwrap(), TICK);
    }
}
