//! One component, ready to be instantiated, and one instance of it.

use crate::bindings::exports::streamvault::plugin::{ads, observe, policy, tenants};
use crate::engine::Host;
use crate::failure::{Failure, classify};
use crate::load::LoadError;
use crate::pool::Place;
use crate::request::Request;
use crate::state::{Call, Shared, State};
use plugin_kv::Namespace;
use plugin_package::Hook;
use std::sync::Arc;
use std::time::Duration;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};

/// Handles that a guest may have at once. The contract needs one.
const MOST_HANDLES: usize = 256;

/// Where a component has the functions of its hook.
enum Exports {
    Tenant(tenants::GuestIndices),
    Policy(policy::GuestIndices),
    Ads(ads::GuestIndices),
    Observe(observe::GuestIndices),
}

/// The functions of one instance's hook.
pub(crate) enum Guest {
    Tenant(tenants::Guest),
    Policy(policy::Guest),
    Ads(ads::Guest),
    Observe(observe::Guest),
}

/// A component with its imports resolved and the types of its exports checked.
pub(crate) struct Template {
    pre: InstancePre<State>,
    exports: Exports,
}

impl Template {
    pub(crate) fn new(host: &Host, component: &Component, hook: Hook, wasi: bool) -> Result<Self, LoadError> {
        let linker = if wasi { &host.with_wasi } else { &host.plain };
        let unfit = |error: wasmtime::Error| LoadError::Unfit(format!("{error:#}"));
        let pre = linker.instantiate_pre(component).map_err(unfit)?;
        let exports = match hook {
            Hook::Tenant => tenants::GuestIndices::new(&pre).map(Exports::Tenant),
            Hook::Policy => policy::GuestIndices::new(&pre).map(Exports::Policy),
            Hook::Ads => ads::GuestIndices::new(&pre).map(Exports::Ads),
            Hook::Observe => observe::GuestIndices::new(&pre).map(Exports::Observe),
        };
        Ok(Self { pre, exports: exports.map_err(unfit)? })
    }

    /// A new instance. Its start functions run here, under the same limits as a call.
    pub(crate) async fn instantiate(
        &self,
        shared: &Arc<Shared>,
        tenant: &Arc<str>,
        kv: Namespace,
        place: Place,
    ) -> Result<Instance, Failure> {
        let bytes = usize::try_from(shared.limits.hostcall_bytes).unwrap_or(usize::MAX);
        let state = State::new(Arc::clone(shared), Arc::clone(tenant), kv);
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(bytes);
        store.set_max_component_handles(MOST_HANDLES);
        store.epoch_deadline_callback(|mut cx| cx.data_mut().tick());
        store.set_epoch_deadline(1);
        let instance = match self.pre.instantiate_async(&mut store).await {
            Ok(instance) => instance,
            Err(error) => {
                let refused = store.data().memory.refused;
                return Err(match classify(&error, refused) {
                    Failure::Trap(what) => Failure::Start(what),
                    // Of its own kind in statistics too: the operator can do something about a limit.
                    limit => limit,
                });
            }
        };
        let guest = match &self.exports {
            Exports::Tenant(indices) => indices.load(&mut store, &instance).map(Guest::Tenant),
            Exports::Policy(indices) => indices.load(&mut store, &instance).map(Guest::Policy),
            Exports::Ads(indices) => indices.load(&mut store, &instance).map(Guest::Ads),
            Exports::Observe(indices) => indices.load(&mut store, &instance).map(Guest::Observe),
        };
        match guest {
            Ok(guest) => Ok(Instance { store, guest, calls: 0, idle_since: Duration::ZERO, _place: place }),
            Err(error) => Err(Failure::Start(format!("a function has another type than the contract's: {error:#}"))),
        }
    }
}

/// A guest with its memory. Whoever holds it is alone with it: it is in a pool, or in one call.
pub(crate) struct Instance {
    pub(crate) store: Store<State>,
    pub(crate) guest: Guest,
    pub(crate) calls: u32,
    /// By the host's ticks.
    pub(crate) idle_since: Duration,
    /// Declared last: the place among all instances is free only when the memory is.
    _place: Place,
}

impl Instance {
    /// Makes the call at hand the only one that the guest knows of. `exact`: its time counts from here, and not from its first tick.
    pub(crate) fn begin(&mut self, request: Option<Arc<Request>>, hostcall_bytes: usize, exact: bool) {
        let state = self.store.data_mut();
        state.begin(request);
        if exact {
            state.running.go_on();
        }
        self.store.set_hostcall_fuel(hostcall_bytes);
        self.store.set_epoch_deadline(1);
        self.calls = self.calls.saturating_add(1);
    }

    /// Takes the call's facts out again.
    pub(crate) fn end(&mut self) {
        self.store.data_mut().call = Call::default();
    }
}
