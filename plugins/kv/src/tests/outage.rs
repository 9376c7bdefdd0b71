//! Redis that is not there, not yet, no more, or that doesn't answer.

use super::server::RedisServer;
use super::{BOUNDS, PATIENT, eventually};
use crate::{Kv, KvError, Namespace};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const DAY: u32 = 86_400;

fn namespace(server: &RedisServer, timeout: Duration) -> Namespace {
    Kv::redis(&server.url(), "sv", timeout).unwrap().namespace("plugin", Some("t"), BOUNDS).unwrap()
}

/// Every operation fails in the same way.
async fn unavailable(kv: &Namespace) {
    assert_eq!(kv.get("k").await, Err(KvError::Unavailable));
    assert_eq!(kv.set("k", b"", DAY).await, Err(KvError::Unavailable));
    assert_eq!(kv.set_if_absent("k", b"", DAY).await, Err(KvError::Unavailable));
    assert_eq!(kv.take("k").await, Err(KvError::Unavailable));
    assert_eq!(kv.delete("k").await, Err(KvError::Unavailable));
    assert_eq!(kv.increment("k", 1, DAY).await, Err(KvError::Unavailable));
    assert_eq!(kv.count_distinct("k", "m", DAY).await, Err(KvError::Unavailable));
}

#[tokio::test]
async fn comes_back_by_itself() {
    let mut server = RedisServer::absent();
    // The gateway starts first.
    let kv = namespace(&server, PATIENT);
    unavailable(&kv).await;
    for round in 0..2 {
        server.run().await;
        eventually("it is found", async || kv.get("k").await == Ok(None)).await;
        // A fresh server knows no script: each is told again.
        assert_eq!(kv.increment("k", 1, DAY).await, Ok(1), "{round}");
        assert_eq!(kv.take("k").await, Ok(Some(b"1".to_vec())));
        server.stop();
        eventually("it is missed", async || kv.get("k").await == Err(KvError::Unavailable)).await;
        unavailable(&kv).await;
    }
}

#[tokio::test]
async fn while_a_server_hangs_one_waits_and_the_others_fail_at_once() {
    let server = RedisServer::start().await;
    let kv = namespace(&server, Duration::from_millis(200));
    eventually("it answers", async || kv.set("k", b"v", DAY).await.is_ok()).await;
    // What writes is held back for ten minutes; to be woken, it must answer to the rest.
    server.cli::<()>("CLIENT PAUSE 600000 WRITE").await;
    let mut context = Context::from_waker(Waker::noop());
    let mut first = loop {
        let mut first = Box::pin(kv.set("k", b"", DAY));
        assert!(first.as_mut().poll(&mut context).is_pending());
        if Box::pin(kv.set("k", b"", DAY)).as_mut().poll(&mut context).is_ready() {
            break first;
        }
        // Not gone yet: both of them waited.
        assert_eq!(first.await, Err(KvError::Unavailable));
    };
    for _ in 0..100 {
        let mut other = Box::pin(kv.set("k", b"", DAY));
        assert_eq!(other.as_mut().poll(&mut context), Poll::Ready(Err(KvError::Unavailable)));
    }
    assert!(first.as_mut().poll(&mut context).is_pending());
    // A caller that gives up gives up its turn too.
    drop(first);
    let mut next = Box::pin(kv.set("k", b"", DAY));
    assert!(next.as_mut().poll(&mut context).is_pending());
    drop(next);
    server.cli::<()>("CLIENT UNPAUSE").await;
    eventually("it is found again", async || kv.set("k", b"w", DAY).await.is_ok()).await;
    assert_eq!(kv.get("k").await, Ok(Some(b"w".to_vec())));
}

#[tokio::test]
async fn a_wrong_password_is_not_for_ever() {
    let server = RedisServer::start().await;
    let mut operator = server.connect().await;
    redis::cmd("CONFIG").arg(&["SET", "requirepass", "other"]).exec_async(&mut operator).await.unwrap();
    let kv = namespace(&server, PATIENT);
    unavailable(&kv).await;
    redis::cmd("CONFIG").arg(&["SET", "requirepass", ""]).exec_async(&mut operator).await.unwrap();
    eventually("it is let in", async || kv.set("k", b"v", DAY).await.is_ok()).await;
}

#[tokio::test]
async fn a_server_without_memory_is_full() {
    let server = RedisServer::start().await;
    let kv = namespace(&server, PATIENT);
    kv.set("k", b"v", DAY).await.unwrap();
    server.cli::<()>("CONFIG SET maxmemory 1").await;
    assert_eq!(kv.set("l", b"v", DAY).await, Err(KvError::Full));
    assert_eq!(kv.increment("n", 1, DAY).await, Err(KvError::Full));
    assert_eq!(kv.get("k").await, Ok(Some(b"v".to_vec())));
    assert_eq!(kv.delete("k").await, Ok(()), "what makes room is done");
    server.cli::<()>("CONFIG SET maxmemory 0").await;
    assert_eq!(kv.set("l", b"v", DAY).await, Ok(()));
}

/// The host runs operations on whichever thread it likes.
#[test]
fn operations_can_be_sent() {
    fn sent<T: Send>(_: T) {}
    let server = RedisServer::absent();
    let kv = namespace(&server, PATIENT);
    sent(kv.get("k"));
    sent(kv.set("k", b"", 1));
    sent(kv.set_if_absent("k", b"", 1));
    sent(kv.take("k"));
    sent(kv.delete("k"));
    sent(kv.increment("k", 1, 1));
    sent(kv.count_distinct("k", "m", 1));
    sent(kv);
}
