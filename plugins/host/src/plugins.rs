//! All plugins of a gateway, and what an operator can do with them.

use crate::chain::Chain;
use crate::counters::Stats;
use crate::engine::Host;
use crate::reload::{Prepared, next, prepare};
use crate::set::Set;
use crate::slot::{Canary, Current, Slot};
use crate::status::{Change, Outcome, Status};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use plugin_package::{Hook, Spec, Trust};
use std::collections::HashSet;
use std::sync::Arc;

/// All plugins of a gateway. Requests read it without a lock; changes are made beside it and swapped in as a whole.
pub struct Plugins {
    host: Arc<Host>,
    set: ArcSwap<Set>,
    /// Held while a new set is made of the one in service: never while anything is loaded.
    swapping: Mutex<()>,
    /// One reload after the other.
    reloading: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Plugins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugins").field("slots", &self.set.load().slots.len()).finish_non_exhaustive()
    }
}

/// Why an operator's wish was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No plugin has this name.
    #[error("there is no plugin {0:?}")]
    Unknown(String),
    /// Nothing to roll back to.
    #[error("plugin {0:?} has no earlier generation to go back to")]
    NoEarlier(String),
    /// Nothing to promote.
    #[error("plugin {0:?} has no canary to promote")]
    NoCanary(String),
    /// The settings disable it, so that it was never loaded.
    #[error("plugin {0:?} is disabled in the settings: enable it there and reload")]
    NotLoaded(String),
}

impl Plugins {
    /// Loads plugins. One that can't be loaded has its place all the same and fails by its fail policy: the operator's, else its
    /// hook's default (that of a policy hook if not even the hook can be told). The others are in service.
    pub async fn open(host: Arc<Host>, specs: Vec<Spec>, trust: Trust) -> (Self, Vec<Change>) {
        let plugins = Self {
            host,
            set: ArcSwap::from_pointee(Set::default()),
            swapping: Mutex::new(()),
            reloading: tokio::sync::Mutex::new(()),
        };
        let changes = plugins.reload(specs, trust).await;
        (plugins, changes)
    }

    /// Makes the plugins those of `specs`, loading what has changed beside what is in service and swapping all at once. Running
    /// calls end where they began. One that doesn't load leaves its old generation in service.
    pub async fn reload(&self, specs: Vec<Spec>, trust: Trust) -> Vec<Change> {
        let _turn = self.reloading.lock().await;
        let trust = Arc::new(trust);
        let mut prepared: Vec<(Spec, Prepared)> = Vec::with_capacity(specs.len());
        for spec in specs {
            let old = self.set.load().slot(&spec.name).cloned();
            let one = prepare(&self.host, &spec, &trust, old.as_deref()).await;
            prepared.push((spec, one));
        }
        self.swap(|set| {
            let mut changes = Vec::new();
            let mut slots = Vec::new();
            for (spec, one) in prepared {
                let (slot, outcome) = next(set.slot(&spec.name).map(AsRef::as_ref), &spec, one);
                changes.push(Change { plugin: spec.name, outcome });
                slots.push(Arc::new(slot));
            }
            let kept: HashSet<&str> = slots.iter().map(|slot| slot.plugin.as_ref()).collect();
            let gone = set.slots.iter().filter(|slot| !kept.contains(slot.plugin.as_ref()));
            changes.extend(gone.map(|slot| Change { plugin: slot.plugin.to_string(), outcome: Outcome::Removed }));
            for change in &changes {
                change.log();
            }
            (Some(Set::new(slots)), changes)
        })
    }

    /// Who is asked by `hook` about `tenant`; `None` if nobody is. (Tenant hooks run before there is a tenant: give them the empty
    /// name.)
    #[must_use]
    pub fn chain(&self, hook: Hook, tenant: &Arc<str>) -> Option<Chain> {
        self.set.load().chain(hook, tenant)
    }

    /// Has a plugin asked again.
    ///
    /// # Errors
    /// [`AdminError::Unknown`], [`AdminError::NotLoaded`].
    pub fn enable(&self, plugin: &str) -> Result<(), AdminError> {
        self.change(plugin, |slot| {
            if !slot.enabled_in_settings && slot.current().is_none() {
                return Err(AdminError::NotLoaded(plugin.to_owned()));
            }
            slot.enabled = true;
            Ok(())
        })
    }

