//! `gateway takedown …`: what must not be served.

use crate::admin::takedowns::{Row, Wanted};
use crate::cache_command::{CommandFailure, Gateways};
use crate::columns::time;
use admin_client::{AdminClient, Gateway, align};
use clap::{Args, Subcommand};
use config::{ConfigError, GatewaySettings};
use http::Method;
use serde::Deserialize;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;
use takedown::{FileError, ListFile};

/// Bytes of a content are read from the hive, and media deleted.
const ANSWER: Duration = Duration::from_secs(600);

/// Take media out of service, for good, at all gateways on the same Redis; whatever links and plugins say.
#[derive(Debug, Subcommand)]
pub(crate) enum TakedownCommand {
    /// Make an empty list where takedown.file says. Once, before the first start: a gateway whose list is missing does not start.
    #[command(after_help = "Example: gateway takedown init --config /etc/streamvault/gateway.toml")]
    Init(Init),
    /// Take something down: responses that are under way break off, new ones are 451, cached bytes are deleted.
    #[command(
        after_help = "Examples:\n  gateway takedown add /stream/-1001700000001/45 --reason 'Court order 7/26' --config gateway.toml\n  gateway takedown add 'https://films.example.com/v/holiday?md5=…' --reason 'Notice 12' --config gateway.toml\n  gateway takedown add /stream/-1001700000001/45 --content --reason 'Notice 12, uploads of the same' --config gateway.toml\n  gateway takedown add document:5042-1048576 --reason 'Notice 12, wherever forwarded' --config gateway.toml\n  gateway takedown add chat:-1001700000001 --reason 'Channel of pirates' --config gateway.toml"
    )]
    Add(Add),
    /// Lift a takedown: what it kept back is served again.
    #[command(
        after_help = "Example: gateway takedown remove /stream/-1001700000001/45 --reason 'Counter-notice 3' --config gateway.toml"
    )]
    Remove(Change),
    /// List what is down.
    #[command(
        after_help = "Examples:\n  gateway takedown ls --config gateway.toml\n  gateway takedown ls --lifted --config gateway.toml\n  gateway takedown ls --json --config gateway.toml"
    )]
    Ls(Ls),
}

/// `init`.
#[derive(Args, Debug)]
pub(crate) struct Init {
    /// The gateway's settings.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// `add`.
#[derive(Args, Debug)]
pub(crate) struct Add {
    /// Not this media alone, but every media with its size and first 64 KiB: the same file uploaded anew.
    #[arg(long)]
    content: bool,
    #[command(flatten)]
    change: Change,
}

/// A change.
#[derive(Args, Debug)]
pub(crate) struct Change {
    /// A media's path or a link to it; or chat:CHAT, document:ETAG, content:SIZE:SHA256, as they are listed.
    target: String,
    /// Why: for the list, the log, and whoever asks in a year.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who does it; the user of this shell if not given.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    gateway: Gateway,
    /// As the gateway sent it.
    #[arg(long)]
    json: bool,
}

/// `ls`.
#[derive(Args, Debug)]
pub(crate) struct Ls {
    /// Those that were lifted, too.
    #[arg(long)]
    lifted: bool,
    #[command(flatten)]
    gateway: Gateway,
    /// As the gateway sent it, lifted ones included.
    #[arg(long)]
    json: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakedownFailure {
    #[error(transparent)]
    Asked(#[from] CommandFailure),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the settings name no takedown.file")]
    NoFile,
}

#[derive(Deserialize)]
struct Done {
    target: String,
    media: u64,
    slices: u64,
    gateways: Gateways,
}

/// Runs a command to its end.
pub(crate) fn run(command: &TakedownCommand) -> Result<(), TakedownFailure> {
    match command {
        TakedownCommand::Init(args) => init(args),
        TakedownCommand::Add(args) => Ok(change(&args.change, args.content, true)?),
        TakedownCommand::Remove(args) => Ok(change(args, false, false)?),
        TakedownCommand::Ls(args) => Ok(list(args)?),
    }
}

fn init(args: &Init) -> Result<(), TakedownFailure> {
    let settings = config::load::<GatewaySettings>(&args.config)?.settings;
    let path = settings.takedown.file.ok_or(TakedownFailure::NoFile)?;
    ListFile::create(&path)?;
    writeln!(stdout(), "{}: made, empty", path.display()).map_err(CommandFailure::from)?;
    Ok(())
}

fn change(args: &Change, content: bool, down: bool) -> Result<(), CommandFailure> {
    let Change { target, reason, by, gateway, json } = args;
    let admin = AdminClient::new(gateway, ANSWER)?;
    let user = || std::env::var("USER").unwrap_or_else(|_| "operator".to_owned());
    let by = by.clone().unwrap_or_else(user);
    let wanted = Wanted { target: target.clone(), content, by, reason: reason.clone() };
    let body = admin.post(if down { "/v1/takedowns" } else { "/v1/takedowns/lift" }, &wanted)?;
    if *json {
        return Ok(write!(stdout(), "{body}")?);
    }
    let Done { target, media, slices, gateways } = admin.read(&body)?;
    if down {
        writeln!(stdout(), "{target} is down; deleted here: {media} media, {slices} slices")?;
    } else {
        writeln!(stdout(), "{target} is lifted")?;
    }
    gateways.tell()
}

fn list(args: &Ls) -> Result<(), CommandFailure> {
    let admin = AdminClient::new(&args.gateway, ANSWER)?;
    let body = admin.ask(Method::GET, "/v1/takedowns")?;
    if args.json {
        return Ok(write!(stdout(), "{body}")?);
    }
    let head = ["TARGET", "STATE", "SINCE", "BY", "REASON"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for row in admin.read::<Vec<Row>>(&body)?.into_iter().filter(|row| row.down || args.lifted) {
        let state = if row.down { "down" } else { "lifted" };
        table.push(vec![row.target, state.to_owned(), time(row.at), row.by, row.reason]);
    }
    Ok(write!(stdout(), "{}", align(&table))?)
}
