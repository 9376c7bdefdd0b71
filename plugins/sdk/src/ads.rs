use crate::{Edits, Request};
use alloc::{string::String, vec::Vec};

/// The ads hook: asked once per request, after policy, when size and type of the media are known.
pub trait Ads: Sized {
    /// Reads the settings, once per instance, before its first request.
    ///
    /// # Errors
    /// A sentence for the operator, if settings that fit the schema don't fit each other. The instance then fails each call.
    fn load() -> Result<Self, String>;

    /// Decides one request.
    fn decide(&self, request: &Request) -> AdsVerdict;

    /// Changes a playlist on its way to the viewer: UTF-8 up to the manifest's `limits.playlist`. The text may at most double,
    /// or grow by 64 KiB if that is more. The default changes nothing.
    fn playlist(&self, request: &Request, kind: PlaylistKind, text: &str) -> Edits {
        let _ = (request, kind, text);
        Edits::none()
    }
}

/// What text is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaylistKind {
    /// HLS, a list of variants (RFC 8216 §4.3.4).
    HlsMaster,
    /// HLS, a list of segments.
    HlsMedia,
    /// VAST (IAB), XML.
    Vast,
}

/// A cookie of this host. The gateway adds `HttpOnly`, `SameSite=Lax`, `Path=/` and, behind TLS, `Secure`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// One of the manifest's `visible.cookies`.
    pub name: String,
    /// RFC 6265 cookie octets, up to 1,024.
    pub value: String,
    /// Seconds; 0 takes the cookie away.
    pub max_age: u32,
}

impl Cookie {
    /// A cookie that lasts `max_age` seconds.
    pub fn new(name: impl Into<String>, value: impl Into<String>, max_age: u32) -> Self {
        Self { name: name.into(), value: value.into(), max_age }
    }

    /// Takes a cookie away.
    pub fn removal(name: impl Into<String>) -> Self {
        Self { name: name.into(), value: String::new(), max_age: 0 }
    }
}

/// A decision on a request whose media is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum AdsVerdict {
    /// Serve, with these cookies (up to 4).
    Serve(Vec<Cookie>),
    /// 302.
    Redirect {
        /// An http(s) URL, or a path of this host: up to 4,096 bytes, no blanks or control characters.
        url: String,
        /// Up to 4.
        cookies: Vec<Cookie>,
    },
}

impl AdsVerdict {
    /// Serve.
    pub fn serve() -> Self {
        Self::Serve(Vec::new())
    }

    /// 302 to an http(s) URL, or to a path of this host.
    pub fn redirect(url: impl Into<String>) -> Self {
        Self::Redirect { url: url.into(), cookies: Vec::new() }
    }

    /// Adds a cookie to the answer.
    pub fn cookie(mut self, cookie: Cookie) -> Self {
        match &mut self {
            Self::Serve(cookies) | Self::Redirect { cookies, .. } => cookies.push(cookie),
        }
        self
    }
}
