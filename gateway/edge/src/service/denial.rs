//! Why a service route says no. [`crate::refusal`] picks the outcome.

use viewer::TokenError;

/// One decision of one route. Nothing of a token or a body is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denial {
    /// The route is for who has an identity.
    #[error("without an identity")]
    NoIdentity,
    /// What says who the viewer is does not hold.
    #[error("an identity that does not hold: {0}")]
    BadIdentity(&'static str),
    /// What renews a token was used before.
    #[error("a refresh token was used again: its session is over")]
    Reused,
    /// Not for guests.
    #[error("not for guests")]
    Guests,
    /// A one-time link's token does not hold.
    #[error("a one-time link that does not hold: {0}")]
    Invite(TokenError),
    /// A one-time link is over.
    #[error("a one-time link is over: {0}")]
    InviteOver(&'static str),
    /// A page of another site asks.
    #[error("a page of another site asks")]
    CrossSite,
    /// The body is not what the route takes.
    #[error("a malformed request: {0}")]
    Malformed(&'static str),
    /// The body was not read.
    #[error("a body that is too long, or of a length that was not told")]
    Body,
    /// The body is of another type.
    #[error("a body of another type")]
    Type,
    /// The manager's secret is missing or wrong.
    #[error("without the manager's secret")]
    NotManager,
    /// The route takes these methods.
    #[error("method not allowed")]
    Method(&'static str),
    /// Sessions can't be looked up.
    #[error("sessions can't be looked up")]
    Away,
}
