//! What hooks answer, in the host's own types. Everything in here has been checked ([`crate::reply`]).

use crate::failure::Failure;
use std::sync::Arc;
use std::time::Duration;

/// Bytes `first` to `last` of a file, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteRange {
    /// First byte.
    pub first: u64,
    /// Last byte, at least `first`.
    pub last: u64,
}

/// What policy hooks allow. `None` means no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes a second for this viewer, at least 1,024.
    pub bytes_per_second: Option<u64>,
    /// Streams at once for this viewer, at least 1.
    pub viewer_streams: Option<u32>,
    /// Streams at once for the tenant, at least 1.
    pub tenant_streams: Option<u32>,
    /// In the place of the link's own expiry (seconds since 1970).
    pub expires: Option<u64>,
    /// Parts that may be read: sorted, without overlaps. An empty list allows none (hooks that exclude each other).
    pub ranges: Option<Vec<ByteRange>>,
    /// Whom to count streams and bytes under, 1 to 256 bytes.
    pub viewer: Option<String>,
}

impl Limits {
    /// Adds what a later hook allows: the tightest of both. Whom to count under is the first hook's to say.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            bytes_per_second: tighter(self.bytes_per_second, other.bytes_per_second),
            viewer_streams: tighter(self.viewer_streams, other.viewer_streams),
            tenant_streams: tighter(self.tenant_streams, other.tenant_streams),
            expires: tighter(self.expires, other.expires),
            ranges: match (self.ranges, other.ranges) {
                (Some(ours), Some(theirs)) => Some(common(&ours, &theirs)),
                (one, None) | (None, one) => one,
            },
            viewer: self.viewer.or(other.viewer),
        }
    }
}

fn tighter<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) | (None, one) => one,
    }
}

/// Both lists are sorted and free of overlaps; so is what comes out.
fn common(ours: &[ByteRange], theirs: &[ByteRange]) -> Vec<ByteRange> {
    let mut both = Vec::new();
    let (mut left, mut right) = (ours.iter().peekable(), theirs.iter().peekable());
    while let (Some(one), Some(other)) = (left.peek(), right.peek()) {
        let (first, last) = (one.first.max(other.first), one.last.min(other.last));
        if first <= last {
            both.push(ByteRange { first, last });
        }
        if one.last <= other.last {
            left.next()
        } else {
            right.next()
        };
    }
    both
}

/// What the policy hooks of a chain decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Go on, within these limits; for how long requests alike need not be asked about, if at all.
    Allow(Limits, Option<Duration>),
    /// Refuse.
    Deny {
        /// Who refused.
        plugin: Arc<str>,
        /// 400 to 499, or 503.
        status: u16,
        /// Plain text for the viewer, up to 200 characters on one line.
        text: String,
    },
    /// 302.
    Redirect {
        /// Who sends the viewer away.
        plugin: Arc<str>,
        /// An http(s) URL or a path of this host, visible ASCII, up to 4,096 bytes.
        url: String,
    },
    /// A plugin that fails closed failed: 503.
    Failed {
        /// Which.
        plugin: Arc<str>,
        /// Why: for logs and metrics, not for viewers.
        failure: Failure,
    },
}

/// A cookie of this host, ready for `Set-Cookie` but for its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// One of the plugin's `visible.cookies`.
    pub name: String,
    /// RFC 6265 cookie octets, up to 1,024.
    pub value: String,
    /// Seconds; 0 takes the cookie away.
    pub max_age: u32,
}

/// What the ads hooks of a chain decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ads {
    /// Serve, with these cookies, at most one of a name.
    Proceed {
        /// In order of the hooks.
        cookies: Vec<Cookie>,
    },
    /// 302, with these cookies.
    Redirect {
        /// Who sends the viewer away.
        plugin: Arc<str>,
        /// As in [`Policy::Redirect`].
        url: String,
        /// In order of the hooks.
        cookies: Vec<Cookie>,
    },
    /// A plugin that fails closed failed: 503.
    Failed {
        /// Which.
        plugin: Arc<str>,
        /// Why: for logs and metrics, not for viewers.
        failure: Failure,
    },
}

/// What text is given to playlist hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaylistKind {
    /// HLS, a list of variants.
    HlsMaster,
    /// HLS, a list of segments.
    HlsMedia,
    /// VAST, XML.
    Vast,
}

