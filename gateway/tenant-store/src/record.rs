//! What is known of a tenant, but for its secrets.

use config::TimeSpan;
use config::gateway::{Branding, Domain, Link, Scheme, Status, TenantLimits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A tenant's settings, as those of a `[[tenant]]` in the gateway's own file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantSettings {
    /// Hosts that lead to it: names, all names below one ("*.example.com"), or "*" for all that no other tenant has.
    pub domains: Vec<Domain>,
    /// Channels whose media it may serve.
    pub channels: Option<Vec<i64>>,
    /// Whether it serves.
    #[serde(default)]
    pub status: Status,
    /// What its maintenance page shows.
    #[serde(default)]
    pub branding: Branding,
    /// Bounds on its viewers.
    #[serde(default)]
    pub limits: TenantLimits,
    /// How its links are signed.
    #[serde(default)]
    pub link: LinkSettings,
}

/// How links are signed. What is left out is as in the gateway's settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LinkSettings {
    /// What is hashed, with $secret in the place of the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// Refuse tokens whose last character has stray bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Query parameter of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_parameter: Option<String>,
    /// Query parameter of the time at which the link expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_parameter: Option<String>,
    /// How long after its expiry a link may still be used, if a policy plugin says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<TimeSpan>,
}

/// A tenant as its file has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Counts its changes, at whichever gateway.
    pub version: u64,
    /// Unix seconds of the last one.
    pub changed_at: u64,
    /// Who made it.
    pub changed_by: String,
    /// It is gone, and its settings are of no account.
    #[serde(default)]
    pub deleted: bool,
    /// What its link secrets are called; the first signs.
    #[serde(default)]
    pub secrets: Vec<SecretNote>,
    /// What it is.
    pub settings: TenantSettings,
}

/// A link secret, but for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretNote {
    /// Its name, in logs and metrics.
    pub id: String,
    /// Unix seconds of its making.
    pub made_at: u64,
    /// Unix seconds at which it is dropped; none for the one that signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl SecretNote {
    /// Whether it holds no more.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl LinkSettings {
    /// Of a link section of the gateway's own file.
    #[must_use]
    pub fn of(link: &Link) -> Self {
        Self {
            expression: Some(link.expression.clone()),
            scheme: Some(link.scheme),
            strict: Some(link.strict),
            token_parameter: Some(link.token_parameter.clone()),
            expires_parameter: Some(link.expires_parameter.clone()),
            grace: Some(link.grace),
        }
    }

    pub(crate) fn apply(&self, link: Link) -> Link {
        Link {
            expression: self.expression.clone().unwrap_or(link.expression),
            scheme: self.scheme.unwrap_or(link.scheme),
            strict: self.strict.unwrap_or(link.strict),
            token_parameter: self.token_parameter.clone().unwrap_or(link.token_parameter),
            expires_parameter: self.expires_parameter.clone().unwrap_or(link.expires_parameter),
            grace: self.grace.unwrap_or(link.grace),
            secrets: link.secrets,
            ..link
        }
    }
}
