//! A tenant, ready to judge its requests: from the settings, or as a plugin found it.

use crate::identify::Tokens;
use config::gateway::{self, Branding, Status, TenantLimits};
use link::{LinkKey, LinkRules, RulesError, Scheme, SchemeRules, Verifier};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// One tenant.
pub(crate) struct Tenant {
    pub(crate) id: Arc<str>,
    pub(crate) standing: Standing,
    /// Channels whose media it may serve; `None` for all, where it is the only tenant.
    channels: Option<HashSet<i64>>,
    pub(crate) links: Verifier,
    /// Query parameters that carry a link's token, hidden from plugins.
    pub(crate) link_parameters: Arc<[String]>,
    /// How long after its expiry a link may still be opened by a policy.
    pub(crate) grace: Duration,
    pub(crate) branding: Branding,
    pub(crate) limits: TenantLimits,
    /// How it tells who a viewer is.
    pub(crate) tokens: Option<Tokens>,
}

/// Whether a tenant serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Active,
    /// Serves until this second since 1970.
    PastDue(i64),
    Suspended,
}

/// A tenant's rules don't hold together.
#[derive(Debug, thiserror::Error)]
#[error("tenant {id}: {reason}")]
pub(crate) struct TenantError {
    pub(crate) id: String,
    pub(crate) reason: String,
}

impl Tenant {
    /// A tenant of the settings.
    pub(crate) fn new(settings: &gateway::Tenant) -> Result<Self, TenantError> {
        let failed = |reason: String| TenantError { id: settings.id.clone(), reason };
        Ok(Self {
            id: settings.id.as_str().into(),
            standing: match settings.status {
                Status::Active => Standing::Active,
                Status::Suspended => Standing::Suspended,
            },
            channels: settings.channels.as_ref().map(|channels| channels.iter().copied().collect()),
            links: verifier(&settings.link).map_err(|error| failed(error.to_string()))?,
            link_parameters: parameters(&settings.link),
            grace: settings.link.grace.get(),
            branding: settings.branding.clone(),
            limits: settings.limits.clone(),
            tokens: settings.viewer.as_ref().map(Tokens::new).transpose().map_err(failed)?,
        })
    }

    /// A tenant that a plugin found. Its secrets come from the gateway's own folder: `link` holds them.
    pub(crate) fn found(
        record: plugin_host::TenantRecord,
        link: &gateway::Link,
        viewer: Option<&gateway::ViewerTokens>,
    ) -> Result<Self, TenantError> {
        let failed = |reason: String| TenantError { id: record.id.clone(), reason };
        Ok(Self {
            id: record.id.as_str().into(),
            standing: match record.status {
                plugin_host::TenantStatus::Active => Standing::Active,
                plugin_host::TenantStatus::PastDue(until) => {
                    Standing::PastDue(i64::try_from(until).unwrap_or(i64::MAX))
                }
                plugin_host::TenantStatus::Suspended => Standing::Suspended,
            },
            channels: Some(record.channels.iter().copied().collect()),
            links: verifier(link).map_err(|error| failed(error.to_string()))?,
            link_parameters: parameters(link),
            grace: link.grace.get(),
            tokens: viewer.map(Tokens::new).transpose().map_err(failed)?,
            branding: Branding {
                name: record.branding.name,
                message: record.branding.message,
                support_url: record.branding.support_url,
            },
            limits: TenantLimits {
                streams: record.streams,
                bytes_per_second: record.bytes_per_second.map(config::ByteSize::from_bytes),
                ..TenantLimits::default()
            },
        })
    }

    /// Whether its viewers get what they ask for, at `now` (seconds since 1970).
    pub(crate) fn serves(&self, now: i64) -> bool {
        match self.standing {
            Standing::Active => true,
            Standing::PastDue(until) => now <= until,
            Standing::Suspended => false,
        }
    }

    /// Whether it has the right to a channel. One without a list has the right to all if it is alone, and else to none: some of
    /// them would be another's.
    pub(crate) fn may_serve(&self, chat_id: i64, alone: bool) -> bool {
        self.channels.as_ref().map_or(alone, |channels| channels.contains(&chat_id))
    }

    /// Its channels; `None` if it has no list of them.
    pub(crate) fn channels(&self) -> Option<BTreeSet<i64>> {
        self.channels.as_ref().map(|channels| channels.iter().copied().collect())
    }

    /// True if the settings name no channels for it.
    pub(crate) fn has_no_list(&self) -> bool {
        self.channels.is_none()
    }
}

fn verifier(settings: &gateway::Link) -> Result<Verifier, RulesError> {
    let keys =
        settings.secrets.iter().map(|key| LinkKey::new(key.id.clone(), key.secret.expose().to_owned())).collect();
    let scheme = match settings.scheme {
        gateway::Scheme::NginxMd5 => Scheme::NginxMd5,
        gateway::Scheme::HmacSha256 => Scheme::HmacSha256,
    };
    let schemes =
        vec![SchemeRules { scheme, param: settings.token_parameter.clone(), expression: settings.expression.clone() }];
    Verifier::new(LinkRules {
        keys,
        schemes,
        expires_param: settings.expires_parameter.clone(),
        strict: settings.strict,
    })
}

fn parameters(settings: &gateway::Link) -> Arc<[String]> {
    [settings.token_parameter.clone(), settings.expires_parameter.clone()].into()
}
