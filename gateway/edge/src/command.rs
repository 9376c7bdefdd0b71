//! The `gateway` command: `run`, `check`, `sign`, `cache`, `takedown`, `admin`, `auth`, `plugin`, `top`, `report`, `health`, `import-nginx`.

use crate::admin_command::{self, AdminCommand};
use crate::auth_command::{self, AuthCommand, AuthFailure};
use crate::background;
use crate::cache_command::{self, CacheCommand, CommandFailure};
use crate::catch_up::catch_up;
use crate::certificates;
use crate::edge::{Edge, EdgeError};
use crate::import_command::{self, ImportFailure, ImportNginx};
use crate::kin::Kin;
use crate::log_level::{self, LogLevel};
use crate::managed::{self, Managed};
use crate::plugins::PluginsError;
use crate::predecessor::{Predecessor, SuccessionError};
use crate::report_command::{self, ReportCommand, ReportFailure};
use crate::server::{self, ServerError};
use crate::signals::{Caught, Signals};
use crate::sockets::Sockets;
use crate::takedown_command::{self, TakedownCommand, TakedownFailure};
use crate::top_command::{self, Top, TopFailure};
use crate::traced;
use crate::upgrade::Upgrade;
use crate::{lifecycle, notify, outcome, pid_file};
use admin_client::{AdminClient, AdminError, Gateway};
use clap::{Args, Parser, Subcommand};
use config::{ConfigError, GatewaySettings, Loaded};
use http::Method;
use link::{PrefixRequest, SignError, SignRequest};
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
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use takedown::ListFile;
use tokio::sync::Notify;

