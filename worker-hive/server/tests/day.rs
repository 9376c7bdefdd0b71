//! A day of traffic on a clock that the test moves: what adds up slowly shows, and what is due after minutes happens.
//!
//! The hive's clock stands while its sockets, which are real ones, do what they do; then it is moved on. By itself tokio would move a
//! standing clock whenever nothing is to be done, and something that waits for a packet is nothing: a blocking task that runs all the
//! time keeps it from that. The simulated Telegram has threads, and a clock, of its own.
//!
//! `DAY_SEED=n` replays a day.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "hive/rig.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod rig;

use crate::rig::{KIB, MIB, Rig, film, film_bytes, world};
use futures_util::future::{Either, join_all, select};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::pin::pin;
use std::sync::mpsc;
use std::time::Duration;
use telegram_sim::{Account, Fault, Reachability, Rule, Shape, When};
use tokio::task::spawn_blocking;
use tokio::time::advance;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// What is due within one such step is due at once.
const STRIDE: Duration = Duration::from_secs(30);
/// How far the clock moves at a time while there is traffic, and how long that really takes: some things wait for a timer.
const TICK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(4));
/// How long, really, packets have after a stride: what is not answered then may be taken for lost.
const SETTLE: Duration = Duration::from_millis(4);
const CONNECTIONS: u64 = 4;
const FILMS: [(i32, u64); 4] = [(2, 5 * MIB), (2, 6 * MIB), (4, 7 * MIB), (4, 8 * MIB)];
const NAMES: [&str; 3] = ["ann", "ben", "cleo"];
/// What the process may grow by after a sixth of the day: the allocator's habits, not a leak of a byte per call.
const GROWTH: u64 = 24 * MIB;

#[tokio::test(start_paused = true)]
async fn a_day_leaves_nothing_behind() {
    day(Duration::from_secs(15 * 60), 4).await;
}

#[tokio::test(start_paused = true)]
#[ignore = "many minutes: run by `make soak`"]
async fn soak_a_day_minute_by_minute() {
    day(Duration::from_secs(60), 6).await;
}

/// Keeps the clock from moving by itself until it is dropped.
struct StandingClock {
    _keep: mpsc::Sender<()>,
}

impl StandingClock {
    fn new() -> Self {
        let (keep, kept) = mpsc::channel::<()>();
        spawn_blocking(move || kept.recv());
        Self { _keep: keep }
    }
}

/// Lets real time pass, and the hive work, while its clock stands.
async fn settle(time: Duration) {
    spawn_blocking(move || std::thread::sleep(time)).await.unwrap();
}

/// Runs something, with the clock moving slowly enough for packets to keep up with.
async fn ticking<T>(work: impl Future<Output = T>) -> T {
    let clock = async {
        loop {
            advance(TICK.0).await;
            settle(TICK.1).await;
        }
    };
    match select(pin!(work), pin!(clock)).await {
        Either::Left((done, _)) => done,
        Either::Right((never, _)) => never,
    }
}

async fn pass(time: Duration) {
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(STRIDE);
        advance(step).await;
        settle(SETTLE).await;
        left -= step;
    }
}

