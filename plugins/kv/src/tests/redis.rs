//! What is particular to Redis: the keys, and that nothing stays behind.

use super::server::RedisServer;
use super::{BOUNDS, PATIENT};
use crate::{Kv, KvBounds, KvError, Namespace};

const DAY: u32 = 86_400;

fn namespace(server: &RedisServer, tenant: Option<&str>) -> Namespace {
    Kv::redis(&server.url(), "sv", PATIENT).unwrap().namespace("plugin", tenant, BOUNDS).unwrap()
}

/// The documented format: operators and their tools rely on it.
#[tokio::test]
async fn keys_are_where_the_documentation_says() {
    let server = RedisServer::start().await;
    let kv = namespace(&server, Some("t"));
    kv.set("a", b"1", DAY).await.unwrap();
    kv.count_distinct("b", "m", DAY).await.unwrap();
    namespace(&server, None).set("films.example.com", b"x", DAY).await.unwrap();
    let mut keys: Vec<String> = server.cli("KEYS *").await;
    keys.sort();
    let wanted = [
        "sv:{plugin:t}:c:b",
        "sv:{plugin:t}:i",
        "sv:{plugin:t}:k:a",
        "sv:{plugin}:i",
        "sv:{plugin}:k:films.example.com",
    ];
    assert_eq!(keys, wanted);
    for member in ["ka", "cb"] {
        assert!(server.cli::<f64>(&format!("ZSCORE sv:{{plugin:t}}:i {member}")).await > 0.0);
    }
    let ttl: i64 = server.cli("TTL sv:{plugin:t}:k:a").await;
    assert!((i64::from(DAY) - 60..=i64::from(DAY)).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn what_operators_write_is_read() {
    let server = RedisServer::start().await;
    let kv = namespace(&server, None);
    for key in ["read", "kept", "taken", "deleted", "counted", "changed"] {
        server.cli::<()>(&format!("SET sv:{{plugin}}:k:{key} 7")).await;
        assert_eq!(kv.get(key).await, Ok(Some(b"7".to_vec())));
    }
    assert_eq!(kv.set_if_absent("kept", b"", DAY).await, Ok(false));
    assert_eq!(kv.take("taken").await, Ok(Some(b"7".to_vec())));
    assert_eq!(kv.get("taken").await, Ok(None));
    kv.delete("deleted").await.unwrap();
    assert_eq!(kv.get("deleted").await, Ok(None));
    assert_eq!(kv.increment("counted", 1, DAY).await, Ok(8));
    assert_eq!(server.cli::<i64>("TTL sv:{plugin}:k:counted").await, -1, "it keeps its time, which is for ever");
    assert_eq!(server.cli::<i64>("ZCARD sv:{plugin}:i").await, 0, "what operators write takes no place");
    kv.set("changed", b"8", DAY).await.unwrap();
    assert_eq!(server.cli::<i64>("ZCARD sv:{plugin}:i").await, 1);
    server.cli::<()>("HSET sv:{plugin}:k:hash a b").await;
    assert_eq!(kv.get("hash").await, Err(KvError::Unavailable));
    assert_eq!(kv.increment("hash", 1, DAY).await, Err(KvError::NotANumber));
    server.cli::<()>(&format!("SET sv:{{plugin}}:k:long {}", "x".repeat(1_001))).await;
    assert_eq!(kv.get("long").await, Err(KvError::OutOfBounds));
    assert_eq!(kv.take("long").await, Err(KvError::OutOfBounds));
    assert_eq!(server.cli::<i64>("EXISTS sv:{plugin}:k:long").await, 1);
}

#[tokio::test]
async fn nothing_stays_behind() {
    let server = RedisServer::start().await;
    let kv = namespace(&server, Some("t"));
    for index in 0..20 {
        kv.set(&format!("k{index}"), b"v", 1).await.unwrap();
        kv.increment(&format!("n{index}"), 1, 1).await.unwrap();
        kv.count_distinct(&format!("s{index}"), "m", 1).await.unwrap();
    }
    kv.set("deleted", b"v", DAY).await.unwrap();
    kv.set("taken", b"v", DAY).await.unwrap();
    kv.delete("deleted").await.unwrap();
    kv.take("taken").await.unwrap();
    // Also the index: it would otherwise stay for each tenant that ever was.
    super::eventually("the server is empty", async || server.cli::<i64>("DBSIZE").await == 0).await;
}

#[tokio::test]
async fn a_flood_of_keys_ends_at_the_bound() {
    let server = RedisServer::start().await;
    let kv = Kv::redis(&server.url(), "sv", PATIENT).unwrap();
    let kv = kv.namespace("plugin", Some("t"), KvBounds { keys: 50, value: 10 }).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for index in 0..400 {
        let kv = kv.clone();
        tasks.spawn(async move { kv.set(&format!("k{index}"), b"v", DAY).await });
    }
    let done = tasks.join_all().await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 50);
    assert!(done.iter().all(|done| matches!(done, Ok(()) | Err(KvError::Full))));
    assert_eq!(server.cli::<i64>("DBSIZE").await, 51, "fifty keys and the index");
}

#[tokio::test]
async fn large_sets_are_counted_within_two_per_cent() {
    let server = RedisServer::start().await;
    let kv = namespace(&server, Some("t"));
    let mut last = 0;
    for member in 0..3_000 {
        last = kv.count_distinct("s", &format!("viewer-{member}"), DAY).await.unwrap();
    }
    assert!((2_940..=3_060).contains(&last), "{last}");
}
