//! What each session last found under a message, for how long that counts, and one question at a time per session and message.

use crate::session::SessionId;
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
    /// By session: when the question was asked, and its answer.
    by_session: HashMap<SessionId, (Instant, Found)>,
    /// By session: the question under way, and its number.
    flights: HashMap<SessionId, (u64, WeakShared<BoxFuture<'static, Found>>)>,
    /// Some session found a document here once: from then on its absence means that it is gone.
    seen: bool,
    touched: Option<Instant>,
}

impl Entry {
    fn weight(&self) -> usize {
        self.by_session.len().max(1)
    }

    /// Takes an answer in, unless a newer one is there. Two accounts never see two versions of a message for long, so where they
    /// differ the question asked later is right.
    fn learn(&mut self, session: SessionId, asked: Instant, found: &Found) {
        let differs = |other: &Found| matches!((other, found), (Ok(a), Ok(b)) if a.identity != b.identity);
        let outdated =
            |(id, (at, other)): (&SessionId, &(Instant, Found))| *at > asked && (*id == session || differs(other));
        if self.by_session.iter().any(outdated) {
            return;
        }
        self.by_session.retain(|_, (_, other)| !differs(other));
        self.by_session.insert(session, (asked, found.clone()));
    }
}

/// Bounded in answers, of all sessions together; the messages longest untouched go first.
pub(crate) struct Locations {
    table: Mutex<Table>,
    ttl: Duration,
    negative_ttl: Duration,
    capacity: usize,
}

#[derive(Default)]
struct Table {
    entries: HashMap<MessageRef, Entry>,
    /// Sum of the entries' weights.
    weight: usize,
    /// Number of the next question.
    flight: u64,
}

impl Table {
    fn entry<T>(&mut self, message: MessageRef, capacity: usize, change: impl FnOnce(&mut Entry) -> T) -> T {
        if self.weight >= capacity {
            self.make_room(capacity);
        }
        let entry = self.entries.entry(message).or_insert_with(|| {
            self.weight += 1;
            Entry::default()
        });
        let before = entry.weight();
        let made = change(entry);
        self.weight = self.weight + entry.weight() - before;
        made
    }

    /// Forgets the messages longest untouched until half is free, so that the work is shared by many insertions. Whoever waits for
    /// a question under way still gets its answer.
    fn make_room(&mut self, capacity: usize) {
        let mut order: Vec<_> = self.entries.iter().map(|(message, entry)| (entry.touched, *message)).collect();
        order.sort_unstable_by_key(|(touched, _)| *touched);
        for (_, message) in order {
            if self.weight <= capacity / 2 {
                return;
            }
            if let Some(entry) = self.entries.remove(&message) {
                self.weight -= entry.weight();
            }
        }
    }
}

impl Locations {
    pub(crate) fn new(ttl: Duration, negative_ttl: Duration, capacity: usize) -> Self {
        Self { table: Mutex::default(), ttl, negative_ttl, capacity: capacity.max(16) }
    }

