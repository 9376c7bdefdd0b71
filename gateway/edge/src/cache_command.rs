//! `gateway cache …`: asks a running gateway's admin listener.

use crate::admin::cache::{Checked, Figure, PurgeWanted, Row, Stat, VerifyWanted};
use crate::columns::{bytes, time};
use crate::selection::Selection;
use admin_client::{AdminClient, AdminError, Gateway, align};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::io::{Write, stdout};
use std::time::Duration;

/// A purge walks the whole cache and deletes files.
const PURGE: Duration = Duration::from_secs(600);
/// A check reads the whole cache, as slowly as it was told to.
const VERIFY: Duration = Duration::from_secs(30 * 24 * 3600);

/// See, check and purge a running gateway's cache.
#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Show what the cache holds and has done, by the names of its metrics.
    #[command(
        after_help = "Examples:\n  gateway cache stat --config gateway.toml\n  gateway cache stat --config gateway.toml --json"
    )]
    Stat(StatArgs),
    /// List media with bytes in the cache, in order of their paths.
    #[command(
        after_help = "Examples:\n  gateway cache ls --config gateway.toml\n  gateway cache ls --config gateway.toml --prefix /stream/-1001700000001/ --limit 50\n  gateway cache ls --config gateway.toml --limit 50 --after /stream/-1001700000001/45"
    )]
    Ls(Ls),
    /// Check cached bytes against their checksums. What is rotten counts as missing from then on, and is fetched again when it is asked
    /// for. Fails if anything was. A check that was begun goes on to its end.
    #[command(
        after_help = "Examples:\n  gateway cache verify --config gateway.toml\n  gateway cache verify --config gateway.toml --rate 50MiB\n  gateway cache verify /stream/-1001700000001/45 --config gateway.toml"
    )]
    Verify(Verify),
    /// Forget cached media, here and at all gateways on the same Redis: for new requests at once. Fails if a gateway did not take it within a
    /// second. To keep something from being served, see "gateway takedown".
    #[command(
        group = ArgGroup::new("what").required(true),
        after_help = "Examples:\n  gateway cache purge /stream/-1001700000001/45 --config gateway.toml\n  gateway cache purge https://films.example.com/v/holiday --running cut --config gateway.toml\n  gateway cache purge --prefix /stream/-1001700000001/ --config gateway.toml\n  gateway cache purge --tenant example --config gateway.toml\n  gateway cache purge --document 5042-1048576 --config gateway.toml\n  gateway cache purge --all --config gateway.toml"
    )]
    Purge(Purge),
}

/// `stat`.
#[derive(Args, Debug)]
pub(crate) struct StatArgs {
    #[command(flatten)]
    gateway: Gateway,
    /// As the gateway sent it.
    #[arg(long)]
    json: bool,
}

/// Which media; all if nothing is said.
#[derive(Args, Debug)]
struct Which {
    /// One media: /stream/CHAT/MESSAGE, /v/SLUG, or a link to it.
    #[arg(group = "what")]
    media: Option<String>,
    /// Those whose paths begin so: /stream/CHAT/, /stream/CHAT/12, /v/abc.
    #[arg(long, value_name = "PATH", group = "what")]
    prefix: Option<String>,
    /// Those of a tenant's channels, and virtual files with a part in one of them. A tenant without a list of channels that is alone has
    /// everything. One that a plugin found is known by the last answer.
    #[arg(long, value_name = "ID", group = "what")]
    tenant: Option<String>,
    /// Those that are this document, wherever it was forwarded, by their ETag.
    #[arg(long, value_name = "ETAG", group = "what")]
    document: Option<String>,
}

/// `ls`.
#[derive(Args, Debug)]
pub(crate) struct Ls {
    #[command(flatten)]
    which: Which,
    /// Go on behind this media.
    #[arg(long, value_name = "MEDIA")]
    after: Option<String>,
    /// Most media to list, up to 100000.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    #[command(flatten)]
    gateway: Gateway,
    /// As the gateway sent it.
    #[arg(long)]
    json: bool,
}

/// `verify`.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    #[command(flatten)]
    which: Which,
    /// Most bytes to read in a second, as 50MiB.
    #[arg(long, value_name = "SIZE")]
    rate: Option<config::ByteSize>,
    #[command(flatten)]
    gateway: Gateway,
    /// As the gateway sent it.
    #[arg(long)]
    json: bool,
}

/// `purge`.
#[derive(Args, Debug)]
pub(crate) struct Purge {
    #[command(flatten)]
    which: Which,
    /// Everything.
    #[arg(long, group = "what")]
    all: bool,
    /// What becomes of responses that are under way.
    #[arg(long, value_enum, default_value = "finish")]
    running: RunningArg,
    #[command(flatten)]
    gateway: Gateway,
    /// As the gateway sent it.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RunningArg {
    /// They go on to their ends.
    Finish,
    /// They break off.
    Cut,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandFailure {
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("{0}")]
    Found(String),
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
}

/// Who took an act.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase", tag = "redis")]
pub(crate) enum Gateways {
    None,
    Away,
    Here { took: u64, of: u64 },
}

#[derive(Deserialize)]
struct PurgeDone {
    media: u64,
    slices: u64,
    bytes: u64,
    undeleted: u64,
    everything: bool,
    gateways: Gateways,
}

