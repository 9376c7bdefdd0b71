//! `gateway admin …`: asks a running gateway's admin listener.

use crate::admin;
use crate::admin::drain::{Drain, Drained};
use crate::admin::sessions::Hive;
use crate::admin::settings::{Changing, Diff};
use crate::admin::tenants::{NewTenant, Rotation, TenantChange, TenantSecret, TenantShown};
use crate::cache_command::CommandFailure;
use crate::columns::time;
use admin_client::{AdminClient, Gateway, align};
use clap::{Args, Subcommand, ValueEnum};
use config::gateway::{Branding, Domain, Scheme, Status, TenantLimits};
use config::{ByteSize, TimeSpan};
use http::Method;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::time::Duration;
use tenant_store::{LinkSettings, TenantSettings};

/// A reload compiles every plugin that has changed, one after the other.
const ANSWER: Duration = Duration::from_secs(300);

/// Tenants, settings, sessions, readiness.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// See and change tenants; those of the settings file can only be looked at.
    #[command(subcommand)]
    Tenants(TenantsCommand),
    /// Show the hives' Telegram sessions: load, flood waits, faults.
    Sessions(Asked),
    /// See the settings in force, and what the file has otherwise.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Have the settings read again, as SIGHUP does; say what changed, and what waits for a restart.
    Reload(Asked),
    /// Make /readyz say 503, so that balancers send nobody, or 200 again. Streams go on, and who comes all the same is served.
    #[command(
        after_help = "Examples:\n  gateway admin drain on --config gateway.toml\n  gateway admin drain --config gateway.toml"
    )]
    Drain(DrainArgs),
    /// Print the API's OpenAPI description. Asks nobody.
    Openapi,
}

/// See and change tenants.
#[derive(Debug, Subcommand)]
pub(crate) enum TenantsCommand {
    /// List every tenant but those that plugins find.
    List(Asked),
    /// Show one, as JSON.
    Show(Named),
    /// Make one; print the secret that signs its links. It is shown this once.
    #[command(
        after_help = "Example: gateway admin tenants create films --domain films.example.com --channel -1001700000001 --config gateway.toml"
    )]
    Create(Box<Edit>),
    /// Change what is named, and leave the rest.
    #[command(after_help = "Example: gateway admin tenants change films --streams 500 --config gateway.toml")]
    Change(Box<Edit>),
    /// Make a new secret for links and print it. Old ones are accepted for a while.
    #[command(after_help = "Example: gateway admin tenants rotate films --keep 12h --config gateway.toml")]
    Rotate(Rotate),
    /// Show its maintenance page to its viewers.
    Suspend(Named),
    /// Serve its viewers again.
    Resume(Named),
    /// Delete it with its secrets.
    Delete(Named),
}

/// See settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the settings in force. Secrets are hidden.
    Show(Asked),
    /// Show what the file has otherwise than what is in force. Fails if there is anything.
    Diff(Asked),
}

/// Which gateway, and how its answer is shown.
#[derive(Args, Debug)]
pub(crate) struct Asked {
    #[command(flatten)]
    gateway: Gateway,
    /// As the gateway sent it.
    #[arg(long)]
    json: bool,
}

/// Which tenant.
#[derive(Args, Debug)]
pub(crate) struct Named {
    /// Its id.
    id: String,
    #[command(flatten)]
    asked: Asked,
}

