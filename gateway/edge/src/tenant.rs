//! A tenant, ready to judge its requests: from the settings, or as a plugin found it.

use crate::identify::Tokens;
use crate::identities::OwnTokens;
use crate::rates::RateChoices;
use config::gateway::{self, Branding, Domain, Status, TenantLimits};
use http::HeaderValue;
use link::{LinkKey, LinkRules, RulesError, Scheme, SchemeRules, Verifier};
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// One tenant.
pub(crate) struct Tenant {
    pub(crate) id: Arc<str>,
    pub(crate) standing: Standing,
    /// Its hosts; a plugin's tenant has those that the plugin named with it.
    domains: Vec<Domain>,
    /// Channels whose media it may serve; `None` for all, where it is the only tenant.
    channels: Option<HashSet<i64>>,
    pub(crate) links: Verifier,
    /// Query parameters that carry a link's token, hidden from plugins.
    pub(crate) link_parameters: Arc<[String]>,
    /// How long after its expiry a link may still be opened by a policy.
    pub(crate) grace: Duration,
    pub(crate) branding: Branding,
    pub(crate) limits: TenantLimits,
    /// `Strict-Transport-Security`, for answers over TLS.
    pub(crate) hsts: Option<HeaderValue>,
    /// Where its rates differ from the gateway's.
    pub(crate) rates: RateChoices,
    /// How its frontend tells who a viewer is.
    pub(crate) tokens: Option<Tokens>,
    /// How the gateway itself does.
    pub(crate) own: Option<Arc<OwnTokens>>,
    /// Links on demand, if it has them.
    pub(crate) sign: Option<gateway::Sign>,
    /// Sites whose pages may use its service routes.
    pub(crate) origins: Vec<String>,
}

/// RFC 6797 §6.1.
fn hsts(time: Duration) -> HeaderValue {
    let text = format!("max-age={}", time.as_secs());
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("max-age=0"))
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
            domains: settings.domains.clone(),
            channels: settings.channels.as_ref().map(|channels| channels.iter().copied().collect()),
            links: verifier(&settings.link).map_err(|error| failed(error.to_string()))?,
            link_parameters: parameters(&settings.link),
            grace: settings.link.grace.get(),
            branding: settings.branding.clone(),
            limits: settings.limits.clone(),
            hsts: settings.hsts.map(|time| hsts(time.get())),
            rates: settings.rates.as_ref().map(RateChoices::new).unwrap_or_default(),
            tokens: settings.viewer.as_ref().map(Tokens::new).transpose().map_err(failed)?,
            own: settings
                .identity
                .as_ref()
                .map(|own| OwnTokens::new(&settings.id, own).map(Arc::new))
                .transpose()
                .map_err(failed)?,
            sign: settings.sign.clone(),
            origins: settings.origins.clone(),
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
            domains: record.domains,
            channels: Some(record.channels.iter().copied().collect()),
            links: verifier(link).map_err(|error| failed(error.to_string()))?,
            link_parameters: parameters(link),
            grace: link.grace.get(),
            hsts: None,
            rates: RateChoices::default(),
            tokens: viewer.map(Tokens::new).transpose().map_err(failed)?,
            own: None,
            sign: None,
            origins: Vec::new(),
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

    /// Whether a cookie of this name says who a viewer is: nobody else's business, and nobody else's to set.
    pub(crate) fn is_credential(&self, cookie: &str) -> bool {
        self.tokens.as_ref().is_some_and(|tokens| tokens.is_cookie(cookie))
            || self.own.as_ref().is_some_and(|own| own.is_cookie(cookie))
    }

    /// Whether it has the host by its full name, not by a wildcard.
    pub(crate) fn has_host(&self, host: &str) -> bool {
        self.domains.iter().any(|domain| matches!(domain, Domain::Exact(name) if name == host))
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
    let scheme = |scheme| match scheme {
        gateway::Scheme::NginxMd5 => Scheme::NginxMd5,
        gateway::Scheme::HmacSha256 => Scheme::HmacSha256,
    };
    let own = scheme(settings.scheme);
    let mut schemes = vec![SchemeRules {
        scheme: own,
        param: settings.token_parameter.clone(),
        expression: settings.expression.clone(),
    }];
    let of = |secret: &gateway::LinkSecret| secret.scheme.map_or(own, scheme);
    if settings.secrets.iter().any(|secret| of(secret) != own) {
        let usual = if own == Scheme::NginxMd5 { SchemeRules::hmac_sha256() } else { SchemeRules::nginx_md5() };
        let gateway::OtherScheme { expression, token_parameter } = settings.other.clone();
        schemes.push(SchemeRules {
            scheme: usual.scheme,
            param: token_parameter.unwrap_or(usual.param),
            expression: expression.unwrap_or(usual.expression),
        });
    }
    let key = |secret: &gateway::LinkSecret| {
        LinkKey::new(secret.id.clone(), secret.secret.expose().to_owned()).only(of(secret))
    };
    let keys: Vec<LinkKey> = settings.secrets.iter().map(key).collect();
    // Rules ask that each key's scheme be on, and without any secret of the settings' own scheme nothing is signed by it.
    schemes.retain(|rules| {
        settings.secrets.iter().any(|secret| of(secret) == rules.scheme) || settings.secrets.is_empty()
    });
    Verifier::new(LinkRules {
        keys,
        schemes,
        expires_param: settings.expires_parameter.clone(),
        strict: settings.strict,
        id_param: settings.id_parameter.clone(),
        prefix_param: settings.prefix_parameter.clone(),
    })
}

fn parameters(settings: &gateway::Link) -> Arc<[String]> {
    let other = match settings.scheme {
        gateway::Scheme::NginxMd5 => SchemeRules::hmac_sha256(),
        gateway::Scheme::HmacSha256 => SchemeRules::nginx_md5(),
    };
    let moving = settings.secrets.iter().any(|secret| secret.scheme.is_some_and(|scheme| scheme != settings.scheme));
    let other = moving.then(|| settings.other.token_parameter.clone().unwrap_or(other.param));
    let always = [settings.token_parameter.clone(), settings.expires_parameter.clone()];
    always.into_iter().chain(other).chain(settings.prefix_parameter.clone()).collect()
}
