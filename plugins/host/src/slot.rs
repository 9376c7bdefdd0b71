//! One plugin's place among the hooks: which generation answers, and what failing means.

use crate::call::Ask;
use crate::counters::Counters;
use crate::failure::Failure;
use crate::generation::Generation;
use crate::request::Request;
use plugin_package::{FailPolicy, Hook, Package, Tenants};
use std::sync::Arc;

/// One plugin. Never changed: what changes is which slot is in the set.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) plugin: Arc<str>,
    pub(crate) hook: Hook,
    pub(crate) tenants: Tenants,
    /// What the operator says in the place of any generation's manifest.
    pub(crate) said: Said,
    /// What holds now: see [`Slot::settle`].
    pub(crate) order: i32,
    pub(crate) fail: FailPolicy,
    /// Asked at all.
    pub(crate) enabled: bool,
    /// What the settings said about that when they were last read: a reload changes `enabled` only if they do.
    pub(crate) enabled_in_settings: bool,
    pub(crate) counters: Arc<Counters>,
    pub(crate) current: Current,
    pub(crate) canary: Option<Canary>,
    /// What a rollback goes to.
    pub(crate) previous: Option<Arc<Generation>>,
    /// What rollbacks came from, the latest last: not taken again while the files are the same.
    pub(crate) rejected: Vec<Arc<Package>>,
    /// Why the last reload changed nothing though the files had changed.
    pub(crate) problem: Option<Arc<str>>,
}

/// What the operator says about a plugin, whichever generation answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    pub(crate) order: Option<i32>,
    pub(crate) fail: Option<FailPolicy>,
}

/// What answers.
#[derive(Clone)]
pub(crate) enum Current {
    Loaded(Arc<Generation>),
    /// Nothing: every call fails. Says why.
    Broken(Arc<str>),
}

/// A generation on trial.
#[derive(Clone)]
pub(crate) struct Canary {
    pub(crate) generation: Arc<Generation>,
    /// Its share of requests, between 0 and 1.
    pub(crate) share: f64,
}

/// Where plugins are asked of which neither the operator nor a manifest says it.
const ORDER: i32 = 100;
/// Packages that were rolled back from and are remembered.
const MOST_REJECTED: usize = 8;

impl Slot {
    /// Sets order and fail policy anew, once what answers or what the operator says has changed: the operator's word, else that of
    /// the generation that answers, else the hook's. A tenant plugin never fails open, nor an observe plugin closed.
    pub(crate) fn settle(&mut self) {
        let manifest = self.current().map(|generation| (generation.manifest().order, generation.manifest().fail));
        let order = self.said.order.or(manifest.map(|(order, _)| order)).unwrap_or(ORDER);
        let fail = self.said.fail.or(manifest.map(|(_, fail)| fail)).unwrap_or(self.hook.default_fail());
        self.order = order;
        self.fail = match self.hook {
            Hook::Tenant | Hook::Observe => self.hook.default_fail(),
            Hook::Policy | Hook::Ads => fail,
        };
    }

    /// Remembers what was rolled back from.
    pub(crate) fn reject(&mut self, generation: &Generation) {
        self.forgive(generation);
        if self.rejected.len() >= MOST_REJECTED {
            self.rejected.remove(0);
        }
        self.rejected.push(Arc::clone(&generation.package));
    }

    /// Forgets that it was rolled back from, as it is in service again.
    pub(crate) fn forgive(&mut self, generation: &Generation) {
        self.rejected.retain(|package| !Arc::ptr_eq(package, &generation.package));
    }

    pub(crate) fn current(&self) -> Option<&Arc<Generation>> {
        match &self.current {
            Current::Loaded(generation) => Some(generation),
            Current::Broken(_) => None,
        }
    }

    /// Every generation that it holds on to.
    pub(crate) fn generations(&self) -> impl Iterator<Item = &Arc<Generation>> {
        self.current()
            .into_iter()
            .chain(self.canary.as_ref().map(|canary| &canary.generation))
            .chain(self.previous.as_ref())
    }

    /// Those that may be asked.
    pub(crate) fn in_service(&self) -> impl Iterator<Item = &Arc<Generation>> {
        self.current().into_iter().chain(self.canary.as_ref().map(|canary| &canary.generation))
    }

    /// The same key always meets the same generation, so that one request is of one mind in all its hooks.
    pub(crate) fn choose(&self, key: &str) -> Result<&Arc<Generation>, Failure> {
        if let Some(canary) = &self.canary
            && falls_to_canary(key, canary.share)
        {
            return Ok(&canary.generation);
        }
        match &self.current {
            Current::Loaded(generation) => Ok(generation),
            Current::Broken(reason) => Err(Failure::Broken(Arc::clone(reason))),
        }
    }

    /// Asks it; `check` reads the answer. Failures are counted and told here, whatever becomes of them.
    pub(crate) async fn ask<A: Ask, T>(
        &self,
        tenant: &Arc<str>,
        key: &str,
        request: Option<&Arc<Request>>,
        ask: A,
        check: impl FnOnce(&Generation, A::Reply) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let answer = match self.choose(key) {
            Ok(generation) => generation.call(tenant, request, ask, check).await,
            Err(failure) => Err(failure),
        };
        if let Err(failure) = &answer {
            self.report(tenant, key, failure);
        }
        answer
    }

    fn report(&self, tenant: &str, key: &str, failure: &Failure) {
        self.counters.failed(failure);
        if self.counters.may_report(crate::imports::second()) {
            let (plugin, hook, fail) = (self.plugin.as_ref(), self.hook.name(), self.fail.name());
            tracing::warn!(target: "plugin", plugin, hook, tenant, request_id = key, fail, "plugin failed: {failure}");
        }
    }

    /// True if failing refuses the request.
    pub(crate) fn fails_closed(&self) -> bool {
        self.fail == FailPolicy::Closed
    }
}

/// Spread evenly over ids, the same on every gateway: FNV-1a, and a finish that mixes its upper bits.
fn falls_to_canary(key: &str, share: f64) -> bool {
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    #[expect(clippy::cast_precision_loss, reason = "24 bits fit a double exactly")]
    let position = mixed as f64 / f64::from(1_u32 << 24);
    position < share
}

#[cfg(test)]
mod tests {
    use super::falls_to_canary;

    #[test]
    fn a_share_of_ids() {
        for (share, low, high) in [(0.0, 0, 0), (0.1, 900, 1_100), (0.5, 4_800, 5_200), (1.0, 10_000, 10_000)] {
            let count = (0..10_000_u64).filter(|id| falls_to_canary(&format!("{:016x}", id * 7_919), share)).count();
            assert!((low..=high).contains(&count), "{share}: {count}");
        }
    }
}
