//! All plugins at one moment, and for each hook who is asked about which tenant.

use crate::chain::{Chain, Members};
use crate::kept::Kept;
use crate::slot::Slot;
use plugin_package::{Hook, Tenants, Visible};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// All plugins at one moment. Never changed, but swapped as a whole.
#[derive(Default)]
pub(crate) struct Set {
    /// In the order in which they are asked.
    pub(crate) slots: Vec<Arc<Slot>>,
    hooks: HashMap<Hook, Asked>,
}

/// Who is asked by one hook. `None` stands for nobody: that chain costs nothing.
#[derive(Default)]
struct Asked {
    /// About tenants that some plugin names.
    named: HashMap<String, Option<Arc<Members>>>,
    /// About all others.
    others: Option<Arc<Members>>,
}

impl Set {
    pub(crate) fn new(mut slots: Vec<Arc<Slot>>) -> Self {
        slots.sort_by(|a, b| (a.order, &a.plugin).cmp(&(b.order, &b.plugin)));
        let hooks = Hook::ALL.into_iter().map(|hook| (hook, asked(&slots, hook))).collect();
        Self { slots, hooks }
    }

    pub(crate) fn chain(&self, hook: Hook, tenant: &Arc<str>) -> Option<Chain> {
        let asked = self.hooks.get(&hook)?;
        let members = asked.named.get(tenant.as_ref()).unwrap_or(&asked.others).as_ref()?;
        Some(Chain { tenant: Arc::clone(tenant), members: Arc::clone(members) })
    }

    pub(crate) fn slot(&self, plugin: &str) -> Option<&Arc<Slot>> {
        self.slots.iter().find(|slot| slot.plugin.as_ref() == plugin)
    }

    /// The same but for one slot.
    pub(crate) fn with(&self, changed: Slot) -> Self {
        let mut slots = self.slots.clone();
        slots.retain(|slot| slot.plugin != changed.plugin);
        slots.push(Arc::new(changed));
        Self::new(slots)
    }
}

fn asked(slots: &[Arc<Slot>], hook: Hook) -> Asked {
    let ours: Vec<&Arc<Slot>> = slots.iter().filter(|slot| slot.enabled && slot.hook == hook).collect();
    // Tenant hooks run before there is a tenant.
    let every = |slot: &Slot| hook == Hook::Tenant || slot.tenants == Tenants::All;
    let names: BTreeSet<&String> = ours
        .iter()
        .filter_map(|slot| match &slot.tenants {
            Tenants::Only(names) if hook != Hook::Tenant => Some(names),
            _ => None,
        })
        .flatten()
        .collect();
    let named = names.into_iter().map(|name| {
        let members = members(ours.iter().copied().filter(|slot| every(slot) || slot.tenants.include(name)));
        (name.clone(), members)
    });
    Asked { named: named.collect(), others: members(ours.iter().copied().filter(|slot| every(slot))) }
}

fn members<'a>(slots: impl Iterator<Item = &'a Arc<Slot>>) -> Option<Arc<Members>> {
    let slots: Vec<Arc<Slot>> = slots.cloned().collect();
    let shown = |names: fn(&Visible) -> &Vec<String>| {
        let generations = slots.iter().flat_map(|slot| slot.in_service());
        let all: BTreeSet<String> =
            generations.flat_map(|generation| names(&generation.shared.visible).clone()).collect();
        all.into_iter().collect()
    };
    let visible = Visible { headers: shown(|visible| &visible.headers), cookies: shown(|visible| &visible.cookies) };
    let kept = slots.iter().all(|slot| slot.canary.is_none()).then(Kept::new);
    (!slots.is_empty()).then(|| Arc::new(Members { slots, visible, kept }))
}
