//! When a disk is given up for a while: after so many failures in a row. Pure: no clock, no disk; a probe's success ends it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Calls that fail one after the other, with none between them that succeeds, before the disk counts as sick. Low enough that
/// few viewers pay a patience each, high enough for a film with bad sectors on an otherwise sound disk.
pub(crate) const SICK_AFTER: u32 = 8;

/// See the module. Word by word atomic: calls end on many threads, and which of two that end at once counts first is no matter.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    in_a_row: AtomicU32,
    sick: AtomicBool,
}

impl Breaker {
    /// A call went well. A sick disk's last good calls say nothing: only a probe does.
    pub(crate) fn succeeded(&self) {
        self.in_a_row.store(0, Ordering::Relaxed);
    }

    /// A call failed, or took too long. True: this was one too many, and the disk is sick from now on.
    pub(crate) fn failed(&self) -> bool {
        let failures = self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        failures >= SICK_AFTER && !self.sick.swap(true, Ordering::AcqRel)
    }

    /// A probe went well. True: the disk was sick until now.
    pub(crate) fn recovered(&self) -> bool {
        self.in_a_row.store(0, Ordering::Relaxed);
        self.sick.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn is_sick(&self) -> bool {
        self.sick.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Breaker, SICK_AFTER};

    #[test]
    fn only_failures_in_a_row_count_and_only_a_probe_ends_it() {
        let breaker = Breaker::default();
        for _ in 0..3 {
            assert!((1..SICK_AFTER).all(|_| !breaker.failed()));
            breaker.succeeded();
            assert!(!breaker.is_sick());
        }
        assert!((1..SICK_AFTER).all(|_| !breaker.failed()));
        assert!(breaker.failed(), "told once");
        assert!(!breaker.failed());
        breaker.succeeded();
        assert!(breaker.is_sick(), "a straggler is no probe");
        assert!(breaker.recovered());
        assert!(!breaker.recovered() && !breaker.is_sick());
        assert!((1..SICK_AFTER).all(|_| !breaker.failed()), "counted anew");
        assert!(breaker.failed());
    }
}
