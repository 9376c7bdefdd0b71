//! How many chunks a stream keeps under way. Pure.

/// Grows while the reader waits for bytes, shrinks when bytes wait for the reader, halves on a setback.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    size: usize,
    floor: usize,
    ceiling: usize,
}

impl Window {
    /// A window of `start` chunks that stays within 2 (or `start`, if that is less) and `ceiling`; both at least 1.
    #[must_use]
    pub(crate) fn new(start: usize, ceiling: usize) -> Self {
        let ceiling = ceiling.max(1);
        let start = start.clamp(1, ceiling);
        Self { size: start, floor: start.min(2), ceiling }
    }

    /// Chunks that may be under way or waiting for the reader.
    #[must_use]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The reader came and the next chunk was not there: more round trips must overlap.
    pub(crate) fn starved(&mut self) {
        self.size = (self.size + 1).min(self.ceiling);
    }

    /// The reader came and the whole window was there: it is slower than Telegram, and so need not hold as much memory.
    pub(crate) fn idle(&mut self) {
        self.size = self.size.saturating_sub(1).max(self.floor);
    }

    /// A chunk had to be asked for again because of a flood, a loss or a silence.
    pub(crate) fn setback(&mut self) {
        self.size = (self.size / 2).max(self.floor);
    }
}

#[cfg(test)]
mod tests {
    use super::Window;

    #[test]
    fn stays_within_its_bounds_whatever_happens() {
        for (start, ceiling) in [(0, 0), (1, 1), (4, 12), (9, 3)] {
            let mut window = Window::new(start, ceiling);
            for step in 0..1000_u32 {
                match step.wrapping_mul(2_654_435_761) >> 30 {
                    0 => window.starved(),
                    1 => window.idle(),
                    2 => window.setback(),
                    _ => window.starved(),
                }
                assert!((1..=ceiling.max(1)).contains(&window.size()));
            }
        }
    }

    #[test]
    fn grows_by_one_and_halves() {
        let mut window = Window::new(4, 12);
        (0..20).for_each(|_| window.starved());
        assert_eq!(window.size(), 12);
        window.setback();
        assert_eq!(window.size(), 6);
        (0..20).for_each(|_| window.idle());
        assert_eq!(window.size(), 2);
    }
}
