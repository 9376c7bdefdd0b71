//! Who gets a place and when, who is asked after faults, and what is asked twice. On a clock that the test moves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use bytes::Bytes;
use futures_util::StreamExt;
use mtproto::{Ask, CallFault, Identity, LocateFault, Location, MessageRef, Reach};
use parking_lot::Mutex;
use pool::{Body, Freshness, Pool, PoolConfig, PoolFault, SessionState, Source};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const SIZE: u64 = 16 << 20;
const MESSAGE: MessageRef = MessageRef { chat_id: -1_000_000_000_001, message_id: 1 };
const QUICK: Duration = Duration::from_millis(20);

type Script = Box<dyn Fn(u64, usize) -> Result<Duration, CallFault> + Send + Sync>;

/// Answers as its script says, by offset and how often the offset was asked for before.
struct Scripted {
    name: &'static str,
    premium: bool,
    reach: Reach,
    connections: usize,
    script: Script,
    asked: Mutex<HashMap<u64, usize>>,
    calls: Mutex<Vec<Instant>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Scripted {
    fn build(name: &'static str, change: impl FnOnce(&mut Self)) -> Arc<Self> {
        let mut this = Self {
            name,
            premium: false,
            reach: Reach::Warm,
            connections: 1,
            script: Box::new(|_, _| Ok(QUICK)),
            asked: Mutex::default(),
            calls: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        };
        change(&mut this);
        Arc::new(this)
    }

    fn quick(name: &'static str) -> Arc<Self> {
        Self::build(name, |_| {})
    }

    fn calls(&self) -> usize {
        self.calls.lock().len()
    }

    fn asked_for(&self, offset: u64) -> usize {
        self.asked.lock().get(&offset).copied().unwrap_or(0)
    }
}

impl Source for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn is_premium(&self) -> bool {
        self.premium
    }

    fn home_dc(&self) -> i32 {
        2
    }

    fn reach(&self, dc: i32) -> Reach {
        if dc == 2 { Reach::Warm } else { self.reach }
    }

    fn warm_connections(&self, _: i32) -> usize {
        self.connections
    }

    async fn locate(&self, _: MessageRef) -> Result<Location, LocateFault> {
        Ok(Location::synthetic(Identity::new(1, SIZE), 4, vec![1]))
    }

    async fn get_chunk(&self, _: &Location, offset: u64, limit: u32, _: &Ask) -> Result<Bytes, CallFault> {
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let _leave = Leave(&self.now);
        self.calls.lock().push(Instant::now());
        let before = {
            let mut asked = self.asked.lock();
            let times = asked.entry(offset).or_default();
            *times += 1;
            *times - 1
        };
        match (self.script)(offset, before) {
            Ok(time) => sleep(time).await,
            Err(fault) => {
                sleep(Duration::from_millis(1)).await;
                return Err(fault);
            }
        }
        let length = u64::from(limit).min(SIZE.saturating_sub(offset));
        Ok(Bytes::from(vec![0; usize::try_from(length).unwrap()]))
    }
}

fn pool(sessions: &[&Arc<Scripted>], change: impl FnOnce(&mut PoolConfig)) -> Pool<Scripted> {
    let mut config = PoolConfig { hedges: 0.0, ..PoolConfig::default() };
    change(&mut config);
    let pool = Pool::new(config);
    for session in sessions {
        pool.add(Arc::clone(session));
    }
    pool
}

async fn begin(pool: &Pool<Scripted>) -> Result<Body<Scripted>, PoolFault> {
    let mut body = pool.open(MESSAGE, Freshness::Recent).await?.read(0..SIZE);
    body.prime().await?;
    Ok(body)
}

async fn drain(mut body: Body<Scripted>) -> Result<u64, PoolFault> {
    let mut sum = 0;
    while let Some(bytes) = body.next().await {
        sum += u64::try_from(bytes?.len()).unwrap();
    }
    Ok(sum)
}

