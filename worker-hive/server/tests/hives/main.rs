//! Two hives, Redis, and what may happen to them: streams go on, and no account is ever used by two.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a failure is the test's"
)]

mod rig;

use rig::{Film, Hive, MIB, Rig, client, until};
use telegram_sim::{CallCount, Fault, Rule};

/// Long enough that a busy machine renews in time.
const LEASE: &str = "3s";

/// The one of both that serves, and the other one.
async fn serving<'a>(a: &'a mut Hive, b: &'a mut Hive) -> (&'a mut Hive, &'a mut Hive) {
    until("somebody serves", async || a.streams().await + b.streams().await > 0).await;
    if a.streams().await > 0 { (a, b) } else { (b, a) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_hives_streams_go_on_and_its_accounts_are_taken_over() {
    let rig = Rig::start(LEASE).await;
    let (mut a, mut b) = (rig.hive("hive-a", "a"), rig.hive("hive-b", "b"));
    rig.until_shared(&a, &b).await;
    let client = client(&[&a, &b]);
    let mut film = Film::open(&client).await;
    film.read_to(2 * MIB).await;
    let (serves, other) = serving(&mut a, &mut b).await;
    serves.kill();
    film.finish().await;
    until("both accounts are there", async || other.accounts().await.len() == 2).await;
    rig.assert_never_two();
    // It comes back as a newcomer, and gets an account that nobody uses.
    let again = rig.spawn(serves.name);
    rig.until_shared(&again, other).await;
    Film::open(&client).await.read_to(MIB).await;
    rig.assert_never_two();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_streams_go_on_and_an_empty_one_changes_nothing() {
    let mut rig = Rig::start(LEASE).await;
    let (a, b) = (rig.hive("hive-a", "a"), rig.hive("hive-b", "b"));
    rig.until_shared(&a, &b).await;
    let before = (a.accounts().await, b.accounts().await);
    assert_ne!(before.0, before.1);
    let (one, other) = (client(&[&a]), client(&[&b]));
    let (mut at_a, mut at_b) = (Film::open(&one).await, Film::open(&other).await);
    rig.kill_redis();
    until("it is noticed", async || a.ask("/v1/hives").await["away"] == true).await;
    // At three megabytes a second these take twice as long as a lease.
    let outage = tokio::time::Instant::now();
    tokio::join!(at_a.read_to(20 * MIB), at_b.read_to(20 * MIB));
    assert!(outage.elapsed().as_secs() >= 4, "the outage was too short to tell");
    assert_eq!((a.accounts().await, b.accounts().await), before);
    rig.start_redis().await;
    for hive in [&a, &b] {
        until("it is back", async || hive.ask("/v1/hives").await["away"] == false).await;
    }
    tokio::join!(at_a.finish(), at_b.finish());
    let all = async || {
        let hives = b.ask("/v1/hives").await;
        let held = hives["accounts"].as_array().unwrap().iter().filter(|account| !account["hive"].is_null()).count();
        held == 2 && hives["hives"] == 2
    };
    until("both said what they have", all).await;
    assert_eq!((a.accounts().await, b.accounts().await), before);
    rig.assert_never_two();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hive_that_was_stopped_says_nothing_until_it_knows() {
    let rig = Rig::start(LEASE).await;
    let (mut a, mut b) = (rig.hive("hive-a", "a"), rig.hive("hive-b", "b"));
    rig.until_shared(&a, &b).await;
    let client = client(&[&a, &b]);
    let mut film = Film::open(&client).await;
    film.read_to(2 * MIB).await;
    let (stopped, other) = serving(&mut a, &mut b).await;
    stopped.signal("-STOP");
    until("the other one has both", async || other.accounts().await.len() == 2).await;
    film.finish().await;
    stopped.signal("-CONT");
    // Awake, it is told that its account is gone, and asks for its share.
    until("it is awake", async || stopped.ask("/v1/hives").await["hives"] == 2).await;
    rig.until_shared(stopped, other).await;
    Film::open(&client).await.finish().await;
    rig.assert_never_two();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hive_that_leaves_gives_its_accounts_away_at_once() {
    let rig = Rig::start(LEASE).await;
    let mut a = rig.hive("hive-a", "shared");
    until("it has both", async || a.accounts().await.len() == 2).await;
    let client = client(&[&a]);
    let mut film = Film::open(&client).await;
    film.read_to(MIB).await;
    // On the same folder, which is fine as long as Redis says who has what.
    let b = rig.hive("hive-b", "shared");
    a.signal("-TERM");
    // The film is read to its end by the account that it has; the other one is free before.
    until("the idle one is given away", async || b.accounts().await.len() == 1).await;
    film.finish().await;
    a.ended().await;
    // Not run out: let go.
    assert!(!rig.leases().contains("hive-a/"), "{}", rig.leases());
    until("both are given away", async || b.accounts().await.len() == 2).await;
    rig.assert_never_two();
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_come_and_go_while_the_hive_runs() {
    let rig = Rig::start(LEASE).await;
    rig.import("hive-a", "a", &["ann"]);
    let hive = rig.spawn("hive-a");
    until("the first one", async || hive.accounts().await == ["ann"]).await;
    rig.import("hive-a", "a", &["ben"]);
    hive.signal("-HUP");
    until("the new one", async || hive.accounts().await.len() == 2).await;
    let said = rig.run(&["sessions", "disable", "--config", "hive-a.toml", "ann"]);
    assert!(said.contains("on every machine that has a copy"), "{said}");
    until("the disabled one is gone", async || hive.accounts().await == ["ben"]).await;
    let client = client(&[&hive]);
    Film::open(&client).await.read_to(MIB).await;
    rig.run(&["sessions", "enable", "--config", "hive-a.toml", "ann"]);
    until("and back", async || hive.accounts().await.len() == 2).await;
    rig.assert_never_two();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hive_that_stands_by_is_healthy_and_takes_over() {
    let rig = Rig::start(LEASE).await;
    rig.import("hive-a", "a", &["ann"]);
    rig.import("hive-b", "b", &["ann"]);
    let mut serves = rig.spawn("hive-a");
    until("it has the only session", async || serves.accounts().await == ["ann"]).await;
    let stands_by = rig.spawn("hive-b");
    assert!(serves.is_healthy().await && stands_by.is_healthy().await);
    serves.kill();
    until("the other one has it", async || stands_by.accounts().await == ["ann"]).await;
    assert!(stands_by.is_healthy().await);
    rig.assert_never_two();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_wait_is_obeyed_by_whoever_takes_the_account_over() {
    let rig = Rig::start(LEASE).await;
    let (mut a, mut b) = (rig.hive("hive-a", "a"), rig.hive("hive-b", "b"));
    rig.until_shared(&a, &b).await;
    let (told, other) = if a.accounts().await == ["ann"] { (&mut a, &mut b) } else { (&mut b, &mut a) };
    assert_eq!(told.accounts().await, ["ann"]);
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::FloodWait(600)).account("ann"));
    assert!(Film::try_open(&client(&[told])).await.is_none(), "its only account rests");
    let known = async || {
        let hives = other.ask("/v1/hives").await;
        let waits =
            hives["accounts"].as_array().unwrap().iter().map(|account| account["flood_seconds"].as_u64().unwrap());
        waits.max() > Some(500)
    };
    until("the other one knows", known).await;
    told.kill();
    let calls = |rig: &Rig| -> u64 {
        let counts = rig.sim.counters().snapshot();
        let asked = |count: &&CallCount| count.account == "ann" && count.method != "help.getConfig";
        counts.calls.iter().filter(asked).map(|count| count.calls).sum()
    };
    let before = calls(&rig);
    until("it has both", async || other.accounts().await.len() == 2).await;
    Film::open(&client(&[other])).await.read_to(8 * MIB).await;
    assert_eq!(calls(&rig), before, "asked while it rests");
    rig.assert_never_two();
}

/// What all the other tests assert the absence of.
#[tokio::test(flavor = "multi_thread")]
async fn hives_that_do_not_know_of_each_other_are_caught() {
    let rig = Rig::without_redis();
    let (a, b) = (rig.hive("hive-a", "a"), rig.hive("hive-b", "b"));
    let (one, other) = (client(&[&a]), client(&[&b]));
    let (mut at_a, mut at_b) = (Film::open(&one).await, Film::open(&other).await);
    tokio::join!(at_a.read_to(4 * MIB), at_b.read_to(4 * MIB));
    let clients = ("hive-a".to_owned(), "hive-b".to_owned());
    assert!(rig.sim.shared_keys().iter().any(|key| key.clients == clients), "{:?}", rig.sim.shared_keys());
}
