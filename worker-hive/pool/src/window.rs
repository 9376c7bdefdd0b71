//! How many chunks a stream keeps under way. Pure.

use mtproto::Climb;
use tokio::time::Instant;

/// Follows what its session delivers while the reader waits for bytes, and shrinks when bytes wait for the reader.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    climb: Climb,
}

impl Window {
    /// A window of `start` chunks that stays within 2 (or `start`, if that is less) and `ceiling`; both at least 1.
    pub(crate) fn new(start: usize, ceiling: usize) -> Self {
        let start = start.clamp(1, ceiling.max(1));
        Self { climb: Climb::new(start, start.min(2), ceiling) }
    }

    /// Chunks that may be under way or waiting for the reader.
    pub(crate) fn size(&self) -> usize {
        self.climb.level()
    }

    /// A chunk went to the reader, who had to wait for it or not.
    pub(crate) fn delivered(&mut self, bytes: usize, waited: bool, now: Instant) {
        self.climb.delivered(bytes, waited, now);
    }

    /// The reader came and the whole window was there: it is slower than Telegram, and so need not hold as much memory.
    pub(crate) fn idle(&mut self) {
        self.climb.lower();
    }

    /// A chunk had to be asked for again because of a flood, a loss or a silence.
    pub(crate) fn setback(&mut self) {
        self.climb.setback();
    }
}

#[cfg(test)]
mod tests {
    use super::Window;
    use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn grows_while_it_pays_and_shrinks_for_a_slow_reader() {
        let (mut window, now) = (Window::new(4, 12), Instant::now());
        (1..40).for_each(|n| window.delivered(1 << 19, true, now + Duration::from_millis(20) * n / 10));
        assert!(window.size() > 4);
        (0..20).for_each(|_| window.idle());
        assert_eq!(window.size(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn stays_within_its_bounds_whatever_happens(
            start in 0_usize..40, ceiling in 0_usize..40,
            steps in proptest::collection::vec((0_u8..8, 0_u64..2000, any::<bool>()), 0..300),
        ) {
            let (mut window, mut now) = (Window::new(start, ceiling), Instant::now());
            for (what, pause, waited) in steps {
                now += Duration::from_millis(pause);
                match what {
                    0 => window.setback(),
                    1 => window.idle(),
                    _ => window.delivered(usize::try_from(pause).unwrap() * 1000, waited, now),
                }
                prop_assert!((1..=ceiling.max(1)).contains(&window.size()));
            }
        }
    }
}
