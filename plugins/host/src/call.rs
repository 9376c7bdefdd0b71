//! One call of one plugin: an instance, a deadline, an answer or a failure.
#![allow(clippy::disallowed_methods, reason = "times calls")]

use crate::failure::{Failure, classify};
use crate::generation::Generation;
use crate::guest::Guest;
use crate::request::Request;
use crate::state::State;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;
use wasmtime::Store;

/// What one hook is asked.
pub(crate) trait Ask: Send {
    /// What it answers.
    type Reply: Send;

    /// Calls the guest.
    fn put(self, guest: &Guest, store: &mut Store<State>)
    -> impl Future<Output = wasmtime::Result<Self::Reply>> + Send;

    /// Bytes that the guest may hand over beyond `limits.hostcall_bytes`.
    fn more_bytes(&self) -> usize {
        0
    }
}

impl Generation {
    /// Asks the guest, within `limits.wall`; `check` reads the answer. A guest whose answer doesn't hold is as little to be trusted with
    /// the next call as one that trapped: its instance is thrown away.
    ///
    /// Dropping the future ends the call: its instance is thrown away, its places are free.
    pub(crate) async fn call<A: Ask, T>(
        self: &Arc<Self>,
        tenant: &Arc<str>,
        request: Option<&Arc<Request>>,
        ask: A,
        check: impl FnOnce(&Self, A::Reply) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let mut running = false;
        let result = {
            let mut call = std::pin::pin!(self.run(tenant, request, ask, check, &mut running));
            // Most calls end at the first poll. A timer is only set for those that don't: setting one wakes the runtime's driver.
            match std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
                Poll::Ready(result) => Ok(result),
                Poll::Pending => tokio::time::timeout(self.shared.limits.wall, call).await,
            }
        };
        let result = match result {
            Ok(result) => result,
            Err(_) if running => Err(Failure::Wall),
            Err(_) => Err(Failure::Busy),
        };
        self.shared.counters.took(start.elapsed());
        result
    }

    async fn run<A: Ask, T>(
        self: &Arc<Self>,
        tenant: &Arc<str>,
        request: Option<&Arc<Request>>,
        ask: A,
        check: impl FnOnce(&Self, A::Reply) -> Result<T, Failure>,
        running: &mut bool,
    ) -> Result<T, Failure> {
        let pool = self.pool(tenant).map_err(Failure::Start)?;
        let mut lease = pool.lease(self).await?;
        *running = true;
        let bytes = usize::try_from(self.shared.limits.hostcall_bytes).unwrap_or(usize::MAX);
        let Some(instance) = lease.instance() else { return Err(Failure::Busy) };
        instance.begin(request.cloned(), bytes.saturating_add(ask.more_bytes()));
        let answer = ask.put(&instance.guest, &mut instance.store).await;
        let memory = &instance.store.data().memory;
        let (used, refused) = (memory.used, memory.refused);
        self.shared.counters.memory(u64::try_from(used).unwrap_or(u64::MAX));
        match answer {
            Ok(reply) => {
                instance.end();
                let checked = check(self, reply)?;
                lease.give_back();
                Ok(checked)
            }
            Err(error) => Err(classify(&error, refused)),
        }
    }
}
