//! The command line.

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  worker-hive check --config /etc/streamvault/worker-hive.toml
  worker-hive login --config worker-hive.toml
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
    /// Ask the running hive whether it is well: exit status 0 if so. For containers and probes.
    #[command(after_help = "Example:\n  worker-hive health --config /etc/streamvault/worker-hive.toml")]
    Health(Config),
    /// Bring authorized sessions into the store.
    #[command(after_help = IMPORT_HELP)]
    Import(Import),
    /// Sign an account in and put its session into the store.
    #[command(after_help = LOGIN_HELP)]
    Login(Box<Login>),
    /// Write a session in the form of another client, or as JSON for another hive.
    #[command(after_help = EXPORT_HELP)]
    Export(Export),
    /// Show the sessions in the store, and take them out of service.
    #[command(after_help = SESSIONS_HELP)]
    Sessions(Sessions),
    /// Show the channels that the sessions see, with the chat ids that links name them by. Asks the running hive.
    #[command(after_help = CHANNELS_HELP)]
    Channels(Config),
    /// Join the files of several messages to one, and see what is joined. Asks the running hive.
    #[command(subcommand, after_help = VIRTUAL_HELP)]
    Virtual(Virtual),
    /// Make a key for the session store.
    #[command(after_help = "Example:\n  worker-hive keygen /etc/streamvault/store.key")]
    Keygen(Keygen),
    /// Encrypt every session with another key.
    #[command(after_help = REKEY_HELP)]
    Rekey(Rekey),
}

const IMPORT_HELP: &str = "What a file holds is found out by looking: JSON as `export --format json` writes it, session strings of Pyrogram, Pyrofork,
Kurigram or Telethon (one a line; lines that begin with # are comments), or an SQLite .session file of one of those. Without a
file a session string is asked for. End the other client first: Telegram revokes a key that is in use in two places.
All of it is as good as a password: delete it after the import.

Examples:
  worker-hive import --config worker-hive.toml --name films-1
  worker-hive import --config worker-hive.toml my_account.session
  decrypt strings.txt.age | worker-hive import --config worker-hive.toml --api-id 12345 -";

const EXPORT_HELP: &str = "What is written is as good as a password. Disable the session on every machine that has a copy before it is used elsewhere:
Telegram revokes a key that is in use in two places.

Examples:
  worker-hive export --config worker-hive.toml --format telethon --output session.txt films-1
  worker-hive export --config worker-hive.toml --format json --yes-print-secret films-1 | encrypt > films-1.json.age";

const SESSIONS_HELP: &str = "State, load, speed, flood wait and last error are those of the running hive; without one they are dashes. A disabled session
stays in the store, and no hive of that store runs it: one with a store of its own, on another machine, still does. Disable it on
every machine that has a copy.

Examples:
  worker-hive sessions --config worker-hive.toml
  worker-hive sessions disable --config worker-hive.toml films-1
  worker-hive sessions remove --config worker-hive.toml films-1";

const ROUTE_HELP: &str = "Routes: direct, socks5://[user:password@]host:port, http://[user:password@]host:port, mtproxy://secret@host:port, and links
as tg://proxy?... or https://t.me/proxy?... Behind a `?`: ip=4, ip=6 or ip=any, and bind=ADDRESS. One with user, password or secret is
no argument, as every user of the machine sees those: it is read from a file or from standard input. Where the proxy fails nothing
goes another way.

Examples:
  worker-hive sessions route --config worker-hive.toml films-1
  worker-hive sessions route --config worker-hive.toml films-1 'direct?bind=203.0.113.7'
  worker-hive sessions route --config worker-hive.toml films-1 - < proxy.url
  worker-hive sessions route --config worker-hive.toml films-1 --unset";

const REKEY_HELP: &str = "The hive must be stopped. Sessions that are encrypted with the new key already are left alone, so a change that was cut off is
ended by the same command. Then name the new key's file in the settings.

Example:
  worker-hive keygen /etc/streamvault/new.key
  worker-hive rekey --config worker-hive.toml --to /etc/streamvault/new.key";

const CHANNELS_HELP: &str = "The other number of a link is the message's: the last one of what Telegram copies as its link, https://t.me/c/1700000001/7 or
https://t.me/name/7. Users' channels are listed, and not those of bots: Telegram doesn't tell.

Example:
  worker-hive channels --config worker-hive.toml";

const VIRTUAL_HELP: &str = "A file that was split to get into Telegram is served as one under /v/SLUG. Its parts may lie in several chats. Each is looked up
when it is added.

Examples:
  worker-hive virtual add --config worker-hive.toml --by-names -1001700000001/7 -1001700000001/8 -1001700000002/3
  worker-hive virtual add --config worker-hive.toml --slug my-film --name film.mkv -1001700000001/7 -1001700000001/8
  worker-hive virtual list --config worker-hive.toml
  worker-hive virtual remove --config worker-hive.toml my-film";

const LOGIN_HELP: &str = "What it needs to know it asks for, on the terminal or line by line from standard input. Secrets are never arguments: the
application's hash comes from --api-hash-file, telegram.api_hash, or STREAMVAULT_API_HASH, else it is asked for.
Nothing is stored unless all has succeeded.

Examples:
  worker-hive login --config worker-hive.toml
  worker-hive login --config worker-hive.toml --phone '+49 151 12345678' --name films-1
  worker-hive login --config worker-hive.toml --qr
  worker-hive login --config worker-hive.toml --bot < bot.token";

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
    /// Name of the session in the store, if there is one to be named [default: as the file, user-ID or bot-ID].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Application id of sessions that don't say which they were made with [default: telegram.api_id].
    #[arg(long, value_name = "ID")]
    pub(crate) api_id: Option<i32>,
    /// Files; `-` is standard input.
    #[arg(value_name = "SESSION")]
    pub(crate) sessions: Vec<PathBuf>,
}

