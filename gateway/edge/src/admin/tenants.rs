//! `/v1/tenants`: whom the gateway serves. Tenants of the settings file can be looked at; those that the API made can be changed.

use crate::clock;
use crate::edge::Edge;
use crate::managed::KEEP;
use admin_api::{Call, Changed, Operation, Problem};
use config::TimeSpan;
use config::gateway::{self, Branding, Domain, Status, TenantLimits};
use http::{Method, StatusCode};
use rand::RngExt;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tenant_store::{Entry, LinkSettings, TenantSettings};

/// A new tenant.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTenant {
    /// Name in logs, metrics and paths: up to 64 of a-z, 0-9, "-" and "_".
    pub(crate) id: String,
    pub(crate) settings: TenantSettings,
}

/// What to change of a tenant. What is left out stays as it is; what is there takes the place of what was.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TenantChange {
    /// Refuse if the tenant has another version: somebody else has changed it since it was looked at.
    pub(crate) version: Option<u64>,
    /// Hosts that lead to it.
    pub(crate) domains: Option<Vec<Domain>>,
    /// Channels whose media it may serve.
    pub(crate) channels: Option<Vec<i64>>,
    /// What its maintenance page shows.
    pub(crate) branding: Option<Branding>,
    /// Bounds on its viewers.
    pub(crate) limits: Option<TenantLimits>,
    /// How its links are signed.
    pub(crate) link: Option<LinkSettings>,
}

/// A new link secret.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    /// How long links that the old secrets have signed are still good, as "12h"; a day if not given. What the old ones had left, if that is less, stays.
    pub(crate) keep: Option<TimeSpan>,
}

/// A tenant.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TenantShown {
    pub(crate) id: String,
    /// Where it stands: "settings" or "api".
    pub(crate) source: String,
    /// Counts its changes; null if it stands in the settings.
    pub(crate) version: Option<u64>,
    /// Why it is not served, or not as it stands here; null if it is.
    pub(crate) problem: Option<String>,
    /// Null if it can't be read.
    pub(crate) settings: Option<TenantSettings>,
    /// Its link secrets, the one that signs first.
    pub(crate) secrets: Vec<SecretShown>,
}

/// A link secret, but for itself.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SecretShown {
    pub(crate) id: String,
    /// Unix seconds at which it is dropped.
    pub(crate) until: Option<u64>,
}

/// A tenant with a secret that was made for it. It is told this once.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TenantSecret {
    pub(crate) tenant: TenantShown,
    /// What links are signed with from now on.
    pub(crate) secret: NewSecret,
}

/// A link secret.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct NewSecret {
    pub(crate) id: String,
    pub(crate) text: String,
}

