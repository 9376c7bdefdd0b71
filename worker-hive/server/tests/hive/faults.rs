//! Faults in the middle of a body: survived where another try can work, told where none can, and never a wrong byte.

use crate::rig::{CHANNEL, MIB, Rig, film, film_bytes, finish, path, sha};
use http::{Method, StatusCode};
use std::time::Duration;
use telegram_sim::{Account, Fault, Reachability, Rule, Shape, When};
use wire::Fault as Told;

const SIZE: u64 = 12 * MIB;
/// Chunks that cover a film: the first 512 KiB in two.
const CHUNKS: u64 = SIZE / (512 * 1024) + 1;
/// Behind what the first window asks for.
const MIDDLE: (u64, u64) = (5 * MIB, 7 * MIB);
const CHAT: i64 = -1_000_000_000_000 - CHANNEL;

fn accounts(count: usize) -> Vec<Account> {
    let names = ["ann", "ben", "cleo"];
    names[..count].iter().zip(7001..).map(|(name, id)| Account::bot(name, id)).collect()
}

async fn exact(rig: &Rig, dc: i32, what: &str) {
    let body = rig.get(1, None).await;
    assert_eq!(body.broken, None, "{what}: {} bytes arrived", body.body.len());
    assert!(sha(&body.whole()) == sha(&film_bytes(dc, SIZE, 0, SIZE)), "{what}: wrong bytes");
}

/// Every fault that one more try survives.
async fn one_fault_mid_body(dc: i32, count: usize) {
    let faults = [
        ("short flood", Fault::FloodWait(1)),
        ("short premium flood", Fault::FloodPremiumWait(1)),
        ("expired reference", Fault::ReferenceExpired),
        ("migration to 2", Fault::Migrate(2)),
        ("migration to 4", Fault::Migrate(4)),
        ("server error", Fault::Error(500, "INTERNAL".into())),
        ("drop", Fault::Drop),
        ("truncated frame", Fault::Truncate),
        ("silence", Fault::Silence),
        ("too many connections", Fault::Transport(429)),
        ("unknown key", Fault::Transport(404)),
        ("wrong salt", Fault::WrongSalt),
        ("late answer", Fault::Delay(300)),
    ];
    let rig = Rig::start_with(accounts(count), vec![film(dc, SIZE)], |options| {
        options.client.call_timeout = Duration::from_millis(1500);
    })
    .await;
    let rounds = u64::try_from(faults.len()).unwrap();
    for (name, fault) in faults {
        let what = format!("{name}, data-centre {dc}, {count} account(s)");
        let rule = Rule::on("upload.getFile", fault).offset(MIDDLE.0, MIDDLE.1).when(When::Nth(1));
        let id = rig.sim.faults().add(rule);
        exact(&rig, dc, &what).await;
        assert!(rig.sim.faults().matched(id) > 0, "{what}: never came");
        rig.sim.faults().clear();
    }
    let (counts, count) = (rig.counts(), u64::try_from(count).unwrap());
    let exports = counts.calls("auth.exportAuthorization");
    assert!(exports <= count, "{exports} exports for {count} account(s)");
    // A fault costs its chunk and those that were under way on the same connection, which is made again once.
    let asked = counts.calls("upload.getFile");
    assert!(asked <= rounds * (CHUNKS + 6), "{asked} chunks asked for in {rounds} rounds");
    let accepted: u64 = counts.accepted.values().sum();
    assert!(accepted <= count * 4 + rounds, "{accepted} connections for {count} account(s) and {rounds} faults");
}

#[tokio::test]
async fn one_fault_at_home_with_one_account() {
    one_fault_mid_body(2, 1).await;
}

#[tokio::test]
async fn one_fault_at_home_with_two_accounts() {
    one_fault_mid_body(2, 2).await;
}

#[tokio::test]
async fn one_fault_abroad_with_one_account() {
    one_fault_mid_body(4, 1).await;
}

#[tokio::test]
async fn one_fault_abroad_with_two_accounts() {
    one_fault_mid_body(4, 2).await;
}

