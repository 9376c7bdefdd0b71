//! Who waits for a first byte, and how long a turn others may have meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that go out of files in a row before other requests of the thread have their turn.
const TURN: u64 = 2 << 20;
/// The same while many wait for their first byte: a thousand viewers who press play at the same moment all see something soon,
/// rather than some of them all of it.
const SHORT: u64 = 64 << 10;
/// As many wait on any busy day.
const MANY: usize = 64;

/// Counts answers that are begun and have sent nothing of their body.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    waiting: AtomicUsize,
}

/// One of them, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Waits<'a>(&'a Crowd);

impl Crowd {
    pub(crate) fn join(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(self)
    }

    /// Bytes of a turn, as things are.
    pub(crate) fn turn(&self) -> u64 {
        if self.waiting.load(Ordering::Relaxed) > MANY { SHORT } else { TURN }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Crowd, MANY, SHORT, TURN};

    #[test]
    fn turns_are_short_while_many_wait() {
        let crowd = Crowd::default();
        let mut waiting: Vec<_> = (0..MANY).map(|_| crowd.join()).collect();
        assert_eq!(crowd.turn(), TURN);
        waiting.push(crowd.join());
        assert_eq!(crowd.turn(), SHORT);
        waiting.truncate(1);
        assert_eq!(crowd.turn(), TURN);
    }
}
