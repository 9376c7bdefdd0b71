//! What the contract says, of both stores.

use super::server::RedisServer;
use super::{BOUNDS, both};
use crate::{Kv, KvBounds, KvError, MemoryBounds, SetupError};
use std::time::Duration;

const DAY: u32 = 86_400;

#[tokio::test]
async fn values_come_and_go() {
    let server = RedisServer::start().await;
    for (store, kv) in both(&server, "values", BOUNDS) {
        assert_eq!(kv.get("a").await, Ok(None), "{store}");
        assert_eq!(kv.set("a", b"\0\xff one", DAY).await, Ok(()), "{store}");
        assert_eq!(kv.get("a").await, Ok(Some(b"\0\xff one".to_vec())), "{store}");
        assert_eq!(kv.set_if_absent("a", b"two", DAY).await, Ok(false), "{store}");
        assert_eq!(kv.set_if_absent("b", b"", DAY).await, Ok(true), "{store}");
        assert_eq!(kv.get("b").await, Ok(Some(Vec::new())), "{store}: empty is not absent");
        assert_eq!(kv.take("b").await, Ok(Some(Vec::new())), "{store}");
        assert_eq!(kv.take("b").await, Ok(None), "{store}");
        assert_eq!(kv.delete("a").await, Ok(()), "{store}");
        assert_eq!(kv.delete("a").await, Ok(()), "{store}");
        assert_eq!(kv.get("a").await, Ok(None), "{store}");
    }
}

#[tokio::test]
async fn numbers_are_exact_to_the_last_of_64_bits() {
    let server = RedisServer::start().await;
    for (store, kv) in both(&server, "numbers", BOUNDS) {
        assert_eq!(kv.increment("n", 5, DAY).await, Ok(5), "{store}");
        assert_eq!(kv.increment("n", -7, DAY).await, Ok(-2), "{store}");
        assert_eq!(kv.get("n").await, Ok(Some(b"-2".to_vec())), "{store}");
        assert_eq!(kv.increment("max", i64::MAX - 1, DAY).await, Ok(i64::MAX - 1), "{store}");
        assert_eq!(kv.increment("max", 1, DAY).await, Ok(i64::MAX), "{store}");
        assert_eq!(kv.increment("max", 1, DAY).await, Err(KvError::NotANumber), "{store}");
        assert_eq!(kv.increment("max", 0, DAY).await, Ok(i64::MAX), "{store}: a failed one changes nothing");
        assert_eq!(kv.increment("min", i64::MIN, DAY).await, Ok(i64::MIN), "{store}");
        assert_eq!(kv.increment("min", -1, DAY).await, Err(KvError::NotANumber), "{store}");
        assert_eq!(kv.increment("odd", 9_007_199_254_740_993, DAY).await, Ok(9_007_199_254_740_993), "{store}");
        for text in ["", " 1", "1 ", "+1", "01", "-0", "1.0", "x", "9223372036854775808", "\u{661}"] {
            kv.set("text", text.as_bytes(), DAY).await.unwrap();
            assert_eq!(kv.increment("text", 1, DAY).await, Err(KvError::NotANumber), "{store}: {text:?}");
            assert_eq!(kv.get("text").await, Ok(Some(text.as_bytes().to_vec())), "{store}");
        }
    }
}

#[tokio::test]
async fn sets_count_and_have_names_of_their_own() {
    let server = RedisServer::start().await;
    for (store, kv) in both(&server, "sets", BOUNDS) {
        for (member, count) in [("a", 1), ("b", 2), ("a", 2), ("c", 3)] {
            assert_eq!(kv.count_distinct("s", member, DAY).await, Ok(count), "{store}");
        }
        assert_eq!(kv.get("s").await, Ok(None), "{store}");
        assert_eq!(kv.take("s").await, Ok(None), "{store}");
        assert_eq!(kv.increment("s", 1, DAY).await, Ok(1), "{store}");
        assert_eq!(kv.count_distinct("s", "a", DAY).await, Ok(3), "{store}");
        kv.delete("s").await.unwrap();
        assert_eq!(kv.get("s").await, Ok(None), "{store}");
        assert_eq!(kv.count_distinct("s", "a", DAY).await, Ok(1), "{store}");
    }
}