/// Longer than the gateway takes to find out that an address of its own does not answer.
const HEALTH_PATIENCE: Duration = Duration::from_secs(3);

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
    /// Serve viewers until SIGTERM (let transfers finish, then stop) or SIGINT (stop). SIGHUP reads tenants and plugins again. SIGQUIT
    /// starts the binary that is there by then, which takes over; what runs is finished by this one.
    #[command(
        after_help = "Example: gateway run --config /etc/streamvault/gateway.toml\n\nPrints LISTEN <address> for each public listener, PEERS <address> if there are other gateways, and ADMIN <address>; then the access log, unless log.access says otherwise."
    )]
    Run(Run),
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
    /// Change tenants and settings of a running gateway, see its sessions, drain it.
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Make one-time links for viewers; revoke links, sessions and tokens.
    #[command(subcommand)]
    Auth(AuthCommand),
    /// Make, check, test, measure and sign plugins; see and change those of a running gateway.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Watch a running gateway: requests, outcomes, cache, tenants, hives.
    Top(Top),
    /// Say what a day came to: bandwidth, viewers, hit ratio, dead links, storage.
    Report(ReportCommand),
    /// Ask a running gateway whether it can be connected to: exit status 0 if so. For containers and probes.
    #[command(after_help = "Example: gateway health --config /etc/streamvault/gateway.toml")]
    Health(Gateway),
    /// Translate an nginx configuration with secure_link and slice; print settings for the gateway.
    ImportNginx(ImportNginx),
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
struct Run {
    #[command(flatten)]
    config: Config,
    /// Where to keep the number of the process that serves; each process that takes over writes its own.
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Take the place of the gateway that has started this one.
    #[arg(long, hide = true)]
    upgrade: bool,
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
    /// The viewer's address, for links that are bound to it ($remote_addr), or to bind a path-prefix token.
    #[arg(long, value_name = "IP")]
    remote_addr: Option<IpAddr>,
    /// What the link can be revoked by ("gateway auth revoke"): up to 64 of A-Z a-z 0-9 _ -.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Print a link that opens everything below the path, too (link.prefix_parameter): its token is the first segment, so that what a
    /// playlist names relative to itself carries it.
    #[arg(long)]
    below: bool,
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
    Succession(#[from] SuccessionError),
    #[error("{0}")]
    Package(#[from] PackageError),
    #[error("{0}")]
    Plugin(#[from] CommandError),
    #[error("{0}")]
    Asked(#[from] CommandFailure),
    #[error("{0}")]
    Takedown(#[from] TakedownFailure),
    #[error("{0}")]
    Auth(#[from] AuthFailure),
    #[error("{0}")]
    Top(#[from] TopFailure),
    #[error("{0}")]
    Report(#[from] ReportFailure),
    #[error("{0}")]
    Health(#[from] AdminError),
    #[error("{0}")]
    Import(#[from] ImportFailure),
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
        Command::Run(arguments) => run(&arguments),
        Command::Check(config) => check(&config),
        Command::Sign(sign) => self::sign(&sign),
        Command::Cache(command) => cache_command::run(&command).map_err(Failure::from),
        Command::Takedown(command) => takedown_command::run(&command).map_err(Failure::from),
        Command::Admin(command) => admin_command::run(command).map_err(Failure::from),
        Command::Auth(command) => auth_command::run(&command).map_err(Failure::from),
        Command::Plugin(command) => plugin_command::run(command).map_err(Failure::from),
        Command::Top(command) => top_command::run(&command).map_err(Failure::from),
        Command::Report(command) => report_command::run(&command).map_err(Failure::from),
        Command::Health(gateway) => health(&gateway),
        Command::ImportNginx(command) => import_command::run(&command).map_err(Failure::from),
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

fn run(arguments: &Run) -> Result<(), Failure> {
    let caught = Caught::from_now_on()?;
    let config = &arguments.config;
    let Loaded { settings, warnings } = load(config)?;
    let log = LogLevel::start(&settings.log)?;
    raise_file_limit();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let (predecessor, inherited) = if arguments.upgrade {
        let (predecessor, inherited) = Predecessor::greet()?;
        (Some(predecessor), inherited)
    } else {
        (None, Vec::new())
    };
    let sockets = Sockets::prepare(&settings, inherited)?;
    let upgrade = Arc::new(Upgrade::new(sockets.copies()?));
    let (edge, log_guard) = Edge::new(&settings, &config.config, log, predecessor.as_ref())?;
    catch_up(&edge, predecessor.is_some());
    let hangup = Arc::new(Notify::new());
    let built = server::build(&settings, edge.clone(), hangup.clone(), sockets)?;
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
    let started = started(predecessor, edge.acts.kin.clone(), arguments.pid_file.clone());
    let signals = Signals::new(edge.clone(), upgrade, hangup, caught, started);
    // Two may end the process: pingora after its time, the drain before it. The access log is flushed by whoever comes first.
    let log_guard = Arc::new(Mutex::new(log_guard));
    let flush = log_guard.clone();
    let (draining, kin, closing) = (edge.clone(), edge.acts.kin.clone(), edge.closing.clone());
    lifecycle::watch(
        edge.lifecycle.clone(),
        edge.metrics.active.clone(),
        move || kin.has_predecessor(),
        move || closing.cancel(),
        move || {
            background::last_batches(&draining);
            drop(flush.lock().take());
            std::process::exit(0);
        },
    )?;
    built.server.run(RunArgs { shutdown_signal: Box::new(signals) });
    background::last_batches(&edge);
    drop(log_guard.lock().take());
    Ok(())
}

/// What is done once connections are accepted and signals are watched.
fn started(
    predecessor: Option<Predecessor>,
    kin: Arc<Kin>,
    pid_file: Option<PathBuf>,
) -> impl FnOnce() + Send + 'static {
    move || {
        if let Some(predecessor) = predecessor {
            predecessor.replace(&kin);
        }
        notify::serving();
        if let Some(path) = pid_file
            && let Err(error) = pid_file::write(&path)
        {
            tracing::error!(%error, path = %path.display(), "--pid-file can't be written");
        }
    }
}

fn check(config: &Config) -> Result<(), Failure> {
    let Loaded { settings, warnings } = load(config)?;
    for warning in warnings {
        tell(&format!("warning: {warning}"));
    }
    managed::directory(&settings, None).map_err(EdgeError::from)?;
    certificates::check(&settings).map_err(EdgeError::from)?;
    traced::check(&settings).map_err(EdgeError::from)?;
    if let Some(path) = &settings.takedown.file {
        ListFile::read(path).map_err(EdgeError::from)?;
    }
    let trust = plugin_package::trust(&settings.plugins).map_err(PluginsError::from).map_err(EdgeError::from)?;
    for spec in plugin_package::specs(&settings.plugin).iter().filter(|spec| spec.enabled) {
        Package::open(spec, &trust)?;
    }
    log_level::filter(&settings.log.level)?;
    writeln!(std::io::stdout(), "{}: ok, {} tenant(s)", config.config.display(), settings.tenant.len())?;
    Ok(())
}

fn sign(sign: &Sign) -> Result<(), Failure> {
    let settings = load(&sign.config)?.settings;
    let managed = Managed::open(&settings).map_err(EdgeError::from)?;
    let tenants = managed::directory(&settings, managed.as_ref()).map_err(EdgeError::from)?.fixed();
    let tenant = tenants
        .by_id(sign.tenant.as_deref())
        .ok_or_else(|| Failure::WhichTenant(tenants.all().iter().map(|t| &*t.id).collect::<Vec<_>>().join(", ")))?;
    let ttl = i64::try_from(sign.ttl.get().as_secs()).unwrap_or(i64::MAX);
    let remote = sign.remote_addr.map(|address| address.to_string());
    let host = sign.base.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
    let expires = sign.expires.unwrap_or_else(|| unix_now().saturating_add(ttl));
    let (key_id, remote_addr, id) = (sign.key.as_deref(), remote.as_deref(), sign.id.as_deref());
    let link = if sign.below {
        let prefix = sign.path.as_bytes();
        let token = tenant.links.sign_prefix(&PrefixRequest { prefix, expires, key_id, remote_addr, id })?;
        link::in_path(&token, prefix)
    } else {
        tenant.links.sign(&SignRequest { key_id, remote_addr, id, host, ..SignRequest::new(&sign.path, expires) })?
    };
    writeln!(std::io::stdout(), "{}{link}", sign.base.trim_end_matches('/'))?;
    Ok(())
}

fn health(gateway: &Gateway) -> Result<(), Failure> {
    let answer = AdminClient::new(gateway, HEALTH_PATIENCE)?.ask(Method::GET, "/healthz")?;
    writeln!(std::io::stdout(), "{}", answer.trim_end())?;
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

/// Standard error may be closed; there is nobody left to tell then.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
