//! How a request can end: one row per outcome.
//!
//! A row holds the status (if the outcome itself decides it), the word for log and metric, what the viewer may read, and
//! what an operator should do. [`crate::refusal`] is the only place that picks a row for an error.

use http::StatusCode;

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $status:expr, $viewer:literal, $operator:literal;)*) => {
        /// How a request ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Outcome { $($(#[$doc])* $name,)* }

        impl Outcome {
            /// Every row.
            pub(crate) const ALL: &'static [Outcome] = &[$(Outcome::$name),*];

            /// The word in the access log and in the metric's label.
            pub(crate) fn word(self) -> &'static str { match self { $(Outcome::$name => $word,)* } }

            /// The status a refusal answers with; `None` where the plan or the broken transfer decided it.
            pub(crate) fn status(self) -> Option<StatusCode> { match self { $(Outcome::$name => $status,)* } }

            /// What the viewer may read. Never more than this leaves the edge.
            pub(crate) fn viewer_text(self) -> &'static str { match self { $(Outcome::$name => $viewer,)* } }

            /// What an operator who sees many of these should do.
            pub(crate) fn operator_hint(self) -> &'static str { match self { $(Outcome::$name => $operator,)* } }
        }
    };
}

outcomes! {
    /// The whole answer went out: bytes, or a 304, 412 or 416.
    Served = "served", None, "", "Nothing.";
    /// The gateway answered by itself, not with media.
    Answered = "answered", None, "", "Nothing.";
    /// The viewer closed the connection before the end, as players do when they seek.
    ClientGone = "client-gone", None, "", "Nothing, unless most requests end so.";
    /// The viewer took no bytes for the write time-out.
    ClientStalled = "client-stalled", None, "", "Nothing, unless most requests end so: then look at the network in front.";
    /// The transfer broke after the headers had gone; the connection was cut so that nobody takes the part for the whole.
    BodyCut = "body-cut", None, "", "Look at the hive's log and at the cache's disk at the same time.";
    /// The time that a policy set for the link came while its bytes went out; the connection was cut.
    ExpiredMidway = "expired-midway", None, "", "Nothing: a policy plugin set that time.";
    /// The media was taken down while its bytes went out; the connection was cut.
    TakenDownMidway = "taken-down-midway", None, "", "Nothing: an operator took it down.";
    /// An operator purged the media and had what was running cut.
    PurgedMidway = "purged-midway", None, "", "Nothing: an operator purged it with --running cut; players ask again.";
    /// The tenant's bytes of the month were spent while the body went out, and its settings have running streams cut.
    QuotaMidway = "quota-midway", None, "", "Raise the tenant's limits.bytes_per_month, or let running streams finish (limits.when_spent).";
    /// The gateway was told to stop, and the transfer outlasted the drain; the connection was cut.
    DrainCut = "drain-cut", None, "", "Nothing: the viewer's player asks the next gateway for the rest.";
    /// The bytes are no HTTP/1 request, or one that could be read in two ways.
    BadHead = "bad-head", Some(StatusCode::BAD_REQUEST), "This is no request that can be answered.", "Nothing: scanners do this, and clients that speak TLS to a port without.";
    /// The head is longer than 64 KiB, or has more than 128 fields (RFC 6585 §5).
    HeadTooLarge = "head-too-large", Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE), "The request's headers are too long.", "Nothing, unless viewers complain: then a frontend sets too many cookies.";
    /// Head or body took longer than connections.head_timeout or connections.body_timeout.
    RequestLate = "request-late", Some(StatusCode::REQUEST_TIMEOUT), "The request did not arrive in time.", "Nothing: many at once are an attack that comes to nothing (see Under attack).";
    /// The requests that an address has running over HTTP/2 are as many as connections.max_per_address allows.
    AddressCrowded = "address-crowded", Some(StatusCode::TOO_MANY_REQUESTS), "Too many requests come from your network right now. Please try again soon.", "If many viewers share the address, raise connections.max_per_address; if it is a proxy of yours, add it to proxies.trusted.";
    /// The request target has a bad escape, a NUL, or climbs above the root.
    BadTarget = "bad-target", Some(StatusCode::BAD_REQUEST), "The address is malformed.", "Nothing: scanners do this.";
    /// The Host header is missing or not a host.
    BadHost = "bad-host", Some(StatusCode::BAD_REQUEST), "The request names no valid host.", "Nothing: scanners do this.";
    /// No tenant has this domain.
    UnknownHost = "unknown-host", Some(StatusCode::MISDIRECTED_REQUEST), "This host is not served here.", "Add the domain to a tenant, or take its DNS record away.";
    /// The tenant is suspended.
    Suspended = "suspended", Some(StatusCode::SERVICE_UNAVAILABLE), "This site is under maintenance.", "Set the tenant's status to active when it may serve again.";
    /// The plugin that knows the host's tenant failed, and no good answer of it is fresh enough.
    TenantUnavailable = "tenant-unavailable", Some(StatusCode::SERVICE_UNAVAILABLE), "This site can't be reached right now. Please try again.", "Look for the tenant plugin in the log and in gateway plugin list.";
    /// A method other than GET and HEAD.
    BadMethod = "bad-method", Some(StatusCode::METHOD_NOT_ALLOWED), "Only GET and HEAD are served here.", "Nothing.";
    /// The path is no stream.
    NoSuchPath = "no-such-path", Some(StatusCode::NOT_FOUND), "There is nothing here.", "Nothing, unless a frontend builds such paths.";
    /// The link's token is missing, malformed or wrong.
    LinkInvalid = "link-invalid", Some(StatusCode::FORBIDDEN), "This link is not valid.", "If a frontend's links fail, compare its secret and expression with the tenant's.";
    /// The token is right and its time is over.
    LinkExpired = "link-expired", Some(StatusCode::GONE), "This link has expired.", "Nothing, unless fresh links expire: then compare clocks.";
    /// The link held, and was revoked by its id.
    LinkRevoked = "link-revoked", Some(StatusCode::GONE), "This link is not valid any more.", "Nothing: somebody revoked it.";
    /// A route that is for viewers with an identity, and the request has none.
    NoIdentity = "no-identity", Some(StatusCode::UNAUTHORIZED), "Please sign in first.", "Nothing, unless a frontend forgets POST /auth/guest.";
    /// The viewer's token, or what renews it, does not hold: forged, expired, revoked, or of another tenant.
    IdentityRefused = "identity-refused", Some(StatusCode::UNAUTHORIZED), "Please sign in again.", "Nothing, unless fresh tokens fail: then compare keys and clocks.";
    /// What renews a viewer's token was used a second time; the session is over.
    RefreshReused = "refresh-reused", Some(StatusCode::UNAUTHORIZED), "Please sign in again.", "Somebody else may have had the viewer's cookies; many of them point at a frontend that keeps them.";
    /// The tenant has no guests, or no links for them.
    GuestsRefused = "guests-refused", Some(StatusCode::FORBIDDEN), "Guests can't do this here.", "Nothing: the tenant's settings say so.";
    /// A one-time link's token does not hold.
    InviteInvalid = "invite-invalid", Some(StatusCode::FORBIDDEN), "This link is not valid.", "If a manager's links fail, compare the keys of the gateways.";
    /// A one-time link is used, expired or revoked.
    InviteOver = "invite-over", Some(StatusCode::GONE), "This link was used or has expired. Please ask for a new one.", "Nothing.";
    /// Another site's page sent the viewer's browser here.
    CrossSite = "cross-site", Some(StatusCode::FORBIDDEN), "Another site's page can't do this.", "If it is the tenant's own page, add its origin to the tenant's origins.";
    /// A service route was asked for something that it does not understand.
    BadRequest = "bad-request", Some(StatusCode::BAD_REQUEST), "The request could not be understood.", "Nothing, unless a frontend sends such requests.";
    /// A request's body is too long, or does not tell its length.
    BodyRefused = "body-refused", Some(StatusCode::PAYLOAD_TOO_LARGE), "The request is too long.", "Nothing.";
    /// A request's body is of a type that the route does not take.
    WrongType = "wrong-type", Some(StatusCode::UNSUPPORTED_MEDIA_TYPE), "The request must be JSON.", "Nothing, unless a frontend forgets its content type.";
    /// Who makes one-time links must know the tenant's manager secret.
    NotManager = "not-manager", Some(StatusCode::UNAUTHORIZED), "Only managers can do this.", "Nothing, unless it is the tenant's own manager: then compare identity.manager_secret.";
    /// Sessions and one-time links can't be looked up.
    SessionsUnavailable = "sessions-unavailable", Some(StatusCode::SERVICE_UNAVAILABLE), "Signing in is not possible right now. Please try again.", "See that Redis answers; streams go on without it.";
    /// The link is rightly signed, but its channel is not one of the tenant's.
    ForeignChannel = "foreign-channel", Some(StatusCode::FORBIDDEN), "This link is not valid.", "Add the channel to the tenant's channels, or ask who signs such links.";
    /// The link is rightly signed, but a part of the virtual file lies in a channel that is not one of the tenant's. Viewers are told what
    /// they are told of a file that is none.
    ForeignVirtual = "foreign-virtual", Some(StatusCode::NOT_FOUND), "This film was not found.", "Add the channels of all its parts to the tenant's channels, or ask who signs such links.";
    /// An operator took the media, its chat, its document or its content down (RFC 7725).
    TakenDown = "taken-down", Some(StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS), "This film is not available for legal reasons.", "Nothing: see gateway takedown ls. The frontend should drop it.";
    /// A policy plugin refused; status and sentence may be the plugin's own.
    Denied = "denied", Some(StatusCode::FORBIDDEN), "This film can't be opened.", "Nothing, unless viewers complain: see the plugin's verdicts in the metrics.";
    /// A plugin sent the viewer elsewhere.
    Redirected = "redirected", Some(StatusCode::FOUND), "Please follow the link.", "Nothing, unless viewers never come back: then try the plugin's address yourself.";
    /// A plugin that fails closed failed.
    PluginFailed = "plugin-failed", Some(StatusCode::SERVICE_UNAVAILABLE), "Your access can't be checked right now. Please try again.", "Look for the plugin in the log and in gateway plugin list; roll it back or disable it.";
    /// A policy allows other parts of the media only.
    RangeNotAllowed = "range-not-allowed", Some(StatusCode::FORBIDDEN), "This part of the film can't be opened.", "Nothing: a policy plugin allows a preview only.";
    /// The viewer has as many streams as it may.
    ViewerStreams = "viewer-streams", Some(StatusCode::TOO_MANY_REQUESTS), "You are watching on as many devices as you may.", "Nothing, unless viewers complain: then raise the limit of tenant or plugin.";
    /// The tenant has as many streams as it may.
    TenantStreams = "tenant-streams", Some(StatusCode::SERVICE_UNAVAILABLE), "Many people are watching. Please try again soon.", "Raise the tenant's limits.streams, or the plugin's.";
    /// An address, an identity or a tenant asked more often than its rate allows.
    RateLimited = "rate-limited", Some(StatusCode::TOO_MANY_REQUESTS), "You ask too often. Please try again in a moment.", "Nothing, unless viewers complain: the reason in the log names the rate; raise it in rates, or in the tenant's.";
    /// The tenant's bytes of the month are spent.
    QuotaSpent = "quota-spent", Some(StatusCode::SERVICE_UNAVAILABLE), "This site has used up its traffic for this month.", "Raise the tenant's limits.bytes_per_month, or wait for the next month.";
    /// There is no such chat or message, or no session can see it.
    MediaNotFound = "media-not-found", Some(StatusCode::NOT_FOUND), "This film was not found.", "See that a session of the hive is a member of the chat, or that the hive has the virtual file.";
    /// The message was deleted or lost its document.
    MediaGone = "media-gone", Some(StatusCode::GONE), "This film is no longer available.", "Nothing: the frontend should drop it.";
    /// The media changed faster than a request could follow.
    MediaChanging = "media-changing", Some(StatusCode::SERVICE_UNAVAILABLE), "This film is being replaced. Please try again.", "Nothing, unless it lasts: then the hive answers with two versions, or a part of a virtual file was edited and its manifest must be put again.";
    /// The hive asks for patience: sessions rest or are at their cap.
    HiveBusy = "hive-busy", Some(StatusCode::SERVICE_UNAVAILABLE), "Many people are watching. Please try again soon.", "Add sessions to the hive.";
    /// The hive or Telegram did not answer in time.
    HiveTimeout = "hive-timeout", Some(StatusCode::GATEWAY_TIMEOUT), "The film did not arrive in time. Please try again.", "Look at the hive's log; see whether its data-centres answer.";
    /// The hive can't be reached.
    HiveUnreachable = "hive-unreachable", Some(StatusCode::BAD_GATEWAY), "The film can't be reached right now. Please try again.", "See that the hive runs and that hive.address names its socket.";
    /// The hive answered outside the contract, or refused the token.
    HiveProtocol = "hive-protocol", Some(StatusCode::BAD_GATEWAY), "The film can't be reached right now. Please try again.", "See that hive.token is the same on both sides, and both are of one release.";
    /// A fault of our own.
    Internal = "internal", Some(StatusCode::INTERNAL_SERVER_ERROR), "Something went wrong here. Please try again.", "Please report it, with the log lines of this request id.";
}

