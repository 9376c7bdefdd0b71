//! The one place where an error becomes an outcome, and so a status.

use crate::maintenance::Page;
use crate::outcome::Outcome;
use crate::service::Denial;
use cache::ReadError;
use http::StatusCode;
use link::InvalidLink;
use plugin_host::Cookie;
use rates::Limited;
use slice::OriginError;
use std::sync::Arc;
use std::time::Duration;
use takedown::Record;

/// Why a request is not answered with media. Each variant is one decision of one step of the flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The bytes are no request, or one that could be read in two ways.
    #[error("malformed request: {0}")]
    BadHead(String),
    /// The head is longer than any that is meant well.
    #[error("the head is too long or has too many fields")]
    HeadTooLarge,
    /// Head or body did not come in time.
    #[error("the request did not come in time")]
    RequestLate,
    /// The address has as many connections and requests as it may.
    #[error("the address has as many connections and requests as it may")]
    AddressCrowded,
    /// The target can't be normalised.
    #[error("malformed request target")]
    BadTarget,
    /// The Host header is missing or malformed.
    #[error("missing or malformed host")]
    BadHost,
    /// No tenant has the domain.
    #[error("no tenant has this domain")]
    UnknownHost,
    /// The tenant may not serve now.
    #[error("the tenant is suspended")]
    Suspended {
        /// Its id.
        tenant: Arc<str>,
        /// What its viewers see.
        page: Page,
    },
    /// The plugin that knows the host's tenant failed.
    #[error("the host's tenant could not be found out")]
    TenantUnavailable,
    /// Neither GET nor HEAD.
    #[error("method not allowed")]
    BadMethod,
    /// The path names no stream.
    #[error("no such path")]
    NoSuchPath,
    /// The link's token does not hold.
    #[error("invalid link: {0}")]
    LinkInvalid(#[from] InvalidLink),
    /// The link held once.
    #[error("expired link")]
    LinkExpired,
    /// The link was revoked.
    #[error("revoked link")]
    LinkRevoked,
    /// A service route refused.
    #[error("{0}")]
    Service(Denial),
    /// The same for a page of another site, which may read it.
    #[error("{refusal}")]
    Shared {
        /// The page's origin.
        origin: http::HeaderValue,
        /// What is refused.
        refusal: Box<Refusal>,
    },
    /// The link is the tenant's, the channel is not.
    #[error("the tenant has no right to this channel")]
    ForeignChannel,
    /// The link is the tenant's, the channel of some part is not.
    #[error("the tenant has no right to a channel of this virtual file")]
    ForeignVirtual,
    /// A policy plugin refused.
    #[error("{plugin} denied it with {status}")]
    Denied {
        /// Which.
        plugin: Arc<str>,
        /// Its status, 400 to 499 or 503.
        status: u16,
        /// What it tells the viewer; plain text.
        text: String,
    },
    /// A plugin sends the viewer elsewhere.
    #[error("{plugin} sent the viewer elsewhere")]
    Redirected {
        /// Which.
        plugin: Arc<str>,
        /// Where to; visible ASCII.
        url: String,
        /// With these cookies.
        cookies: Vec<Cookie>,
    },
    /// A plugin failed that fails closed.
    #[error("{plugin} failed: {reason}")]
    PluginFailed {
        /// Which.
        plugin: Arc<str>,
        /// How, for operators.
        reason: String,
    },
    /// A policy allows other parts of the media only.
    #[error("a policy does not allow this range")]
    RangeNotAllowed,
    /// The viewer has as many streams as it may.
    #[error("the viewer has as many streams as it may")]
    ViewerStreams,
    /// The tenant has.
    #[error("the tenant has as many streams as it may")]
    TenantStreams,
    /// More requests than somebody's rate allows.
    #[error("{0}")]
    TooOften(Box<Limited>),
    /// The tenant's bytes of this month are spent.
    #[error("the tenant's bytes of this month are spent")]
    QuotaSpent {
        /// Until the next month.
        rest: Duration,
    },
    /// An operator took it down.
    #[error("{} was taken down by {}", .0.target, .0.by)]
    TakenDown(Arc<Record>),
    /// The origin gave no bytes.
    #[error("origin: {0}")]
    Origin(#[from] OriginError),
    /// A response of ours could not be built.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl From<ReadError> for Refusal {
    /// Before the first byte: what breaks a body later is no refusal any more.
    fn from(error: ReadError) -> Self {
        Self::Origin(match error {
            // Withdrawn: whoever looks it up again learns what stands now.
            ReadError::Changed | ReadError::Withdrawn => OriginError::Changed,
            ReadError::Origin(error) => error,
        })
    }
}

impl Refusal {
    /// The row of the outcome table.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::BadHead(_) => Outcome::BadHead,
            Self::HeadTooLarge => Outcome::HeadTooLarge,
            Self::RequestLate => Outcome::RequestLate,
            Self::AddressCrowded => Outcome::AddressCrowded,
            Self::BadTarget => Outcome::BadTarget,
            Self::BadHost => Outcome::BadHost,
            Self::UnknownHost => Outcome::UnknownHost,
            Self::Suspended { .. } => Outcome::Suspended,
            Self::TenantUnavailable => Outcome::TenantUnavailable,
            Self::ForeignChannel => Outcome::ForeignChannel,
            Self::ForeignVirtual => Outcome::ForeignVirtual,
            Self::Denied { .. } => Outcome::Denied,
            Self::Redirected { .. } => Outcome::Redirected,
            Self::PluginFailed { .. } => Outcome::PluginFailed,
            Self::RangeNotAllowed => Outcome::RangeNotAllowed,
            Self::ViewerStreams => Outcome::ViewerStreams,
            Self::TenantStreams => Outcome::TenantStreams,
            Self::TooOften(_) => Outcome::RateLimited,
            Self::QuotaSpent { .. } => Outcome::QuotaSpent,
            Self::TakenDown(_) => Outcome::TakenDown,
            Self::BadMethod => Outcome::BadMethod,
            Self::NoSuchPath => Outcome::NoSuchPath,
            Self::LinkInvalid(_) => Outcome::LinkInvalid,
            Self::LinkExpired => Outcome::LinkExpired,
            Self::LinkRevoked => Outcome::LinkRevoked,
            Self::Shared { refusal, .. } => refusal.outcome(),
            Self::Service(denial) => match denial {
                Denial::NoIdentity => Outcome::NoIdentity,
                Denial::BadIdentity(_) => Outcome::IdentityRefused,
                Denial::Reused => Outcome::RefreshReused,
                Denial::Guests => Outcome::GuestsRefused,
                Denial::Invite(_) => Outcome::InviteInvalid,
                Denial::InviteOver(_) => Outcome::InviteOver,
                Denial::CrossSite => Outcome::CrossSite,
                Denial::Malformed(_) => Outcome::BadRequest,
                Denial::Body => Outcome::BodyRefused,
                Denial::Type => Outcome::WrongType,
                Denial::NotManager => Outcome::NotManager,
                Denial::Method(_) => Outcome::BadMethod,
                Denial::Away => Outcome::SessionsUnavailable,
            },
            Self::Origin(error) => match error {
                OriginError::NotFound => Outcome::MediaNotFound,
                OriginError::Gone => Outcome::MediaGone,
                OriginError::Changed => Outcome::MediaChanging,
                OriginError::Busy { .. } => Outcome::HiveBusy,
                OriginError::Timeout => Outcome::HiveTimeout,
                OriginError::Unreachable => Outcome::HiveUnreachable,
                OriginError::Protocol => Outcome::HiveProtocol,
            },
            Self::Internal(_) => Outcome::Internal,
        }
    }

    /// The tenant that was found, where its step refused.
    pub(crate) fn tenant(&self) -> Option<Arc<str>> {
        match self {
            Self::Suspended { tenant, .. } => Some(tenant.clone()),
            _ => None,
        }
    }

    /// The answer's status: the row's, unless a plugin chose one.
    pub(crate) fn status(&self) -> StatusCode {
        let chosen = match self {
            Self::Shared { refusal, .. } => return refusal.status(),
            Self::Denied { status, .. } => StatusCode::from_u16(*status).ok(),
            _ => None,
        };
        // A row without a status is never a refusal's (a test of the table sees to it).
        chosen.or(self.outcome().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// What the viewer reads: the row's sentence, unless a plugin or the tenant has one.
    pub(crate) fn viewer_text(&self) -> &str {
        match self {
            Self::Shared { refusal, .. } => refusal.viewer_text(),
            Self::Denied { text, .. } if !text.is_empty() => text,
            Self::Suspended { page, .. } => page.text.trim_end(),
            _ => self.outcome().viewer_text(),
        }
    }

    /// `Allow`, where the method was wrong.
    pub(crate) fn allowed(&self) -> Option<&'static str> {
        match self {
            Self::BadMethod => Some("GET, HEAD"),
            Self::Service(Denial::Method(methods)) => Some(methods),
            Self::Shared { refusal, .. } => refusal.allowed(),
            _ => None,
        }
    }

    /// `Retry-After`, where waiting is what the viewer's player should do.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Shared { refusal, .. } => refusal.retry_after(),
            Self::Service(Denial::Away) => Some(Duration::from_secs(5)),
            Self::Origin(OriginError::Busy { retry_after }) => Some(retry_after.unwrap_or(Duration::from_secs(5))),
            Self::Origin(OriginError::Changed) => Some(Duration::from_secs(1)),
            Self::Suspended { .. } => Some(Duration::from_secs(3600)),
            Self::TenantUnavailable | Self::PluginFailed { .. } => Some(Duration::from_secs(5)),
            Self::TooOften(limited) => Some(limited.retry_after()),
            // It may be raised any day.
            Self::QuotaSpent { rest } => Some((*rest).min(Duration::from_secs(86_400))),
            Self::ViewerStreams | Self::TenantStreams | Self::AddressCrowded => Some(Duration::from_secs(10)),
            _ => None,
        }
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Service(denial)
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;
    use crate::maintenance::Page;
    use crate::outcome::Outcome;
    use crate::service::Denial;
    use link::InvalidLink;
    use slice::OriginError;
    use std::time::Duration;
    use takedown::Record;
    use viewer::TokenError;

    /// What the second request of somebody who may ask once is told.
    fn limited() -> rates::Limited {
        let rate = rates::Rate::new(1, Duration::from_secs(60)).unwrap();
        let rates = rates::RouteRates { address: Some(rate), ..rates::RouteRates::default() };
        let who = rates::Who { tenant: "a", address: Some("192.0.2.1"), identity: None };
        let book = rates::Rates::new(None, None, 0).unwrap();
        let check = async || book.check(rates::Route::Sign, &rates, &who, Duration::ZERO).await;
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { check().await.and(check().await).unwrap_err() })
    }

    #[test]
    fn every_refusing_row_is_used_and_has_a_status() {
        let taken = Record::new("chat:-1".parse().unwrap(), 1, true, 0, "alice", "x").unwrap();
        let mut refusals = vec![
            Refusal::BadHead("why".into()),
            Refusal::HeadTooLarge,
            Refusal::RequestLate,
            Refusal::AddressCrowded,
            Refusal::BadTarget,
            Refusal::BadHost,
            Refusal::UnknownHost,
            Refusal::Suspended { tenant: "a".into(), page: Page::default() },
            Refusal::TenantUnavailable,
            Refusal::ForeignChannel,
            Refusal::ForeignVirtual,
            Refusal::Denied { plugin: "p".into(), status: 402, text: "Pay".into() },
            Refusal::Redirected { plugin: "p".into(), url: "/".into(), cookies: vec![] },
            Refusal::PluginFailed { plugin: "p".into(), reason: "trap".into() },
            Refusal::RangeNotAllowed,
            Refusal::ViewerStreams,
            Refusal::TenantStreams,
            Refusal::BadMethod,
            Refusal::NoSuchPath,
            Refusal::LinkInvalid(InvalidLink::NoToken),
            Refusal::LinkExpired,
            Refusal::LinkRevoked,
            Refusal::TakenDown(taken.into()),
            Refusal::TooOften(Box::new(limited())),
            Refusal::QuotaSpent { rest: Duration::from_secs(1) },
            Refusal::Internal("test"),
        ];
        refusals.extend(
            [
                OriginError::NotFound,
                OriginError::Gone,
                OriginError::Changed,
                OriginError::Busy { retry_after: None },
                OriginError::Timeout,
                OriginError::Unreachable,
                OriginError::Protocol,
            ]
            .map(Refusal::Origin),
        );
        refusals.extend(
            [
                Denial::NoIdentity,
                Denial::BadIdentity("why"),
                Denial::Reused,
                Denial::Guests,
                Denial::Invite(TokenError::Signature),
                Denial::InviteOver("why"),
                Denial::CrossSite,
                Denial::Malformed("why"),
                Denial::Body,
                Denial::Type,
                Denial::NotManager,
                Denial::Method("POST"),
                Denial::Away,
            ]
            .map(Refusal::Service),
        );
        let used: Vec<Outcome> = refusals.iter().map(Refusal::outcome).collect();
        assert!(used.iter().all(|outcome| outcome.status().is_some()));
        for row in Outcome::ALL.iter().filter(|row| row.status().is_some()) {
            assert!(used.contains(row), "{} is never picked", row.word());
        }
    }
}