impl Gateways {
    /// A line about it. Fails if some gateway is not known to have taken it.
    pub(crate) fn tell(&self) -> Result<(), CommandFailure> {
        match self {
            Self::None => writeln!(stdout(), "this gateway alone: its settings have no redis")?,
            Self::Here { took, of } if took >= of => writeln!(stdout(), "taken by {took} of {of} gateways")?,
            Self::Here { took, of } => {
                let late = "the others take it when they reach Redis; see their logs";
                return Err(CommandFailure::Found(format!("taken by {took} of {of} gateways so far: {late}")));
            }
            Self::Away => {
                let late = "Redis can't be reached; the others are told when it can, if this gateway runs until then";
                return Err(CommandFailure::Found(format!("taken by this gateway alone: {late}")));
            }
        }
        Ok(())
    }
}

impl Which {
    fn selection(&self) -> Selection {
        let Self { media, prefix, tenant, document } = self;
        let media = media.clone().map(Selection::Media);
        let prefix = || prefix.clone().map(Selection::Prefix);
        let tenant = || tenant.clone().map(Selection::Tenant);
        let document = || document.clone().map(Selection::Document);
        media.or_else(prefix).or_else(tenant).or_else(document).unwrap_or(Selection::All)
    }

    fn query(&self) -> String {
        let Self { media, prefix, tenant, document } = self;
        let all = [("media", media), ("prefix", prefix), ("tenant", tenant), ("document", document)];
        all.into_iter().filter_map(|(name, value)| Some(pair(name, value.as_ref()?))).collect()
    }
}

fn pair(name: &str, value: &str) -> String {
    format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
}

/// Runs a command to its end.
pub(crate) fn run(command: &CacheCommand) -> Result<(), CommandFailure> {
    match command {
        CacheCommand::Stat(args) => stat(args),
        CacheCommand::Ls(args) => list(args),
        CacheCommand::Verify(args) => verify(args),
        CacheCommand::Purge(args) => purge(args),
    }
}

fn stat(args: &StatArgs) -> Result<(), CommandFailure> {
    let admin = AdminClient::new(&args.gateway, PURGE)?;
    let body = admin.ask(Method::GET, "/v1/cache")?;
    if args.json {
        return Ok(write!(stdout(), "{body}")?);
    }
    let stat: Stat = admin.read(&body)?;
    let mut rows =
        vec![vec!["max_size".to_owned(), bytes(stat.max_size)], vec!["slice_size".to_owned(), bytes(stat.slice_size)]];
    rows.extend(stat.figures.into_iter().map(|Figure { name, value }| {
        let shown = if name.starts_with("bytes_") { bytes(value) } else { value.to_string() };
        vec![name, shown]
    }));
    Ok(write!(stdout(), "{}", align(&rows))?)
}

fn list(args: &Ls) -> Result<(), CommandFailure> {
    let admin = AdminClient::new(&args.gateway, PURGE)?;
    let after = args.after.as_ref().map(|after| pair("after", after)).unwrap_or_default();
    let path = format!("/v1/cache/media?limit={}{after}{}", args.limit, args.which.query());
    let body = admin.ask(Method::GET, &path)?;
    if args.json {
        return Ok(write!(stdout(), "{body}")?);
    }
    let head = ["MEDIA", "SIZE", "CACHED", "SLICES", "READERS", "LAST READ", "ETAG"];
    let mut table = vec![head.map(str::to_owned).to_vec()];
    for row in admin.read::<Vec<Row>>(&body)? {
        let slices = format!("{}/{}", row.slices, row.slices_of);
        let last = row.last_read.map_or_else(|| "-".to_owned(), time);
        table.push(vec![
            row.media,
            bytes(row.size),
            bytes(row.bytes_held),
            slices,
            row.readers.to_string(),
            last,
            row.etag,
        ]);
    }
    Ok(write!(stdout(), "{}", align(&table))?)
}

fn verify(args: &Verify) -> Result<(), CommandFailure> {
    let admin = AdminClient::new(&args.gateway, VERIFY)?;
    let rate = args.rate.and_then(|rate| std::num::NonZeroU64::new(rate.bytes()));
    let body = admin.post("/v1/cache/verify", &VerifyWanted { what: args.which.selection(), rate })?;
    let checked: Checked = admin.read(&body)?;
    let Checked { slices, rotten, unreadable, in_use, .. } = checked;
    if args.json {
        write!(stdout(), "{body}")?;
    } else {
        let size = bytes(checked.bytes);
        writeln!(
            stdout(),
            "{slices} slices checked ({size}), {rotten} rotten, {unreadable} unreadable, {in_use} in use and passed over"
        )?;
    }
    match rotten + unreadable {
        0 => Ok(()),
        bad => Err(CommandFailure::Found(format!("{bad} slices were bad and are fetched again: look at the disk"))),
    }
}

fn purge(args: &Purge) -> Result<(), CommandFailure> {
    let admin = AdminClient::new(&args.gateway, PURGE)?;
    let wanted = PurgeWanted { what: args.which.selection(), cut: args.running == RunningArg::Cut };
    let body = admin.post("/v1/cache/purge", &wanted)?;
    let PurgeDone { media, slices, bytes: size, undeleted, everything, gateways } = admin.read(&body)?;
    if args.json {
        write!(stdout(), "{body}")?;
    } else {
        if everything {
            writeln!(stdout(), "the tenant is alone and names no channels: everything is its")?;
        }
        writeln!(stdout(), "purged here: {media} media, {slices} slices, {}", bytes(size))?;
    }
    if undeleted > 0 {
        let late = "nothing of them is served; the next start deletes them";
        return Err(CommandFailure::Found(format!("the files of {undeleted} media could not be deleted: {late}")));
    }
    if args.json { Ok(()) } else { gateways.tell() }
}
