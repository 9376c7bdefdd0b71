//! Both stores give the same answers; a seed of `STORE_SEED` replays a random run.

use crate::support::{NOW, RedisServer};
use identity::{Away, Link, RefreshToken, Rotation, Session, SessionRules, Store, Subject};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Map;
use std::time::Duration;

const RULES: SessionRules = SessionRules {
    first_ttl: Duration::from_secs(500),
    refresh_ttl: Duration::from_secs(1000),
    session_ttl: Duration::from_secs(3000),
    grace: Duration::from_secs(10),
};

fn first(session: u8) -> RefreshToken {
    RefreshToken::first([session; 16], [0; 32])
}

async fn open(store: &Store, session: u8, now: i64) -> RefreshToken {
    let token = first(session);
    let begun = Session::begin(Subject::guest([session; 16]), &token, now, &RULES);
    store.open("a", &token.sid(), begun, now).await.unwrap();
    token
}

#[tokio::test]
async fn a_refresh_token_works_once() {
    let server = RedisServer::start();
    // Redis ends keys by its own clock.
    #[expect(clippy::disallowed_methods, reason = "Redis has a clock of its own")]
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed();
    for store in [Store::in_memory(), server.store()] {
        let token = open(&store, 1, now).await;
        let (next, later) = (token.next([1; 32]), token.next([2; 32]));
        let alice = Subject::guest([1; 16]);
        let use_it =
            async |used: &RefreshToken, next: &RefreshToken, at| store.rotate("a", used, next, at, &RULES).await;
        assert_eq!(store.rotate("b", &token, &next, now, &RULES).await, Ok(Rotation::Unknown), "another tenant's");
        assert_eq!(use_it(&token, &next, now).await, Ok(Rotation::Rotated(alice.clone())));
        assert_eq!(use_it(&token, &later, now + 10).await, Ok(Rotation::Lately(alice.clone())), "two tabs at once");
        assert_eq!(use_it(&next, &later, now + 20).await, Ok(Rotation::Rotated(alice.clone())));
        assert_eq!(use_it(&token, &later, now + 20).await, Ok(Rotation::Reused(alice)), "two uses old");
        assert_eq!(use_it(&later, &next, now + 20).await, Ok(Rotation::Unknown), "it is over for all");
        let token = open(&store, 2, now).await;
        assert_eq!(store.end("b", &token).await, Ok(false));
        assert_eq!(store.end("a", &token.next([9; 32])).await, Ok(false), "who knows the name alone ends nothing");
        assert_eq!(store.end("a", &token).await, Ok(true));
    }
}

async fn enter(store: &Store, tenant: &str, session: u8, now: i64) -> Result<bool, Away> {
    let token = first(session);
    let begun = Session::begin(Subject::named("alice", Map::new()).unwrap(), &token, now, &RULES);
    store.enter(tenant, &Link { id: "x", expires: now + 100 }, &token.sid(), begun, now).await
}

#[tokio::test]
async fn a_one_time_link_begins_one_session() {
    let server = RedisServer::start();
    let now = NOW + 10_000_000;
    for store in [Store::in_memory(), server.store()] {
        for (tenant, session, entered) in [("a", 1, true), ("a", 2, false), ("b", 3, true), ("a", 1, false)] {
            assert_eq!(enter(&store, tenant, session, now).await, Ok(entered), "{tenant} {session}");
        }
        for (tenant, session, begun) in [("a", 1, true), ("a", 2, false), ("b", 3, true)] {
            assert_eq!(store.close(tenant, &first(session).sid()).await, Ok(begun), "{tenant} {session}");
        }
    }
}