/// The operations.
pub(crate) fn operations() -> Vec<Operation<Arc<Edge>>> {
    let list = |edge: Arc<Edge>, _: Call, (): ()| async move { Ok(all(&edge)) };
    let show = |edge: Arc<Edge>, call: Call, (): ()| async move { find(&edge, call.parameter("id")) };
    let suspend = |edge, call: Call, (): ()| async move { stand(edge, &call, Status::Suspended).await };
    let resume = |edge, call: Call, (): ()| async move { stand(edge, &call, Status::Active).await };
    let refusals = [
        StatusCode::CONFLICT,
        StatusCode::UNPROCESSABLE_ENTITY,
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    let operations = vec![
        Operation::reads("/v1/tenants", "tenantList", "Every tenant but those that plugins find", list),
        Operation::reads("/v1/tenants/{id}", "tenantShow", "One tenant", show),
        Operation::writes(
            Method::POST,
            "/v1/tenants",
            "tenantCreate",
            "Makes a tenant, and a secret for its links",
            create,
        )
        .creates(),
        Operation::writes(Method::PATCH, "/v1/tenants/{id}", "tenantChange", "Changes a tenant's settings", change),
        Operation::writes(
            Method::DELETE,
            "/v1/tenants/{id}",
            "tenantDelete",
            "Deletes a tenant and its secrets",
            delete,
        ),
        Operation::writes(
            Method::POST,
            "/v1/tenants/{id}/rotate",
            "tenantRotate",
            "Makes a new secret for links; old ones end later",
            rotate,
        ),
        Operation::writes(
            Method::POST,
            "/v1/tenants/{id}/suspend",
            "tenantSuspend",
            "Shows its maintenance page to its viewers",
            suspend,
        ),
        Operation::writes(Method::POST, "/v1/tenants/{id}/resume", "tenantResume", "Serves its viewers again", resume),
    ];
    operations
        .into_iter()
        .map(|operation| if operation.is_write() { operation.refuses(&refusals) } else { operation })
        .collect()
}

impl TenantShown {
    fn of_settings(tenant: &gateway::Tenant) -> Self {
        let gateway::Tenant { id, domains, status, channels, link, branding, limits, .. } = tenant.clone();
        let link_settings = LinkSettings::of(&link);
        let settings = TenantSettings { domains, channels, status, branding, limits, link: link_settings };
        let secrets = link.secrets.into_iter().map(|secret| SecretShown { id: secret.id, until: None }).collect();
        Self { id, source: "settings".to_owned(), version: None, problem: None, settings: Some(settings), secrets }
    }

    fn of_entry(entry: &Entry, problem: Option<String>) -> Self {
        let secrets = entry.record.secrets.iter().map(|note| SecretShown { id: note.id.clone(), until: note.until });
        Self {
            id: entry.id.clone(),
            source: "api".to_owned(),
            version: Some(entry.record.version),
            problem,
            settings: Some(entry.record.settings.clone()),
            secrets: secrets.collect(),
        }
    }

    fn broken(id: &str, reason: &str) -> Self {
        let problem = Some(format!("can't be read: {reason}"));
        Self {
            id: id.to_owned(),
            source: "api".to_owned(),
            version: None,
            problem,
            settings: None,
            secrets: Vec::new(),
        }
    }
}

fn all(edge: &Edge) -> Vec<TenantShown> {
    let mut all: Vec<TenantShown> = edge.reloader.settings_tenants().iter().map(TenantShown::of_settings).collect();
    let Some(managed) = &edge.reloader.managed else { return all };
    let served = edge.directory.fixed();
    let theirs = all.len();
    for entry in managed.alive() {
        let is_served =
            served.by_id(Some(&entry.id)).is_some() && !all.iter().take(theirs).any(|known| known.id == entry.id);
        let problem = (!is_served)
            .then(|| "another tenant has its id or a domain of it, or its settings are not good here".to_owned());
        all.push(TenantShown::of_entry(&entry, problem));
    }
    all.extend(managed.broken().iter().map(|(id, reason)| TenantShown::broken(id, reason)));
    all
}

fn find(edge: &Edge, id: &str) -> Result<TenantShown, Problem> {
    all(edge).into_iter().find(|tenant| tenant.id == id).ok_or_else(|| unknown(id))
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("there is no tenant {id:?}, unless a plugin finds it"))
}

fn now() -> u64 {
    u64::try_from(clock::unix()).unwrap_or(0)
}

/// 256 random bits, in characters that go into any settings file.
fn new_secret() -> SecretString {
    let bytes: [u8; 32] = rand::rng().random();
    SecretString::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn target(id: &str) -> String {
    format!("tenant:{id}")
}

/// For the audit line: no secret is in there.
fn told(entry: &Entry) -> Value {
    let secrets: Vec<&str> = entry.record.secrets.iter().map(|note| note.id.as_str()).collect();
    json!({ "version": entry.record.version, "settings": entry.record.settings, "secrets": secrets })
}

fn with_secret(entry: &Entry, text: &SecretString) -> TenantSecret {
    let id = entry.record.secrets.first().map(|note| note.id.clone()).unwrap_or_default();
    let secret = NewSecret { id, text: text.expose_secret().to_owned() };
    TenantSecret { tenant: TenantShown::of_entry(entry, None), secret }
}

/// The tenant that is to be changed. One of the settings is refused before.
fn there<'a>(entry: Option<&'a Entry>, id: &str) -> Result<&'a Entry, Problem> {
    entry.filter(|entry| !entry.record.deleted).ok_or_else(|| unknown(id))
}

