//! The command line.

use crate::error::CommandError;
use crate::{admin, bench, build, check, inspect, keys, scaffold, testing};
use admin_client::Gateway;
use clap::{Args, Subcommand, ValueEnum};
use plugin_package::Hook;
use std::io::IsTerminal;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// Write, try and sign plugins; see and change those of a running gateway.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Make a project that builds, tests and loads as it is.
    #[command(
        after_help = "Examples:\n  gateway plugin new members-only\n  gateway plugin new films-meter --hook observe --into ~/plugins"
    )]
    New(New),
    /// Build a project's component with cargo, and lay it beside its plugin.toml.
    #[command(
        after_help = "Examples:\n  gateway plugin build members-only\n  gateway plugin build members-only --into /etc/streamvault/plugins/members-only\n\nNeeds cargo and the target wasm32-wasip2 (rustup target add wasm32-wasip2)."
    )]
    Build(Build),
    /// Do everything that loading would do: manifest, settings, pin, signature, compiling, contract, a first call.
    #[command(
        after_help = "Examples:\n  gateway plugin check members-only\n  gateway plugin check --config gateway.toml\n  gateway plugin check --config gateway.toml --name members-only\n  gateway plugin check ./members-only --config gateway.toml --name members-only"
    )]
    Check(Check),
    /// Run recorded requests through a plugin in the gateway's own host, and compare what comes of them.
    #[command(
        after_help = "Examples:\n  gateway plugin test members-only\n  gateway plugin test members-only requests/viewers.toml\n  gateway plugin test members-only --redis redis://127.0.0.1:6379/9"
    )]
    Test(Test),
    /// Measure how long calls take.
    #[command(
        after_help = "Examples:\n  gateway plugin bench members-only\n  gateway plugin bench members-only requests/viewers.toml --calls 100000\n  gateway plugin bench members-only --fresh"
    )]
    Bench(Bench),
    /// Show what a plugin is, imports, exports, and may use.
    #[command(
        after_help = "Examples:\n  gateway plugin inspect members-only\n  gateway plugin inspect members-only/members_only.wasm\n  gateway plugin inspect members-only --json"
    )]
    Inspect(Inspect),
    /// Make a pair of keys that sign plugins: the private one into a new file, the public one to standard output.
    #[command(after_help = "Example: gateway plugin keygen release.pem > release.pub")]
    Keygen(Keygen),
    /// Sign a folder as it is now: plugin.toml and component.
    #[command(after_help = "Example: gateway plugin sign members-only --key release.pem")]
    Sign(Sign),
    /// List the plugins of a running gateway.
    #[command(
        after_help = "Examples:\n  gateway plugin list --config gateway.toml\n  gateway plugin list --config gateway.toml --json"
    )]
    List(List),
    /// Have a running gateway read its plugins again.
    #[command(after_help = "Example: gateway plugin reload --config gateway.toml")]
    Reload(Gateway),
    /// Have a plugin asked again.
    #[command(after_help = "Example: gateway plugin enable members-only --config gateway.toml")]
    Enable(Named),
    /// Have a plugin not asked any more, until it is enabled or its settings change. What it guarded is open then.
    #[command(after_help = "Example: gateway plugin disable members-only --config gateway.toml")]
    Disable(Named),
    /// End a canary or, if there is none, go back to the generation before.
    #[command(after_help = "Example: gateway plugin rollback members-only --config gateway.toml")]
    Rollback(Named),
    /// Give a canary all requests.
    #[command(after_help = "Example: gateway plugin promote members-only --config gateway.toml")]
    Promote(Named),
}

/// `new`.
#[derive(Args, Debug)]
pub struct New {
    /// Name of plugin, folder and crate: a-z, 0-9, "-" and "_", beginning with a letter.
    pub(crate) name: String,
    /// What it is asked.
    #[arg(long, value_enum, default_value = "policy")]
    pub(crate) hook: HookName,
    /// Folder in which the project's folder is made.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) into: PathBuf,
}

/// `build`.
#[derive(Args, Debug)]
pub struct Build {
    /// The project: its Cargo.toml and plugin.toml.
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Put plugin.toml and component there instead, each in one step, so that a running gateway never sees half of one.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// Use only crates that this machine has.
    #[arg(long)]
    pub(crate) offline: bool,
}

