//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  worker-hive check --config /etc/streamvault/worker-hive.toml
  worker-hive import --config worker-hive.toml session.json
  worker-hive sessions --config worker-hive.toml
  worker-hive run --config worker-hive.toml

Exit status: 0 ok, 1 failed, 2 wrong usage. Logs go to standard error, results to standard output.";

/// The pool of Telegram sessions behind the gateway.
#[derive(Debug, Parser)]
#[command(name = "worker-hive", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve gateways until SIGTERM (transfers finish first) or SIGINT (at once).
    #[command(after_help = "Example:\n  worker-hive run --config /etc/streamvault/worker-hive.toml")]
    Run(Config),
    /// Check the settings and every session file, without connecting to anything.
    #[command(after_help = "Example:\n  worker-hive check --config /etc/streamvault/worker-hive.toml")]
    Check(Config),
    /// Bring authorized sessions into the store.
    #[command(after_help = IMPORT_HELP)]
    Import(Import),
    /// Show the sessions in the store.
    #[command(after_help = "Example:\n  worker-hive sessions --config /etc/streamvault/worker-hive.toml")]
    Sessions(Config),
}

const IMPORT_HELP: &str = "A session file is JSON, an object or an array of them:
  { \"account\": \"bot-1\", \"user_id\": 7001, \"bot\": true, \"home_dc\": 2, \"api_id\": 1,
    \"dcs\": [ { \"id\": 2, \"ip\": \"127.0.0.1\", \"port\": 4432 } ],
    \"auth_keys\": { \"2\": \"<512 hexadecimal digits>\" } }
It is as good as a password: delete it after the import.

Examples:
  worker-hive import --config worker-hive.toml session.json
  decrypt session.json.age | worker-hive import --config worker-hive.toml -";

#[derive(Debug, Args)]
pub(crate) struct Config {
    /// The settings file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Leave sessions alone that are in the store already, instead of failing.
    #[arg(long)]
    pub(crate) skip_existing: bool,
    /// Session files; `-` is standard input.
    #[arg(required = true, value_name = "SESSION")]
    pub(crate) sessions: Vec<PathBuf>,
}
