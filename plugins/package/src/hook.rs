//! The words of a manifest that choose between a few ways.

use serde::Deserialize;
use std::fmt;

/// What a plugin is asked. One world of the contract each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// Which tenant serves a host: `tenant-plugin`.
    Tenant,
    /// Who may stream what: `policy-plugin`.
    Policy,
    /// What is sold beside the media: `ads-plugin`.
    Ads,
    /// What has happened: `observe-plugin`.
    Observe,
}

impl Hook {
    /// All of them, in the order in which a request meets them.
    pub const ALL: [Self; 4] = [Self::Tenant, Self::Policy, Self::Ads, Self::Observe];

    /// The name in manifests, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Policy => "policy",
            Self::Ads => "ads",
            Self::Observe => "observe",
        }
    }

    /// The world that the component must be built for.
    #[must_use]
    pub const fn world(self) -> &'static str {
        match self {
            Self::Tenant => "tenant-plugin",
            Self::Policy => "policy-plugin",
            Self::Ads => "ads-plugin",
            Self::Observe => "observe-plugin",
        }
    }

    /// What failing means if neither the operator nor the manifest says: what guards fails closed, what earns or counts
    /// fails open.
    #[must_use]
    pub const fn default_fail(self) -> FailPolicy {
        match self {
            Self::Tenant | Self::Policy => FailPolicy::Closed,
            Self::Ads | Self::Observe => FailPolicy::Open,
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a failing plugin means for the request at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailPolicy {
    /// As if it had not been asked.
    Open,
    /// The request is refused with 503.
    Closed,
}

impl FailPolicy {
    /// The name in manifests, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for FailPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How long an instance lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// For up to [`Limits::calls`](crate::Limits::calls) calls, all of the same tenant.
    Warm,
    /// For one call.
    Request,
}

impl Isolation {
    /// The name in manifests, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Request => "request",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
