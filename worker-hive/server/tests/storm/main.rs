//! Faults at up to one call in five, of every kind and several at once, out of a seed.
//!
//! Every body is exact while one session lives and its deadline allows; where none does, what is told is typed and comes before the
//! first byte, or the body breaks visibly. What the sessions did meanwhile is judged by what the simulated data-centres saw.
//!
//! `STORM_SEED=n` replays one storm (what follows from its number; how the threads take turns does not). `STORM_SEEDS=n` makes each
//! test go through so many. `RUST_LOG` shows what the hive logs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod plan;
#[path = "../hive/rig.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod rig;

use crate::plan::{Asked, DATA_CENTRES, Event, Hope, Plan};
use crate::rig::{Answer, Rig, film_bytes, world};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use telegram_sim::{Conduct, Fault, Reachability, Rule, Shape};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing_subscriber::EnvFilter;
use wire::Fault as Told;

/// Seeds of each of the tests below.
const SEEDS: u64 = 64;
const SOAK_SEEDS: u64 = 1_024;
/// Storms at once: most of a storm's time is spent waiting.
const AT_ONCE: usize = 12;
const CONNECTIONS: usize = 2;
const CALL_TIMEOUT: Duration = Duration::from_millis(600);
/// Chunks under way per connection, as the client's settings promise.
const PER_CONNECTION: usize = 4;
/// How long after a session was told to wait its calls may come that were on their way; beyond that, what the machine was late.
const ON_ITS_WAY: Duration = Duration::from_millis(250);
/// After this nobody can hope to be served who was not.
const PATIENCE: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storms_spoil_no_byte() {
    storms(0, SEEDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_storms_spoil_no_byte() {
    storms(1, SEEDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn still_more_storms_spoil_no_byte() {
    storms(2, SEEDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn yet_more_storms_spoil_no_byte() {
    storms(3, SEEDS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a quarter of an hour: run by `make soak`"]
async fn soak_storms() {
    storms(4, SOAK_SEEDS).await;
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

async fn storms(share: u64, count: u64) {
    let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).with_test_writer();
    let _ = log.try_init();
    let count = variable("STORM_SEEDS").unwrap_or(count);
    let mut seeds = share * count..(share + 1) * count;
    if let Some(seed) = variable("STORM_SEED") {
        seeds = seed..seed + u64::from(share == 0);
        println!("{:#?}", Plan::of(seed));
    }
    let late = Arc::new(AtomicU64::new(0));
    let watch = tokio::spawn(watch_the_machine(Arc::clone(&late)));
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let (began, total) = (Instant::now(), seeds.end - seeds.start);
    let mut running = JoinSet::new();
    for seed in seeds {
        let (places, late) = (Arc::clone(&places), Arc::clone(&late));
        running.spawn(async move {
            let _place = places.acquire_owned().await.unwrap();
            // A task of its own, so that a failed seed says its number and the others go on.
            let (storm, began) = (tokio::spawn(storm(seed, late)), Instant::now());
            (seed, storm.await.map(|calls| (calls, began.elapsed())))
        });
    }
    let (mut failed, mut calls, mut faults, mut longest) = (Vec::new(), 0, 0, Duration::ZERO);
    while let Some(ended) = running.join_next().await {
        match ended.unwrap() {
            (_, Ok((counts, time))) => {
                calls += counts.0;
                faults += counts.1;
                longest = longest.max(time);
            }
            (seed, Err(error)) => failed.push((seed, error)),
        }
    }
    watch.abort();
    println!("{total} storms, {calls} chunks, {faults} faults, {:?}, the longest {longest:?}", began.elapsed());
    println!("the machine was late by {} ms", late.load(Ordering::Relaxed));
    failed.sort_by_key(|(seed, _)| *seed);
    for (seed, error) in &failed {
        println!("STORM_SEED={seed}: {error}");
    }
    assert!(failed.is_empty(), "{} of {total} storms failed; the first is STORM_SEED={}", failed.len(), failed[0].0);
}

/// Notes by how much timers come late at worst, in milliseconds.
async fn watch_the_machine(late: Arc<AtomicU64>) {
    const STEP: Duration = Duration::from_millis(10);
    loop {
        let began = Instant::now();
        sleep(STEP).await;
        let by = began.elapsed().saturating_sub(STEP);
        late.fetch_max(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

/// Rides out one storm; how many chunks were asked for, and how many faults came.
async fn storm(seed: u64, late: Arc<AtomicU64>) -> (u64, u64) {
    let plan = Plan::of(seed);
    let mut world = world(plan.accounts.clone(), plan.documents());
    world.data_centres = DATA_CENTRES.to_vec();
    let mut rig = Rig::start_in(world, |options| {
        options.client.connections = CONNECTIONS;
        options.client.connections_min = CONNECTIONS;
        options.client.connect_timeout = CALL_TIMEOUT;
        options.client.call_timeout = CALL_TIMEOUT;
        options.client.reconnect_first = Duration::from_millis(10);
        options.client.reconnect_last = Duration::from_millis(100);
        options.pool.chunk = 32 * 1024;
        options.pool.first_chunk = 8 * 1024;
        if !plan.hedges {
            options.pool.hedges = 0.0;
        }
        options.pool.streams_premium = plan.streams_premium;
        options.pool.streams_standard = plan.streams_standard;
        options.pool.deadline = if plan.hope == Hope::Every { PATIENCE } else { Duration::from_secs(2) };
        options.pool.admission = options.pool.deadline;
        options.pool.max_flood_wait = Duration::from_secs(10);
    })
    .await;
    rig.sim.set_shape(Shape { rtt_ms: plan.rtt_ms, ..Shape::default() });
    for rule in &plan.rules {
        rig.sim.faults().add(rule.clone());
    }
    ride(seed, &plan, &rig).await;
    recover(seed, &plan, &rig).await;
    rig.until_metric("hive_bodies 0").await;
    rig.until_metric("hive_queue_length 0").await;
    for account in &plan.accounts {
        rig.until_metric(&format!("hive_session_streams{{session=\"{}\"}} 0", account.name)).await;
    }
    let counts = rig.counts();
    let margin = ON_ITS_WAY + Duration::from_millis(4 * late.load(Ordering::Relaxed));
    counts.conduct.iter().for_each(|conduct| judge(seed, &plan, conduct, margin));
    rig.stop_hive().await;
    (counts.calls("upload.getFile"), counts.faults)
}

async fn ride(seed: u64, plan: &Plan, rig: &Rig) {
    let asked = AtomicU64::new(0);
    let viewers = plan.viewers.iter().map(|viewer| {
        let asked = &asked;
        async move {
            for wanted in viewer {
                let now = asked.fetch_add(1, Ordering::Relaxed);
                for (_, event) in plan.events.iter().filter(|(when, _)| *when == now) {
                    happen(event, rig).await;
                }
                let whole = match wanted.leaves_after {
                    Some(bytes) => look_in(seed, plan, rig, wanted, bytes).await,
                    None => check(seed, plan, wanted, get(rig, wanted).await),
                };
                assert!(whole || plan.hope != Hope::Every, "seed {seed}: somebody could have served {wanted:?}");
                if !whole {
                    // What was under way for the broken body is counted as long as it is on its way.
                    sleep(Duration::from_millis(4 * plan.rtt_ms)).await;
                }
            }
        }
    });
    futures_util::future::join_all(viewers).await;
}

async fn get(rig: &Rig, wanted: &Asked) -> Answer {
    rig.get(i32::try_from(wanted.film).unwrap() + 1, Some((wanted.first, wanted.last))).await
}

/// Reads so many bytes, which must be right, and goes away. What the hive has under way for it by then is answered to nobody.
async fn look_in(seed: u64, plan: &Plan, rig: &Rig, wanted: &Asked, bytes: u64) -> bool {
    let range = format!("bytes={}-{}", wanted.first, wanted.last);
    let headers = [("authorization", "Bearer test-token"), ("range", range.as_str())];
    let message = i32::try_from(wanted.film).unwrap() + 1;
    let mut response = rig.open(Method::GET, &rig::path(message), &headers).await;
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return check(seed, plan, wanted, rig::finish(response).await);
    }
    let mut read = Vec::new();
    let mut broken = false;
    while (read.len() as u64) < bytes && !broken {
        let frame = timeout(PATIENCE, response.frame()).await.expect("the hive hangs");
        broken = !frame.as_ref().is_some_and(Result::is_ok);
        read.extend(frame.and_then(Result::ok).and_then(|frame| frame.into_data().ok()).unwrap_or_default());
    }
    let (dc, size) = plan.films[wanted.film];
    let expected = film_bytes(dc, size, wanted.first, wanted.last + 1);
    assert!(expected.starts_with(&read), "seed {seed}: wrong bytes of {wanted:?}");
    !broken
}

/// True when the body is whole; false when it is told, properly, that there is none.
fn check(seed: u64, plan: &Plan, wanted: &Asked, answer: Answer) -> bool {
    let (dc, size) = plan.films[wanted.film];
    if answer.status == StatusCode::PARTIAL_CONTENT {
        let expected = film_bytes(dc, size, wanted.first, wanted.last + 1);
        let arrived = answer.body.len();
        assert!(
            arrived <= expected.len() && answer.body == expected[..arrived],
            "seed {seed}: wrong bytes of {wanted:?}"
        );
        assert!(answer.broken.is_some() || arrived == expected.len(), "seed {seed}: a short body looks whole");
        if let Some(broken) = &answer.broken {
            println!("seed {seed}: {wanted:?} broke after {arrived} bytes: {broken}");
        }
        return answer.broken.is_none();
    }
    let told = answer.fault();
    println!("seed {seed}: {wanted:?}: {told:?}");
    let typed = matches!(told, Some(Told::FloodWait | Told::NoSession | Told::Timeout | Told::UpstreamReset));
    assert!(
        typed && told.is_some_and(|told| told.status() == answer.status),
        "seed {seed}: {} {told:?}",
        answer.status
    );
    assert!(answer.broken.is_none());
    false
}

async fn happen(event: &Event, rig: &Rig) {
    match event {
        Event::Ban(account, reason) => rig.sim.world().ban(account, Some(reason)).unwrap(),
        Event::ExpireReferences => rig.sim.world().expire_references(None).unwrap(),
        Event::SpoilSalts => rig.sim.world().spoil_salts(),
        Event::FloodEverybody(seconds) => {
            rig.sim.faults().clear();
            rig.sim.faults().add(Rule::on("upload.getFile", Fault::FloodWait(*seconds)));
        }
        Event::Outage(dc, how, time) => {
            assert!(rig.sim.set_reachability(*dc, *how));
            if let Some(time) = time {
                sleep(*time).await;
                assert!(rig.sim.set_reachability(*dc, Reachability::Up));
            }
        }
    }
}

/// When the storm is over, whoever can be served is.
async fn recover(seed: u64, plan: &Plan, rig: &Rig) {
    if plan.hope == Hope::None {
        return;
    }
    rig.sim.faults().clear();
    DATA_CENTRES.iter().for_each(|dc| assert!(rig.sim.set_reachability(*dc, Reachability::Up)));
    let began = Instant::now();
    for wanted in plan.viewers.iter().flatten() {
        while !check(seed, plan, wanted, get(rig, wanted).await) {
            assert!(plan.hope == Hope::Later && began.elapsed() < PATIENCE, "seed {seed}: {wanted:?} after the storm");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What the data-centres saw of an account.
fn judge(seed: u64, plan: &Plan, seen: &Conduct, margin: Duration) {
    let account = plan.accounts.iter().find(|account| account.name == seen.account).unwrap();
    let cap = if account.premium { plan.streams_premium } else { plan.streams_standard };
    assert!(seen.documents <= cap, "seed {seed}: {} streams at once, {cap} allowed: {seen:?}", seen.documents);
    for (dc, most) in &seen.parts {
        assert!(*most <= CONNECTIONS * PER_CONNECTION, "seed {seed}: {most} chunks at once from {dc}: {seen:?}");
    }
    // A connection that is lost meanwhile is made again, and says who it is: that asks nothing of the account.
    let asked = seen.during_waits.iter().filter(|(method, _)| *method != "help.getConfig");
    for (method, after) in asked {
        let after = Duration::from_millis(*after);
        assert!(after <= margin, "seed {seed}: {method} {after:?} into a wait, margin {margin:?}: {seen:?}");
    }
    for (dc, exports) in &seen.exports {
        let of = |counts: &BTreeMap<i32, u64>, dc| counts.get(dc).copied().unwrap_or(0);
        let (imports, forgotten) = (of(&seen.imports, dc), of(&seen.unregistered, dc));
        assert!(imports <= 1 + forgotten, "seed {seed}: {imports} imports to {dc}, {forgotten} forgotten: {seen:?}");
        // An answer may be on the wire and lost all the same, with the connection, or be too late for who asked.
        let lost = of(&seen.cuts, &account.home_dc) + u64::from(margin > CALL_TIMEOUT / 2);
        assert!(*exports <= 1 + forgotten + lost, "seed {seed}: {exports} exports to {dc}, {lost} lost: {seen:?}");
    }
}
