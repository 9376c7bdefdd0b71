//! Why the pool gave no bytes, after every other try that made sense.

use std::time::Duration;

/// The pool's answer to a request it can't fulfil.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolFault {
    /// No session can see such a message, or it never carried a document.
    #[error("no such media")]
    NotFound,
    /// The message carried a document when it was last looked at, and doesn't any more.
    #[error("the media is gone")]
    Gone,
    /// The message carries another document than the one being read.
    #[error("the media changed")]
    Changed,
    /// Every session that could answer rests.
    #[error("every session rests for {} s or more", retry_after.as_secs())]
    FloodWait {
        /// Until the first one is back.
        retry_after: Duration,
    },
    /// No session is left, or all are at their cap.
    #[error("no session is free")]
    NoSession {
        /// When asking again makes sense, if it does.
        retry_after: Option<Duration>,
    },
    /// No answer in time, from any session tried.
    #[error("Telegram did not answer in time")]
    Timeout,
    /// The connections broke, or Telegram answered nonsense, on every session tried.
    #[error("Telegram could not be reached or refused: {0}")]
    Reset(String),
}
