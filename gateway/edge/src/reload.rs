//! Live change: tenants and plugins anew, from the same settings file, while requests run.

use crate::directory::Directory;
use crate::plugins::{LivePlugins, PluginsError};
use crate::tenant::TenantError;
use crate::tenants::Tenants;
use config::{ConfigError, GatewaySettings};
use parking_lot::Mutex;
use plugin_host::Change;
use plugin_package::{Hook, Spec, Trust};
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Changes what can be changed while the gateway runs. One change at a time.
pub(crate) struct Reloader {
    file: PathBuf,
    plugins: Arc<LivePlugins>,
    directory: Arc<Directory>,
    /// What was last asked for.
    wanted: Mutex<Wanted>,
    changing: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Wanted {
    specs: Vec<Spec>,
    trust: Trust,
    watch: Option<Duration>,
    /// What of the settings is read at start only, to tell the operator when it changed.
    fixed: serde_json::Value,
}

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Tenant(#[from] TenantError),
    #[error("{0}")]
    Plugins(#[from] PluginsError),
}

/// How a plugin's folder looks from outside.
type Look = Vec<Option<(SystemTime, u64, u64)>>;

impl Reloader {
    pub(crate) fn new(
        file: PathBuf,
        settings: &GatewaySettings,
        trust: Trust,
        plugins: Arc<LivePlugins>,
        directory: Arc<Directory>,
    ) -> Self {
        let wanted = Mutex::new(Wanted::new(settings, trust));
        Self { file, plugins, directory, wanted, changing: tokio::sync::Mutex::default() }
    }

    /// Reads the settings again and puts tenants and plugins in their place. A plugin that can't be loaded keeps its old
    /// generation; settings that can't be read change nothing.
    pub(crate) async fn reload(&self) -> Result<Vec<Change>, ReloadError> {
        let _one = self.changing.lock().await;
        let loaded = config::load::<GatewaySettings>(&self.file)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let settings = loaded.settings;
        let tenants = Tenants::new(&settings.tenant)?;
        let wanted = Wanted::new(&settings, plugin_package::trust(&settings.plugins).map_err(PluginsError::from)?);
        if wanted.fixed != self.wanted.lock().fixed {
            tracing::warn!("settings other than tenants and plugins changed; they are read at start only");
        }
        // No tenant may be served without its policy, neither one that comes nor one that goes: who goes, goes before the plugins
        // change, and who comes, comes after.
        let before = self.directory.fixed();
        self.directory.replace(Arc::new(before.also_in(&tenants)));
        match self.load(wanted.clone()).await {
            Ok(changes) => {
                self.directory.replace(Arc::new(tenants));
                *self.wanted.lock() = wanted;
                warn_of_lists(&self.plugins, &self.directory);
                Ok(changes)
            }
            Err(error) => {
                self.directory.replace(before);
                Err(error)
            }
        }
    }

    /// Loads plugins anew from their folders, by the settings as they were read last.
    async fn load(&self, wanted: Wanted) -> Result<Vec<Change>, ReloadError> {
        let changes = self.plugins.load(wanted.specs, wanted.trust).await?;
        self.directory.forget();
        Ok(changes)
    }

    /// Looks at the plugins' folders until the end of days, and loads what changed once it has come to rest.
    pub(crate) async fn watch(&self) {
        let mut loaded = self.look().await;
        let mut before = loaded.clone();
        loop {
            let period = self.wanted.lock().watch;
            tokio::time::sleep(period.unwrap_or(Duration::from_secs(5))).await;
            if period.is_none() {
                continue;
            }
            let now = self.look().await;
            // A folder that still changes is being copied.
            if now != loaded && now == before {
                let _one = self.changing.lock().await;
                let wanted = self.wanted.lock().clone();
                if let Err(error) = self.load(wanted).await {
                    tracing::error!("changed plugins were not loaded: {error}");
                }
                loaded.clone_from(&now);
            }
            before = now;
        }
    }

    async fn look(&self) -> Vec<(PathBuf, Look)> {
        let folders: Vec<PathBuf> = self.wanted.lock().specs.iter().map(|spec| spec.folder.clone()).collect();
        tokio::task::spawn_blocking(move || {
            folders.into_iter().map(|folder| (look(&folder), folder)).map(|(l, f)| (f, l)).collect()
        })
        .await
        .unwrap_or_default()
    }
}

impl Wanted {
    fn new(settings: &GatewaySettings, trust: Trust) -> Self {
        let mut fixed = serde_json::to_value(settings).unwrap_or_default();
        if let Some(all) = fixed.as_object_mut() {
            all.remove("tenant");
            all.remove("plugin");
            if let Some(plugins) = all.get_mut("plugins").and_then(serde_json::Value::as_object_mut) {
                for live in ["watch", "trusted_keys", "require_signature"] {
                    plugins.remove(live);
                }
            }
            // Secrets are all alike in there.
            let secrets = [
                Some(&settings.hive.token),
                settings.admin.token.as_ref(),
                settings.redis.as_ref().map(|redis| &redis.url),
            ];
            let seen = secrets.map(|secret| secret.map(|secret| format!("{:?}", Sha256::digest(secret.expose()))));
            all.insert("secrets".to_owned(), serde_json::json!(seen));
        }
        let watch = settings.plugins.watch.map(config::TimeSpan::get);
        Self { specs: plugin_package::specs(&settings.plugin), trust, watch, fixed }
    }
}

/// A tenant without a list of channels opens none where there may be others: said where it can still be read.
pub(crate) fn warn_of_lists(plugins: &LivePlugins, directory: &Directory) {
    if plugins.chain(Hook::Tenant, &Arc::from("")).is_none() {
        return;
    }
    for tenant in directory.fixed().all().iter().filter(|tenant| tenant.has_no_list()) {
        tracing::error!(
            tenant = &*tenant.id,
            "has no channels and serves nothing: with a tenant plugin each tenant must name its own"
        );
    }
}

/// Time, size and inode of each file in a folder, by name.
fn look(folder: &std::path::Path) -> Look {
    use std::os::unix::fs::MetadataExt;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    let seen = |file: PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    files.into_iter().map(seen).collect()
}
