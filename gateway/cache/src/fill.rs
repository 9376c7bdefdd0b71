//! How far a fill has come: written by its task, watched by every reader that joined it.

use crate::claims::ReaderId;
use slice::OriginError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Why a fill gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Origin(OriginError),
    /// The bytes came but the disk doesn't take them.
    Disk,
}

/// What a reader finds at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// So many bytes from the position on are in the extent file.
    Bytes(u64),
    /// The fill ended without them: cut short, or failed.
    Ended(Option<Failure>),
}

/// What the task of a fill is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Its next bytes are the origin's to send.
    Asks,
    /// It is at the disk, or has just begun.
    Works,
    /// It is a head that waits for its tail.
    Follows,
}

const WORKS: u64 = 0;
const FOLLOWS: u64 = u64::MAX;

/// Bytes `start..reached` are in the extent file and stay valid for readers that pin their slice.
#[derive(Debug)]
pub(crate) struct Fill {
    /// Who had it started.
    pub(crate) leader: ReaderId,
    start: u64,
    reached: AtomicU64,
    end: OnceLock<Option<Failure>>,
    progress: Notify,
    /// The rest of the slice, when it is fetched tail first: this fill is the skipped head then.
    tail: Option<Arc<Fill>>,
    born: Instant,
    /// Since when its task has waited for the origin: milliseconds after `born`, and one; or `WORKS` or `FOLLOWS`.
    asks_since: AtomicU64,
    abandoned: Notify,
}

impl Fill {
    pub(crate) fn new(start: u64, leader: ReaderId) -> Arc<Self> {
        Self::build(start, leader, None)
    }

    /// The head of a slice whose tail is under way already.
    pub(crate) fn head(start: u64, tail: Arc<Self>) -> Arc<Self> {
        Self::build(start, tail.leader, Some(tail))
    }

    fn build(start: u64, leader: ReaderId, tail: Option<Arc<Self>>) -> Arc<Self> {
        let reached = AtomicU64::new(start);
        let (progress, abandoned) = (Notify::new(), Notify::new());
        let asks_since = AtomicU64::new(if tail.is_some() { FOLLOWS } else { WORKS });
        let (end, born) = (OnceLock::new(), Instant::now());
        Arc::new(Self { leader, start, reached, end, progress, tail, born, asks_since, abandoned })
    }

    /// What its task is about from here on. Not at work before the claims were asked what may be written: who abandons a fill
    /// looks at this under their lock.
    pub(crate) fn set(&self, task: Task) {
        let since = match task {
            Task::Works => WORKS,
            Task::Follows => FOLLOWS,
            Task::Asks => u64::try_from(self.born.elapsed().as_millis()).map_or(FOLLOWS - 1, |since| since + 1),
        };
        self.asks_since.store(since, Ordering::SeqCst);
    }

    /// How long its task has had nothing from the origin.
    fn waited(&self) -> Duration {
        match self.asks_since.load(Ordering::SeqCst) {
            WORKS | FOLLOWS => Duration::ZERO,
            since => self.born.elapsed().saturating_sub(Duration::from_millis(since - 1)),
        }
    }

    /// The fill whose bytes a reader at `pos` waits for, and how long these have not come.
    pub(crate) fn stalled(self: &Arc<Self>, pos: u64) -> (&Arc<Self>, Duration) {
        let follows = self.asks_since.load(Ordering::SeqCst) == FOLLOWS;
        match &self.tail {
            Some(tail) if pos >= tail.start || follows => (tail, tail.waited()),
            _ => (self, self.waited()),
        }
    }

    /// Its task is at the disk, and can't be ended now.
    pub(crate) fn is_at_work(&self) -> bool {
        self.asks_since.load(Ordering::SeqCst) == WORKS
    }

    /// True for the fill itself, and for a head that is of no use without it.
    pub(crate) fn ends_with(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        Arc::ptr_eq(self, other) || self.tail.as_ref().is_some_and(|tail| Arc::ptr_eq(tail, other))
    }

    /// Ends a fill from outside: its claims are others' already.
    pub(crate) fn abandon(&self) {
        self.close(None);
        self.abandoned.notify_one();
    }

    /// Waits until somebody has ended the fill.
    pub(crate) async fn abandoned(&self) {
        self.abandoned.notified().await;
    }

    /// The bytes up to `to` are written.
    pub(crate) fn publish(&self, to: u64) {
        self.reached.store(to, Ordering::Release);
        self.progress.notify_waiters();
    }

    /// Nothing more will come. The first word counts.
    pub(crate) fn close(&self, failure: Option<Failure>) {
        let _ = self.end.set(failure);
        self.progress.notify_waiters();
    }

    /// What is there at `pos` now; `None` while it is still to come.
    pub(crate) fn look(&self, pos: u64) -> Option<Reach> {
        if let Some(tail) = self.tail.as_ref().filter(|tail| pos >= tail.start) {
            return tail.look(pos);
        }
        // Bytes are published before the end is set, so an end seen first means that what was published is seen too.
        let end = self.end.get();
        let reached = self.reached.load(Ordering::Acquire);
        if self.start <= pos && pos < reached {
            return Some(Reach::Bytes(reached - pos));
        }
        end.map(|end| Reach::Ended(*end))
    }

    /// Waits for bytes at `pos`, or for the end of the fill.
    pub(crate) async fn wait(&self, pos: u64) -> Reach {
        let source = self.tail.as_deref().filter(|tail| pos >= tail.start).unwrap_or(self);
        loop {
            // Made before looking: it is woken by progress from here on.
            let progress = source.progress.notified();
            if let Some(reach) = source.look(pos) {
                return reach;
            }
            progress.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Fill, Reach};
    use slice::OriginError;

    #[tokio::test]
    async fn bytes_published_before_a_failure_can_still_be_read() {
        let fill = Fill::new(100, 1);
        assert_eq!(fill.look(100), None);
        fill.publish(150);
        fill.close(Some(Failure::Origin(OriginError::Timeout)));
        assert_eq!(fill.wait(120).await, Reach::Bytes(30));
        assert_eq!(fill.wait(150).await, Reach::Ended(Some(Failure::Origin(OriginError::Timeout))));
        assert_eq!(fill.wait(99).await, Reach::Ended(Some(Failure::Origin(OriginError::Timeout))));
    }

    #[tokio::test]
    async fn a_head_hands_positions_behind_it_to_its_tail() {
        let tail = Fill::new(64, 1);
        let head = Fill::head(0, tail.clone());
        tail.publish(80);
        assert_eq!(head.wait(70).await, Reach::Bytes(10));
        assert_eq!(head.look(10), None);
        head.publish(64);
        assert_eq!(head.wait(10).await, Reach::Bytes(54));
        tail.close(None);
        assert_eq!(head.wait(90).await, Reach::Ended(None));
    }
}
