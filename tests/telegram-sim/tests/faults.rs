//! Faults and shape, as an unmodified client meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check that can't go on stops")]

mod common;

use std::time::Duration;

use common::{Client, Failed, rpc};
use grammers_tl_types::types;
use telegram_sim::{Account, Channel, Document, Fault, Flood, Reachability, Rule, Shape, Sim, When, World};
use tokio::time::{Instant, timeout};

const CHANNEL: i64 = 1_700_000_001;
const GET_FILE: &str = "upload.getFile";

/// Long enough that what hasn't come by then won't come.
const NEVER: Duration = Duration::from_millis(700);

fn world() -> World {
    World::new(7)
        .with_account(Account::bot("bot-1", 7_000_000_001))
        .with_account(Account::bot("premium", 7_000_000_002).premium())
        .with_channel(Channel::new(CHANNEL, "c").with_document(2, Document::generated("d", 2, 1 << 30, 1)))
}

async fn start() -> (Sim, Client, types::Document) {
    let sim = Sim::start(world()).unwrap();
    let client = Client::of(&sim, "bot-1");
    let document = client.document(CHANNEL, 2).await.unwrap();
    (sim, client, document)
}

#[tokio::test]
async fn faults_that_are_errors() {
    let (sim, client, document) = start().await;
    let table = [
        (Fault::FloodWait(7), rpc(420, "FLOOD_WAIT_7")),
        (Fault::FloodPremiumWait(9), rpc(420, "FLOOD_PREMIUM_WAIT_9")),
        (Fault::ReferenceExpired, rpc(400, "FILE_REFERENCE_EXPIRED")),
        (Fault::Migrate(4), rpc(303, "FILE_MIGRATE_4")),
        (Fault::Error(500, "RPC_CALL_FAIL".to_owned()), rpc(500, "RPC_CALL_FAIL")),
        (Fault::KeyUnregistered, rpc(401, "AUTH_KEY_UNREGISTERED")),
        (Fault::UserDeactivated, rpc(401, "USER_DEACTIVATED")),
    ];
    for (fault, expected) in table {
        let id = sim.faults().add(Rule::on(GET_FILE, fault.clone()).when(When::Nth(2)));
        assert!(client.part(2, &document, 0, 4096).await.is_ok(), "{fault:?}");
        assert_eq!(client.part(2, &document, 0, 4096).await, Err(expected), "{fault:?}");
        assert!(client.part(2, &document, 0, 4096).await.is_ok(), "{fault:?}");
        assert_eq!(sim.faults().matched(id), 3);
        assert!(sim.faults().remove(id));
    }
    assert_eq!(sim.counters().snapshot().faults, 7);
}

#[tokio::test]
async fn faults_that_end_the_connection() {
    let (sim, client, document) = start().await;
    for fault in [Fault::Drop, Fault::Truncate, Fault::Transport(404), Fault::Transport(429)] {
        sim.faults().add(Rule::on(GET_FILE, fault.clone()).when(When::Nth(1)));
        let failed = client.part(2, &document, 0, 65536).await.unwrap_err();
        assert!(matches!(failed, Failed::Other(_)), "{fault:?}: {failed:?}");
        sim.faults().clear();
        assert_eq!(client.part(2, &document, 0, 65536).await.unwrap().len(), 65536, "after {fault:?}");
    }
    assert_eq!(sim.counters().snapshot().accepted[&2], 5);
}

#[tokio::test]
async fn silence_concerns_one_call_only() {
    let (sim, client, document) = start().await;
    sim.faults().add(Rule::on(GET_FILE, Fault::Silence).offset(4096, 8192));
    assert!(timeout(NEVER, client.part(2, &document, 4096, 4096)).await.is_err());
    assert_eq!(client.part(2, &document, 8192, 4096).await.unwrap().len(), 4096);
    assert_eq!(sim.counters().snapshot().accepted[&2], 1);
}

#[tokio::test]
async fn faults_that_clients_get_over_by_themselves() {
    let (sim, client, document) = start().await;
    for fault in [Fault::WrongSalt, Fault::Slow(1 << 20), Fault::Delay(50)] {
        sim.faults().add(Rule::on(GET_FILE, fault.clone()).when(When::First(1)));
        assert_eq!(client.part(2, &document, 0, 65536).await.unwrap().len(), 65536, "{fault:?}");
        sim.faults().clear();
    }
    sim.world().spoil_salts();
    assert_eq!(client.part(2, &document, 0, 65536).await.unwrap().len(), 65536);
    assert_eq!(sim.counters().snapshot().accepted[&2], 1);
}