/// Whose form a session is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A session string of Pyrogram, Pyrofork and Kurigram.
    Pyrogram,
    /// A session string of Telethon.
    Telethon,
    /// Everything that the store knows, for `import`.
    Json,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("where").required(true).args(["output", "yes_print_secret"]))]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Whose form to write.
    #[arg(long)]
    pub(crate) format: ExportFormat,
    /// A new file, of its owner's alone.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print it on standard output.
    #[arg(long)]
    pub(crate) yes_print_secret: bool,
    /// Name of the session in the store.
    pub(crate) name: String,
}

#[derive(Debug, Args)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub(crate) struct Sessions {
    /// The settings file.
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) action: Option<SessionsAction>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SessionsAction {
    /// Take a session out of service; it stays in the store.
    Disable(Named),
    /// Put a session in service again.
    Enable(Named),
    /// Show or set how a session reaches Telegram, instead of the hive's own route. Taken up when the session is next run.
    #[command(after_help = ROUTE_HELP)]
    Route(SessionRoute),
    /// Delete a session from the store. The account stays signed in at Telegram's: end that in another client.
    Remove(Named),
}

#[derive(Debug, Args)]
pub(crate) struct Named {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Name of the session in the store.
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct SessionRoute {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Name of the session in the store.
    pub(crate) name: String,
    /// The route: `direct`, or a proxy without user, password and secret; `-` reads it from standard input.
    #[arg(group = "route_source")]
    pub(crate) url: Option<String>,
    /// File that holds the route.
    #[arg(long, value_name = "FILE", group = "route_source")]
    pub(crate) file: Option<PathBuf>,
    /// Go the hive's own way again.
    #[arg(long, group = "route_source")]
    pub(crate) unset: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Keygen {
    /// The file to make; it must not be there.
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Rekey {
    #[command(flatten)]
    pub(crate) config: Config,
    /// File of the new key.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Login {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Sign a user in with a code that is sent to this number; without a number it is asked for.
    #[arg(long, value_name = "NUMBER", group = "kind", num_args = 0..=1)]
    pub(crate) phone: Option<Option<String>>,
    /// Sign a bot in with its token.
    #[arg(long, group = "kind")]
    pub(crate) bot: bool,
    /// Sign a user in with a QR code that the phone reads off this terminal.
    #[arg(long, group = "kind")]
    pub(crate) qr: bool,
    /// Name of the session in the store [default: user-ID or bot-ID].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Put it in the place of a session of that name.
    #[arg(long)]
    pub(crate) replace: bool,
    /// The application's id, from my.telegram.org/apps [default: telegram.api_id, else asked for].
    #[arg(long, value_name = "ID")]
    pub(crate) api_id: Option<i32>,
    /// File that holds the application's hash.
    #[arg(long, value_name = "FILE")]
    pub(crate) api_hash_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Virtual {
    /// Join files. Options come before the messages.
    Add(VirtualAdd),
    /// Show one, with its parts.
    Show(VirtualNamed),
    /// Show all.
    List(Config),
    /// Take one apart. Its messages are not touched.
    Remove(VirtualNamed),
}

#[derive(Debug, Args)]
pub(crate) struct VirtualAdd {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Its name in links, 1 to 32 of 0-9, A-Z, a-z, _ and - [default: made up, of seven characters].
    #[arg(long, value_parser = slug)]
    pub(crate) slug: Option<String>,
    /// Put it in the place of the one that has the slug.
    #[arg(long, requires = "slug")]
    pub(crate) replace: bool,
    /// The file's name [default: what is left of the parts' names without their numbers].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Its media type [default: by the name].
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Put the parts in the order that their files' names give: film.mkv.001, film.mkv.part1, film.mkv.1of3.
    #[arg(long)]
    pub(crate) by_names: bool,
    /// The messages that carry the parts, in order unless --by-names.
    #[arg(required = true, value_name = "CHAT/MESSAGE", allow_hyphen_values = true)]
    pub(crate) messages: Vec<MessageName>,
}

#[derive(Debug, Args)]
pub(crate) struct VirtualNamed {
    #[command(flatten)]
    pub(crate) config: Config,
    /// Its name in links.
    #[arg(value_parser = slug)]
    pub(crate) slug: String,
}

/// A message, as links name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MessageName {
    pub(crate) chat_id: i64,
    pub(crate) message_id: i32,
}

impl std::str::FromStr for MessageName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/').and_then(|(chat, id)| Some((chat.parse().ok()?, id.parse().ok()?)));
        match numbers {
            Some((chat_id, message_id)) if chat_id != 0 && message_id > 0 => Ok(Self { chat_id, message_id }),
            _ => Err("expected CHAT/MESSAGE, as -1001700000001/7; options come before the messages"),
        }
    }
}

fn slug(text: &str) -> Result<String, wire::SlugError> {
    wire::Slug::parse(text).map(|slug| slug.to_string())
}
