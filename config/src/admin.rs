//! The sections of the gateway's settings that are about its operators.

use crate::gateway::loopback;
use crate::report::Report;
use crate::secret::Secret;
use crate::tenant_rules::{NAME, is_name};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// In audit lines: who has admin.token.
const OPERATOR: &str = "operator";
/// In audit lines: who sends signals.
const LOCAL: &str = "local";
/// RFC 8439 §2.8: the cipher's key has 256 bits.
const SHORTEST_KEY: usize = 32;

/// The operator's listener.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// IP address and port.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// Token for everything that the API can do: visible ASCII without spaces. Commands send it. Without any token the API answers nobody.
    #[schemars(extend("example" = { "file": "/etc/streamvault/admin.token" }))]
    pub token: Option<Secret>,
    /// Further tokens, each with a name for the audit log and a role.
    #[schemars(extend("example" = [{ "name": "manager", "role": "write", "token": { "file": "/etc/streamvault/manager.token" } }]))]
    pub tokens: Vec<AdminToken>,
    /// Whether /metrics is answered without a token. /livez, /readyz and /healthz always are.
    pub open_metrics: bool,
    /// File to which each change is appended, one JSON object a line. It may be moved away at any time. If unset, changes are told to the
    /// program's own log only.
    #[schemars(extend("example" = "/var/log/streamvault/audit.log"))]
    pub audit: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: loopback(9090), token: None, tokens: Vec::new(), open_metrics: true, audit: None }
    }
}

/// A token of the admin API.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminToken {
    /// Who has it, in the audit log: up to 64 of a-z, 0-9, "-" and "_".
    #[schemars(extend("example" = "manager"))]
    pub name: String,
    /// "read" changes nothing, "write" may do everything.
    #[schemars(extend("example" = "read"))]
    pub role: AdminRole,
    /// The token: visible ASCII without spaces.
    #[schemars(extend("example" = { "file": "/etc/streamvault/manager.token" }))]
    pub token: Secret,
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the key's own text says it all, and variants would be listed a second time")]
pub enum AdminRole {
    Read,
    Write,
}

/// Tenants beside those of the settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TenantStore {
    /// Folder of the tenants that the admin API makes, with their secrets: the gateway's alone. Made if its parent exists. If unset, there are
    /// none but those of this file.
    #[schemars(extend("example" = "/var/lib/streamvault/tenants"))]
    pub folder: Option<PathBuf>,
    /// Several gateways on one Redis that have the same key here, at least 32 characters, share these tenants; their secrets lie there sealed by it.
    /// If unset, each gateway has its own.
    #[schemars(extend("example" = { "file": "/etc/streamvault/tenants.key" }))]
    pub key: Option<Secret>,
}

impl Admin {
    /// Every token, with who has it and what it is good for.
    pub fn all_tokens(&self) -> impl Iterator<Item = (&str, AdminRole, &Secret)> {
        let operator = self.token.iter().map(|token| (OPERATOR, AdminRole::Write, token));
        operator.chain(self.tokens.iter().map(|token| (token.name.as_str(), token.role, &token.token)))
    }

    pub(crate) fn check(&self, report: &mut Report<'_>) {
        if let Some(token) = &self.token {
            crate::gateway_rules::check_token(token, "admin.token", report);
        }
        for (index, token) in self.tokens.iter().enumerate() {
            let key = format!("admin.tokens[{index}]");
            report.require(is_name(&token.name), &format!("{key}.name"), NAME);
            let reserved = [OPERATOR, LOCAL].contains(&token.name.as_str());
            report.require(
                !reserved,
                &format!("{key}.name"),
                "is the name of who has admin.token, or of who sends signals",
            );
            let earlier = || self.tokens.iter().take(index);
            report.require(
                !earlier().any(|other| other.name == token.name),
                &format!("{key}.name"),
                "is there already",
            );
            crate::gateway_rules::check_token(&token.token, &format!("{key}.token"), report);
            let same = |other: &Secret| other.expose() == token.token.expose();
            let taken = self.token.as_ref().is_some_and(same) || earlier().any(|other| same(&other.token));
            report.require(!taken, &format!("{key}.token"), "is another one's token already");
        }
        if let Some(path) = &self.audit {
            report.require_absolute(path, "admin.audit");
        }
    }

    pub(crate) fn secrets(&self) -> Vec<(String, &Secret)> {
        let named = self.tokens.iter().enumerate();
        let named = named.map(|(index, token)| (format!("admin.tokens[{index}].token"), &token.token));
        self.token.iter().map(|token| ("admin.token".to_owned(), token)).chain(named).collect()
    }
}

impl TenantStore {
    pub(crate) fn check(&self, report: &mut Report<'_>) {
        if let Some(folder) = &self.folder {
            report.require_absolute(folder, "tenants.folder");
        }
        let long = self.key.as_ref().is_none_or(|key| key.expose().len() >= SHORTEST_KEY);
        report.require(long, "tenants.key", "must be at least 32 characters: take \"openssl rand -hex 32\"");
        report.require(self.key.is_none() || self.folder.is_some(), "tenants.key", "needs tenants.folder");
    }
}
