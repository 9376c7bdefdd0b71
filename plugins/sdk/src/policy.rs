use crate::Request;
use alloc::{string::String, vec::Vec};

/// The policy hook: asked for every request whose link holds, before the cache is looked at.
pub trait Policy: Sized {
    /// Reads the settings, once per instance, before its first request.
    ///
    /// # Errors
    /// A sentence for the operator, if settings that fit the schema don't fit each other. The instance then fails each call.
    fn load() -> Result<Self, String>;

    /// Decides one request.
    fn decide(&self, request: &Request) -> Verdict;
}

/// Bytes `first` to `last`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte that may be read.
    pub first: u64,
    /// Last byte that may be read.
    pub last: u64,
}

/// What is allowed. `None` and an empty list mean: no bound from this plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes a second for this viewer, all its streams together. At least 1,024.
    pub bytes_per_second: Option<u64>,
    /// Streams at once for this viewer. At least 1.
    pub viewer_streams: Option<u32>,
    /// Streams at once for the tenant. At least 1.
    pub tenant_streams: Option<u32>,
    /// In the place of the link's own expiry (seconds since 1970).
    pub expires: Option<u64>,
    /// Parts of the file that may be read.
    pub ranges: Vec<ByteRange>,
    /// Whom to count streams and bytes under, in the place of [`Request::viewer`]. Up to 256 bytes.
    pub viewer: Option<String>,
    /// For how many seconds (1 to 60) requests alike need not be asked about.
    pub keep: Option<u32>,
}

/// A decision on a request.
///
/// The builder methods narrow an allowance; on a refusal or a redirect they have no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Go on, within these limits.
    Allow(Limits),
    /// Refuse.
    Deny {
        /// 400 to 499, or 503.
        status: u16,
        /// A sentence for the viewer: plain text, up to 200 characters.
        text: String,
    },
    /// 302 to an http(s) URL, or to a path of this host.
    Redirect(String),
}

impl Verdict {
    /// Go on, without limits from this plugin.
    pub fn allow() -> Self {
        Self::Allow(Limits::default())
    }

    /// Refuse with a status (400 to 499, or 503) and a sentence for the viewer: plain text, up to 200 characters.
    pub fn deny(status: u16, text: impl Into<String>) -> Self {
        Self::Deny { status, text: text.into() }
    }

    /// 302 to an http(s) URL, or to a path of this host: up to 4,096 bytes, no blanks or control characters.
    pub fn redirect(url: impl Into<String>) -> Self {
        Self::Redirect(url.into())
    }

    /// Bytes a second for this viewer, all its streams together. At least 1,024.
    pub fn bytes_per_second(self, bytes: u64) -> Self {
        self.with(|limits| limits.bytes_per_second = Some(bytes))
    }

    /// Streams at once for this viewer. A stream is one media on one address, however many requests fetch it. At least 1.
    pub fn viewer_streams(self, streams: u32) -> Self {
        self.with(|limits| limits.viewer_streams = Some(streams))
    }

    /// Streams at once for the tenant. At least 1.
    pub fn tenant_streams(self, streams: u32) -> Self {
        self.with(|limits| limits.tenant_streams = Some(streams))
    }

    /// In the place of the link's own expiry (seconds since 1970). Earlier: the answer breaks off then. Later: honoured within
    /// the tenant's `link.grace`.
    pub fn expires(self, seconds: u64) -> Self {
        self.with(|limits| limits.expires = Some(seconds))
    }

    /// Adds a part of the file that may be read, bytes `first` to `last`, both included. A range that begins in one is cut to
    /// it, any other is refused.
    pub fn range(self, first: u64, last: u64) -> Self {
        self.with(|limits| limits.ranges.push(ByteRange { first, last }))
    }

    /// Whom to count streams and bytes under, in the place of [`Request::viewer`]. Up to 256 bytes.
    pub fn viewer(self, viewer: impl Into<String>) -> Self {
        self.with(|limits| limits.viewer = Some(viewer.into()))
    }

    /// For how many seconds (1 to 60) requests alike need not be asked about: all that a hook can see of them is the same, but for
    /// [`Request::id`] and [`Request::range`]. Say it only if the verdict follows from the request and the settings, or from
    /// what may be that old. Without it each request is asked about.
    pub fn keep(self, seconds: u32) -> Self {
        self.with(|limits| limits.keep = Some(seconds))
    }

    fn with(mut self, change: impl FnOnce(&mut Limits)) -> Self {
        if let Self::Allow(limits) = &mut self {
            change(limits);
        }
        self
    }
}
