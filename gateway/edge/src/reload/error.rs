//! Why nothing was changed.

use crate::plugins::PluginsError;
use crate::tenant::TenantError;
use admin_api::Problem;
use config::ConfigError;

/// Seconds until a process that takes over should answer.
const AGAIN: u32 = 2;

/// Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Tenant(#[from] TenantError),
    #[error("{0}")]
    Plugins(#[from] PluginsError),
    #[error("log.level: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    #[error("cache: {0}")]
    Cache(#[from] cache::OpenError),
    #[error("{0}")]
    Taken(String),
    #[error(transparent)]
    HandedOver(#[from] HandedOver),
}

/// Another process takes over, or has: it has read settings and tenants, or is about to.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("another process of this gateway takes over just now: ask again in a moment, it will answer")]
pub(crate) struct HandedOver;

impl From<HandedOver> for Problem {
    fn from(error: HandedOver) -> Self {
        Self::later(AGAIN, error.to_string())
    }
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::HandedOver(error) => error.into(),
            error => Self::conflict(format!("nothing was changed: {error}")),
        }
    }
}
