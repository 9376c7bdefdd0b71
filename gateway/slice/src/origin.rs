//! Where slices come from: the one face at which the cache and the hive client meet.

use bytes::Bytes;
use futures_core::Stream;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use wire::Slug;

/// A media object, whoever asks for it: two tenants that show the same film share its bytes.
///
/// Its text form is `{chat_id}/{message_id}` or `v/{slug}`: one text for one media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaId {
    /// The document of one message.
    Message {
        /// Chat in bot-API form (`-100…` for channels).
        chat_id: i64,
        /// Message id inside the chat.
        message_id: i32,
    },
    /// Documents of several messages, joined by the origin.
    Virtual(Slug),
}

impl MediaId {
    /// The document of one message; the chat in bot-API form.
    #[must_use]
    pub const fn message(chat_id: i64, message_id: i32) -> Self {
        Self::Message { chat_id, message_id }
    }
}

impl fmt::Display for MediaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { chat_id, message_id } => write!(f, "{chat_id}/{message_id}"),
            Self::Virtual(slug) => write!(f, "v/{slug}"),
        }
    }
}

/// Where a virtual file's bytes come from. Who serves it needs a right to every one of the chats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spans {
    /// Chat of the first part.
    pub chat_id: i64,
    /// Message of the first part.
    pub message_id: i32,
    /// Every chat that a part lies in, each once; never empty.
    pub chats: Vec<i64>,
}

/// A strong validator without its quotes. Equal tags mean equal bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ETag(Arc<str>);

impl ETag {
    /// Wraps an opaque tag. The caller has checked it against the alphabet of its source.
    #[must_use]
    pub fn new(tag: &str) -> Self {
        Self(Arc::from(tag))
    }

    /// The tag without quotes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is known of a media version before any byte of it flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaMeta {
    /// Names this version's bytes.
    pub etag: ETag,
    /// Whole size in bytes.
    pub size: u64,
    /// Media type, visible ASCII.
    pub content_type: String,
    /// Seconds since the Unix epoch.
    pub last_modified: Option<u64>,
    /// The uploader's file name, free of control characters.
    pub file_name: Option<String>,
    /// Where a virtual file's bytes come from; `None` for a message, which says so itself.
    pub spans: Option<Spans>,
}

/// Bytes `start..end` of a media; never empty, `end` is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteRange {
    /// Length in bytes.
    #[must_use]
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// True for a range without bytes, which no plan contains.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

/// Why an origin gave no bytes, or stopped giving them. Retries that made sense have been made already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// There is no such media.
    #[error("no such media")]
    NotFound,
    /// The media was there and is gone.
    #[error("the media is gone")]
    Gone,
    /// The bytes are another version's than asked for.
    #[error("the media changed")]
    Changed,
    /// The origin asks for patience.
    #[error("the origin is busy")]
    Busy {
        /// How long, if it said.
        retry_after: Option<Duration>,
    },
    /// No answer in time.
    #[error("the origin did not answer in time")]
    Timeout,
    /// The origin can't be reached, or the transfer broke and could not be resumed.
    #[error("the origin can't be reached")]
    Unreachable,
    /// The origin answered outside the contract: wrong lengths, wrong ranges, unknown faults, a refused token.
    #[error("the origin broke the contract")]
    Protocol,
}

/// Bytes in order, exactly as many as the opened range; an error ends the stream, a short clean end does not happen.
pub type OriginBody = Pin<Box<dyn Stream<Item = Result<Bytes, OriginError>> + Send>>;

/// An opened transfer.
pub struct Opened {
    /// The version that the bytes belong to.
    pub meta: MediaMeta,
    /// The bytes of the range asked for.
    pub body: OriginBody,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// Something that slices can be fetched from.
#[async_trait::async_trait]
pub trait SliceOrigin: Send + Sync + 'static {
    /// Describes the current version of a media.
    ///
    /// # Errors
    /// [`OriginError`], after the retries that made sense.
    async fn describe(&self, media: MediaId) -> Result<MediaMeta, OriginError>;

    /// Opens a transfer of `range` of the version `etag`. The body yields exactly `range.len()` bytes or an error; dropping
    /// it ends the transfer.
    ///
    /// # Errors
    /// [`OriginError::Changed`] if the media is at another version; else any [`OriginError`].
    async fn open(&self, media: MediaId, etag: &ETag, range: ByteRange) -> Result<Opened, OriginError>;
}
