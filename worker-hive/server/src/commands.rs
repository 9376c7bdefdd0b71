//! What each command does.

use crate::cli::{Cli, Command, Config, Import};
use config::worker_hive::LogFormat;
use config::{ConfigError, HiveSettings};
use hive_server::{Hive, HiveError, HiveOptions};
use mtproto::{AccountInfo, SeedError, SessionFolder, SessionSeed, StoreError};
use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
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
    Store(#[from] StoreError),
    #[error("session `{account}`: {source}")]
    Session { account: String, source: StoreError },
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Seed { path: PathBuf, source: SeedError },
    #[error("{0}")]
    Io(#[from] io::Error),
}

pub(crate) fn run(cli: Cli) -> Result<(), CommandError> {
    match cli.command {
        Command::Run(config) => serve(&config),
        Command::Check(config) => check(&config),
        Command::Import(import) => bring_in(&import),
        Command::Sessions(config) => show(&config),
    }
}

fn load(config: &Config) -> Result<HiveSettings, CommandError> {
    let loaded = config::load::<HiveSettings>(&config.config)?;
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(loaded.settings)
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
        let hive = Hive::start(HiveOptions::from(settings)).await?;
        // For whoever started it: the addresses it listens on by now, with real ports.
        writeln!(io::stdout(), "LISTEN {}", hive.address())?;
        if let Some(admin) = hive.admin() {
            writeln!(io::stdout(), "ADMIN {admin}")?;
        }
        tracing::info!(listen = %hive.address(), admin = ?hive.admin(), "serving");
        let drain = tokio::select! {
            _ = terminate.recv() => true,
            _ = interrupt.recv() => false,
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
    let sessions = describe(&settings)?;
    writeln!(io::stdout(), "ok: {} session(s) in {}", sessions.len(), settings.store.folder.display())?;
    Ok(())
}

fn show(config: &Config) -> Result<(), CommandError> {
    let sessions = describe(&load(config)?)?;
    io::stdout().write_all(table(&sessions).as_bytes())?;
    Ok(())
}

fn describe(settings: &HiveSettings) -> Result<Vec<AccountInfo>, CommandError> {
    let folder = SessionFolder::open(&settings.store.folder)?;
    let describe =
        |account: String| folder.describe(&account).map_err(|source| CommandError::Session { account, source });
    folder.accounts()?.into_iter().map(describe).collect()
}

fn bring_in(import: &Import) -> Result<(), CommandError> {
    let settings = load(&import.config)?;
    let folder = SessionFolder::open(&settings.store.folder)?;
    for path in &import.sessions {
        let text = read(path).map_err(|source| CommandError::Read { path: path.clone(), source })?;
        let seeds =
            SessionSeed::parse_all(&text).map_err(|source| CommandError::Seed { path: path.clone(), source })?;
        for seed in seeds {
            match folder.import(&seed) {
                Ok(()) => writeln!(io::stdout(), "imported {}", seed.account)?,
                Err(StoreError::Exists(account)) if import.skip_existing => {
                    writeln!(io::stdout(), "kept {account}")?;
                }
                Err(source) => return Err(CommandError::Session { account: seed.account.clone(), source }),
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<String> {
    if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path)
}

fn table(sessions: &[AccountInfo]) -> String {
    let head = ["ACCOUNT", "KIND", "PREMIUM", "USER ID", "HOME DC", "AUTHORIZED DCS", "PEERS"].map(str::to_owned);
    let mut rows = vec![head];
    for info in sessions {
        let dcs: Vec<String> = info.authorized_dcs.iter().map(i32::to_string).collect();
        rows.push([
            info.account.clone(),
            if info.bot { "bot" } else { "user" }.to_owned(),
            info.premium.map_or("unknown", |premium| if premium { "yes" } else { "no" }).to_owned(),
            info.user_id.to_string(),
            info.home_dc.to_string(),
            dcs.join(","),
            info.peers.to_string(),
        ]);
    }
    let widths: Vec<usize> = (0..7).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::cli::Cli;
    use clap::CommandFactory;
    use mtproto::AccountInfo;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn columns_line_up() {
        let info = AccountInfo {
            account: "a-rather-long-name".into(),
            user_id: 7,
            bot: true,
            premium: None,
            api_id: 1,
            home_dc: 2,
            authorized_dcs: vec![2, 4],
            peers: 12,
            disabled: false,
            encrypted: false,
            key_id: 9,
        };
        let text = table(&[info]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("HOME DC"), lines[1].find("2  "));
        assert!(lines[1].ends_with("12") && lines[1].contains("2,4") && lines[1].contains("unknown"));
    }
}
