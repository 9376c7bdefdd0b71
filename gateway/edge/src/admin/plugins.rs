//! `/v1/plugins`: what is loaded, and changes to it.

use crate::edge::Edge;
use crate::plugins::Act;
use admin_api::{Call, Changed, Operation, Problem};
use http::{Method, StatusCode};
use plugin_host::{Change, GenerationStatus, Outcome, Status};
use plugin_package::{FailPolicy, Isolation, Tenants};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What a change came to.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PluginsChanged")]
struct Done {
    /// One line for each plugin that was touched.
    changes: Vec<String>,
}

/// One plugin, as `gateway plugin list` shows it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Plugin")]
struct Listed {
    name: String,
    hook: &'static str,
    order: i32,
    /// `null` for all.
    tenants: Option<Vec<String>>,
    fail: &'static str,
    enabled: bool,
    current: Option<Generation>,
    canary: Option<Generation>,
    previous: Option<Generation>,
    /// Why it, or its newest files, are not in service.
    problem: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PluginGeneration")]
struct Generation {
    number: u64,
    version: String,
    sha256: String,
    signed_by: Option<String>,
    isolation: &'static str,
    /// Share of requests.
    share: f64,
}

impl Listed {
    fn of(status: Status) -> Self {
        let share = status.canary.as_ref().map_or(0.0, |(_, share)| *share);
        Self {
            name: status.plugin,
            hook: status.hook.name(),
            order: status.order,
            tenants: match status.tenants {
                Tenants::All => None,
                Tenants::Only(tenants) => Some(tenants.into_iter().collect()),
            },
            fail: match status.fail {
                FailPolicy::Open => "open",
                FailPolicy::Closed => "closed",
            },
            enabled: status.enabled,
            current: status.current.map(|current| Generation::of(current, 1.0 - share)),
            canary: status.canary.map(|(canary, share)| Generation::of(canary, share)),
            previous: status.previous.map(|previous| Generation::of(previous, 0.0)),
            problem: status.problem,
        }
    }
}

impl Generation {
    fn of(status: GenerationStatus, share: f64) -> Self {
        Self {
            number: status.number,
            version: status.version,
            sha256: status.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
            signed_by: status.signed_by,
            isolation: match status.isolation {
                Isolation::Warm => "warm",
                Isolation::Request => "request",
            },
            share,
        }
    }
}

/// The operations.
pub(crate) fn operations() -> Vec<Operation<Arc<Edge>>> {
    let list = |edge: Arc<Edge>, _: Call, (): ()| async move {
        Ok(edge.plugins.list().into_iter().map(Listed::of).collect::<Vec<_>>())
    };
    let one = |path, id, summary, act: Act| {
        let change =
            move |edge: Arc<Edge>, call: Call, (): ()| async move { change(&edge, call.parameter("name"), act) };
        Operation::writes(Method::POST, path, id, summary, change).refuses(&[StatusCode::CONFLICT])
    };
    vec![
        Operation::reads("/v1/plugins", "pluginList", "Plugins, and which generation of each is in service", list),
        Operation::writes(
            Method::POST,
            "/v1/plugins/reload",
            "pluginReload",
            "Reads settings and plugins again, as SIGHUP does",
            reload,
        )
        .refuses(&[StatusCode::CONFLICT, StatusCode::SERVICE_UNAVAILABLE]),
        one("/v1/plugins/{name}/enable", "pluginEnable", "Puts a plugin into service", Act::Enable),
        one("/v1/plugins/{name}/disable", "pluginDisable", "Takes a plugin out of service", Act::Disable),
        one("/v1/plugins/{name}/rollback", "pluginRollback", "Goes back to the generation before", Act::Rollback),
        one("/v1/plugins/{name}/promote", "pluginPromote", "Gives the new generation all requests", Act::Promote),
    ]
}

async fn reload(edge: Arc<Edge>, call: Call, (): ()) -> Result<Changed<Done>, Problem> {
    let reloaded = edge.reloader.reload(&call.who).await.map_err(Problem::from)?;
    let answer = Done { changes: reloaded.plugins.iter().map(line).collect() };
    Ok(Changed { after: json!(answer.changes), answer, target: "settings".to_owned(), before: Value::Null })
}

fn change(edge: &Edge, name: &str, act: Act) -> Result<Changed<Done>, Problem> {
    edge.plugins.change(name, act).map_err(|error| Problem::conflict(error.to_string()))?;
    edge.directory.forget();
    let word = format!("{act:?}").to_ascii_lowercase();
    let answer = Done { changes: vec![format!("{name}: {word}")] };
    Ok(Changed { answer, target: format!("plugin:{name}"), before: Value::Null, after: json!(word) })
}

/// What became of one plugin.
pub(crate) fn line(change: &Change) -> String {
    let what = match &change.outcome {
        Outcome::Unchanged => "unchanged".to_owned(),
        Outcome::Loaded { generation } => format!("loaded as generation {generation}"),
        Outcome::Canary { generation } => format!("loaded as generation {generation}, for a share of requests"),
        Outcome::Kept { reason } => format!("not loaded, the old one stays in service: {reason}"),
        Outcome::Held => "not loaded: it was rolled back, and has not changed since".to_owned(),
        Outcome::Broken { reason } => format!("not loaded: {reason}"),
        Outcome::Disabled => "disabled".to_owned(),
        Outcome::Removed => "removed".to_owned(),
    };
    format!("{}: {what}", change.plugin)
}
