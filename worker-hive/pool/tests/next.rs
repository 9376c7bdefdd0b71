//! One message after the other by the same reader: whose place it takes, and on whom.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use mtproto::{Ask, CallFault, Identity, LocateFault, Location, MessageRef};
use pool::{Freshness, Pool, PoolConfig, PoolFault, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const SIZE: u64 = 1024 * 1024;

/// Sees the messages of one chat, or of all.
struct Account {
    name: &'static str,
    sees: Option<i64>,
    lookups: AtomicUsize,
}

impl Source for Account {
    fn name(&self) -> &str {
        self.name
    }

    fn is_premium(&self) -> bool {
        false
    }

    async fn locate(&self, message: MessageRef) -> Result<Location, LocateFault> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        if self.sees.is_some_and(|chat| chat != message.chat_id) {
            return Err(LocateFault::NoChat);
        }
        Ok(Location::synthetic(Identity::new(message.chat_id, SIZE), 2, vec![1]))
    }

    async fn get_chunk(&self, _: &Location, _: u64, limit: u32, _: &Ask) -> Result<Bytes, CallFault> {
        Ok(vec![0; usize::try_from(limit).unwrap()].into())
    }
}

fn account(name: &'static str, sees: Option<i64>) -> Arc<Account> {
    Arc::new(Account { name, sees, lookups: AtomicUsize::new(0) })
}

fn in_chat(chat_id: i64) -> MessageRef {
    MessageRef { chat_id, message_id: 1 }
}

fn pool(accounts: &[Arc<Account>]) -> Pool<Account> {
    let config = PoolConfig { streams_per_session: 1, admission: Duration::from_millis(50), ..PoolConfig::default() };
    let pool = Pool::new(config);
    for account in accounts {
        pool.add(Arc::clone(account));
    }
    pool
}

fn streams(pool: &Pool<Account>) -> Vec<usize> {
    pool.report().sessions.iter().map(|session| session.streams).collect()
}

#[tokio::test(start_paused = true)]
async fn the_next_message_takes_the_place_of_the_one_before() {
    let accounts = [account("a", None)];
    let pool = pool(&accounts);
    let mut body = pool.open(in_chat(-5), Freshness::Recent).await.unwrap().read(0..SIZE);
    body.prime().await.unwrap();
    // A stranger finds no place; who reads already needs none.
    assert!(matches!(pool.open(in_chat(-6), Freshness::Recent).await, Err(PoolFault::NoSession { .. })));
    let lookups = accounts[0].lookups.load(Ordering::SeqCst);
    let mut next = body.open_next(in_chat(-6)).await.unwrap().read(0..SIZE);
    assert_eq!((streams(&pool), accounts[0].lookups.load(Ordering::SeqCst)), (vec![1], lookups + 1));
    next.prime().await.unwrap();
    drop(body);
    assert_eq!(streams(&pool), [1]);
    drop(next);
    assert_eq!(streams(&pool), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_message_of_another_chat_is_opened_where_it_is_seen() {
    let accounts = [account("a", Some(-5)), account("b", Some(-6))];
    let pool = pool(&accounts);
    let body = pool.open(in_chat(-5), Freshness::Recent).await.unwrap().read(0..SIZE);
    let next = body.open_next(in_chat(-6)).await.unwrap();
    assert_eq!(streams(&pool), [1, 1]);
    assert_eq!(next.location().identity, Identity::new(-6, SIZE));
    drop(body);
    assert_eq!(streams(&pool), [0, 1]);
    let unseen = next.read(0..SIZE).open_next(in_chat(-7)).await;
    assert!(matches!(unseen, Err(PoolFault::NotFound)));
    assert_eq!(streams(&pool), [0, 0]);
}
