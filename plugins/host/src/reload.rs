//! What a reload makes of one plugin: first, slowly, what is on disk; then, at the swap, the slot that follows the old one.

use crate::counters::Counters;
use crate::engine::Host;
use crate::generation::Generation;
use crate::load::LoadError;
use crate::slot::{Canary, Current, Slot};
use crate::status::Outcome;
use plugin_package::{FailPolicy, Hook, Package, Spec, Trust};
use std::path::Path;
use std::sync::Arc;

/// What was found on disk.
pub(crate) struct Prepared {
    counters: Arc<Counters>,
    found: Found,
}

enum Found {
    Disabled,
    Unchanged,
    Held,
    Loaded(Arc<Generation>),
    Failed { reason: Arc<str>, hook: Option<Hook> },
}

/// Reads, compiles and tries what the spec names, unless nothing has changed.
pub(crate) async fn prepare(host: &Arc<Host>, spec: &Spec, trust: &Arc<Trust>, old: Option<&Slot>) -> Prepared {
    let counters = old.map(|slot| Arc::clone(&slot.counters)).unwrap_or_default();
    let found = if spec.enabled { find(host, spec, trust, old, &counters).await } else { Found::Disabled };
    Prepared { counters, found }
}

async fn find(
    host: &Arc<Host>,
    spec: &Spec,
    trust: &Arc<Trust>,
    old: Option<&Slot>,
    counters: &Arc<Counters>,
) -> Found {
    let reading = {
        let (spec, trust) = (spec.clone(), Arc::clone(trust));
        tokio::task::spawn_blocking(move || Package::open(&spec, &trust))
    };
    let package = match reading.await {
        Ok(Ok(package)) => package,
        Ok(Err(error)) => {
            // A manifest that nobody signed may say what it likes; it must not turn a guard into an ornament.
            let hook = if trust.require_signature { None } else { claimed_hook(&spec.folder).await };
            return failed(&error.into(), hook);
        }
        Err(_) => return failed(&LoadError::Stopping, None),
    };
    if let Some(old) = old {
        let is = |known: &Package| same(known, &package);
        if old.in_service().last().is_some_and(|generation| is(&generation.package)) {
            return Found::Unchanged;
        }
        if old.rejected.as_deref().is_some_and(is) {
            return Found::Held;
        }
    }
    let hook = package.manifest.hook;
    match Generation::load(host, package, counters).await {
        Ok(generation) => Found::Loaded(generation),
        Err(error) => failed(&error, Some(hook)),
    }
}

fn failed(error: &LoadError, hook: Option<Hook>) -> Found {
    Found::Failed { reason: Arc::from(error.to_string()), hook }
}

/// What a manifest that is not believed otherwise says it is for: enough to choose whom its failing concerns.
async fn claimed_hook(folder: &Path) -> Option<Hook> {
    let text = tokio::fs::read_to_string(folder.join("plugin.toml")).await.ok()?;
    let manifest: toml::Table = text.parse().ok()?;
    manifest.get("hook")?.clone().try_into().ok()
}

/// Compares all but the component itself, which its hash stands for.
fn same(known: &Package, found: &Package) -> bool {
    known.sha256 == found.sha256
        && known.manifest == found.manifest
        && known.settings == found.settings
        && known.signed_by == found.signed_by
}

/// The slot that follows. `old` is the one in service now: an operator may have changed it since `prepare`.
pub(crate) fn next(old: Option<&Slot>, spec: &Spec, prepared: Prepared) -> (Slot, Outcome) {
    let Prepared { counters, found } = prepared;
    let hook = match (&found, old) {
        (Found::Loaded(generation), _) => generation.manifest().hook,
        (Found::Failed { hook, .. }, None) => hook.unwrap_or(Hook::Policy),
        (_, Some(old)) => old.hook,
        (_, None) => Hook::Policy,
    };
    let mut slot = match old {
        Some(old) => Slot { hook, tenants: spec.tenants.clone(), ..old.clone() },
        None => fresh(spec, hook, counters),
    };
    if slot.enabled_in_settings != spec.enabled {
        slot.enabled = spec.enabled;
        slot.enabled_in_settings = spec.enabled;
    }
    let outcome = match found {
        Found::Disabled => Outcome::Disabled,
        Found::Unchanged => {
            slot.problem = None;
            Outcome::Unchanged
        }
        Found::Held => Outcome::Held,
        Found::Loaded(generation) => take(&mut slot, old, generation),
        Found::Failed { reason, .. } => {
            let text = reason.to_string();
            if slot.current().is_some() {
                slot.problem = Some(reason);
                Outcome::Kept { reason: text }
            } else {
                slot.current = Current::Broken(reason);
                Outcome::Broken { reason: text }
            }
        }
    };
    let said = slot.current().map(|generation| (generation.manifest().order, generation.manifest().fail));
    slot.order = spec.order.or(said.map(|(order, _)| order)).unwrap_or(slot.order);
    slot.fail = spec.fail.or(said.map(|(_, fail)| fail)).unwrap_or(slot.fail);
    (slot, outcome)
}

/// Puts a new generation into service: beside the old one if it is to be tried on a share, else in its place. One of another hook
/// is no successor on trial.
fn take(slot: &mut Slot, old: Option<&Slot>, generation: Arc<Generation>) -> Outcome {
    let number = generation.number;
    slot.problem = None;
    slot.rejected = None;
    let same_hook = old.is_some_and(|old| old.hook == generation.manifest().hook);
    match generation.manifest().canary {
        Some(share) if same_hook && slot.current().is_some() => {
            slot.canary = Some(Canary { generation, share });
            Outcome::Canary { generation: number }
        }
        _ => {
            if let Current::Loaded(before) = std::mem::replace(&mut slot.current, Current::Loaded(generation)) {
                slot.previous = Some(before);
            }
            if !same_hook {
                slot.previous = None;
            }
            slot.canary = None;
            Outcome::Loaded { generation: number }
        }
    }
}

fn fresh(spec: &Spec, hook: Hook, counters: Arc<Counters>) -> Slot {
    let fail: FailPolicy = spec.fail.unwrap_or(hook.default_fail());
    Slot {
        plugin: Arc::from(spec.name.as_str()),
        hook,
        tenants: spec.tenants.clone(),
        order: spec.order.unwrap_or(100),
        fail,
        enabled: spec.enabled,
        enabled_in_settings: spec.enabled,
        counters,
        current: Current::Broken(Arc::from("disabled in the settings")),
        canary: None,
        previous: None,
        rejected: None,
        problem: None,
    }
}
