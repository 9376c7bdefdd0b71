//! Time that also passes while the machine sleeps and the process is stopped.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Milliseconds, of this machine's clock in keepers and of the store's own in ledgers. The two are never compared.
pub(crate) type Millis = u64;

/// Milliseconds since the machine started. A clock that can be set would let a lease end early or late, and one that stands still
/// while the machine sleeps would let it live on.
pub(crate) fn now() -> Millis {
    let time = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    seconds * 1000 + nanos / 1_000_000
}

pub(crate) fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