/// A tenant's settings.
#[derive(Args, Debug)]
pub(crate) struct Edit {
    #[command(flatten)]
    named: Named,
    /// Host that leads to it: a name, "*.example.com" or "*". May be there several times.
    #[arg(long = "domain", value_name = "HOST")]
    domains: Vec<Domain>,
    /// Channel whose media it may serve. May be there several times.
    #[arg(long = "channel", value_name = "CHAT", allow_hyphen_values = true)]
    channels: Vec<i64>,
    /// Name on its maintenance page.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Sentence on its maintenance page.
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Address for help on its maintenance page.
    #[arg(long, value_name = "URL")]
    support_url: Option<String>,
    /// Streams at once.
    #[arg(long, value_name = "N")]
    streams: Option<u32>,
    /// Bytes a second, all streams together.
    #[arg(long, value_name = "SIZE")]
    bytes_per_second: Option<ByteSize>,
    /// Streams at once of one viewer.
    #[arg(long, value_name = "N")]
    viewer_streams: Option<u32>,
    /// Bytes a second of one viewer.
    #[arg(long, value_name = "SIZE")]
    viewer_bytes_per_second: Option<ByteSize>,
    /// Hash of its links.
    #[arg(long, value_enum)]
    scheme: Option<SchemeArg>,
    /// What of a link is hashed.
    #[arg(long, value_name = "TEXT")]
    expression: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SchemeArg {
    NginxMd5,
    HmacSha256,
}

/// `rotate`.
#[derive(Args, Debug)]
pub(crate) struct Rotate {
    #[command(flatten)]
    named: Named,
    /// How long links that are there already stay good: 12h, 7d; a day if not given.
    #[arg(long, value_name = "TIME")]
    keep: Option<TimeSpan>,
}

/// `drain`.
#[derive(Args, Debug)]
pub(crate) struct DrainArgs {
    /// Whether to; if not given, say how it is.
    #[arg(value_enum)]
    to: Option<Switch>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Deserialize)]
struct Running {
    settings: BTreeMap<String, String>,
}

/// Runs a command to its end.
pub(crate) fn run(command: AdminCommand) -> Result<(), CommandFailure> {
    match command {
        AdminCommand::Tenants(command) => tenants(command),
        AdminCommand::Sessions(asked) => sessions(&asked),
        AdminCommand::Config(ConfigCommand::Show(asked)) => asked.show("/v1/config", |running: Running| {
            running.settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
        }),
        AdminCommand::Config(ConfigCommand::Diff(asked)) => diff(&asked),
        AdminCommand::Reload(asked) => {
            let body = asked.client()?.ask(Method::POST, "/v1/reload")?;
            asked.print(&body, |diff: Diff| lines(&diff))
        }
        AdminCommand::Drain(args) => drain(&args),
        AdminCommand::Openapi => Ok(stdout().write_all(admin::api().description())?),
    }
}

impl Asked {
    fn client(&self) -> Result<AdminClient, CommandFailure> {
        Ok(AdminClient::new(&self.gateway, ANSWER)?)
    }

    fn show<T: for<'a> Deserialize<'a>>(&self, path: &str, text: impl Fn(T) -> String) -> Result<(), CommandFailure> {
        let body = self.client()?.ask(Method::GET, path)?;
        self.print(&body, text)
    }

    fn print<T: for<'a> Deserialize<'a>>(&self, body: &str, text: impl Fn(T) -> String) -> Result<(), CommandFailure> {
        let text = if self.json { body.to_owned() } else { text(self.client()?.read(body)?) };
        Ok(write!(stdout(), "{text}")?)
    }
}

impl Named {
    /// The path of one thing about it.
    fn path(&self, what: &str) -> Result<String, CommandFailure> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if self.id.is_empty() || !self.id.bytes().all(plain) {
            return Err(CommandFailure::Found(format!("{:?} is no id of a tenant", self.id)));
        }
        Ok(format!("/v1/tenants/{}{what}", self.id))
    }

    fn change(&self, method: Method, what: &str, done: &str) -> Result<(), CommandFailure> {
        let body = self.asked.client()?.ask(method, &self.path(what)?)?;
        self.asked.print(&body, |tenant: TenantShown| format!("{}: {done}\n", tenant.id))
    }
}

