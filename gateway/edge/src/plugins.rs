//! The plugins of this gateway: nothing at all until the settings name one.

use crate::redis_server::server;
use config::GatewaySettings;
use plugin_host::{AdminError, Chain, Change, Host, HostConfig, HostError, Plugins, Stats, Status};
use plugin_kv::{Kv, MemoryBounds, SetupError};
use plugin_package::{Hook, KeyFileError, Spec, Trust};
use std::sync::{Arc, OnceLock};

/// What the plugins share could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PluginsError {
    #[error("{0}")]
    Key(#[from] KeyFileError),
    #[error("redis: {0}")]
    Store(#[from] SetupError),
    #[error("plugins: no runtime: {0}")]
    Runtime(std::io::Error),
    #[error("plugins: {0}")]
    Host(#[from] HostError),
}

/// All plugins. The engine is made when the first one is named: a gateway without plugins has none.
pub(crate) struct LivePlugins {
    config: HostConfig,
    kv: Kv,
    running: OnceLock<Plugins>,
}

impl LivePlugins {
    /// Connects nowhere.
    pub(crate) fn new(settings: &GatewaySettings) -> Result<Self, PluginsError> {
        let kv = match &settings.redis {
            Some(redis) => {
                let server = server(redis).map_err(|_| SetupError::Url)?;
                Kv::redis_at(server, &redis.prefix, redis.timeout.get())?
            }
            None => Kv::in_memory(MemoryBounds::default()),
        };
        let shared = &settings.plugins;
        let config = HostConfig { code_folder: shared.code_folder.clone(), instances: shared.instances };
        Ok(Self { config, kv, running: OnceLock::new() })
    }

    /// Puts these plugins in the place of those before. One that can't be loaded fails its requests, not the gateway.
    pub(crate) async fn load(&self, specs: Vec<Spec>, trust: Trust) -> Result<Vec<Change>, PluginsError> {
        if let Some(plugins) = self.running.get() {
            return Ok(plugins.reload(specs, trust).await);
        }
        if specs.is_empty() {
            return Ok(Vec::new());
        }
        let host = Host::new(self.config.clone(), self.kv.clone())?;
        let (plugins, changes) = Plugins::open(host, specs, trust).await;
        // Loads come one at a time, so nobody was faster.
        let _ = self.running.set(plugins);
        Ok(changes)
    }

    /// Who is asked by `hook` about `tenant`. Costs nothing where nobody is.
    pub(crate) fn chain(&self, hook: Hook, tenant: &Arc<str>) -> Option<Chain> {
        self.running.get()?.chain(hook, tenant)
    }

    pub(crate) fn list(&self) -> Vec<Status> {
        self.running.get().map(Plugins::list).unwrap_or_default()
    }

    pub(crate) fn stats(&self) -> Vec<Stats> {
        self.running.get().map(Plugins::stats).unwrap_or_default()
    }

    /// One of the operator's changes to one plugin.
    pub(crate) fn change(&self, plugin: &str, act: Act) -> Result<(), AdminError> {
        let running = self.running.get().ok_or_else(|| AdminError::Unknown(plugin.to_owned()))?;
        match act {
            Act::Enable => running.enable(plugin),
            Act::Disable => running.disable(plugin),
            Act::Rollback => running.rollback(plugin),
            Act::Promote => running.promote(plugin),
        }
    }
}

/// What an operator may do to one plugin.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Enable,
    Disable,
    Rollback,
    Promote,
}