/// What became of a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Playlist {
    /// Serve the text as it was.
    Unchanged,
    /// Serve this text.
    Rewritten(String),
    /// A plugin that fails closed failed: 503.
    Failed {
        /// Which.
        plugin: Arc<str>,
        /// Why: for logs and metrics, not for viewers.
        failure: Failure,
    },
}

/// Whether a tenant is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantStatus {
    /// It is.
    Active,
    /// It is until this time (seconds since 1970).
    PastDue(u64),
    /// Its viewers get the maintenance page.
    Suspended,
}

/// What the maintenance page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Branding {
    /// Name of the site, up to 100 characters. Plain text: escape it.
    pub name: Option<String>,
    /// A sentence for viewers, up to 500 characters. Plain text: escape it.
    pub message: Option<String>,
    /// An http(s) URL, visible ASCII.
    pub support_url: Option<String>,
}

/// A tenant as a tenant hook describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRecord {
    /// Who answered.
    pub plugin: Arc<str>,
    /// 1 to 64 of a-z, 0-9, `-`, `_`.
    pub id: String,
    /// In the settings' notation, lower case; one of them covers the host that was asked for.
    pub domains: Vec<config::gateway::Domain>,
    /// What viewers get.
    pub status: TenantStatus,
    /// Names of its link secrets: 1 to 64 of letters, digits, `-`, `_`, `.`, not beginning with a dot, so that none leaves the
    /// tenant's folder.
    pub link_secrets: Vec<String>,
    /// Channels whose media it may serve.
    pub channels: Vec<i64>,
    /// The maintenance page.
    pub branding: Branding,
    /// Streams at once, all viewers together.
    pub streams: Option<u32>,
    /// Bytes a second, all streams together.
    pub bytes_per_second: Option<u64>,
}

/// A plugin that fails closed failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin {plugin} failed: {failure}")]
pub struct Failed {
    /// Which.
    pub plugin: Arc<str>,
    /// Why: for logs and metrics, not for viewers.
    pub failure: Failure,
}

/// A request that ended, for observe hooks. The fields are those of the contract's `finished`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the contract's of the same name")]
pub struct Finished {
    pub request_id: String,
    pub time: u64,
    pub media: crate::Media,
    pub viewer: String,
    pub status: u16,
    pub outcome: String,
    pub cache: String,
    pub bytes: u64,
    pub milliseconds: u32,
}

#[cfg(test)]
mod tests {
    use super::{ByteRange, Limits};

    type Pairs<'a> = &'a [(u64, u64)];

    fn ranges(list: &[(u64, u64)]) -> Option<Vec<ByteRange>> {
        Some(list.iter().map(|&(first, last)| ByteRange { first, last }).collect())
    }

    #[test]
    fn the_tightest_of_both() {
        let one = Limits {
            bytes_per_second: Some(5_000),
            viewer_streams: Some(2),
            expires: Some(100),
            viewer: Some("a".into()),
            ..Limits::default()
        };
        let other = Limits {
            bytes_per_second: Some(4_000),
            viewer_streams: Some(3),
            tenant_streams: Some(9),
            viewer: Some("b".into()),
            ..Limits::default()
        };
        let want = Limits {
            bytes_per_second: Some(4_000),
            viewer_streams: Some(2),
            tenant_streams: Some(9),
            expires: Some(100),
            ranges: None,
            viewer: Some("a".into()),
        };
        assert_eq!(one.clone().and(other), want);
        assert_eq!(one.clone().and(Limits::default()), one);
        assert_eq!(Limits::default().and(one.clone()), one);
    }

    #[test]
    fn ranges_in_common() {
        let rows: [[Pairs<'_>; 3]; 5] = [
            [&[(0, 9)], &[(5, 20)], &[(5, 9)]],
            [&[(0, 9)], &[(10, 20)], &[]],
            [&[(0, 99)], &[(1, 2), (5, 6), (90, 200)], &[(1, 2), (5, 6), (90, 99)]],
            [&[(0, 4), (8, 12)], &[(3, 9)], &[(3, 4), (8, 9)]],
            [&[(0, u64::MAX)], &[(7, 7)], &[(7, 7)]],
        ];
        for [ours, theirs, want] in rows {
            let with = |list| Limits { ranges: ranges(list), ..Limits::default() };
            assert_eq!(with(ours).and(with(theirs)).ranges, ranges(want), "{ours:?} {theirs:?}");
            assert_eq!(with(theirs).and(with(ours)).ranges, ranges(want), "{theirs:?} {ours:?}");
        }
    }
}