#[tokio::test]
async fn bounds_hold() {
    let server = RedisServer::start().await;
    let long = "k".repeat(257);
    for (store, kv) in both(&server, "bounds", KvBounds { keys: 2, value: 10 }) {
        for key in ["", long.as_str()] {
            assert_eq!(kv.get(key).await, Err(KvError::OutOfBounds), "{store}");
            assert_eq!(kv.take(key).await, Err(KvError::OutOfBounds), "{store}");
            assert_eq!(kv.delete(key).await, Err(KvError::OutOfBounds), "{store}");
            assert_eq!(kv.set(key, b"", 1).await, Err(KvError::OutOfBounds), "{store}");
            assert_eq!(kv.set_if_absent(key, b"", 1).await, Err(KvError::OutOfBounds), "{store}");
            assert_eq!(kv.increment(key, 1, 1).await, Err(KvError::OutOfBounds), "{store}");
            assert_eq!(kv.count_distinct(key, "m", 1).await, Err(KvError::OutOfBounds), "{store}");
            assert_eq!(kv.count_distinct("s", key, 1).await, Err(KvError::OutOfBounds), "{store}");
        }
        for ttl in [0, 34_560_001, u32::MAX] {
            assert_eq!(kv.set("a", b"", ttl).await, Err(KvError::OutOfBounds), "{store}");
            assert_eq!(kv.increment("a", 1, ttl).await, Err(KvError::OutOfBounds), "{store}");
            assert_eq!(kv.count_distinct("a", "m", ttl).await, Err(KvError::OutOfBounds), "{store}");
        }
        assert_eq!(kv.set("a", &[0; 11], DAY).await, Err(KvError::OutOfBounds), "{store}");
        assert_eq!(kv.set(&long[..256], &[0; 10], 34_560_000).await, Ok(()), "{store}");
        assert_eq!(kv.count_distinct("a", &long[..256], DAY).await, Ok(1), "{store}");
        // Two keys are there now: no third of any kind, but changes of the two.
        assert_eq!(kv.set("a", b"", DAY).await, Err(KvError::Full), "{store}");
        assert_eq!(kv.set_if_absent("a", b"", DAY).await, Err(KvError::Full), "{store}");
        assert_eq!(kv.increment("a", 1, DAY).await, Err(KvError::Full), "{store}");
        assert_eq!(kv.count_distinct("b", "m", DAY).await, Err(KvError::Full), "{store}");
        assert_eq!(kv.set(&long[..256], b"1", DAY).await, Ok(()), "{store}");
        assert_eq!(kv.increment(&long[..256], 1, DAY).await, Ok(2), "{store}");
        assert_eq!(kv.count_distinct("a", "m", DAY).await, Ok(2), "{store}");
        kv.delete("a").await.unwrap();
        assert_eq!(kv.set("b", b"", DAY).await, Ok(()), "{store}: a place is free again");
    }
}

#[tokio::test]
async fn what_expires_frees_its_place() {
    let server = RedisServer::start().await;
    for (store, kv) in both(&server, "expiry", KvBounds { keys: 3, value: 10 }) {
        kv.set("short", b"v", 1).await.unwrap();
        kv.count_distinct("short", "m", 1).await.unwrap();
        kv.increment("number", 1, DAY).await.unwrap();
        // A key that is there keeps its time.
        kv.increment("number", 1, 1).await.unwrap();
        super::eventually("expires", async || kv.get("short").await == Ok(None)).await;
        super::eventually("its place is free", async || kv.set("a", b"", DAY).await.is_ok()).await;
        super::eventually("the set's place is free", async || kv.set("b", b"", DAY).await.is_ok()).await;
        assert_eq!(kv.get("number").await, Ok(Some(b"2".to_vec())), "{store}");
        assert_eq!(kv.set("c", b"", DAY).await, Err(KvError::Full), "{store}");
    }
}

