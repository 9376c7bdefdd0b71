//! What a reader yields: bytes, or the place where the kernel finds them.

use crate::store::Files;
use bytes::Bytes;
use std::fs::File;
use std::sync::Arc;

/// The next bytes of a range.
#[derive(Debug)]
pub enum Piece {
    /// The bytes themselves. They count as sent.
    Bytes(Bytes),
    /// Where they are. They count as sent once [`crate::Reader::sent`] says so.
    Stretch(Stretch),
}

/// Bytes of an extent file that were in memory a moment ago, whole and checked. Good until the reader that told of it is asked for more,
/// or dropped: up to then their slice is pinned.
#[derive(Clone)]
pub struct Stretch {
    pub(crate) files: Arc<Files>,
    pub(crate) at: u64,
    pub(crate) len: u64,
}

/// What a caller can make use of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Want {
    /// Bytes, at most so many.
    Bytes(usize),
    /// A stretch, if there is one.
    Stretch,
}

impl Stretch {
    /// The file to send from.
    #[must_use]
    pub fn file(&self) -> &File {
        self.files.data()
    }

    /// Where in the file it begins.
    #[must_use]
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Goes past its first bytes, which went out; `None` if those were all.
    #[must_use]
    pub fn after(mut self, sent: u64) -> Option<Self> {
        self.at += sent;
        self.len = self.len.checked_sub(sent).filter(|left| *left > 0)?;
        Some(self)
    }

    /// Its bytes; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty one is never told of")]
    pub fn len(&self) -> u64 {
        self.len
    }
}

impl std::fmt::Debug for Stretch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stretch").field("at", &self.at).field("len", &self.len).finish_non_exhaustive()
    }
}
