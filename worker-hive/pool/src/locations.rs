//! What each session last found under a message, for how long that counts, and one question at a time per session and message.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use mtproto::{LocateFault, Location, MessageRef};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How new an answer must be.
#[derive(Clone, Copy, Debug)]
pub enum Freshness<'a> {
    /// Whatever is known: the document's identity is checked by the asker.
    Any,
    /// As new as the configuration asks for.
    Recent,
    /// Asked after this call began, or at least under way when it did.
    Now,
    /// Another permission than this one, which Telegram refused.
    After(&'a Location),
}

/// What a session answered.
pub(crate) type Found = Result<Arc<Location>, LocateFault>;
type Flight = Shared<BoxFuture<'static, Found>>;

#[derive(Default)]
struct Entry {
    by_session: HashMap<usize, (Instant, Found)>,
    flights: HashMap<usize, WeakShared<BoxFuture<'static, Found>>>,
    /// Some session found a document here once: from then on its absence means that it is gone.
    seen: bool,
    touched: Option<Instant>,
}

/// Bounded in entries; the ones longest untouched go first.
pub(crate) struct Locations {
    entries: Mutex<HashMap<MessageRef, Entry>>,
    ttl: Duration,
    negative_ttl: Duration,
    capacity: usize,
}

impl Locations {
    pub(crate) fn new(ttl: Duration, negative_ttl: Duration, capacity: usize) -> Self {
        Self { entries: Mutex::default(), ttl, negative_ttl, capacity: capacity.max(16) }
    }

    /// Returns what is known and new enough, or asks.
    pub(crate) async fn get(
        self: &Arc<Self>,
        session: usize,
        message: MessageRef,
        freshness: Freshness<'_>,
        ask: impl FnOnce() -> BoxFuture<'static, Result<Location, LocateFault>>,
    ) -> Found {
        let flight = match self.known_or_flight(session, message, freshness, ask) {
            Ok(found) => return found,
            Err(flight) => flight,
        };
        flight.await
    }

    fn known_or_flight(
        self: &Arc<Self>,
        session: usize,
        message: MessageRef,
        freshness: Freshness<'_>,
        ask: impl FnOnce() -> BoxFuture<'static, Result<Location, LocateFault>>,
    ) -> Result<Found, Flight> {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if entries.len() >= self.capacity && !entries.contains_key(&message) {
            make_room(&mut entries, self.capacity);
        }
        let entry = entries.entry(message).or_default();
        entry.touched = Some(now);
        if let Some((at, found)) = entry.by_session.get(&session)
            && self.is_good(found, now.saturating_duration_since(*at), freshness)
        {
            return Ok(found.clone());
        }
        if let Some(flight) = entry.flights.get(&session).and_then(WeakShared::upgrade) {
            return Err(flight);
        }
        let (this, question) = (Arc::clone(self), ask());
        let flight = async move {
            let found = question.await.map(Arc::new);
            this.keep(session, message, &found);
            found
        }
        .boxed()
        .shared();
        if let Some(weak) = flight.downgrade() {
            entry.flights.insert(session, weak);
        }
        Err(flight)
    }

    fn is_good(&self, found: &Found, age: Duration, freshness: Freshness<'_>) -> bool {
        match (found, freshness) {
            (_, Freshness::Now) => false,
            (Ok(_), Freshness::Any) => true,
            (Ok(_), Freshness::Recent) => age < self.ttl,
            (Ok(location), Freshness::After(stale)) => !location.same_reference(stale),
            (Err(_), _) => age < self.negative_ttl,
        }
    }

    fn keep(&self, session: usize, message: MessageRef, found: &Found) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(message).or_default();
        entry.flights.remove(&session);
        entry.seen |= found.is_ok();
        // A question that could not be asked has no answer worth keeping.
        if !matches!(found, Err(LocateFault::Call(_))) {
            entry.by_session.insert(session, (Instant::now(), found.clone()));
        }
    }

    /// Telegram said that the document of this very location is in another data-centre.
    pub(crate) fn moved(&self, session: usize, message: MessageRef, from: &Location, dc: i32) {
        let mut entries = self.entries.lock();
        if let Some((_, Ok(known))) = entries.get_mut(&message).and_then(|entry| entry.by_session.get_mut(&session))
            && known.same_reference(from)
        {
            *known = Arc::new(known.moved_to(dc));
        }
    }

    /// True when some session found a document under the message before.
    pub(crate) fn was_seen(&self, message: MessageRef) -> bool {
        self.entries.lock().get(&message).is_some_and(|entry| entry.seen)
    }
}

/// Forgets the older half, so that the work is shared by many insertions. What is in flight stays findable by its askers.
fn make_room(entries: &mut HashMap<MessageRef, Entry>, capacity: usize) {
    let mut touched: Vec<Option<Instant>> = entries.values().map(|entry| entry.touched).collect();
    let middle = (capacity / 2).min(touched.len().saturating_sub(1));
    let (_, median, _) = touched.select_nth_unstable(middle);
    let median = *median;
    entries.retain(|_, entry| entry.touched > median);
}

#[cfg(test)]
mod tests {
    use super::{Freshness, Locations};
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use mtproto::{Identity, LocateFault, Location, MessageRef};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::sync::Notify;