    /// Returns what is known and new enough, or asks.
    pub(crate) async fn get(
        self: &Arc<Self>,
        session: SessionId,
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
        session: SessionId,
        message: MessageRef,
        freshness: Freshness<'_>,
        ask: impl FnOnce() -> BoxFuture<'static, Result<Location, LocateFault>>,
    ) -> Result<Found, Flight> {
        let now = Instant::now();
        let mut table = self.table.lock();
        let number = table.flight;
        table.flight += 1;
        table.entry(message, self.capacity, |entry| {
            entry.touched = Some(now);
            if let Some((at, found)) = entry.by_session.get(&session)
                && self.is_good(found, now.saturating_duration_since(*at), freshness)
            {
                return Ok(found.clone());
            }
            if let Some(flight) = entry.flights.get(&session).and_then(|(_, flight)| flight.upgrade()) {
                return Err(flight);
            }
            let (this, question) = (Arc::clone(self), ask());
            let flight = async move {
                let found = question.await.map(Arc::new);
                this.keep(session, message, (number, now), &found);
                found
            }
            .boxed()
            .shared();
            if let Some(weak) = flight.downgrade() {
                entry.flights.insert(session, (number, weak));
            }
            Err(flight)
        })
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

    fn keep(&self, session: SessionId, message: MessageRef, (number, asked): (u64, Instant), found: &Found) {
        self.table.lock().entry(message, self.capacity, |entry| {
            // The question may have been forgotten for want of room, and another one be under way since.
            if entry.flights.get(&session).is_some_and(|(current, _)| *current == number) {
                entry.flights.remove(&session);
            }
            entry.touched = entry.touched.max(Some(asked));
            entry.seen |= found.is_ok();
            // A question that could not be asked has no answer worth keeping.
            if !matches!(found, Err(LocateFault::Call(_))) {
                entry.learn(session, asked, found);
            }
        });
    }

    /// Telegram said that the document of this very location is in another data-centre.
    pub(crate) fn moved(&self, session: SessionId, message: MessageRef, from: &Location, dc: i32) {
        let mut table = self.table.lock();
        let entry = table.entries.get_mut(&message);
        if let Some((_, Ok(known))) = entry.and_then(|entry| entry.by_session.get_mut(&session))
            && known.same_reference(from)
        {
            *known = Arc::new(known.moved_to(dc));
        }
    }

    /// Where the document is, as far as some session knows.
    pub(crate) fn dc_of(&self, message: MessageRef) -> Option<i32> {
        let table = self.table.lock();
        let entry = table.entries.get(&message)?;
        let newest = entry.by_session.values().filter(|(_, found)| found.is_ok()).max_by_key(|(asked, _)| *asked)?;
        newest.1.as_ref().ok().map(|location| location.dc)
    }

    /// Forgets what a session that left the pool was told: its permissions are worth nothing to others.
    pub(crate) fn forget(&self, session: SessionId) {
        let mut table = self.table.lock();
        let mut weight = 0;
        for entry in table.entries.values_mut() {
            entry.by_session.remove(&session);
            entry.flights.remove(&session);
            weight += entry.weight();
        }
        table.weight = weight;
    }

    /// True when some session found a document under the message before.
    pub(crate) fn was_seen(&self, message: MessageRef) -> bool {
        self.table.lock().entries.get(&message).is_some_and(|entry| entry.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::{Freshness, Locations};
    use crate::session::SessionId;
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;
    use mtproto::{Identity, LocateFault, Location, MessageRef};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::sync::Notify;
    use tokio::time::Instant;

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
        let first = cache.get(SessionId(0), MESSAGE, Freshness::Recent, telegram.answers(Ok(1))).await.unwrap();
        cache.get(SessionId(0), MESSAGE, Freshness::Recent, telegram.answers(Ok(1))).await.unwrap();
        assert_eq!(asked(), 1);
        cache.get(SessionId(1), MESSAGE, Freshness::Recent, telegram.answers(Ok(1))).await.unwrap();
        assert_eq!(asked(), 2, "another session's permission is its own");
        cache.get(SessionId(0), MESSAGE, Freshness::Now, telegram.answers(Ok(1))).await.unwrap();
        assert_eq!(asked(), 3);
        let next = cache.get(SessionId(0), MESSAGE, Freshness::After(&first), telegram.answers(Ok(2))).await.unwrap();
        assert!(!next.same_reference(&first) && asked() == 4);
        cache.get(SessionId(0), MESSAGE, Freshness::After(&first), telegram.answers(Ok(3))).await.unwrap();
        assert_eq!(asked(), 4, "the newer reference is there already");
        tokio::time::advance(Duration::from_secs(31)).await;
        cache.get(SessionId(0), MESSAGE, Freshness::Any, telegram.answers(Ok(4))).await.unwrap();
        assert_eq!(asked(), 4);
        cache.get(SessionId(0), MESSAGE, Freshness::Recent, telegram.answers(Ok(4))).await.unwrap();
        assert_eq!(asked(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn absence_is_kept_for_a_moment_and_failures_not_at_all() {
        let (cache, telegram) = (locations(), Arc::<Telegram>::default());
        for _ in 0..2 {
            let failed = Err(LocateFault::Call(mtproto::CallFault::Timeout));
            cache.get(SessionId(0), MESSAGE, Freshness::Recent, telegram.answers(failed)).await.unwrap_err();
        }
        assert_eq!(telegram.asked.load(Ordering::SeqCst), 2);
        for _ in 0..2 {
            let missing = Err(LocateFault::NoMessage);
            cache.get(SessionId(0), MESSAGE, Freshness::Recent, telegram.answers(missing)).await.unwrap_err();
        }
        assert_eq!(telegram.asked.load(Ordering::SeqCst), 3);
        assert!(!cache.was_seen(MESSAGE));
        tokio::time::advance(Duration::from_secs(6)).await;
        cache.get(SessionId(0), MESSAGE, Freshness::Recent, telegram.answers(Ok(1))).await.unwrap();
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
        let mut first = Box::pin(cache.get(SessionId(0), MESSAGE, Freshness::Recent, ask()));
        assert!(first.as_mut().now_or_never().is_none());
        let mut others: Vec<_> =
            (0..5).map(|_| Box::pin(cache.get(SessionId(0), MESSAGE, Freshness::Now, ask()))).collect();
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
        let mut lone = Box::pin(cache.get(SessionId(0), MESSAGE, Freshness::Now, ask()));
        assert!(lone.as_mut().now_or_never().is_none());
        drop(lone);
        let mut next = Box::pin(cache.get(SessionId(0), MESSAGE, Freshness::Now, ask()));
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!(telegram.asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn stays_bounded_however_many_sessions_look() {
        let (cache, telegram) = (locations(), Arc::<Telegram>::default());
        for message_id in 1..1000 {
            let message = MessageRef { message_id, ..MESSAGE };
            for session in (0..7).map(SessionId) {
                cache.get(session, message, Freshness::Recent, telegram.answers(Ok(1))).await.unwrap();
                let table = cache.table.lock();
                let kept: usize = table.entries.values().map(|entry| entry.by_session.len().max(1)).sum();
                assert!(kept <= 17 && kept == table.weight, "{kept}, {}", table.weight);
            }
        }
    }

    /// An answer to a question of this number, asked so many seconds ago by a clock that the test holds.
    fn keep(cache: &Locations, session: u64, number: u64, asked: Instant, document: i64) {
        let location = Location::synthetic(Identity::new(document, 9), 2, vec![1]);
        cache.keep(SessionId(session), MESSAGE, (number, asked), &Ok(Arc::new(location)));
    }

    #[tokio::test(start_paused = true)]
    async fn of_two_versions_the_one_asked_for_later_stays() {
        let (early, late) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        for order in [[(0, early, 1), (1, late, 2)], [(1, late, 2), (0, early, 1)]] {
            let cache = locations();
            for (session, asked, document) in order {
                keep(&cache, session, 0, asked, document);
            }
            let table = cache.table.lock();
            let kept = &table.entries[&MESSAGE].by_session;
            assert!(kept.len() == 1 && kept.contains_key(&SessionId(1)), "{:?}", kept.keys());
        }
        let cache = locations();
        keep(&cache, 0, 0, early, 2);
        keep(&cache, 1, 1, late, 2);
        assert_eq!(cache.table.lock().entries[&MESSAGE].by_session.len(), 2, "the same version is no quarrel");
    }

    #[tokio::test(start_paused = true)]
    async fn a_forgotten_question_takes_no_newer_one_with_it() {
        let (cache, telegram) = (locations(), Arc::<Telegram>::default());
        let gate = Arc::clone(&telegram);
        let slow = move || {
            async move {
                gate.gate.notified().await;
                Err(LocateFault::NoChat)
            }
            .boxed()
        };
        let mut asking = Box::pin(cache.get(SessionId(0), MESSAGE, Freshness::Now, slow));
        assert!(asking.as_mut().now_or_never().is_none());
        let number = cache.table.lock().entries[&MESSAGE].flights[&SessionId(0)].0;
        keep(&cache, 0, number + 1, Instant::now(), 1);
        assert_eq!(cache.table.lock().entries[&MESSAGE].flights[&SessionId(0)].0, number);
    }
}
