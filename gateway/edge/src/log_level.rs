//! The program's own log, and its level, which can change while it runs.

use config::gateway::{Log, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Sets the level.
pub(crate) struct LogLevel(Box<dyn Fn(EnvFilter) + Send + Sync>);

impl LogLevel {
    /// Starts the log, on standard error.
    pub(crate) fn start(settings: &Log) -> Result<Self, ParseError> {
        let filter = filter(&settings.level)?;
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr);
        let failed = |error| tracing::error!("log.level was not changed: {error}");
        Ok(match settings.format {
            LogFormat::Text => {
                let builder = builder.with_filter_reloading();
                let handle = builder.reload_handle();
                builder.init();
                Self(Box::new(move |filter| handle.reload(filter).unwrap_or_else(failed)))
            }
            LogFormat::Json => {
                let builder = builder.json().with_filter_reloading();
                let handle = builder.reload_handle();
                builder.init();
                Self(Box::new(move |filter| handle.reload(filter).unwrap_or_else(failed)))
            }
        })
    }

    pub(crate) fn set(&self, filter: EnvFilter) {
        (self.0)(filter);
    }
}

/// What a level lets through.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::try_new(level)?;
    // Below info pingora prints whole requests, and with them links' tokens. Changes by operators are told whatever the level.
    for fixed in ["pingora_core=info", "pingora_proxy=info", "pingora_http=info", "audit=info"] {
        filter = filter.add_directive(fixed.parse()?);
    }
    Ok(filter)
}
