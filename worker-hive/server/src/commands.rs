//! What each command does.

mod channels;
mod export;
mod import;
mod keys;
mod live;
mod route;
mod sessions;
mod virtual_files;

use crate::cli::{Cli, Command, Config};
use crate::commands::export::ExportError;
use crate::commands::import::ImportError;
use crate::commands::route::SessionRouteError;
use crate::commands::virtual_files::VirtualError;
use crate::login::{self, LoginError};
use config::worker_hive::LogFormat;
use config::{ConfigError, HiveSettings};
use hive_server::{Hive, HiveError, HiveOptions, OptionsError, store_key};
use mtproto::{SessionFolder, StoreError};
use std::io::{self, Write};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Why a command failed, in words for whoever typed it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("log.level: {0}")]
    Level(#[from] ParseError),
    #[error("{0}")]
    Hive(#[from] HiveError),
    #[error("{0}")]
    Options(#[from] OptionsError),
    #[error("{0}")]
    Login(#[from] LoginError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("session `{account}`: {source}")]
    Session { account: String, source: StoreError },
    #[error("{0}")]
    Import(#[from] ImportError),
    #[error("{0}")]
    Export(#[from] ExportError),
    #[error("{0}")]
    Route(#[from] SessionRouteError),
    #[error("{0}")]
    Virtual(#[from] VirtualError),
    #[error("the hive is not well: {0}")]
    Unwell(io::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl CommandError {
    /// With the name of the session, which is empty for the store itself.
    pub(crate) fn of_session((account, source): (String, StoreError)) -> Self {
        if account.is_empty() { Self::Store(source) } else { Self::Session { account, source } }
    }
}

pub(crate) fn run(cli: Cli) -> Result<(), CommandError> {
    match cli.command {
        Command::Run(config) => serve(&config),
        Command::Check(config) => check(&config),
        Command::Health(config) => live::health(load(&config)?.admin.address).map_err(CommandError::Unwell),
        Command::Import(options) => import::run(&options),
        Command::Export(options) => export::run(&options),
        Command::Login(options) => login::run(&options),
        Command::Sessions(options) => sessions::run(&options),
        Command::Channels(config) => channels::run(&config),
        Command::Virtual(action) => virtual_files::run(&action),
        Command::Keygen(options) => keys::make(&options),
        Command::Rekey(options) => keys::change(&options),
    }
}

pub(crate) fn load(config: &Config) -> Result<HiveSettings, CommandError> {
    let loaded = config::load::<HiveSettings>(&config.config)?;
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(loaded.settings)
}

/// The session store of the settings, with its key.
pub(crate) fn open_folder(settings: &HiveSettings) -> Result<SessionFolder, CommandError> {
    Ok(SessionFolder::open(&settings.store.folder)?.with_key(store_key(&settings.store)?))
}

fn serve(config: &Config) -> Result<(), CommandError> {
    let settings = load(config)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse(&settings.log.level)?)
        .with_writer(io::stderr);
    match settings.log.format {
        LogFormat::Json => log.json().init(),
        LogFormat::Text => log.with_ansi(false).init(),
    }
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let hive = Hive::start(HiveOptions::try_from(settings)?).await?;
        // For whoever started it: the addresses it listens on by now, with real ports.
        writeln!(io::stdout(), "LISTEN {}", hive.address())?;
        if let Some(admin) = hive.admin() {
            writeln!(io::stdout(), "ADMIN {admin}")?;
        }
        tracing::info!(listen = %hive.address(), admin = ?hive.admin(), "serving");
        let drain = loop {
            tokio::select! {
                _ = terminate.recv() => break true,
                _ = interrupt.recv() => break false,
                _ = hangup.recv() => hive.rescan(),
            }
        };
        tracing::info!(drain, "stopping");
        hive.stop(async {
            if drain {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            }
        })
        .await;
        Ok(())
    })
}

fn check(config: &Config) -> Result<(), CommandError> {
    let settings = load(config)?;
    EnvFilter::builder().parse(&settings.log.level)?;
    let sessions = sessions::describe(&settings)?;
    let folder = open_folder(&settings)?;
    for session in &sessions {
        // Everything in it, and not only what a table shows.
        let damaged = |source| CommandError::Session { account: session.account.clone(), source };
        folder.export(&session.account).map_err(damaged)?;
        route::own_route(&folder, &session.account)?;
    }
    let store = settings.store.folder.clone();
    HiveOptions::try_from(settings)?;
    writeln!(io::stdout(), "ok: {} session(s) in {}", sessions.len(), store.display())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