    const MESSAGE: MessageRef = MessageRef { chat_id: -1_000_000_000_001, message_id: 5 };

    #[derive(Default)]
    struct Telegram {
        asked: AtomicUsize,
        gate: Notify,
    }

    impl Telegram {
        fn answers(
            self: &Arc<Self>,
            answer: Result<u8, LocateFault>,
        ) -> impl FnOnce() -> BoxFuture<'static, Result<Location, LocateFault>> {
            let this = Arc::clone(self);
            move || {
                this.asked.fetch_add(1, Ordering::SeqCst);
                let answer = answer.map(|reference| Location::synthetic(Identity::new(1, 9), 2, vec![reference]));
                async move { answer }.boxed()
            }
        }
    }

    fn locations() -> Arc<Locations> {
        Arc::new(Locations::new(Duration::from_secs(30), Duration::from_secs(5), 16))
    }

    #[tokio::test(start_paused = true)]
    async fn answers_count_for_their_time_and_by_need() {
        let (cache, telegram) = (locations(), Arc::<Telegram>::default());
        let asked = || telegram.asked.load(Ordering::SeqCst);
        let first = cache.get(0, MESSAGE, Freshness::Recent, telegram.answers(Ok(1))).await.unwrap();
        cache.get(0, MESSAGE, Freshness::Recent, telegram.answers(Ok(1))).await.unwrap();
        assert_eq!(asked(), 1);
        cache.get(1, MESSAGE, Freshness::Recent, telegram.answers(Ok(1))).await.unwrap();
        assert_eq!(asked(), 2, "another session's permission is its own");
        cache.get(0, MESSAGE, Freshness::Now, telegram.answers(Ok(1))).await.unwrap();
        assert_eq!(asked(), 3);
        let next = cache.get(0, MESSAGE, Freshness::After(&first), telegram.answers(Ok(2))).await.unwrap();
        assert!(!next.same_reference(&first) && asked() == 4);
        cache.get(0, MESSAGE, Freshness::After(&first), telegram.answers(Ok(3))).await.unwrap();
        assert_eq!(asked(), 4, "the newer reference is there already");
        tokio::time::advance(Duration::from_secs(31)).await;
        cache.get(0, MESSAGE, Freshness::Any, telegram.answers(Ok(4))).await.unwrap();
        assert_eq!(asked(), 4);
        cache.get(0, MESSAGE, Freshness::Recent, telegram.answers(Ok(4))).await.unwrap();
        assert_eq!(asked(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn absence_is_kept_for_a_moment_and_failures_not_at_all() {
        let (cache, telegram) = (locations(), Arc::<Telegram>::default());
        for _ in 0..2 {
            let failed = Err(LocateFault::Call(mtproto::CallFault::Timeout));
            cache.get(0, MESSAGE, Freshness::Recent, telegram.answers(failed)).await.unwrap_err();
        }
        assert_eq!(telegram.asked.load(Ordering::SeqCst), 2);
        for _ in 0..2 {
            let missing = Err(LocateFault::NoMessage);
            cache.get(0, MESSAGE, Freshness::Recent, telegram.answers(missing)).await.unwrap_err();
        }
        assert_eq!(telegram.asked.load(Ordering::SeqCst), 3);
        assert!(!cache.was_seen(MESSAGE));
        tokio::time::advance(Duration::from_secs(6)).await;
        cache.get(0, MESSAGE, Freshness::Recent, telegram.answers(Ok(1))).await.unwrap();
        assert!(cache.was_seen(MESSAGE));
    }

    #[tokio::test]
    async fn many_askers_are_one_question_even_if_the_first_leaves() {
        let (cache, telegram) = (locations(), Arc::<Telegram>::default());
        let ask = || {
            let telegram = Arc::clone(&telegram);
            move || {
                telegram.asked.fetch_add(1, Ordering::SeqCst);
                async move {
                    telegram.gate.notified().await;
                    Ok(Location::synthetic(Identity::new(1, 9), 2, vec![1]))
                }
                .boxed()
            }
        };
        let mut first = Box::pin(cache.get(0, MESSAGE, Freshness::Recent, ask()));
        assert!(first.as_mut().now_or_never().is_none());
        let mut others: Vec<_> = (0..5).map(|_| Box::pin(cache.get(0, MESSAGE, Freshness::Now, ask()))).collect();
        for other in &mut others {
            assert!(other.as_mut().now_or_never().is_none());
        }
        drop(first);
        telegram.gate.notify_one();
        for other in others {
            other.await.unwrap();
        }
        assert_eq!(telegram.asked.load(Ordering::SeqCst), 1);
        // All askers gone: the next one starts afresh and doesn't wake up a question of long ago.
        let mut lone = Box::pin(cache.get(0, MESSAGE, Freshness::Now, ask()));
        assert!(lone.as_mut().now_or_never().is_none());
        drop(lone);
        let mut next = Box::pin(cache.get(0, MESSAGE, Freshness::Now, ask()));
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!(telegram.asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn stays_bounded() {
        let (cache, telegram) = (locations(), Arc::<Telegram>::default());
        for message_id in 1..1000 {
            let message = MessageRef { message_id, ..MESSAGE };
            cache.get(0, message, Freshness::Recent, telegram.answers(Ok(1))).await.unwrap();
            assert!(cache.entries.lock().len() <= 16);
        }
    }
}
