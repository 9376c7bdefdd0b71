//! The only place that reads the wall clock, and the message ids that follow from it.
#![expect(clippy::disallowed_methods, reason = "this file owns the wall clock")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Unix seconds.
pub(crate) fn unix_now() -> i32 {
    since_epoch().as_secs() as i32
}

/// Hands out message ids: unix seconds in the upper half, rising, and in the lowest two bits what kind they are.
#[derive(Default)]
pub(crate) struct MessageIds {
    last: AtomicI64,
}

impl MessageIds {
    /// An id for an answer to a client's message (1) or for anything else a server says (3).
    pub(crate) fn next(&self, answer: bool) -> i64 {
        let now = since_epoch();
        let fresh = ((now.as_secs() as i64) << 32) | (((u64::from(now.subsec_nanos()) << 2) as i64) & !3);
        let before = self.last.fetch_max(fresh, Ordering::Relaxed);
        let id = if before < fresh { fresh } else { self.last.fetch_add(4, Ordering::Relaxed) + 4 };
        id | if answer { 1 } else { 3 }
    }
}
