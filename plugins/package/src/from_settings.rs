//! From the gateway's settings to what the operator says about each plugin, and whose signatures count.

use crate::hook::{FailPolicy, Hook, Isolation};
use crate::limits::LimitOverrides;
use crate::package::{Spec, Tenants};
use crate::trust::{Trust, TrustError, TrustedKey};
use config::gateway;
use config::{ByteSize, TimeSpan};
use std::path::PathBuf;
use std::{fs, io};

/// A trusted key that can't be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Its file can't be read.
    #[error("plugins.trusted_keys: {file}: {source}", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its file holds something else.
    #[error("plugins.trusted_keys: {file}: {source}", file = file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
        /// What is wanted.
        source: TrustError,
    },
}

/// What the operator says about each plugin: the `[[plugin]]` tables, in their order.
#[must_use]
pub fn specs(settings: &[gateway::Plugin]) -> Vec<Spec> {
    settings.iter().map(spec).collect()
}

/// Whose signatures count: `[plugins]`. Reads the key files.
///
/// # Errors
/// [`KeyFileError`] for the first key that can't be had.
pub fn trust(settings: &gateway::Plugins) -> Result<Trust, KeyFileError> {
    let key = |named: &gateway::TrustedKey| {
        let file = &named.file;
        let pem = fs::read_to_string(file).map_err(|source| KeyFileError::Unreadable { file: file.clone(), source })?;
        TrustedKey::from_pem(named.id.clone(), &pem)
            .map_err(|source| KeyFileError::NoKey { file: file.clone(), source })
    };
    let keys = settings.trusted_keys.iter().map(key).collect::<Result<_, _>>()?;
    Ok(Trust { keys, require_signature: settings.require_signature })
}

fn spec(settings: &gateway::Plugin) -> Spec {
    Spec {
        tenants: match &settings.tenants {
            Some(tenants) => Tenants::Only(tenants.iter().cloned().collect()),
            None => Tenants::All,
        },
        order: settings.order,
        fail: settings.fail.map(|fail| match fail {
            gateway::FailPolicy::Open => FailPolicy::Open,
            gateway::FailPolicy::Closed => FailPolicy::Closed,
        }),
        isolation: settings.isolation.map(|isolation| match isolation {
            gateway::Isolation::Warm => Isolation::Warm,
            gateway::Isolation::Request => Isolation::Request,
        }),
        canary: settings.canary,
        hook: settings.hook.map(|hook| match hook {
            gateway::Hook::Tenant => Hook::Tenant,
            gateway::Hook::Policy => Hook::Policy,
            gateway::Hook::Ads => Hook::Ads,
            gateway::Hook::Observe => Hook::Observe,
        }),
        limits: limits(&settings.limits),
        // A pin that can't be read must not turn into none: zeros fit no component.
        sha256: settings.sha256.as_deref().map(|hex| digest(hex).unwrap_or_default()),
        settings: settings.settings.clone(),
        enabled: !settings.disabled,
        ..Spec::new(settings.name.clone(), settings.folder.clone())
    }
}

fn limits(settings: &gateway::PluginLimits) -> LimitOverrides {
    LimitOverrides {
        time: settings.time.map(TimeSpan::get),
        wall: settings.wall.map(TimeSpan::get),
        memory: settings.memory.map(ByteSize::bytes),
        hostcall_bytes: settings.hostcall_bytes.map(ByteSize::bytes),
        log_lines: settings.log_lines,
        kv_keys: settings.kv_keys,
        kv_value: settings.kv_value.map(ByteSize::bytes),
        instances: settings.instances,
        calls: settings.calls,
        playlist: settings.playlist.map(ByteSize::bytes),
    }
}

/// 64 hexadecimal digits, as the settings' own check has seen to.
fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(digest)
}