async fn create(edge: Arc<Edge>, call: Call, wanted: NewTenant) -> Result<Changed<TenantSecret>, Problem> {
    let NewTenant { id, settings } = wanted;
    let (text, who) = (new_secret(), call.who.clone());
    let make = |before: Option<&Entry>| match before {
        Some(entry) if !entry.record.deleted => Err(Problem::conflict(format!("there is a tenant {id} already"))),
        before => Ok(Entry::new(&id, settings, text.clone(), (&who, now()), before)),
    };
    let (_, entry) = edge.reloader.change_tenant(&id, make).await?;
    Ok(Changed { answer: with_secret(&entry, &text), target: target(&id), before: Value::Null, after: told(&entry) })
}

/// One change of a tenant that is there.
async fn amend(
    edge: &Edge,
    call: &Call,
    amend: impl FnOnce(&Entry, (&str, u64)) -> Result<Entry, Problem>,
) -> Result<(Entry, Changed<TenantShown>), Problem> {
    let id = call.parameter("id");
    let change = |entry: Option<&Entry>| amend(there(entry, id)?, (&call.who, now()));
    let (before, entry) = edge.reloader.change_tenant(id, change).await?;
    let before = before.as_ref().map(told).unwrap_or_default();
    let answer = TenantShown::of_entry(&entry, None);
    let changed = Changed { answer, target: target(id), before, after: told(&entry) };
    Ok((entry, changed))
}

async fn change(edge: Arc<Edge>, call: Call, wanted: TenantChange) -> Result<Changed<TenantShown>, Problem> {
    let change = |entry: &Entry, by: (&str, u64)| {
        let TenantChange { version, domains, channels, branding, limits, link } = wanted;
        let at = entry.record.version;
        if version.is_some_and(|version| version != at) {
            return Err(Problem::conflict(format!("it has been changed since: it is at version {at}")));
        }
        let old = entry.record.settings.clone();
        let settings = TenantSettings {
            domains: domains.unwrap_or(old.domains),
            channels: channels.or(old.channels),
            status: old.status,
            branding: branding.unwrap_or(old.branding),
            limits: limits.unwrap_or(old.limits),
            link: link.unwrap_or(old.link),
        };
        Ok(entry.changed(settings, by))
    };
    Ok(amend(&edge, &call, change).await?.1)
}

async fn stand(edge: Arc<Edge>, call: &Call, status: Status) -> Result<Changed<TenantShown>, Problem> {
    let change = |entry: &Entry, by: (&str, u64)| {
        Ok(entry.changed(TenantSettings { status, ..entry.record.settings.clone() }, by))
    };
    Ok(amend(&edge, call, change).await?.1)
}

async fn rotate(edge: Arc<Edge>, call: Call, wanted: Rotation) -> Result<Changed<TenantSecret>, Problem> {
    let text = new_secret();
    let keep = wanted.keep.map_or(KEEP, TimeSpan::get);
    let rotate = |entry: &Entry, by: (&str, u64)| {
        // One that signs is enough for a day of mistakes; without a bound the file would grow with each.
        if entry.record.secrets.len() >= 16 {
            return Err(Problem::conflict("it has 16 secrets already: wait until some of them end"));
        }
        let grace = entry.record.settings.link.grace.map_or(0, |grace| grace.get().as_secs());
        let until = by.1.saturating_add(keep.as_secs()).saturating_add(grace);
        // TOML's integers have a sign.
        Ok(entry.rotated(text.clone(), until.min(i64::MAX as u64), by))
    };
    let (entry, changed) = amend(&edge, &call, rotate).await?;
    let Changed { target, before, after, .. } = changed;
    Ok(Changed { answer: with_secret(&entry, &text), target, before, after })
}

async fn delete(edge: Arc<Edge>, call: Call, (): ()) -> Result<Changed<TenantShown>, Problem> {
    let (_, changed) = amend(&edge, &call, |entry, by| Ok(entry.deleted(by))).await?;
    Ok(Changed { after: Value::Null, ..changed })
}