#[tokio::test]
async fn premium_accounts_are_spared_the_premium_flood() {
    let (sim, standard, document) = start().await;
    let premium = Client::of(&sim, "premium");
    let theirs = premium.document(CHANNEL, 2).await.unwrap();
    sim.faults().add(Rule::on(GET_FILE, Fault::FloodPremiumWait(3)));
    assert_eq!(standard.part(2, &document, 0, 4096).await, Err(rpc(420, "FLOOD_PREMIUM_WAIT_3")));
    assert!(premium.part(2, &theirs, 0, 4096).await.is_ok());
}

#[tokio::test]
async fn a_budget_ends_in_a_flood_for_that_account() {
    let (sim, client, document) = start().await;
    let flood = Flood { budget_bytes: 8192, wait_seconds: 3600, premium: false };
    sim.set_shape(Shape { flood: Some(flood), ..Shape::default() });
    assert!(client.part(2, &document, 0, 4096).await.is_ok());
    assert!(client.part(2, &document, 0, 4096).await.is_ok());
    assert_eq!(client.part(2, &document, 0, 4096).await, Err(rpc(420, "FLOOD_WAIT_3600")));
    let other = Client::of(&sim, "premium");
    let theirs = other.document(CHANNEL, 2).await.unwrap();
    assert!(other.part(2, &theirs, 0, 4096).await.is_ok());
}

#[tokio::test]
async fn a_ban_lasts_until_it_is_lifted() {
    let (sim, client, document) = start().await;
    sim.world().ban("bot-1", Some("USER_DEACTIVATED_BAN")).unwrap();
    assert_eq!(client.part(2, &document, 0, 4096).await, Err(rpc(401, "USER_DEACTIVATED_BAN")));
    assert_eq!(client.document(CHANNEL, 2).await.map(drop), Err(rpc(401, "USER_DEACTIVATED_BAN")));
    sim.world().ban("bot-1", Some("")).unwrap();
    assert!(client.part(2, &document, 0, 4096).await.is_ok());
    assert!(sim.world().ban("nobody", None).is_err());
}

#[tokio::test]
async fn a_data_centre_is_refused_then_silent_then_up_again() {
    let (sim, client, document) = start().await;
    assert!(sim.set_reachability(2, Reachability::Refused));
    // The connection that exists is cut; what comes after is refused.
    while client.part(2, &document, 0, 4096).await.is_ok() {}
    assert!(matches!(client.part(2, &document, 0, 4096).await, Err(Failed::Other(_))));
    assert!(sim.set_reachability(2, Reachability::Silent));
    let silent = Client::of(&sim, "premium");
    assert!(timeout(NEVER, silent.document(CHANNEL, 2)).await.is_err());
    assert!(sim.set_reachability(2, Reachability::Up));
    let client = Client::of(&sim, "bot-1");
    assert!(client.part(2, &document, 0, 4096).await.is_ok());
    assert!(!sim.set_reachability(9, Reachability::Up));
}

#[tokio::test]
async fn calls_made_together_are_answered_after_one_round_trip() {
    let (sim, client, document) = start().await;
    let rtt = Duration::from_millis(600);
    sim.set_shape(Shape { rtt_ms: rtt.as_millis() as u64, ..Shape::default() });
    let begin = Instant::now();
    let asked = (0..10).map(|index| client.part(2, &document, index * 4096, 4096));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(Result::is_ok));
    let took = begin.elapsed();
    assert!(took >= rtt, "{took:?} is less than a round trip");
    // One after the other they would take ten; five leaves a busy machine room.
    assert!(took < rtt * 5, "{took:?}: the calls waited for each other");
}

#[tokio::test]
async fn a_narrow_wire_takes_its_time() {
    let (sim, client, document) = start().await;
    for shape in [
        Shape { connection_bytes_per_second: 1 << 20, ..Shape::default() },
        Shape { account_bytes_per_second: 1 << 20, ..Shape::default() },
    ] {
        sim.set_shape(shape);
        let begin = Instant::now();
        assert_eq!(client.part(2, &document, 0, 512 * 1024).await.unwrap().len(), 512 * 1024);
        // Half a second, less what the wire forgives late timers.
        assert!(begin.elapsed() >= Duration::from_millis(480), "{shape:?}");
    }
}