#[tokio::test]
async fn guests_in_redis_have_a_bound() {
    let server = RedisServer::start();
    let (store, now) = (server.store(), NOW + 10_000_000);
    let guest = open(&store, 1, now).await;
    assert!(enter(&store, "a", 2, now).await.unwrap());
    // As many as there may be, of which the first one to end is a session.
    let fill = "for i = 1, 199998 do redis.call('ZADD', KEYS[1], ARGV[1] + 500 + i, 'x' .. i) end \
                redis.call('ZADD', KEYS[1], ARGV[1] + 1, 'early') return redis.call('HSET', KEYS[2], 'current', 'x')";
    let (guests, early) = ("sv:{auth:a}:guests", "sv:{auth:a}:s:early");
    server.cli(&["EVAL", fill, "2", guests, early, &now.to_string()]);
    assert_eq!(server.cli(&["ZCARD", guests]), "200000\n");
    open(&store, 3, now).await;
    assert_eq!((server.cli(&["ZCARD", guests]), server.cli(&["EXISTS", early])), ("200000\n".into(), "0\n".into()));
    for (session, there) in [(1, true), (2, true), (3, true)] {
        let used = first(session);
        let rotation = store.rotate("a", &used, &used.next([9; 32]), now, &RULES).await.unwrap();
        assert_eq!(matches!(rotation, Rotation::Rotated(_)), there, "{session}");
    }
    // Who has renewed stays for longer; who has left makes room; somebody with a name never counted.
    let score = server.cli(&["ZSCORE", guests, &guest.sid()]);
    assert_eq!(score, format!("{}\n", now + 1000));
    store.close("a", &guest.sid()).await.unwrap();
    store.close("a", &first(2).sid()).await.unwrap();
    assert_eq!(server.cli(&["ZCARD", guests]), "199999\n");
}

#[tokio::test]
async fn both_stores_answer_alike() {
    let server = RedisServer::start();
    let (memory, redis) = (Store::in_memory(), server.store());
    let seed = std::env::var("STORE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("STORE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    // Beyond the reach of Redis' own clock, which ends keys by the day.
    let mut now = NOW + 10_000_000;
    let mut tokens: Vec<RefreshToken> = Vec::new();
    let mut seen = [0; 4];
    for step in 0..3000_u32 {
        now += random.random_range(0..30);
        let session = random.random_range(1..6_u8);
        match random.random_range(0..10) {
            0 => {
                for store in [&memory, &redis] {
                    open(store, session, now).await;
                }
                tokens.push(first(session));
            }
            1 => {
                let token = first(session);
                // What has expired by this test's clock, Redis still has by its own: it says that there was one.
                for store in [&memory, &redis] {
                    store.close("a", &token.sid()).await.unwrap();
                }
            }
            _ if tokens.is_empty() => {}
            _ => {
                // Mostly the last tokens: older ones end sessions.
                let back = random.random_range(0..tokens.len().min(8));
                let used = &tokens[tokens.len() - 1 - back];
                let next = used.next(random.random());
                let answer = memory.rotate("a", used, &next, now, &RULES).await;
                assert_eq!(answer, redis.rotate("a", used, &next, now, &RULES).await, "step {step}");
                seen[match answer.unwrap() {
                    Rotation::Rotated(_) => 0,
                    Rotation::Lately(_) => 1,
                    Rotation::Reused(_) => 2,
                    Rotation::Unknown => 3,
                }] += 1;
                tokens.push(next);
            }
        }
    }
    assert!(seen.iter().all(|times| *times > 0), "each answer comes up: {seen:?}");
}

#[tokio::test]
async fn nothing_that_opens_anything_is_kept() {
    let server = RedisServer::start();
    let token = RefreshToken::first([0x11; 16], [0x22; 32]);
    let begun = Session::begin(Subject::guest([1; 16]), &token, NOW + 10_000_000, &RULES);
    server.store().open("a", &token.sid(), begun, NOW).await.unwrap();
    let kept = server.dump();
    assert!(kept.contains(&token.sid()) && kept.contains("guest-01"), "{kept}");
    for secret in [token.text(), "22".repeat(32), "11".repeat(16)] {
        assert!(!kept.contains(&secret), "{kept}");
    }
}

#[tokio::test]
async fn a_store_that_is_away_decides_nothing() {
    let mut server = RedisServer::start();
    let store = server.store();
    let token = open(&store, 1, NOW + 10_000_000).await;
    server.stop();
    assert!(store.rotate("a", &token, &token.next([1; 32]), NOW, &RULES).await.is_err());
    assert!(enter(&store, "a", 2, NOW + 10_000_000).await.is_err());
}