fn tenants(command: TenantsCommand) -> Result<(), CommandFailure> {
    match command {
        TenantsCommand::List(asked) => asked.show("/v1/tenants", table),
        TenantsCommand::Show(named) => {
            let body = named.asked.client()?.ask(Method::GET, &named.path("")?)?;
            Ok(write!(stdout(), "{body}")?)
        }
        TenantsCommand::Create(edit) => create(*edit),
        TenantsCommand::Change(edit) => change(*edit),
        TenantsCommand::Rotate(Rotate { named, keep }) => {
            let body = named.asked.client()?.post(&named.path("/rotate")?, &Rotation { keep })?;
            named.asked.print(&body, secret)
        }
        TenantsCommand::Suspend(named) => named.change(Method::POST, "/suspend", "suspended"),
        TenantsCommand::Resume(named) => named.change(Method::POST, "/resume", "served"),
        TenantsCommand::Delete(named) => named.change(Method::DELETE, "", "deleted"),
    }
}

/// Settings of which some are said: what is not is `None` altogether.
fn said<T: Default + PartialEq>(settings: T) -> Option<T> {
    (settings != T::default()).then_some(settings)
}

impl Edit {
    fn parts(self) -> (Named, TenantChange) {
        let Self { named, domains, channels, name, message, support_url, streams, bytes_per_second, .. } = self;
        let Self { viewer_streams, viewer_bytes_per_second, expression, .. } = self;
        let scheme = self.scheme.map(|scheme| match scheme {
            SchemeArg::NginxMd5 => Scheme::NginxMd5,
            SchemeArg::HmacSha256 => Scheme::HmacSha256,
        });
        let limits = TenantLimits {
            streams,
            bytes_per_second,
            viewer_streams,
            viewer_bytes_per_second,
            ..TenantLimits::default()
        };
        let change = TenantChange {
            version: None,
            domains: said(domains),
            channels: said(channels),
            branding: said(Branding { name, message, support_url }),
            limits: said(limits),
            link: said(LinkSettings { expression, scheme, ..LinkSettings::default() }),
        };
        (named, change)
    }
}

fn create(edit: Edit) -> Result<(), CommandFailure> {
    let (named, TenantChange { domains, channels, branding, limits, link, .. }) = edit.parts();
    let settings = TenantSettings {
        domains: domains.unwrap_or_default(),
        channels,
        status: Status::Active,
        branding: branding.unwrap_or_default(),
        limits: limits.unwrap_or_default(),
        link: link.unwrap_or_default(),
    };
    let body = named.asked.client()?.post("/v1/tenants", &NewTenant { id: named.id.clone(), settings })?;
    named.asked.print(&body, secret)
}

/// Of branding, limits and link rules the API takes the whole: what is not said here is taken from what is there.
fn change(edit: Edit) -> Result<(), CommandFailure> {
    let (named, mut change) = edit.parts();
    let client = named.asked.client()?;
    let path = named.path("")?;
    let shown: TenantShown = client.read(&client.ask(Method::GET, &path)?)?;
    change.version = shown.version;
    if let Some(old) = shown.settings {
        change.branding = change.branding.map(|new| Branding {
            name: new.name.or(old.branding.name),
            message: new.message.or(old.branding.message),
            support_url: new.support_url.or(old.branding.support_url),
        });
        change.limits = change.limits.map(|new| TenantLimits {
            streams: new.streams.or(old.limits.streams),
            bytes_per_second: new.bytes_per_second.or(old.limits.bytes_per_second),
            viewer_streams: new.viewer_streams.or(old.limits.viewer_streams),
            viewer_bytes_per_second: new.viewer_bytes_per_second.or(old.limits.viewer_bytes_per_second),
            bytes_per_month: new.bytes_per_month.or(old.limits.bytes_per_month),
            ..new
        });
        change.link = change.link.map(|new| LinkSettings {
            expression: new.expression.or(old.link.expression.clone()),
            scheme: new.scheme.or(old.link.scheme),
            ..old.link
        });
    }
    let body = client.change(Method::PATCH, &path, &change)?;
    named.asked.print(&body, |tenant: TenantShown| {
        format!("{}: changed, version {}\n", tenant.id, tenant.version.unwrap_or_default())
    })
}

