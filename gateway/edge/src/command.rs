//! The `gateway` command: `run`, `check`, `sign`, `cache`, `takedown`, `plugin`.

use crate::background;
use crate::cache_command::{self, CacheCommand, CommandFailure};
use crate::edge::{Edge, EdgeError};
use crate::outcome;
use crate::plugins::PluginsError;
use crate::server::{self, ServerError};
use crate::signals::Signals;
use crate::takedown_command::{self, TakedownCommand, TakedownFailure};
use crate::tenants::Tenants;
use clap::{Args, Parser, Subcommand};
use config::gateway::LogFormat;
use config::{ConfigError, GatewaySettings, Loaded};
use link::{SignError, SignRequest};
use parking_lot::Mutex;
use pingora::server::RunArgs;
use plugin_command::{CommandError, PluginCommand};
use plugin_package::{Package, PackageError};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use takedown::ListFile;
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

/// Edge-cached stream gateway over Telegram: checks signed links, answers byte ranges from its slice cache.
#[derive(Parser)]
#[command(
    name = "gateway",
    version,
    after_help = "Results go to standard output, logs to standard error.\nExit status: 0 done, 1 failed, 2 wrong usage."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve viewers until SIGTERM (drain, then stop) or SIGINT (stop).
    #[command(
        after_help = "Example: gateway run --config /etc/streamvault/gateway.toml\n\nPrints LISTEN <address> for each public listener, PEERS <address> if there are other gateways, and ADMIN <address>; then the access log, unless log.access says otherwise."
    )]
    Run(Config),
    /// Check the settings, secrets, link rules and the plugins' folders; touch neither cache nor network. What plugins are made
    /// of, "gateway plugin check" looks at.
    #[command(after_help = "Example: gateway check --config /etc/streamvault/gateway.toml")]
    Check(Config),
    /// Sign a path; print the link.
    #[command(
        after_help = "Examples:\n  gateway sign --config gateway.toml --path /stream/-1001700000001/7/film.mp4\n  gateway sign --config gateway.toml --path /stream/-1001700000001/7 --ttl 30m --base https://films.example.com"
    )]
    Sign(Sign),
    /// See, check and purge the cache of a running gateway.
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Take media out of service for good, whatever links and plugins say.
    #[command(subcommand)]
    Takedown(TakedownCommand),
    /// Make, check, test, measure and sign plugins; see and change those of a running gateway.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// List how requests can end (the words of log and metrics) and what to do about each, as Markdown.
    Outcomes,
}