    /// Has a plugin not asked any more, until it is enabled or its settings change. **Whatever it guarded is open.**
    ///
    /// # Errors
    /// [`AdminError::Unknown`].
    pub fn disable(&self, plugin: &str) -> Result<(), AdminError> {
        self.change(plugin, |slot| {
            slot.enabled = false;
            Ok(())
        })
    }

    /// Ends a canary; if there is none, goes back to the generation before (and, rolled back again, forth), with that generation's
    /// order and fail policy unless the operator says otherwise. What was rolled back from is not loaded again until its files or
    /// settings change, nor when they change back later: the last eight are remembered.
    ///
    /// # Errors
    /// [`AdminError::Unknown`], [`AdminError::NoEarlier`].
    pub fn rollback(&self, plugin: &str) -> Result<(), AdminError> {
        self.change(plugin, |slot| {
            if let Some(canary) = slot.canary.take() {
                slot.reject(&canary.generation);
                return Ok(());
            }
            let Some(earlier) = slot.previous.take() else { return Err(AdminError::NoEarlier(plugin.to_owned())) };
            slot.forgive(&earlier);
            let before = std::mem::replace(&mut slot.current, Current::Loaded(earlier));
            if let Current::Loaded(before) = before {
                slot.reject(&before);
                slot.previous = Some(before);
            }
            slot.problem = None;
            slot.settle();
            Ok(())
        })
    }

    /// Gives the canary all requests.
    ///
    /// # Errors
    /// [`AdminError::Unknown`], [`AdminError::NoCanary`].
    pub fn promote(&self, plugin: &str) -> Result<(), AdminError> {
        self.change(plugin, |slot| {
            let Some(Canary { generation, .. }) = slot.canary.take() else {
                return Err(AdminError::NoCanary(plugin.to_owned()));
            };
            slot.previous = slot.current().cloned();
            slot.current = Current::Loaded(generation);
            slot.settle();
            Ok(())
        })
    }

    /// What there is, in the order in which it is asked.
    #[must_use]
    pub fn list(&self) -> Vec<Status> {
        self.set.load().slots.iter().map(|slot| Status::of(slot)).collect()
    }

    /// What has happened, in the same order.
    #[must_use]
    pub fn stats(&self) -> Vec<Stats> {
        let stats = |slot: &Arc<Slot>| {
            let canary = slot.canary.as_ref().map(|canary| canary.generation.number);
            let generation = slot.current().map_or(0, |generation| generation.number);
            slot.counters.snapshot(&slot.plugin, slot.hook, generation, canary)
        };
        self.set.load().slots.iter().map(stats).collect()
    }

    fn change(&self, plugin: &str, change: impl FnOnce(&mut Slot) -> Result<(), AdminError>) -> Result<(), AdminError> {
        self.swap(|set| {
            let Some(slot) = set.slot(plugin) else {
                return (None, Err(AdminError::Unknown(plugin.to_owned())));
            };
            let mut changed = slot.as_ref().clone();
            match change(&mut changed) {
                Ok(()) => (Some(set.with(changed)), Ok(())),
                Err(error) => (None, Err(error)),
            }
        })
    }

    /// Puts a new set in the place of the old one, then sees to the generations: those that left service keep no instances.
    fn swap<T>(&self, change: impl FnOnce(&Set) -> (Option<Set>, T)) -> T {
        let _turn = self.swapping.lock();
        let old = self.set.load_full();
        let (new, result) = change(&old);
        let Some(new) = new else { return result };
        let new = Arc::new(new);
        let serving: HashSet<u64> =
            new.slots.iter().flat_map(|slot| slot.in_service()).map(|generation| generation.number).collect();
        new.slots.iter().flat_map(|slot| slot.in_service()).for_each(|generation| generation.revive());
        self.set.store(Arc::clone(&new));
        for generation in old.slots.iter().chain(&new.slots).flat_map(|slot| slot.generations()) {
            if !serving.contains(&generation.number) {
                generation.retire();
            }
        }
        result
    }
}