fn flood(seconds: u32) -> CallFault {
    CallFault::Flood { seconds, premium_exempt: false }
}

fn dropped() -> CallFault {
    CallFault::Dropped("x".into())
}

/// Lets everything that can go on without time passing go on.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn places_are_given_in_the_order_of_asking_and_who_leaves_holds_nobody_up() {
    let one = Scripted::quick("one");
    let pool = pool(&[&one], |config| config.streams_per_session = 1);
    let held = begin(&pool).await.unwrap();
    let order = Arc::<Mutex<Vec<usize>>>::default();
    let mut waiting = Vec::new();
    for n in 0..5 {
        let (waiter, order) = (pool.clone(), Arc::clone(&order));
        waiting.push(tokio::spawn(async move {
            let body = begin(&waiter).await.unwrap();
            order.lock().push(n);
            drop(body);
        }));
        settle().await;
        assert_eq!(pool.report().waiting, n + 1);
    }
    waiting.remove(2).abort();
    settle().await;
    assert_eq!(pool.report().waiting, 4, "who left is not waited for");
    drop(held);
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), [0, 1, 3, 4]);
    let report = pool.report();
    assert_eq!((report.waiting, report.refused, report.sessions[0].streams), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_line_is_bounded_and_what_is_told_follows_from_what_was_seen() {
    let one = Scripted::quick("one");
    let pool = pool(&[&one], |config| (config.streams_per_session, config.queue) = (1, 1));
    let held = begin(&pool).await.unwrap();
    sleep(Duration::from_secs(40)).await;
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { begin(&pool).await.map(drop) }
    });
    settle().await;
    let since = Instant::now();
    let refused = begin(&pool).await.map(drop);
    let Err(PoolFault::NoSession { retry_after: Some(wait) }) = refused else { panic!("{refused:?}") };
    assert_eq!(since.elapsed(), Duration::ZERO, "a full line is told at once");
    assert!((80..=82).contains(&wait.as_secs()), "none ended in 40 s, and one waits already: {wait:?}");
    let late = waiting.await.unwrap();
    let Err(PoolFault::NoSession { retry_after: Some(wait) }) = late else { panic!("{late:?}") };
    assert_eq!(since.elapsed().as_secs(), 10, "the time in the line is bounded");
    assert!((50..=52).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(pool.report().refused, 2);
    drop(held);
    begin(&pool).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn caps_go_by_kind_and_premium_fills_first() {
    let plain = Scripted::quick("plain");
    let premium = Scripted::build("premium", |session| session.premium = true);
    let pool = pool(&[&plain, &premium], |config| {
        (config.streams_premium, config.streams_standard) = (3, 1);
        config.admission = Duration::ZERO;
    });
    let mut held = Vec::new();
    let mut loads = Vec::new();
    for _ in 0..4 {
        held.push(begin(&pool).await.unwrap());
        loads.push(pool.report().sessions.iter().map(|session| session.streams).collect::<Vec<_>>());
    }
    assert_eq!(loads, [[0, 1], [0, 2], [0, 3], [1, 3]]);
    assert!(begin(&pool).await.is_err());
    assert_eq!(pool.report().sessions.iter().map(|session| session.cap).collect::<Vec<_>>(), [1, 3]);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_during_a_wait_and_the_line_moves_when_it_ends() {
    let told = Arc::new(Mutex::new(None::<Instant>));
    let once = Arc::clone(&told);
    let rests = Scripted::build("rests", |session| {
        session.script = Box::new(move |_, _| {
            let mut told = once.lock();
            if told.is_none() {
                *told = Some(Instant::now() + Duration::from_millis(1));
                return Err(flood(7));
            }
            Ok(QUICK)
        });
    });
    let pool = pool(&[&rests], |_| {});
    let bodies: Vec<_> = (0..4).map(|_| begin(&pool)).collect();
    for body in futures_util::future::join_all(bodies).await {
        drain(body.unwrap()).await.unwrap();
    }
    let told = told.lock().unwrap();
    let calls = rests.calls.lock().clone();
    let early = |at: &&Instant| **at > told && **at < told + Duration::from_secs(7);
    assert_eq!(calls.iter().filter(early).count(), 0);
    let back = calls.iter().find(|at| **at > told).unwrap();
    assert!(*back < told + Duration::from_secs(8), "and not left alone for longer: {:?}", *back - told);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_let_down_moves_once_and_takes_one_place() {
    let floods = Scripted::build("floods", |session| {
        session.premium = true;
        session.script = Box::new(|offset, _| if offset < 1 << 20 { Ok(QUICK) } else { Err(flood(600)) });
    });
    let other = Scripted::quick("other");
    let pool = pool(&[&floods, &other], |config| config.window_start = 12);
    let mut body = begin(&pool).await.unwrap();
    let mut most = 0;
    let mut sum = 0;
    while let Some(bytes) = body.next().await {
        sum += bytes.unwrap().len();
        most = most.max(pool.report().sessions[1].streams);
    }
    assert_eq!((u64::try_from(sum).unwrap(), most), (SIZE, 1));
    let states: Vec<_> = pool.report().sessions.iter().map(|session| session.state).collect();
    assert_eq!(states, [SessionState::Flood, SessionState::Ready]);
}

#[tokio::test(start_paused = true)]
async fn the_last_session_is_tried_one_call_at_a_time_until_it_is_back() {
    let began = Instant::now();
    let fails_for = Duration::from_secs(8);
    let alone = Scripted::build("alone", |session| {
        session.script = Box::new(move |_, _| if began.elapsed() < fails_for { Err(dropped()) } else { Ok(QUICK) });
    });
    let pool = pool(&[&alone], |_| {});
    let streams: Vec<_> = (0..3)
        .map(|_| {
            tokio::spawn({
                let pool = pool.clone();
                async move { drain(begin(&pool).await?).await }
            })
        })
        .collect();
    sleep(Duration::from_secs(2)).await;
    alone.most.store(0, Ordering::SeqCst);
    let before = alone.calls();
    assert_eq!(pool.report().sessions[0].state, SessionState::Quarantined);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(alone.most.load(Ordering::SeqCst), 1, "one at a time");
    assert!(alone.calls() - before <= 60, "{} calls in 5 s of trouble", alone.calls() - before);
    for stream in streams {
        assert_eq!(stream.await.unwrap(), Ok(SIZE));
    }
    assert!(alone.most.load(Ordering::SeqCst) > 1, "full service again");
    assert_eq!(pool.report().sessions[0].state, SessionState::Ready);
}

#[tokio::test(start_paused = true)]
async fn who_fails_is_out_of_the_way_and_gets_one_stream_to_show_it_is_back() {
    let began = Instant::now();
    let bad = Scripted::build("bad", |session| {
        session.premium = true;
        session.script =
            Box::new(move |_, _| if began.elapsed() < Duration::from_secs(3) { Err(dropped()) } else { Ok(QUICK) });
    });
    let good = Scripted::quick("good");
    let pool = pool(&[&bad, &good], |_| {});
    for _ in 0..20 {
        assert_eq!(drain(begin(&pool).await.unwrap()).await, Ok(SIZE));
    }
    sleep(Duration::from_secs(10)).await;
    assert_eq!(pool.report().sessions[0].state, SessionState::Probation);
    let (calls, asked) = (bad.calls(), good.calls());
    let held = begin(&pool).await.unwrap();
    assert!(bad.calls() > calls && good.calls() == asked, "a new stream tries it");
    drop(held);
    settle().await;
    drain(begin(&pool).await.unwrap()).await.unwrap();
    assert_eq!(pool.report().sessions[0].state, SessionState::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_storm_does_not_multiply_calls() {
    let storms: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|name| Scripted::build(name, |session| session.script = Box::new(|_, _| Err(dropped()))))
        .collect();
    let pool = pool(&storms.iter().collect::<Vec<_>>(), |_| {});
    let streams: Vec<_> = (0..30).map(|_| begin(&pool)).collect();
    let failed = futures_util::future::join_all(streams).await;
    assert!(failed.iter().all(Result::is_err));
    let calls: usize = storms.iter().map(|storm| storm.calls()).sum();
    let budget = 64 + 15 * 10;
    assert!(calls <= 30 * 4 + budget, "{calls} calls");
    assert!(pool.report().retries <= u64::try_from(budget).unwrap() + 1);
}

/// Chunk number `at` of a stream takes long, the first so many times that it is asked for.
fn straggler(at: u64, times: usize) -> Script {
    Box::new(move |offset, before| {
        Ok(if offset == at << 19 && before < times { Duration::from_secs(4) } else { QUICK })
    })
}

#[tokio::test(start_paused = true)]
async fn a_straggler_is_asked_for_once_more_over_another_connection() {
    let far = 28_u64;
    for (connections, times, expected_asked, quick) in [(2, 1, 2, true), (2, 9, 2, false), (1, 1, 1, false)] {
        let one = Scripted::build("one", |session| {
            (session.connections, session.script) = (connections, straggler(far, times));
        });
        let pool = pool(&[&one], |config| config.hedges = 0.03);
        let since = Instant::now();
        assert_eq!(drain(begin(&pool).await.unwrap()).await, Ok(SIZE));
        assert_eq!(one.asked_for(far << 19), expected_asked, "{connections} connections, slow {times} times");
        assert_eq!(since.elapsed() < Duration::from_secs(2), quick, "{:?}", since.elapsed());
        let report = pool.report();
        assert_eq!((report.hedges, report.hedges_won), (u64::from(expected_asked == 2), u64::from(quick)));
        assert_eq!(report.retries, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_straggler_is_asked_of_another_session_that_is_there_already() {
    for (reach, helps) in [(Reach::Warm, true), (Reach::Foreign, false)] {
        let one = Scripted::build("one", |session| (session.premium, session.script) = (true, straggler(28, 1)));
        let other = Scripted::build("other", |session| session.reach = reach);
        let pool = pool(&[&one, &other], |config| config.hedges = 0.03);
        assert_eq!(drain(begin(&pool).await.unwrap()).await, Ok(SIZE));
        assert_eq!((other.calls(), pool.report().hedges_won), (usize::from(helps), u64::from(helps)));
        assert_eq!(pool.report().sessions[1].streams, 0, "its place is given back");
    }
}

#[tokio::test(start_paused = true)]
async fn second_tries_are_few_however_many_straggle() {
    let slow = Scripted::build("slow", |session| {
        session.connections = 4;
        // Every fourth chunk behind the first few takes long, whoever asks.
        session.script = Box::new(|offset, _| {
            Ok(if offset > 20 << 19 && (offset >> 19).is_multiple_of(4) { Duration::from_secs(1) } else { QUICK })
        });
    });
    let pool = pool(&[&slow], |config| config.hedges = 0.03);
    for _ in 0..30 {
        drain(begin(&pool).await.unwrap()).await.unwrap();
    }
    let (hedges, calls) = (pool.report().hedges, u64::try_from(slow.calls()).unwrap());
    assert!(hedges > 0 && hedges <= 4 + calls * 3 / 100, "{hedges} of {calls}");
}

#[tokio::test(start_paused = true)]
async fn who_is_there_already_reads_before_who_would_have_to_go() {
    let foreign = Scripted::build("foreign", |session| session.reach = Reach::Foreign);
    let there = Scripted::quick("there");
    for sessions in [[&foreign, &there], [&there, &foreign]] {
        let pool = pool(&sessions, |_| {});
        // Where the document is shows only when somebody looked.
        drain(begin(&pool).await.unwrap()).await.unwrap();
        drain(begin(&pool).await.unwrap()).await.unwrap();
    }
    assert_eq!(foreign.calls(), 0);
}