fn secret(made: TenantSecret) -> String {
    let TenantSecret { tenant, secret } = made;
    format!("tenant  {}\nsecret  {}\n{}\n", tenant.id, secret.id, secret.text)
}

fn table(tenants: Vec<TenantShown>) -> String {
    let head = ["ID", "FROM", "STATUS", "DOMAINS", "CHANNELS", "SECRETS"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut problems = String::new();
    for tenant in tenants {
        if let Some(problem) = &tenant.problem {
            problems.push_str(&format!("{}: {problem}\n", tenant.id));
        }
        let Some(settings) = tenant.settings else { continue };
        let status = match settings.status {
            Status::Active => "active",
            Status::Suspended => "suspended",
        };
        let domains: Vec<String> = settings.domains.iter().map(ToString::to_string).collect();
        let channels = settings.channels.map_or_else(|| "all".to_owned(), |channels| channels.len().to_string());
        let secrets: Vec<String> = tenant.secrets.into_iter().map(|secret| secret.id).collect();
        rows.push(vec![tenant.id, tenant.source, status.to_owned(), domains.join(","), channels, secrets.join(",")]);
    }
    align(&rows) + &problems
}

fn sessions(asked: &Asked) -> Result<(), CommandFailure> {
    asked.show("/v1/sessions", |hives: Vec<Hive>| {
        let head = ["SESSION", "HIVE", "KIND", "STATE", "LOAD", "SPEED", "FLOOD UNTIL", "LAST ERROR"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let mut problems = String::new();
        let dash = || "-".to_owned();
        for hive in hives {
            if let Some(problem) = hive.problem {
                problems.push_str(&format!("hive {}: {problem}\n", hive.address));
            }
            for session in hive.sessions {
                let kind = session.kind.unwrap_or_else(dash);
                let premium = if session.premium == Some(true) { ", premium" } else { "" };
                let load = session.streams.zip(session.cap).map(|(streams, cap)| format!("{streams}/{cap}"));
                rows.push(vec![
                    session.name,
                    hive.address.clone(),
                    format!("{kind}{premium}"),
                    session.state.unwrap_or_else(dash),
                    load.unwrap_or_else(dash),
                    session.bytes_per_second.map_or_else(dash, |speed| format!("{:.1} MB/s", speed / 1e6)),
                    session.flood_until.map_or_else(dash, time),
                    session.last_error.unwrap_or_else(dash),
                ]);
            }
        }
        align(&rows) + &problems
    })
}

fn lines(diff: &Diff) -> String {
    let line = |changing: &Changing, when: &str| {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unset".to_owned());
        format!("{}: {} -> {}{when}\n", changing.key, text(&changing.before), text(&changing.after))
    };
    let now = diff.reloadable.iter().map(|changing| line(changing, ""));
    let later = diff.restart.iter().map(|changing| line(changing, "  (after a restart)"));
    let plugins = diff.plugins.iter().map(|change| format!("plugin {change}\n"));
    now.chain(later).chain(plugins).collect()
}

fn diff(asked: &Asked) -> Result<(), CommandFailure> {
    let client = asked.client()?;
    let body = client.ask(Method::GET, "/v1/config/diff")?;
    let diff: Diff = client.read(&body)?;
    asked.print(&body, |diff: Diff| lines(&diff))?;
    match diff.reloadable.len() + diff.restart.len() {
        0 => Ok(()),
        some => Err(CommandFailure::Found(format!("{some} settings differ"))),
    }
}

fn drain(args: &DrainArgs) -> Result<(), CommandFailure> {
    let client = args.asked.client()?;
    let body = match args.to {
        Some(to) => client.change(Method::PUT, "/v1/drain", &Drain { draining: to == Switch::On })?,
        None => client.ask(Method::GET, "/v1/drain")?,
    };
    args.asked.print(&body, |Drained { draining, active }: Drained| {
        format!("{}, {active} requests\n", if draining { "draining" } else { "in service" })
    })
}
