//! How far this machine's clock is off from Telegram's.
#![expect(clippy::disallowed_methods, reason = "how far this machine's clock is off is measured here")]

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The server refused a message as one out of the future. The protocol's ids rise with the time and never fall, so nothing that is
/// said on that connection any more would be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine's clock is ahead of Telegram's")]
pub(crate) struct ClockAhead {
    /// What the server's clock says, in unix seconds.
    pub(crate) server: i64,
}

impl ClockAhead {
    /// What an error of a connection holds of it.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// What is added to this machine's clock to have Telegram's. Shared by an account's connections.
#[derive(Default)]
pub(crate) struct ServerClock(AtomicI32);

impl ServerClock {
    /// In seconds.
    pub(crate) fn offset(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }

    /// Keeps what the server's clock says for connections that begin later.
    pub(crate) fn heed(&self, ahead: ClockAhead) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let offset = ahead.server.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX));
        let offset = i32::try_from(offset).unwrap_or(0);
        if self.0.swap(offset, Ordering::Relaxed).abs_diff(offset) > 1 {
            tracing::warn!(offset, "this machine's clock is not Telegram's: set it right");
        }
    }

    #[cfg(test)]
    pub(crate) fn set(&self, offset: i32) {
        self.0.store(offset, Ordering::Relaxed);
    }
}
