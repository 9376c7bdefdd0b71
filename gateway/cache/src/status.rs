//! What a read meets, and why it may end early: the words that callers log and answer with.

use slice::OriginError;

/// What of a range was there when it was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// All slices.
    Whole,
    /// Some slices.
    Part,
    /// None, but all are being fetched for others.
    Coming,
    /// None.
    None,
    /// The version was dropped since it was looked up, or the disk is not to be asked.
    Dropped,
}

/// How the version was known that a look-up pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Young enough, or never heard of before.
    Fresh,
    /// Past its time: the look-up waited, and the origin named the same version.
    Revalidated,
    /// Past its time: the look-up waited, and the origin named another version.
    Expired,
    /// Past its time, and the look-up did not wait for the origin, or in vain.
    Stale,
    /// Past its time, while a question that others had asked was open.
    Updating,
}

/// What a range met in the cache when it was planned. Nothing was read for it.
///
/// Words mean what they mean to nginx where it has them. `STALE` and `UPDATING` promise nothing about how much of the range
/// was there: that nobody vouched for the version says more. `REVALIDATED` is a hit that had to wait, `EXPIRED` a miss
/// because the version had changed; with a range that is there in part, `PARTIAL` is said in their place.
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
    /// None is on disk: the look-up asked the origin, and the version that was known is not the present one.
    Expired,
    /// All slices are on disk, and the look-up asked the origin whether they are still the media's.
    Revalidated,
    /// The version is past its time. The origin is being asked on this request's behalf, or can't be asked.
    Stale,
    /// The version is past its time, and the origin is being asked already.
    Updating,
    /// The version was purged since it was looked up, or the disk is not to be asked: what is missing, or all, comes straight from
    /// the origin.
    Bypass,
}

impl CacheStatus {
    pub(crate) fn of(presence: Presence, freshness: Freshness) -> Self {
        match (presence, freshness) {
            (Presence::Dropped, _) => Self::Bypass,
            (_, Freshness::Stale) => Self::Stale,
            (_, Freshness::Updating) => Self::Updating,
            (Presence::Whole, Freshness::Revalidated) => Self::Revalidated,
            (Presence::None, Freshness::Expired) => Self::Expired,
            (Presence::Whole, _) => Self::Hit,
            (Presence::Part, _) => Self::Partial,
            (Presence::Coming, _) => Self::Joined,
            (Presence::None, _) => Self::Miss,
        }
    }

    /// The word for `X-Cache-Status` and logs: those that operators know, and two more, `PARTIAL` and `JOINED`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "HIT",
            Self::Partial => "PARTIAL",
            Self::Joined => "JOINED",
            Self::Miss => "MISS",
            Self::Expired => "EXPIRED",
            Self::Revalidated => "REVALIDATED",
            Self::Stale => "STALE",
            Self::Updating => "UPDATING",
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