#[derive(Args)]
struct Config {
    /// Settings file (see config/gateway.example.toml).
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args)]
struct Sign {
    #[command(flatten)]
    config: Config,
    /// Decoded path: /stream/CHAT/MESSAGE[/FILE NAME], or /v/SLUG[/FILE NAME] for a virtual file.
    #[arg(long)]
    path: String,
    /// How long the link is good: 30m, 4h, 2d.
    #[arg(long, default_value = "4h", conflicts_with = "expires")]
    ttl: config::TimeSpan,
    /// Last good second instead, as a Unix time.
    #[arg(long, value_name = "SECONDS")]
    expires: Option<i64>,
    /// Tenant whose secret signs; needed when there are several.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Scheme and host to put in front, as in https://films.example.com.
    #[arg(long, value_name = "URL", default_value = "")]
    base: String,
    /// Secret to sign with, by its id; the first one if not given.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// The viewer's address, for links that are bound to it ($remote_addr).
    #[arg(long, value_name = "IP")]
    remote_addr: Option<IpAddr>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Edge(#[from] EdgeError),
    #[error("{0}")]
    Server(#[from] ServerError),
    #[error("{0}")]
    Package(#[from] PackageError),
    #[error("{0}")]
    Plugin(#[from] CommandError),
    #[error("{0}")]
    Asked(#[from] CommandFailure),
    #[error("{0}")]
    Takedown(#[from] TakedownFailure),
    #[error("log.level: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("name the tenant with --tenant; the settings know: {0}")]
    WhichTenant(String),
    #[error("can't sign: {0}")]
    Sign(#[from] SignError),
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
}

/// Parses the command line, runs the command, and says how it went. Usage errors exit with 2 by clap's own hand.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(config) => run(&config),
        Command::Check(config) => check(&config),
        Command::Sign(sign) => self::sign(&sign),
        Command::Cache(command) => cache_command::run(&command).map_err(Failure::from),
        Command::Takedown(command) => takedown_command::run(&command).map_err(Failure::from),
        Command::Plugin(command) => plugin_command::run(command).map_err(Failure::from),
        Command::Outcomes => write!(std::io::stdout(), "{}", outcome::markdown()).map_err(Failure::from),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&format!("gateway: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config) -> Result<(), Failure> {
    let Loaded { settings, warnings } = load(config)?;
    start_log(&settings)?;
    raise_file_limit();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let (edge, log_guard) = Edge::new(&settings, &config.config)?;
    let active = edge.metrics.active.clone();
    let hangup = Arc::new(Notify::new());
    let built = server::build(&settings, edge.clone(), hangup.clone())?;
    let mut out = std::io::stdout().lock();
    let (admin, public) =
        built.addresses.split_last().map_or(("", &[][..]), |(admin, public)| (admin.as_str(), public));
    for address in public {
        writeln!(out, "LISTEN {address}")?;
    }
    if let Some(address) = &built.fleet {
        writeln!(out, "PEERS {address}")?;
    }
    writeln!(out, "ADMIN {admin}")?;
    out.flush()?;
    drop(out);
    let (signals, drain) = Signals::new(hangup);
    // Two may end the process: pingora after its time, the drain before it. The access log is flushed by whoever comes first.
    let log_guard = Arc::new(Mutex::new(log_guard));
    let flush = log_guard.clone();
    let draining = edge.clone();
    let closing = edge.closing.clone();
    drain.watch(
        active,
        move || closing.cancel(),
        move || {
            background::last_batches(&draining);
            drop(flush.lock().take());
            std::process::exit(0);
        },
    )?;
    built.server.run(RunArgs { shutdown_signal: Box::new(signals) });
    drop(built.reserved);
    background::last_batches(&edge);
    drop(log_guard.lock().take());
    Ok(())
}

fn check(config: &Config) -> Result<(), Failure> {
    let Loaded { settings, warnings } = load(config)?;
    for warning in warnings {
        tell(&format!("warning: {warning}"));
    }
    Tenants::new(&settings.tenant).map_err(EdgeError::from)?;
    server::check_certificates(&settings)?;
    if let Some(path) = &settings.takedown.file {
        ListFile::read(path).map_err(EdgeError::from)?;
    }
    let trust = plugin_package::trust(&settings.plugins).map_err(PluginsError::from).map_err(EdgeError::from)?;
    for spec in plugin_package::specs(&settings.plugin).iter().filter(|spec| spec.enabled) {
        Package::open(spec, &trust)?;
    }
    EnvFilter::try_new(&settings.log.level)?;
    writeln!(std::io::stdout(), "{}: ok, {} tenant(s)", config.config.display(), settings.tenant.len())?;
    Ok(())
}

fn sign(sign: &Sign) -> Result<(), Failure> {
    let settings = load(&sign.config)?.settings;
    let tenants = Tenants::new(&settings.tenant).map_err(EdgeError::from)?;
    let tenant = tenants.by_id(sign.tenant.as_deref()).ok_or_else(|| {
        Failure::WhichTenant(settings.tenant.iter().map(|t| t.id.as_str()).collect::<Vec<_>>().join(", "))
    })?;
    let ttl = i64::try_from(sign.ttl.get().as_secs()).unwrap_or(i64::MAX);
    let remote = sign.remote_addr.map(|address| address.to_string());
    let host = sign.base.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
    let link = tenant.links.sign(&SignRequest {
        expires: sign.expires.unwrap_or_else(|| unix_now().saturating_add(ttl)),
        key_id: sign.key.as_deref(),
        remote_addr: remote.as_deref(),
        host,
        ..SignRequest::new(&sign.path, 0)
    })?;
    writeln!(std::io::stdout(), "{}{link}", sign.base.trim_end_matches('/'))?;
    Ok(())
}

fn load(config: &Config) -> Result<Loaded<GatewaySettings>, ConfigError> {
    config::load(&config.config)
}

#[expect(clippy::disallowed_methods, reason = "a command's clock: links are signed from now on")]
fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// Each viewer and each open film takes a descriptor, and the usual soft limit of 1024 is for programs that use `select`.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

fn start_log(settings: &GatewaySettings) -> Result<(), Failure> {
    let mut filter = EnvFilter::try_new(&settings.log.level)?;
    // Below info pingora prints whole requests, and with them links' tokens.
    for quiet in ["pingora_core=info", "pingora_proxy=info", "pingora_http=info"] {
        filter = filter.add_directive(quiet.parse()?);
    }
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr);
    match settings.log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}

/// Standard error may be closed; there is nobody left to tell then.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