#[tokio::test]
async fn a_long_flood_moves_the_stream_and_the_session_is_left_alone() {
    let rig = Rig::start(accounts(2), vec![film(2, SIZE)]).await;
    let rule = |name: &str| Rule::on("upload.getFile", Fault::FloodWait(600)).account(name).offset(MIDDLE.0, MIDDLE.1);
    rig.sim.faults().add(rule("ann"));
    exact(&rig, 2, "two accounts").await;
    exact(&rig, 2, "again").await;
    let flooded = rig.counts().calls_of("upload.getFile", "ann", 2);
    exact(&rig, 2, "and again").await;
    assert_eq!(rig.counts().calls_of("upload.getFile", "ann", 2), flooded, "asked while it rests");
    // Now the other one rests as well: the body breaks, and whoever asks next is told how long.
    rig.sim.faults().add(rule("ben"));
    let answer = rig.get(1, None).await;
    assert!(answer.broken.is_some() && u64::try_from(answer.body.len()).unwrap() < SIZE);
    assert!(answer.body == film_bytes(2, SIZE, 0, answer.body.len().try_into().unwrap()), "what arrived is right");
    let calls = rig.counts().calls("upload.getFile");
    let refused = rig.get(1, None).await;
    assert_eq!((refused.status, refused.fault()), (StatusCode::SERVICE_UNAVAILABLE, Some(Told::FloodWait)));
    let wait: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((500..=601).contains(&wait), "{wait}");
    assert_eq!(rig.counts().calls("upload.getFile"), calls);
}

#[tokio::test]
async fn references_that_expire_while_a_body_flows_are_renewed_once() {
    let rig = Rig::start(accounts(1), vec![film(4, 40 * MIB)]).await;
    let response = rig.open(Method::GET, &path(1), &[("authorization", "Bearer test-token")]).await;
    let lookups = rig.counts().calls("channels.getMessages");
    rig.sim.world().expire_references(None).unwrap();
    assert!(sha(&finish(response).await.whole()) == sha(&film_bytes(4, 40 * MIB, 0, 40 * MIB)));
    assert_eq!(rig.counts().calls("channels.getMessages"), lookups + 1, "many chunks, one question");
}

#[tokio::test]
async fn an_edit_while_a_body_flows_breaks_it_and_never_mixes() {
    let size = 40 * MIB;
    let rig = Rig::start(accounts(2), vec![film(2, size)]).await;
    let old = rig.head(1).await;
    let response = rig.open(Method::GET, &path(1), &[("authorization", "Bearer test-token")]).await;
    rig.sim.world().replace_document(CHAT, 1, film(2, size + 1)).unwrap();
    rig.sim.world().expire_references(None).unwrap();
    let answer = finish(response).await;
    assert!(answer.broken.is_some(), "{} bytes look whole", answer.body.len());
    assert!(answer.body == film_bytes(2, size, 0, answer.body.len().try_into().unwrap()), "versions were mixed");
    // The next one is told of the change, and gets the new version when it asks for no other.
    let etag = old.headers["etag"].to_str().unwrap();
    let refused = rig.ask(Method::GET, &path(1), &[("if-match", etag), ("cache-control", "no-cache")]).await;
    assert_eq!((refused.status, refused.fault()), (StatusCode::PRECONDITION_FAILED, Some(Told::Changed)));
    let new = rig.get(1, Some((0, 99))).await;
    assert_ne!(new.headers["etag"], etag);
    assert!(new.whole() == film_bytes(2, size + 1, 0, 100));
}

#[tokio::test]
async fn a_message_deleted_is_gone_and_one_that_never_was_is_not_found() {
    let rig = Rig::start(accounts(1), vec![film(2, MIB)]).await;
    assert_eq!(rig.head(1).await.status, StatusCode::OK);
    rig.sim.world().delete_message(CHAT, 1).unwrap();
    let gone = rig.ask(Method::GET, &path(1), &[("cache-control", "no-cache")]).await;
    assert_eq!((gone.status, gone.fault()), (StatusCode::GONE, Some(Told::Gone)));
    for message in [path(77), "/v1/media/-1009999/1".to_owned(), "/v1/media/5/1".to_owned()] {
        let missing = rig.ask(Method::GET, &message, &[]).await;
        assert_eq!((missing.status, missing.fault()), (StatusCode::NOT_FOUND, Some(Told::NotFound)), "{message}");
    }
    // Absence is remembered for a moment: a viewer who hammers a dead link costs Telegram nothing.
    let lookups = rig.counts().calls("channels.getMessages");
    assert_eq!(rig.get(77, None).await.fault(), Some(Told::NotFound));
    assert_eq!(rig.counts().calls("channels.getMessages"), lookups);
}

