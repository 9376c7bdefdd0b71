//! `/plugins` on the operator's listener: what is loaded, and changes to it.
//!
//! `GET /plugins` lists. `POST /plugins/reload` reads settings and folders again. `POST /plugins/NAME/enable`, `disable`,
//! `rollback` and `promote` change one plugin. Changes need `Authorization: Bearer TOKEN` with admin.token of the settings.

use crate::admin::{Asked, Reply};
use crate::edge::Edge;
use crate::plugins::Act;
use http::{Method, StatusCode};
use plugin_host::{Change, GenerationStatus, Outcome, Status};
use plugin_package::{FailPolicy, Isolation, Tenants};
use serde::Serialize;

/// What a change came to.
#[derive(Serialize)]
struct Done {
    /// One line for each plugin that was touched.
    changes: Vec<String>,
}

/// One plugin, as `gateway plugin list` shows it.
#[derive(Serialize)]
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

#[derive(Serialize)]
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

/// Answers a request whose path is `/plugins` and `rest`.
pub(crate) async fn answer(edge: &Edge, rest: &str, asked: &Asked) -> Reply {
    let words: Vec<&str> = rest.split('/').filter(|word| !word.is_empty()).collect();
    match (&asked.method, words.as_slice()) {
        (&Method::GET, []) => Reply::json(&edge.plugins.list().into_iter().map(Listed::of).collect::<Vec<_>>()),
        (&Method::POST, ["reload"] | [_, "enable" | "disable" | "rollback" | "promote"]) => {
            match asked.is_allowed(edge) {
                Ok(()) => change(edge, &words).await,
                Err(refused) => refused,
            }
        }
        _ => Reply::text(
            StatusCode::NOT_FOUND,
            "GET /plugins, POST /plugins/reload, POST /plugins/NAME/enable, disable, rollback or promote",
        ),
    }
}

async fn change(edge: &Edge, words: &[&str]) -> Reply {
    let (name, act) = match words {
        [name, "enable"] => (*name, Act::Enable),
        [name, "disable"] => (*name, Act::Disable),
        [name, "rollback"] => (*name, Act::Rollback),
        [name, "promote"] => (*name, Act::Promote),
        _ => {
            return match edge.reloader.reload().await {
                Ok(changes) => Reply::json(&Done { changes: changes.iter().map(line).collect() }),
                Err(error) => Reply::text(StatusCode::CONFLICT, &format!("nothing was changed: {error}")),
            };
        }
    };
    match edge.plugins.change(name, act) {
        Ok(()) => {
            edge.directory.forget();
            let done = format!("{name}: {act:?}").to_ascii_lowercase();
            tracing::warn!("by the operator: {done}");
            Reply::json(&Done { changes: vec![done] })
        }
        Err(error) => Reply::text(StatusCode::CONFLICT, &error.to_string()),
    }
}

fn line(change: &Change) -> String {
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
