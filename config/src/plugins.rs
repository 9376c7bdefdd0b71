//! The sections of the gateway's settings that are about plugins and what they share.

use crate::units::{ByteSize, TimeSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What all plugins share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Plugins {
    /// Folder for compiled plugins, the gateway's alone. Made if its parent exists. May be emptied at any time.
    pub code_folder: PathBuf,
    /// Instances of all plugins at once. Each may take its plugin's limits.memory.
    pub instances: u32,
    /// Load a plugin only if one of trusted_keys signed it.
    pub require_signature: bool,
    /// Public keys that sign plugins, as PEM files: see "gateway plugin sign --help".
    #[schemars(extend("example" = [{ "id": "release-2026", "file": "/etc/streamvault/plugins.pub" }]))]
    pub trusted_keys: Vec<TrustedKey>,
    /// How often the folders of plugins are looked at for changes, which are then loaded. If unset, on SIGHUP and
    /// "gateway plugin reload" only.
    #[schemars(extend("example" = "5s"))]
    pub watch: Option<TimeSpan>,
    /// How long an answer of a tenant plugin is believed before it is asked again.
    pub tenant_ttl: TimeSpan,
    /// Folder with the link secrets of tenants that a plugin found: one file for each, TENANT/NAME.
    pub secrets_folder: PathBuf,
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            code_folder: PathBuf::from("/var/cache/streamvault-plugins"),
            instances: 512,
            require_signature: false,
            trusted_keys: Vec::new(),
            watch: None,
            tenant_ttl: TimeSpan::seconds(60),
            secrets_folder: PathBuf::from("/etc/streamvault/tenants"),
        }
    }
}

/// A public key that signs plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrustedKey {
    /// Name in messages.
    pub id: String,
    /// PEM file with an Ed25519 public key.
    pub file: PathBuf,
}

/// One plugin. What is left out is as its own plugin.toml says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plugin {
    /// Name in logs, metrics and commands: up to 64 of a-z, 0-9, "-" and "_". The same plugin may be there twice, by two
    /// names and with other settings.
    #[schemars(extend("example" = "policy-tiers"))]
    pub name: String,
    /// Folder with plugin.toml and the component.
    #[schemars(extend("example" = "/etc/streamvault/plugins/policy-tiers"))]
    pub folder: PathBuf,
    /// Tenants whose requests it is asked about. If unset, all.
    #[schemars(extend("example" = ["example"]))]
    pub tenants: Option<Vec<String>>,
    /// Place among the plugins of the same hook: lower ones are asked first.
    #[schemars(extend("example" = 100))]
    pub order: Option<i32>,
    /// What its failing means for the request at hand: "closed" refuses it, "open" goes on without it.
    #[schemars(extend("example" = "closed"))]
    pub fail: Option<FailPolicy>,
    /// "warm" keeps instances between calls, "request" makes a fresh one for each.
    #[schemars(extend("example" = "warm"))]
    pub isolation: Option<Isolation>,
    /// Share of requests that a newly loaded generation gets until it is promoted. 0 keeps it waiting beside the old one, 1 means
    /// all at once.
    #[schemars(extend("example" = 0.05))]
    pub canary: Option<f64>,
    /// What it must be for: "tenant", "policy", "ads" or "observe". One whose plugin.toml says otherwise is refused.
    #[schemars(extend("example" = "policy"))]
    pub hook: Option<Hook>,
    /// The component's sha256 in hexadecimal: no other is loaded. It says nothing of plugin.toml; a signature covers both.
    #[schemars(extend("example" = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"))]
    pub sha256: Option<String>,
    /// Take it out of service without taking it out of the file.
    #[serde(default)]
    pub disabled: bool,
    /// Settings that its plugin.toml asks for; of its secrets "the text itself", { file = "/path" } or { env = "NAME" }.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub settings: toml::Table,
    /// Limits in the place of those of its plugin.toml.
    #[serde(default)]
    pub limits: PluginLimits,
}

/// What a plugin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the key's own text says it all, and variants would be listed a second time")]
pub enum Hook {
    Tenant,
    Policy,
    Ads,
    Observe,
}

/// What a plugin's failing means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the key's own text says it all, and variants would be listed a second time")]
pub enum FailPolicy {
    Open,
    Closed,
}

/// How long an instance lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the key's own text says it all, and variants would be listed a second time")]
pub enum Isolation {
    Warm,
    Request,
}

/// Limits of one plugin; each in the place of its plugin.toml's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PluginLimits {
    /// Running time of one call.
    #[schemars(extend("example" = "5ms"))]
    pub time: Option<TimeSpan>,
    /// Time of one call with all its waiting.
    #[schemars(extend("example" = "250ms"))]
    pub wall: Option<TimeSpan>,
    /// Memory of one instance.
    #[schemars(extend("example" = "16MiB"))]
    pub memory: Option<ByteSize>,
    /// Bytes that one call may hand over.
    #[schemars(extend("example" = "1MiB"))]
    pub hostcall_bytes: Option<ByteSize>,
    /// Log lines a second.
    #[schemars(extend("example" = 20))]
    pub log_lines: Option<u32>,
    /// Keys in its store, for each tenant.
    #[schemars(extend("example" = 10000))]
    pub kv_keys: Option<u32>,
    /// Bytes of one value in its store.
    #[schemars(extend("example" = "4KiB"))]
    pub kv_value: Option<ByteSize>,
    /// Instances at once, for each tenant.
    #[schemars(extend("example" = 8))]
    pub instances: Option<u32>,
    /// Calls after which an instance is replaced.
    #[schemars(extend("example" = 100000))]
    pub calls: Option<u32>,
    /// Longest playlist that it is asked about.
    #[schemars(extend("example" = "256KiB"))]
    pub playlist: Option<ByteSize>,
}
