//! The one place where an error becomes an outcome, and so a status.

use crate::outcome::Outcome;
use link::InvalidLink;
use slice::OriginError;
use std::time::Duration;

/// Why a request is not answered with media. Each variant is one decision of one step of the flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
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
    Suspended,
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
    /// The origin gave no bytes.
    #[error("origin: {0}")]
    Origin(#[from] OriginError),
    /// A response of ours could not be built.
    #[error("internal: {0}")]
    Internal(&'static str),
}

impl Refusal {
    /// The row of the outcome table.
    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::BadTarget => Outcome::BadTarget,
            Self::BadHost => Outcome::BadHost,
            Self::UnknownHost => Outcome::UnknownHost,
            Self::Suspended => Outcome::Suspended,
            Self::BadMethod => Outcome::BadMethod,
            Self::NoSuchPath => Outcome::NoSuchPath,
            Self::LinkInvalid(_) => Outcome::LinkInvalid,
            Self::LinkExpired => Outcome::LinkExpired,
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

    /// `Retry-After`, where waiting is what the viewer's player should do.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Origin(OriginError::Busy { retry_after }) => Some(retry_after.unwrap_or(Duration::from_secs(5))),
            Self::Origin(OriginError::Changed) => Some(Duration::from_secs(1)),
            Self::Suspended => Some(Duration::from_secs(3600)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;
    use crate::outcome::Outcome;
    use link::InvalidLink;
    use slice::OriginError;

    #[test]
    fn every_refusing_row_is_used_and_has_a_status() {
        let mut refusals = vec![
            Refusal::BadTarget,
            Refusal::BadHost,
            Refusal::UnknownHost,
            Refusal::Suspended,
            Refusal::BadMethod,
            Refusal::NoSuchPath,
            Refusal::LinkInvalid(InvalidLink::NoToken),
            Refusal::LinkExpired,
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
        let used: Vec<Outcome> = refusals.iter().map(Refusal::outcome).collect();
        assert!(used.iter().all(|outcome| outcome.status().is_some()));
        for row in Outcome::ALL.iter().filter(|row| row.status().is_some()) {
            assert!(used.contains(row), "{} is never picked", row.word());
        }
    }
}
