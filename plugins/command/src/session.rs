//! A plugin in a host of its own, as a gateway would run it.

use crate::disk;
use crate::error::CommandError;
use plugin_host::{Change, Host, HostConfig, Outcome, Plugins, Stats};
use plugin_kv::{Kv, KvBounds, MemoryBounds, Namespace};
use plugin_package::{FailPolicy, Hook, Limits, Manifest, Package, Spec, Trust};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// Where compiled code goes for the length of a command.
pub(crate) struct Workshop {
    folder: TempDir,
}

/// A plugin in service.
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) manifest: Manifest,
    pub(crate) plugins: Plugins,
    kv: Kv,
}

impl Workshop {
    pub(crate) fn new() -> Result<Self, CommandError> {
        let folder = tempfile::Builder::new()
            .prefix("streamvault-plugin-")
            .tempdir()
            .map_err(CommandError::file(&std::env::temp_dir()))?;
        Ok(Self { folder })
    }

    /// A host, and these plugins in it.
    pub(crate) async fn open(
        &self,
        specs: Vec<Spec>,
        trust: Trust,
        kv: Kv,
    ) -> Result<(Plugins, Vec<Change>), CommandError> {
        let config = HostConfig { code_folder: self.folder.path().join("code"), instances: 16 };
        let host = Host::new(config, kv)?;
        Ok(Plugins::open(host, specs, trust).await)
    }

    /// One plugin, so that whatever it does can be seen: a failure is told, not passed over by an open fail policy.
    pub(crate) async fn session(&self, mut spec: Spec, trust: Trust, kv: Kv) -> Result<Session, CommandError> {
        let package = Package::open(&spec, &trust)?;
        if matches!(package.manifest.hook, Hook::Policy | Hook::Ads) {
            spec.fail = Some(FailPolicy::Closed);
        }
        spec.canary = Some(1.0);
        spec.enabled = true;
        spec.tenants = plugin_package::Tenants::All;
        let name = spec.name.clone();
        let (plugins, changes) = self.open(vec![spec], trust, kv.clone()).await?;
        match changes.first().map(|change| &change.outcome) {
            Some(Outcome::Loaded { .. }) => Ok(Session { name, manifest: package.manifest, plugins, kv }),
            Some(Outcome::Broken { reason } | Outcome::Kept { reason }) => {
                Err(CommandError::failed(format!("plugin {name}: {reason}")))
            }
            _ => Err(CommandError::failed(format!("plugin {name}: not loaded"))),
        }
    }
}

impl Session {
    pub(crate) fn hook(&self) -> Hook {
        self.manifest.hook
    }

    /// The plugin's store for a tenant.
    pub(crate) fn store(&self, tenant: &str) -> Result<Namespace, CommandError> {
        let Limits { kv_keys, kv_value, .. } = self.manifest.limits;
        let tenant = (self.hook() != Hook::Tenant).then_some(tenant);
        Ok(self.kv.namespace(&self.name, tenant, KvBounds { keys: kv_keys, value: kv_value })?)
    }

    pub(crate) fn stats(&self) -> Option<Stats> {
        self.plugins.stats().into_iter().next()
    }
}

/// A store that ends with the command.
pub(crate) fn in_memory() -> Kv {
    Kv::in_memory(MemoryBounds::default())
}

/// A folder under its own name, as its author meant it.
pub(crate) fn spec(folder: &Path, settings: toml::Table) -> Result<Spec, CommandError> {
    let manifest = Manifest::read(folder)?;
    Ok(Spec { settings, ..Spec::new(manifest.name, folder) })
}

/// A file of plugin settings.
pub(crate) fn settings(file: &Path) -> Result<toml::Table, CommandError> {
    let text = disk::read_text(file)?;
    toml::from_str(&text).map_err(|error| CommandError::content(file, error.to_string()))
}

/// Runs to the end on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// The name of a tenant, as chains want it.
pub(crate) fn tenant(hook: Hook, tenant: &str) -> Arc<str> {
    Arc::from(if hook == Hook::Tenant { "" } else { tenant })
}
