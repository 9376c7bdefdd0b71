//! What a reload makes of one plugin: first, slowly, what is on disk; then, at the swap, the slot that follows the old one.

use crate::counters::Counters;
use crate::engine::Host;
use crate::generation::Generation;
use crate::load::LoadError;
use crate::slot::{Canary, Current, Said, Slot};
use crate::status::Outcome;
use plugin_package::{Hook, Package, Spec, Tenants, Trust, claimed_hook};
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
        Ok(Err(error)) => return failed(&error.into(), hook_of(spec, trust).await),
        Err(_) => return failed(&LoadError::Stopping, spec.hook),
    };
    if let Some(old) = old {
        let is = |known: &Package| same(known, &package);
        if old.in_service().last().is_some_and(|generation| is(&generation.package)) {
            return Found::Unchanged;
        }
        if old.rejected.iter().any(|package| is(package)) {
            return Found::Held;
        }
        let (was, becomes) = (old.hook, package.manifest.hook);
        if was != becomes && old.current().is_some() && guarded(spec, trust) && spec.hook.is_none() {
            return failed(&LoadError::HookChanged { was, becomes }, None);
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

/// True if not everybody who can write to the folder may say what the plugin is.
fn guarded(spec: &Spec, trust: &Trust) -> bool {
    trust.require_signature || spec.sha256.is_some()
}

/// Whom the failing of a plugin concerns that can't be loaded: as the operator says, else as its manifest claims. Where the folder is
/// not trusted the claim isn't either: it must not turn a guard into an ornament.
async fn hook_of(spec: &Spec, trust: &Trust) -> Option<Hook> {
    if spec.hook.is_some() || guarded(spec, trust) {
        return spec.hook.or(Some(Hook::Policy));
    }
    let folder = spec.folder.clone();
    tokio::task::spawn_blocking(move || claimed_hook(&folder)).await.ok()?
}

/// Compares all but the component itself, which its hash stands for.
fn same(known: &Package, found: &Package) -> bool {
    known.sha256 == found.sha256
        && known.manifest == found.manifest
        && known.settings == found.settings
        && known.signed_by == found.signed_by
}

/// The slot that follows. `old` is the one in service now: an operator may have changed it since `prepare`.
///
/// Only settings that were checked against a package change what the slot does: a spec that was refused leaves tenants, order and
/// fail policy as they are, as it leaves the generation.
pub(crate) fn next(old: Option<&Slot>, spec: &Spec, prepared: Prepared) -> (Slot, Outcome) {
    let Prepared { counters, found } = prepared;
    let mut slot = match old {
        Some(old) => old.clone(),
        None => fresh(spec, counters),
    };
    if slot.enabled_in_settings != spec.enabled {
        slot.enabled = spec.enabled;
        slot.enabled_in_settings = spec.enabled;
    }
    let outcome = match found {
        Found::Disabled => Outcome::Disabled,
        Found::Unchanged => {
            follow(&mut slot, spec);
            slot.problem = None;
            Outcome::Unchanged
        }
        Found::Held => {
            follow(&mut slot, spec);
            Outcome::Held
        }
        Found::Loaded(generation) => {
            follow(&mut slot, spec);
            take(&mut slot, generation)
        }
        Found::Failed { reason, .. } if slot.current().is_some() => {
            slot.problem = Some(Arc::clone(&reason));
            Outcome::Kept { reason: reason.to_string() }
        }
        Found::Failed { reason, hook } => {
            slot.hook = hook.unwrap_or(slot.hook);
            follow(&mut slot, spec);
            slot.current = Current::Broken(Arc::clone(&reason));
            Outcome::Broken { reason: reason.to_string() }
        }
    };
    slot.settle();
    (slot, outcome)
}

/// Does as the settings say. They may be those of a plugin that never loaded and whose settings nobody could check: a list without
/// tenants would then be a guard that nobody meets.
fn follow(slot: &mut Slot, spec: &Spec) {
    slot.tenants = match &spec.tenants {
        Tenants::Only(ids) if ids.is_empty() => Tenants::All,
        tenants => tenants.clone(),
    };
    slot.said = Said { order: spec.order, fail: spec.fail };
}

/// Puts a new generation into service: beside the old one if it is to be tried on a share, else in its place. One of another hook
/// is no successor on trial.
fn take(slot: &mut Slot, generation: Arc<Generation>) -> Outcome {
    let number = generation.number;
    slot.problem = None;
    let hook = generation.manifest().hook;
    let same_hook = slot.hook == hook;
    slot.hook = hook;
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

fn fresh(spec: &Spec, counters: Arc<Counters>) -> Slot {
    let hook = spec.hook.unwrap_or(Hook::Policy);
    let mut slot = Slot {
        plugin: Arc::from(spec.name.as_str()),
        hook,
        tenants: Tenants::All,
        said: Said::default(),
        order: 0,
        fail: hook.default_fail(),
        enabled: spec.enabled,
        enabled_in_settings: spec.enabled,
        counters,
        current: Current::Broken(Arc::from("disabled in the settings")),
        canary: None,
        previous: None,
        rejected: Vec::new(),
        problem: None,
    };
    follow(&mut slot, spec);
    slot
}