#[tokio::test]
async fn a_banned_account_is_left_and_the_other_goes_on() {
    let rig = Rig::start(accounts(2), vec![film(4, 40 * MIB)]).await;
    let response = rig.open(Method::GET, &path(1), &[("authorization", "Bearer test-token")]).await;
    rig.sim.world().ban("ann", Some("USER_DEACTIVATED")).unwrap();
    assert!(sha(&finish(response).await.whole()) == sha(&film_bytes(4, 40 * MIB, 0, 40 * MIB)));
    rig.sim.world().ban("ben", None).unwrap();
    let refused = rig.ask(Method::GET, &path(1), &[("cache-control", "no-cache")]).await;
    assert!(matches!(refused.fault(), Some(Told::NoSession)), "{:?}", refused.fault());
}

#[tokio::test]
async fn a_dead_data_centre_blocks_no_other_and_is_found_again() {
    for dead in [Reachability::Refused, Reachability::Silent] {
        let mut documents = vec![film(2, SIZE), film(4, SIZE)];
        documents[1].name = "abroad.mkv".into();
        let rig = Rig::start_with(accounts(1), documents, |options| {
            options.client.connect_timeout = Duration::from_millis(700);
            options.client.call_timeout = Duration::from_millis(1500);
            options.pool.deadline = Duration::from_secs(5);
        })
        .await;
        assert!(rig.sim.set_reachability(4, dead));
        let (abroad, home) = tokio::join!(rig.get(2, None), rig.get(1, None));
        assert!(sha(&home.whole()) == sha(&film_bytes(2, SIZE, 0, SIZE)), "{dead:?}");
        assert!(matches!(abroad.fault(), Some(Told::Timeout | Told::UpstreamReset)), "{dead:?} {:?}", abroad.fault());
        assert!(rig.sim.set_reachability(4, Reachability::Up));
        let again = rig.get(2, None).await;
        assert!(sha(&again.whole()) == sha(&film_bytes(4, SIZE, 0, SIZE)), "{dead:?}");
        assert_eq!(rig.counts().calls("auth.exportAuthorization"), 1, "{dead:?}");
    }
}

/// Floods, losses, silences, expired references and migrations at one call in five, in an order that follows from the seed.
#[tokio::test]
async fn a_storm_spoils_no_byte() {
    let seed: u64 = std::env::var("HIVE_STORM_SEED").ok().map_or(1, |text| text.parse().unwrap());
    println!("HIVE_STORM_SEED={seed}");
    let rig = Rig::start_with(accounts(3), vec![film(4, SIZE)], |options| {
        options.client.call_timeout = Duration::from_millis(1500);
        options.pool.deadline = Duration::from_secs(40);
    })
    .await;
    let faults = [
        Fault::FloodWait(1),
        Fault::Drop,
        Fault::ReferenceExpired,
        Fault::Truncate,
        Fault::Migrate(2),
        Fault::Silence,
        Fault::KeyUnregistered,
    ];
    for (step, fault) in faults.iter().enumerate() {
        let every = 23 + (seed.wrapping_mul(7).wrapping_add(u64::try_from(step).unwrap() * 11)) % 19;
        rig.sim.faults().add(Rule::on("upload.getFile", fault.clone()).dc(4).when(When::Every(every)));
    }
    for round in 0..4 {
        exact(&rig, 4, &format!("seed {seed}, round {round}")).await;
    }
    assert!(rig.counts().faults > 0);
}

/// Telegram sends to an account slower than its streams ask: they wait, and what is under way is not asked for again.
#[tokio::test]
async fn many_streams_share_a_narrow_account() {
    let size = 2 * MIB;
    let rig = Rig::start_with(accounts(1), (0..4).map(|extra| film(2, size + extra)).collect(), |options| {
        options.client.call_timeout = Duration::from_secs(5);
    })
    .await;
    rig.sim.set_shape(Shape { rtt_ms: 40, account_bytes_per_second: 2 * MIB, ..Shape::default() });
    let (a, b, c, d) = tokio::join!(rig.get(1, None), rig.get(2, None), rig.get(3, None), rig.get(4, None));
    for (extra, answer) in [a, b, c, d].into_iter().enumerate() {
        let size = size + u64::try_from(extra).unwrap();
        assert!(sha(&answer.whole()) == sha(&film_bytes(2, size, 0, size)), "film {extra}");
    }
    let counts = rig.counts();
    assert!(counts.chunks.iter().all(|chunk| chunk.asked <= 2), "{:?}", counts.chunks);
}
