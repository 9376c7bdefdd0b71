//! `gateway auth …`: one-time links, and the end of what holds.

use crate::admin::revocations::Wanted;
use crate::cache_command::{CommandFailure, Gateways};
use crate::clock;
use crate::service::invite_link;
use crate::tenant::TenantError;
use crate::tenants::Tenants;
use admin_client::{AdminClient, Gateway};
use clap::{ArgGroup, Args, Subcommand};
use config::{ConfigError, GatewaySettings, TimeSpan};
use identity::{Subject, SubjectError};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

/// Other gateways are told.
const ANSWER: Duration = Duration::from_secs(30);

/// Let viewers in, and put them out.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthCommand {
    /// Make a link that lets somebody in once. Asks no gateway: the tenant's first identity key signs it.
    #[command(
        after_help = "Examples:\n  gateway auth magic --sub alice --config gateway.toml --base https://films.example.com\n  gateway auth magic --sub 4711 --claim tier=paid --ttl 1d --next /films --tenant example --config gateway.toml"
    )]
    Magic(Magic),
    /// Revoke a link, a session or a token, at all gateways on the same Redis. Without Redis it is in force until the gateway ends.
    #[command(
        after_help = "Examples:\n  gateway auth revoke --link k3x9 --tenant example --for 1d --config gateway.toml\n  gateway auth revoke --session Zm9vYmFyYmF6cXV4cXV1eA --tenant example --config gateway.toml"
    )]
    Revoke(Revoke),
}

/// `magic`.
#[derive(Args, Debug)]
pub(crate) struct Magic {
    /// Settings file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Whom it lets in: the "sub" of tokens.
    #[arg(long, value_name = "NAME")]
    sub: String,
    /// What plugins see of the viewer; text, or JSON that is no text.
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// How long it is good; identity.magic_ttl if not given.
    #[arg(long)]
    ttl: Option<TimeSpan>,
    /// Path that the viewer is sent to then.
    #[arg(long, value_name = "PATH")]
    next: Option<String>,
    /// Tenant; needed when there are several.
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Scheme and host to put in front, as in https://films.example.com.
    #[arg(long, value_name = "URL", default_value = "")]
    base: String,
}

/// `revoke`.
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("what").required(true).multiple(false))]
pub(crate) struct Revoke {
    /// A link, by its id: of link.id_parameter, or of a path-prefix token.
    #[arg(long, value_name = "ID", group = "what")]
    link: Option<String>,
    /// A viewer's session, by the "sid" of its tokens.
    #[arg(long, value_name = "SID", group = "what")]
    session: Option<String>,
    /// One token or one-time link, by its "jti".
    #[arg(long, value_name = "JTI", group = "what")]
    token: Option<String>,
    /// Whose it is.
    #[arg(long, value_name = "ID")]
    tenant: String,
    /// For how long: as long as it would hold else.
    #[arg(long = "for", value_name = "TIME", default_value = "30d")]
    span: TimeSpan,
    #[command(flatten)]
    gateway: Gateway,
    /// As the gateway sent it.
    #[arg(long)]
    json: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthFailure {
    #[error(transparent)]
    Asked(#[from] CommandFailure),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tenant(#[from] TenantError),
    #[error("name the tenant with --tenant; the settings know: {0}")]
    WhichTenant(String),
    #[error("tenant {0} has no identity section")]
    NoIdentity(String),
    #[error("--claim {0}: write NAME=VALUE")]
    Claim(String),
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error("--ttl is from 1s to 7d")]
    Ttl,
    #[error("the key can't sign")]
    Key,
    #[error("standard output: {0}")]
    Output(#[from] std::io::Error),
}

#[derive(Deserialize)]
struct Done {
    gateways: Gateways,
}

/// Runs a command to its end.
pub(crate) fn run(command: &AuthCommand) -> Result<(), AuthFailure> {
    match command {
        AuthCommand::Magic(args) => magic(args),
        AuthCommand::Revoke(args) => Ok(revoke(args)?),
    }
}

fn magic(args: &Magic) -> Result<(), AuthFailure> {
    let settings = config::load::<GatewaySettings>(&args.config)?.settings;
    let tenants = Tenants::new(&settings.tenant)?;
    let known = || settings.tenant.iter().map(|tenant| tenant.id.as_str()).collect::<Vec<_>>().join(", ");
    let tenant = tenants.by_id(args.tenant.as_deref()).ok_or_else(|| AuthFailure::WhichTenant(known()))?;
    let own = tenant.own.as_ref().ok_or_else(|| AuthFailure::NoIdentity(tenant.id.to_string()))?;
    let claims: Result<Map<String, Value>, AuthFailure> = args.claims.iter().map(|claim| read(claim)).collect();
    let subject = Subject::named(&args.sub, claims?)?;
    let ttl = args.ttl.unwrap_or(own.settings.magic_ttl).get();
    if !(Duration::from_secs(1)..=Duration::from_secs(7 * 86_400)).contains(&ttl) {
        return Err(AuthFailure::Ttl);
    }
    let (token, _) = own.issuer.magic(&subject, rand::random(), clock::unix(), ttl).ok_or(AuthFailure::Key)?;
    writeln!(stdout(), "{}{}", args.base.trim_end_matches('/'), invite_link(&token, args.next.clone()))?;
    Ok(())
}

/// `NAME=VALUE`; a value that is JSON of another kind than text is that.
fn read(claim: &str) -> Result<(String, Value), AuthFailure> {
    let (name, value) = claim.split_once('=').ok_or_else(|| AuthFailure::Claim(claim.to_owned()))?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
}

fn revoke(args: &Revoke) -> Result<(), CommandFailure> {
    let Revoke { link, session, token, tenant, span, gateway, json } = args;
    let named = [("link", link), ("session", session), ("token", token)];
    let (kind, id) = named.into_iter().find_map(|(kind, id)| Some((kind, id.clone()?))).unwrap_or_default();
    let admin = AdminClient::new(gateway, ANSWER)?;
    let seconds = span.get().as_secs();
    let wanted = Wanted { tenant: tenant.clone(), kind: kind.to_owned(), id: id.clone(), seconds };
    let body = admin.post("/v1/revocations", &wanted)?;
    if *json {
        return Ok(write!(stdout(), "{body}")?);
    }
    let Done { gateways } = admin.read(&body)?;
    writeln!(stdout(), "{kind} {id} of {tenant} is revoked for {span}")?;
    gateways.tell()
}