/// The table in Markdown, as the runbook has it and `gateway outcomes` prints it.
pub(crate) fn markdown() -> String {
    let mut text =
        String::from("| outcome | status | viewers read | what to do about many |\n| --- | --- | --- | --- |\n");
    for outcome in Outcome::ALL {
        let status = outcome.status().map_or("-".to_owned(), |status| status.as_u16().to_string());
        let viewer = if outcome.viewer_text().is_empty() { "-" } else { outcome.viewer_text() };
        text.push_str(&format!("| {} | {status} | {viewer} | {} |\n", outcome.word(), outcome.operator_hint()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Outcome, markdown};
    use std::collections::HashSet;

    #[test]
    fn the_runbook_has_the_same_table() {
        let runbook = include_str!("../../../deploy/runbook.md");
        assert!(runbook.contains(&markdown()), "put the output of `gateway outcomes` into deploy/runbook.md");
    }

    #[test]
    fn rows_are_complete_and_words_unique() {
        let mut words = HashSet::new();
        for outcome in Outcome::ALL {
            assert!(words.insert(outcome.word()), "{}", outcome.word());
            assert!(!outcome.operator_hint().is_empty());
            assert_eq!(outcome.status().is_some(), !outcome.viewer_text().is_empty(), "{}", outcome.word());
        }
    }
}
