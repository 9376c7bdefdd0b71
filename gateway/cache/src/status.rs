//! What a read meets, and why it may end early: the words that callers log and answer with.

use slice::OriginError;

/// What a range met in the cache when it was planned. Nothing was read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheStatus {
    /// All slices are on disk.
    Hit,
    /// Some slices are on disk.
    Partial,
    /// None is on disk, and all are being fetched for others already.
    Joined,
    /// None is on disk.
    Miss,
    /// The version was purged since it was looked up; what is missing comes straight from the origin.
    Bypass,
}

impl CacheStatus {
    /// The word for `X-Cache-Status` and logs: those that operators know, and two more. `UPDATING` is not among them: it
    /// promises stale bytes.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Partial => "PARTIAL",
            Self::Joined => "JOINED",
            Self::Miss => "MISS",
            Self::Bypass => "BYPASS",
        }
    }
}

/// Why a read ended before its range did. What came before are the version's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The media is at another version now; the old one is dropped. The response must break off.
    #[error("the media changed while it was read")]
    Changed,
    /// The version was purged with [`crate::Running::Cut`]. The response must break off.
    #[error("the media was withdrawn while it was read")]
    Withdrawn,
    /// The origin failed, for this reader's own try too.
    #[error(transparent)]
    Origin(OriginError),
}

impl From<OriginError> for ReadError {
    fn from(error: OriginError) -> Self {
        if error == OriginError::Changed { Self::Changed } else { Self::Origin(error) }
    }
}

/// Why a cache can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is out of its bounds.
    #[error("cache setting {0}")]
    Setting(&'static str),
    /// Another gateway works in this folder.
    #[error("cache folder {0} is in use by another process")]
    InUse(std::path::PathBuf),
    /// The folder can't be made, read or written.
    #[error("cache folder {folder}: {source}")]
    Disk {
        /// The folder asked for.
        folder: std::path::PathBuf,
        /// What the disk said.
        source: std::io::Error,
    },
}