/// `check`.
#[derive(Args, Debug)]
pub struct Check {
    /// A plugin's folder; with --config, in the place of the one that the settings name.
    #[arg(required_unless_present = "config")]
    pub(crate) folder: Option<PathBuf>,
    /// The gateway's settings: pins, signatures, overrides, plugin settings.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One [[plugin]] of the settings; all if not given.
    #[arg(long, requires = "config")]
    pub(crate) name: Option<String>,
    /// A TOML file with the plugin's settings, for a folder that no [[plugin]] names.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) settings: Option<PathBuf>,
}

/// `test`.
#[derive(Args, Debug)]
pub struct Test {
    /// A plugin's folder.
    pub(crate) folder: PathBuf,
    /// Files with recorded requests; if not given, all *.toml in the folder's requests/.
    pub(crate) requests: Vec<PathBuf>,
    /// Keep the plugin's store there instead of in memory, under keys of this run's own. They expire as the plugin says.
    #[arg(long, value_name = "URL")]
    pub(crate) redis: Option<String>,
}

/// `bench`.
#[derive(Args, Debug)]
pub struct Bench {
    /// A plugin's folder.
    pub(crate) folder: PathBuf,
    /// A file with recorded requests, of which the first step is called; if not given, an ordinary request.
    pub(crate) request: Option<PathBuf>,
    /// How many calls.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) calls: u32,
    /// A fresh instance for each call, whatever the manifest says.
    #[arg(long)]
    pub(crate) fresh: bool,
}

/// `inspect`.
#[derive(Args, Debug)]
pub struct Inspect {
    /// A plugin's folder, or a component.
    pub(crate) path: PathBuf,
    /// As JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `keygen`.
#[derive(Args, Debug)]
pub struct Keygen {
    /// File for the private key. Must not be there yet.
    pub(crate) private: PathBuf,
}

/// `sign`.
#[derive(Args, Debug)]
pub struct Sign {
    /// A plugin's folder.
    pub(crate) folder: PathBuf,
    /// The private key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

/// `list`.
#[derive(Args, Debug)]
pub struct List {
    #[command(flatten)]
    pub(crate) gateway: Gateway,
    /// As the gateway sent it.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A plugin of a gateway.
#[derive(Args, Debug)]
pub struct Named {
    /// Its name in the gateway's settings.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) gateway: Gateway,
}

/// A hook by its name.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum HookName {
    Policy,
    Tenant,
    Ads,
    Observe,
}

impl From<HookName> for Hook {
    fn from(name: HookName) -> Self {
        match name {
            HookName::Policy => Self::Policy,
            HookName::Tenant => Self::Tenant,
            HookName::Ads => Self::Ads,
            HookName::Observe => Self::Observe,
        }
    }
}

/// Runs a command to its end.
///
/// # Errors
/// [`CommandError`]: exit with 1 and print it.
pub fn run(command: PluginCommand) -> Result<(), CommandError> {
    match command {
        PluginCommand::New(new) => scaffold::new(&new),
        PluginCommand::Build(build) => build::build(&build),
        PluginCommand::Check(check) => logged("warn", || check::check(&check)),
        PluginCommand::Test(test) => logged("warn,plugin=debug,plugin_host=warn", || testing::test(&test)),
        PluginCommand::Bench(bench) => logged("error", || bench::bench(&bench)),
        PluginCommand::Inspect(inspect) => inspect::inspect(&inspect),
        PluginCommand::Keygen(keygen) => keys::keygen(&keygen),
        PluginCommand::Sign(sign) => keys::sign(&sign),
        PluginCommand::List(list) => admin::list(&list),
        PluginCommand::Reload(gateway) => admin::change(&gateway, "reload"),
        PluginCommand::Enable(named) => admin::change_one(&named, "enable"),
        PluginCommand::Disable(named) => admin::change_one(&named, "disable"),
        PluginCommand::Rollback(named) => admin::change_one(&named, "rollback"),
        PluginCommand::Promote(named) => admin::change_one(&named, "promote"),
    }
}

/// The host and the guests it runs write to the log. RUST_LOG says how much, else the command.
fn logged(filter: &str, command: impl FnOnce() -> Result<(), CommandError>) -> Result<(), CommandError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(filter));
    let ansi = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr);
    tracing::subscriber::with_default(log.finish(), command)
}