#[tokio::test]
async fn nobody_sees_anothers() {
    let server = RedisServer::start().await;
    let stores = [Kv::in_memory(MemoryBounds::default()), Kv::redis(&server.url(), "sv", super::PATIENT).unwrap()];
    for kv in stores {
        let names = [("p", None), ("p", Some("t")), ("p", Some("u")), ("q", Some("t")), ("p-t", None)];
        let spaces = names.map(|(plugin, tenant)| kv.namespace(plugin, tenant, BOUNDS).unwrap());
        for (index, space) in spaces.iter().enumerate() {
            // Keys that imitate the format lead nowhere else.
            for key in ["k", "t}:k:k", "}:k:k", "k:k", ":i"] {
                assert_eq!(space.get(key).await, Ok(None));
                space.set(key, &[u8::try_from(index).unwrap()], DAY).await.unwrap();
            }
        }
        for (index, space) in spaces.iter().enumerate() {
            assert_eq!(space.get("k").await, Ok(Some(vec![u8::try_from(index).unwrap()])));
        }
        let again = kv.namespace("p", Some("u"), KvBounds { keys: 1, value: 0 }).unwrap();
        assert_eq!(again.get("k").await, Err(KvError::OutOfBounds), "the bounds are the handle's");
        assert_eq!(again.take("k").await, Err(KvError::OutOfBounds));
        assert_eq!(spaces[2].get("k").await, Ok(Some(vec![2])), "and what is too long for one stays for others");
    }
}

#[tokio::test]
async fn of_many_one_gets_it() {
    let server = RedisServer::start().await;
    // Two connections, as of two gateways.
    let [(_, memory), (_, redis)] = both(&server, "races", BOUNDS);
    let [_, (_, other)] = both(&server, "races", BOUNDS);
    for pair in [[memory.clone(), memory], [redis, other]] {
        pair[0].set("token", b"v", DAY).await.unwrap();
        let mut tasks = tokio::task::JoinSet::new();
        for index in 0..64_usize {
            let kv = pair[index % 2].clone();
            tasks.spawn(async move {
                let taken = kv.take("token").await.unwrap().is_some();
                let set = kv.set_if_absent("lock", b"", DAY).await.unwrap();
                kv.increment("sum", 3, DAY).await.unwrap();
                (usize::from(taken), usize::from(set))
            });
        }
        let done = tasks.join_all().await;
        let sums = done.into_iter().fold((0, 0), |sums, one| (sums.0 + one.0, sums.1 + one.1));
        assert_eq!(sums, (1, 1));
        assert_eq!(pair[1].get("sum").await, Ok(Some(b"192".to_vec())));
    }
}

#[test]
fn names_that_would_make_keys_ambiguous_are_refused() {
    let kv = Kv::in_memory(MemoryBounds::default());
    for name in ["", "a:b", "a}", "{a", "A", "a b", "é", &"a".repeat(65)] {
        assert_eq!(kv.namespace(name, None, BOUNDS).unwrap_err(), SetupError::Name(name.to_owned()));
        assert_eq!(kv.namespace("p", Some(name), BOUNDS).unwrap_err(), SetupError::Name(name.to_owned()));
        let prefixed = Kv::redis("redis://localhost", name, Duration::from_secs(1));
        let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) && name.len() <= 32;
        assert_eq!(prefixed.is_ok(), fits, "{name}");
    }
    for url in ["", "localhost", "http://localhost", "redis://:secret@"] {
        let said = Kv::redis(url, "sv", Duration::from_secs(1)).map(drop).unwrap_err();
        assert_eq!(said, SetupError::Url, "{url}");
        assert!(!said.to_string().contains("secret@"));
    }
    let kv = Kv::redis("redis://user:secret@localhost/0", "sv", Duration::from_secs(1)).unwrap();
    let shown = format!("{kv:?} {:?}", kv.namespace("p", None, BOUNDS).unwrap());
    assert!(!shown.contains("secret") && !shown.contains("user"), "{shown}");
}
