//! How one chunk is asked for, and what became of the asking so far.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use tokio::time::Instant;

/// Travels with one call of [`Account::get_chunk`](crate::Account::get_chunk).
#[derive(Debug, Default)]
pub struct Ask {
    urgent: bool,
    other_than: Option<usize>,
    held: Option<Arc<dyn Any + Send + Sync>>,
    sent: OnceLock<(Instant, usize)>,
}

impl Ask {
    /// In its turn. An `urgent` one, which a viewer waits for, has its turn before those that are not.
    #[must_use]
    pub fn new(urgent: bool) -> Self {
        Self { urgent, ..Self::default() }
    }

    /// Keeps `held` until the call is answered or never will be, whether or not anybody still waits for it; or until it is clear that it
    /// is not sent.
    #[must_use]
    pub fn holding(self, held: Arc<dyn Any + Send + Sync>) -> Self {
        Self { held: Some(held), ..self }
    }

    /// The same chunk once more: urgent, and over another connection than this one went over, if there is one.
    #[must_use]
    pub fn again(&self) -> Self {
        let other_than = self.sent.get().map(|(_, link)| *link);
        Self { urgent: true, other_than, held: self.held.clone(), sent: OnceLock::new() }
    }

    /// When it was sent, after waiting for its turn; `None` while it waits.
    #[must_use]
    pub fn sent_at(&self) -> Option<Instant> {
        self.sent.get().map(|(at, _)| *at)
    }

    pub(crate) fn held(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.held.clone()
    }

    pub(crate) fn is_urgent(&self) -> bool {
        self.urgent
    }

    pub(crate) fn other_than(&self) -> Option<usize> {
        self.other_than
    }

    /// Goes out over this link now. What is said first stays.
    pub(crate) fn send_over(&self, link: usize, now: Instant) {
        let _ = self.sent.set((now, link));
    }
}
