//! One call of one plugin: an instance, a deadline, an answer or a failure.
#![allow(clippy::disallowed_methods, reason = "times calls")]

use crate::failure::{Failure, classify};
use crate::generation::Generation;
use crate::guest::Guest;
use crate::pool::Lease;
use crate::request::Request;
use crate::state::State;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Instant;
use wasmtime::Store;

/// What one hook is asked.
pub(crate) trait Ask: Send {
    /// What it answers.
    type Reply: Send + 'static;

    /// The same question, to be asked on another thread.
    type Owned: Ask<Reply = Self::Reply> + 'static;

    /// Copies what the question borrows.
    fn into_owned(self) -> Self::Owned;

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
        let aside = self.shared.lane.is_aside();
        let (generation, tenant) = (Arc::clone(self), Arc::clone(tenant));
        let asked = Asked { generation, tenant, request: request.cloned(), ask, aside };
        let answer = if aside { asked.aside().await } else { asked.here().await };
        let result = answer.and_then(|(lease, reply)| {
            let checked = check(self, reply)?;
            lease.give_back();
            Ok(checked)
        });
        self.shared.counters.took(start.elapsed());
        result
    }
}

/// One question to one plugin.
struct Asked<A> {
    generation: Arc<Generation>,
    tenant: Arc<str>,
    request: Option<Arc<Request>>,
    ask: A,
    /// On the thread where nobody waits, so that the clock may be read at the begin too.
    aside: bool,
}

/// The instance that answered, to be given back, and what it said.
type Answer<R> = Result<(Lease, R), Failure>;

impl<A: Ask> Asked<A> {
    /// Asks on this thread.
    async fn here(self) -> Answer<A::Reply> {
        let wall = self.generation.shared.limits.wall;
        let mut running = false;
        let ended = {
            let mut call = std::pin::pin!(self.run(&mut running));
            // Most calls end at the first poll. A timer is only set for those that don't: setting one wakes the runtime's driver.
            match std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => tokio::time::timeout(wall, call).await.ok(),
            }
        };
        ended.unwrap_or(Err(if running { Failure::Wall } else { Failure::Busy }))
    }

    /// Asks where no request waits for the thread.
    async fn aside(self) -> Answer<A::Reply> {
        let generation = Arc::clone(&self.generation);
        generation.shared.counters.aside.fetch_add(1, Relaxed);
        let Self { tenant, request, ask, aside, .. } = self;
        let owned = Asked { generation: self.generation, tenant, request, ask: ask.into_owned(), aside };
        generation.host.aside.run(owned.here()).await.unwrap_or_else(|error| Err(Failure::Trap(error.to_string())))
    }

    async fn run(self, running: &mut bool) -> Answer<A::Reply> {
        let Self { generation, tenant, request, ask, aside } = self;
        let pool = generation.pool(&tenant).map_err(Failure::Start)?;
        let mut lease = pool.lease(&generation).await?;
        *running = true;
        let shared = &generation.shared;
        let bytes = usize::try_from(shared.limits.hostcall_bytes).unwrap_or(usize::MAX);
        let Some(instance) = lease.instance() else { return Err(Failure::Busy) };
        instance.begin(request, bytes.saturating_add(ask.more_bytes()), aside);
        let answer = ask.put(&instance.guest, &mut instance.store).await;
        let memory = &instance.store.data().memory;
        let (used, refused) = (memory.used, memory.refused);
        shared.counters.memory(u64::try_from(used).unwrap_or(u64::MAX));
        match answer {
            Ok(reply) => {
                instance.end();
                Ok((lease, reply))
            }
            Err(error) => Err(classify(&error, refused)),
        }
    }
}
