//! What operators are told.

use crate::generation::Generation;
use crate::slot::{Current, Slot};
use plugin_package::{FailPolicy, Hook, Isolation, Tenants};

/// What became of one plugin in a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The operator's name for it.
    pub plugin: String,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of one plugin in a reload. Generations are called by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Same files, same settings: untouched, instances and all.
    Unchanged,
    /// In service.
    Loaded {
        /// The new generation.
        generation: u64,
    },
    /// In service for a share of requests.
    Canary {
        /// The new generation.
        generation: u64,
    },
    /// The new one doesn't load: the old one stays in service.
    Kept {
        /// Why, for the operator.
        reason: String,
    },
    /// The files are those that were rolled back from: the old one stays in service.
    Held,
    /// It doesn't load and there is no old one: it fails by its fail policy.
    Broken {
        /// Why, for the operator.
        reason: String,
    },
    /// The settings disable it.
    Disabled,
    /// The settings don't name it any more.
    Removed,
}

impl Change {
    /// Why the operator should look at it, if so.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Kept { reason } | Outcome::Broken { reason } => Some(reason),
            _ => None,
        }
    }

    pub(crate) fn log(&self) {
        let plugin = self.plugin.as_str();
        match &self.outcome {
            Outcome::Unchanged => {}
            Outcome::Loaded { generation } => tracing::info!(plugin, generation, "plugin loaded"),
            Outcome::Canary { generation } => {
                tracing::info!(plugin, generation, "plugin loaded for a share of requests")
            }
            Outcome::Kept { reason } => tracing::error!(plugin, "plugin not loaded, the old one stays: {reason}"),
            Outcome::Held => tracing::warn!(plugin, "plugin not loaded: it was rolled back and has not changed since"),
            Outcome::Broken { reason } => tracing::error!(plugin, "plugin not loaded: {reason}"),
            Outcome::Disabled => tracing::info!(plugin, "plugin disabled"),
            Outcome::Removed => tracing::info!(plugin, "plugin removed"),
        }
    }
}

/// One generation, as operators know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationStatus {
    /// Counts up over all plugins.
    pub number: u64,
    /// The manifest's version.
    pub version: String,
    /// Of the component.
    pub sha256: [u8; 32],
    /// Id of the key that signed it.
    pub signed_by: Option<String>,
    /// How long its instances live.
    pub isolation: Isolation,
}

impl GenerationStatus {
    fn of(generation: &Generation) -> Self {
        let package = &generation.package;
        Self {
            number: generation.number,
            version: package.manifest.version.clone(),
            sha256: package.sha256,
            signed_by: package.signed_by.clone(),
            isolation: package.manifest.isolation,
        }
    }
}

/// One plugin, as operators know it.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The operator's name for it.
    pub plugin: String,
    /// What it is asked.
    pub hook: Hook,
    /// Lower ones are asked first.
    pub order: i32,
    /// About whom it is asked.
    pub tenants: Tenants,
    /// What failing means.
    pub fail: FailPolicy,
    /// Asked at all.
    pub enabled: bool,
    /// In service; `None` if it never loaded.
    pub current: Option<GenerationStatus>,
    /// In service for this share of requests.
    pub canary: Option<(GenerationStatus, f64)>,
    /// What a rollback goes to.
    pub previous: Option<GenerationStatus>,
    /// Why it, or its newest files, are not in service.
    pub problem: Option<String>,
}

impl Status {
    pub(crate) fn of(slot: &Slot) -> Self {
        let broken = match &slot.current {
            Current::Broken(reason) => Some(reason),
            Current::Loaded(_) => slot.problem.as_ref(),
        };
        Self {
            plugin: slot.plugin.to_string(),
            hook: slot.hook,
            order: slot.order,
            tenants: slot.tenants.clone(),
            fail: slot.fail,
            enabled: slot.enabled,
            current: slot.current().map(|generation| GenerationStatus::of(generation)),
            canary: slot.canary.as_ref().map(|canary| (GenerationStatus::of(&canary.generation), canary.share)),
            previous: slot.previous.as_ref().map(|generation| GenerationStatus::of(generation)),
            problem: broken.map(ToString::to_string),
        }
    }
}