async fn day(step: Duration, viewers: usize) {
    let seed = std::env::var("DAY_SEED").ok().map_or(1, |text| text.parse().unwrap());
    println!("DAY_SEED={seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let _standing = StandingClock::new();
    let accounts =
        vec![Account::user(NAMES[0], 7001), Account::bot(NAMES[1], 7002).at_home_on(4), Account::bot(NAMES[2], 7003)];
    let documents = FILMS.iter().map(|(dc, size)| film(*dc, *size)).collect();
    let start = Rig::start_in(world(accounts, documents), |options| {
        options.client.connections_min = 2;
        options.client.connections = usize::try_from(CONNECTIONS).unwrap();
        options.pool.chunk = 128 * 1024;
        options.pool.deadline = Duration::from_secs(50);
        options.pool.admission = Duration::from_secs(50);
    });
    let mut rig = ticking(start).await;
    rig.sim.set_shape(Shape { rtt_ms: 1, ..Shape::default() });
    let rounds = u32::try_from(DAY.as_secs() / step.as_secs()).unwrap();
    let (mut warm, mut most_open, mut exports) = (0, 0, 0);
    for round in 0..rounds {
        ticking(traffic(&rig, &mut dice, round, viewers, step)).await;
        let counts = rig.counts();
        exports += counts.calls("auth.exportAuthorization");
        most_open = most_open.max(counts.open.values().sum());
        rig.sim.counters().reset();
        rig.sim.faults().clear();
        if round == rounds / 6 {
            warm = resident();
        }
        pass(step).await;
    }
    let end = resident();
    ticking(at_rest(&rig)).await;
    println!("{rounds} rounds, {most_open} connections at most, {exports} exports, {warm} to {end} bytes resident");
    assert!(end <= warm + GROWTH, "{warm} bytes grew to {end}");
    let datacentres = 2;
    assert!(most_open <= CONNECTIONS * datacentres * NAMES.len() as u64, "{most_open} connections");
    // Each carries its authorization to the one data-centre it is not at home in.
    assert!(exports <= NAMES.len() as u64, "{exports} exports");
    ticking(rig.stop_hive()).await;
}

/// Some viewers at once, with something that goes wrong meanwhile.
async fn traffic(rig: &Rig, dice: &mut StdRng, round: u32, viewers: usize, step: Duration) {
    let step = u32::try_from(step.as_secs()).unwrap();
    let account = NAMES[dice.random_range(0..NAMES.len())];
    let on = |fault, nth| {
        rig.sim.faults().add(Rule::on("upload.getFile", fault).account(account).when(When::Nth(nth)));
    };
    let dc = [2, 4][dice.random_range(0..2)];
    match round % 8 {
        0 => on(Fault::FloodWait(dice.random_range(60..7 * step)), dice.random_range(1..5)),
        1 => rig.sim.world().expire_references(None).unwrap(),
        2 => rig.sim.world().spoil_salts(),
        3 => on(Fault::Drop, dice.random_range(1..5)),
        4 => on(Fault::Silence, dice.random_range(1..5)),
        5 => assert!(rig.sim.set_reachability(dc, Reachability::Refused)),
        _ => {}
    }
    let mut wanted = Vec::new();
    for _ in 0..viewers {
        let film = dice.random_range(0..FILMS.len());
        let first = dice.random_range(0..FILMS[film].1);
        let last = (first + dice.random_range(1..600 * KIB)).min(FILMS[film].1 - 1);
        wanted.push((film, first, last));
    }
    let watch = join_all(wanted.into_iter().map(|(film, first, last)| async move {
        let answer = rig.get(i32::try_from(film).unwrap() + 1, Some((first, last))).await;
        let (dc, size) = FILMS[film];
        assert!(
            answer.whole() == film_bytes(dc, size, first, last + 1),
            "round {round}: {first}-{last} of film {film}"
        );
    }));
    let repair = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(rig.sim.set_reachability(dc, Reachability::Up));
    };
    tokio::join!(watch, repair);
}

/// Nothing is under way, nobody waits, and every session is there.
async fn at_rest(rig: &Rig) {
    rig.until_metric("hive_bodies 0").await;
    rig.until_metric("hive_queue_length 0").await;
    for name in NAMES {
        rig.until_metric(&format!("hive_session_up{{session=\"{name}\"}} 1")).await;
        rig.until_metric(&format!("hive_session_streams{{session=\"{name}\"}} 0")).await;
    }
    let (_, metrics) = rig.admin("/metrics").await;
    let under_way = ["hive_session_in_flight{", "hive_session_waiting_chunks{"];
    let left: Vec<_> = metrics
        .lines()
        .filter(|line| under_way.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
