//! Several hives and a real redis-server.

use super::server::RedisServer;
use crate::{LeaseError, LeaseOptions, Leases, Load, WhenAway};
use std::time::Duration;

/// Long enough that a busy machine renews in time.
const TTL: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);

fn hive(server: &RedisServer, name: &str, when_away: WhenAway) -> Leases {
    Leases::redis(&server.url(), "sv", LeaseOptions { hive: name.to_owned(), ttl: TTL, when_away }).unwrap()
}

/// Asks until it is granted; says how often it was told what.
async fn insist(leases: &Leases, account: i64) -> crate::Held {
    let ask = async {
        loop {
            match leases.take(account).await {
                Ok(held) => return held,
                Err(LeaseError::Busy { left, .. } | LeaseError::NotYet { left }) => {
                    tokio::time::sleep(left.min(TTL / 10)).await;
                }
                Err(_) => tokio::time::sleep(TTL / 20).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, ask).await.expect("never granted")
}

async fn lost(held: &crate::Held) {
    tokio::time::timeout(PATIENCE, held.lost()).await.expect("never lost");
    assert!(!held.permit().is_valid());
}

#[tokio::test]
async fn one_has_it_releases_it_and_the_next_one_waits_out_its_flood() {
    let server = RedisServer::start().await;
    let (a, b) = (hive(&server, "a", WhenAway::Keep), hive(&server, "b", WhenAway::Keep));
    let held = insist(&a, 7).await;
    assert!(held.permit().is_valid() && held.rests_for().is_zero());
    assert!(matches!(b.take(7).await, Err(LeaseError::Busy { hive, left }) if hive == "a" && left <= TTL));
    assert!(matches!(a.take(7).await, Err(LeaseError::Busy { .. })), "not even twice to the same hive");
    a.tell(7, Load { streams: 3, bytes_per_second: 9, rests_for: Duration::from_secs(600) });
    let seen =
        async {
            while !b.seen().iter().any(|seen| {
                seen.account == 7 && seen.hive.as_deref() == Some("a") && !seen.mine && seen.load.streams == 3
            }) {
                let _ = b.take(7).await;
            }
        };
    tokio::time::timeout(PATIENCE, seen).await.unwrap();
    assert_eq!(b.hives(), 2);
    let (fence, permit) = (held.fence(), held.permit());
    held.release().await;
    assert!(!permit.is_valid());
    let held = b.take(7).await.expect("free at once");
    assert!(held.fence() > fence && held.rests_for() > Duration::from_secs(500), "{:?}", held.rests_for());
    b.leave().await;
    lost(&held).await;
    assert!(matches!(b.take(7).await, Err(LeaseError::Leaving)));
    insist(&a, 7).await;
}

#[tokio::test]
async fn the_holder_goes_on_without_redis_and_keeps_what_it_has_when_an_empty_one_comes_back() {
    let mut server = RedisServer::start().await;
    let (a, b) = (hive(&server, "a", WhenAway::Keep), hive(&server, "b", WhenAway::Keep));
    let held = insist(&a, 7).await;
    let fence = held.fence();
    server.kill();
    let outage = tokio::time::Instant::now();
    while outage.elapsed() < 2 * TTL {
        assert!(matches!(b.take(8).await, Err(LeaseError::Away(_))));
        assert!(held.permit().is_valid(), "it goes on");
        tokio::time::sleep(TTL / 10).await;
    }
    assert!(a.is_away() && b.is_away());
    server.run().await;
    // Everything was forgotten, so nothing is granted for a TTL, and the old holder is there before.
    let free = insist(&b, 8).await;
    assert!(matches!(b.take(7).await, Err(LeaseError::Busy { hive, .. }) if hive == "a"));
    assert!(held.permit().is_valid() && held.fence() == fence && free.fence() > fence);
}

#[tokio::test]
async fn a_holder_that_was_told_to_stops_and_one_that_is_refused_does_too() {
    let mut server = RedisServer::start().await;
    let (stops, keeps) = (hive(&server, "a", WhenAway::Stop), hive(&server, "b", WhenAway::Keep));
    let (one, other) = (insist(&stops, 7).await, insist(&keeps, 8).await);
    let mut admin = server.connect().await.unwrap();
    // Redis is there, so `keeps` can't know what others get.
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("x").query_async::<()>(&mut admin).await.unwrap();
    redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal").query_async::<()>(&mut admin).await.unwrap();
    lost(&other).await;
    lost(&one).await;
    let mut admin = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    redis::cmd("AUTH").arg("x").query_async::<()>(&mut admin).await.unwrap();
    redis::cmd("CONFIG").arg("SET").arg("requirepass").arg("").query_async::<()>(&mut admin).await.unwrap();
    let again = insist(&stops, 7).await;
    server.kill();
    lost(&again).await;
}

#[tokio::test]
async fn a_holder_that_slept_loses_to_whoever_came_meanwhile() {
    let server = RedisServer::start().await;
    let b = hive(&server, "b", WhenAway::Keep);
    let (send, receive) = std::sync::mpsc::channel();
    let (wake, sleep) = std::sync::mpsc::channel::<()>();
    let url = server.url();
    // A runtime of one thread, which is blocked: what a stopped process is.
    let sleeper = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = LeaseOptions { hive: "a".to_owned(), ttl: TTL, when_away: WhenAway::Keep };
            let a = Leases::redis(&url, "sv", options).unwrap();
            let held = insist(&a, 7).await;
            send.send(held.permit()).unwrap();
            sleep.recv().unwrap();
            assert!(!held.permit().is_valid(), "nothing was asked yet, so nothing may be called");
            lost(&held).await;
        });
    });
    let permit = tokio::task::spawn_blocking(move || receive.recv().unwrap()).await.unwrap();
    assert!(permit.is_valid());
    let taken = insist(&b, 7).await;
    assert!(!permit.is_valid() && taken.permit().is_valid());
    wake.send(()).unwrap();
    tokio::task::spawn_blocking(move || sleeper.join().unwrap()).await.unwrap();
    assert!(taken.permit().is_valid());
}

#[tokio::test]
async fn without_redis_everything_is_granted_at_once_and_no_secret_is_shown() {
    let leases = Leases::in_process();
    let held = leases.take(1).await.unwrap();
    assert!(held.permit().is_valid() && leases.seen().iter().any(|seen| seen.mine && seen.account == 1));
    let permit = held.permit();
    drop(leases);
    lost(&held).await;
    assert!(!permit.is_valid());
    let options = |hive: &str| LeaseOptions { hive: hive.to_owned(), ttl: TTL, when_away: WhenAway::Keep };
    let wrong = Leases::redis("ftp://user:hunter2@host", "sv", options("a")).unwrap_err();
    assert!(!format!("{wrong} {wrong:?}").contains("hunter2"));
    let shown = Leases::redis("redis://user:hunter2@127.0.0.1:1", "sv", options("a")).unwrap();
    assert!(!format!("{shown:?}").contains("hunter2"));
    let refused = shown.take(1).await.unwrap_err();
    assert!(matches!(refused, LeaseError::Away(_)) && !refused.to_string().contains("hunter2"), "{refused}");
    assert_eq!(Leases::redis("redis://h", "sv", options("a/b")).unwrap_err(), LeaseError::Options);
}
