//! `/v1/config` and `/v1/reload`: the settings in force, how the file differs, and how to have it read again.

use crate::admin::plugins;
use crate::edge::Edge;
use crate::reload::{Reloaded, is_live};
use admin_api::{Call, Changed, Operation, Problem};
use config::Difference;
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The settings in force.
#[derive(Serialize, JsonSchema)]
struct Running {
    /// The settings file.
    file: String,
    /// Each setting that has a value, by its key. Secrets are hidden.
    settings: BTreeMap<String, String>,
}

/// A setting that is otherwise than before, or in the file. Null is unset; a secret that changed shows alike.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Changing {
    pub(crate) key: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

/// What a reload does, or did.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Diff {
    /// In force after a reload.
    pub(crate) reloadable: Vec<Changing>,
    /// In force after a restart.
    pub(crate) restart: Vec<Changing>,
    /// One line for each plugin that was touched.
    pub(crate) plugins: Vec<String>,
}

impl From<Difference> for Changing {
    fn from(difference: Difference) -> Self {
        let Difference { key, before, after } = difference;
        Self { key, before, after }
    }
}

impl Diff {
    fn new(differences: Vec<Difference>) -> Self {
        let (reloadable, restart) = differences.into_iter().map(Changing::from).partition(|one| is_live(&one.key));
        Self { reloadable, restart, plugins: Vec::new() }
    }

    pub(crate) fn of(reloaded: &Reloaded) -> Self {
        let changing = |differences: &[Difference]| differences.iter().cloned().map(Changing::from).collect();
        let plugins = reloaded.plugins.iter().map(plugins::line).collect();
        Self { reloadable: changing(&reloaded.changed), restart: changing(&reloaded.restart), plugins }
    }
}

/// The operations.
pub(crate) fn operations() -> Vec<Operation<Arc<Edge>>> {
    let show = |edge: Arc<Edge>, _: Call, (): ()| async move {
        let settings = edge.reloader.running().shown().map(|(key, value)| (key.to_owned(), value)).collect();
        Ok(Running { file: edge.reloader.file().display().to_string(), settings })
    };
    let diff = |edge: Arc<Edge>, _: Call, (): ()| async move {
        let differences = edge.reloader.differences().await.map_err(|error| Problem::conflict(error.to_string()))?;
        Ok(Diff::new(differences))
    };
    vec![
        Operation::reads("/v1/config", "configShow", "The settings in force", show),
        Operation::reads(
            "/v1/config/diff",
            "configDiff",
            "What the settings file has otherwise than what is in force",
            diff,
        )
        .refuses(&[StatusCode::CONFLICT]),
        Operation::writes(
            Method::POST,
            "/v1/reload",
            "reload",
            "Reads the settings file again, as SIGHUP does",
            reload,
        )
        .refuses(&[StatusCode::CONFLICT, StatusCode::SERVICE_UNAVAILABLE]),
    ]
}

async fn reload(edge: Arc<Edge>, call: Call, (): ()) -> Result<Changed<Diff>, Problem> {
    let reloaded = edge.reloader.reload(&call.who).await.map_err(Problem::from)?;
    let answer = Diff::of(&reloaded);
    Ok(Changed { after: json!(answer), answer, target: "settings".to_owned(), before: Value::Null })
}
