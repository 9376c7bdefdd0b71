//! That something changed which may free a place: told by sessions, heeded once by those who wait.

use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Wakes all who wait; the first of them to look does for all what there is to do.
#[derive(Default)]
pub(crate) struct News {
    fresh: AtomicBool,
    waiters: Notify,
}

impl News {
    /// A session may be asked for more, or for less, than before.
    pub(crate) fn tell(&self) {
        self.fresh.store(true, Ordering::Release);
        self.wake();
    }

    /// There is nothing to do, but the time to wait until may be another one.
    pub(crate) fn wake(&self) {
        self.waiters.notify_waiters();
    }

    /// True for the first who looks after [`News::tell`].
    pub(crate) fn take(&self) -> bool {
        self.fresh.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn heard(&self) -> Notified<'_> {
        self.waiters.notified()
    }
}
