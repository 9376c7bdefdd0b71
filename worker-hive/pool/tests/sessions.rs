//! Sessions that see different things: whose word counts, and when.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use futures_util::StreamExt;
use mtproto::{Ask, CallFault, Identity, LocateFault, Location, MessageRef};
use parking_lot::Mutex;
use pool::{Body, Freshness, Pool, PoolConfig, PoolFault, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const SIZE: u64 = 8 << 20;
const MESSAGE: MessageRef = MessageRef { chat_id: -1_000_000_000_001, message_id: 1 };

/// A session whose every answer the test sets.
struct Told {
    name: &'static str,
    premium: AtomicBool,
    /// The document's id, or why there is none.
    found: Mutex<Result<i64, LocateFault>>,
    /// Told for every chunk behind the first MiB.
    fault: Mutex<Option<CallFault>>,
    lookups: AtomicUsize,
}

impl Told {
    fn new(name: &'static str, found: Result<i64, LocateFault>) -> Arc<Self> {
        Arc::new(Self {
            name,
            premium: AtomicBool::new(false),
            found: Mutex::new(found),
            fault: Mutex::default(),
            lookups: AtomicUsize::new(0),
        })
    }

    fn banned(name: &'static str) -> Arc<Self> {
        Self::new(name, Err(LocateFault::Call(CallFault::Banned("USER_DEACTIVATED".into()))))
    }

    fn floods(&self) {
        *self.fault.lock() = Some(CallFault::Flood { seconds: 600, premium_exempt: false });
    }
}

impl Source for Told {
    fn name(&self) -> &str {
        self.name
    }

    fn is_premium(&self) -> bool {
        self.premium.load(Ordering::SeqCst)
    }

    async fn locate(&self, _: MessageRef) -> Result<Location, LocateFault> {
        self.lookups.fetch_add(1, Ordering::SeqCst);
        self.found.lock().clone().map(|id| Location::synthetic(Identity::new(id, SIZE), 2, vec![1]))
    }

    async fn get_chunk(&self, _: &Location, offset: u64, limit: u32, _: &Ask) -> Result<Bytes, CallFault> {
        tokio::time::sleep(Duration::from_millis(10)).await;
        match self.fault.lock().clone().filter(|_| offset >= 1 << 20) {
            Some(fault) => Err(fault),
            None => Ok(Bytes::from(vec![0; usize::try_from(limit).unwrap()])),
        }
    }
}

fn pool(sessions: &[&Arc<Told>]) -> Pool<Told> {
    let pool = Pool::new(PoolConfig::default());
    for session in sessions {
        pool.add(Arc::clone(session));
    }
    pool
}

async fn describe(pool: &Pool<Told>) -> Result<String, PoolFault> {
    pool.describe(MESSAGE, Freshness::Recent).await.map(|location| location.identity.etag())
}

async fn drain(mut body: Body<Told>) -> Result<u64, PoolFault> {
    let mut sum = 0;
    while let Some(bytes) = body.next().await {
        sum += u64::try_from(bytes?.len()).unwrap();
    }
    Ok(sum)
}

const NOBODY: PoolFault = PoolFault::NoSession { retry_after: None };

#[tokio::test(start_paused = true)]
async fn who_lost_its_account_did_not_look() {
    let blind = || Told::new("blind", Err(LocateFault::NoChat));
    assert_eq!(describe(&pool(&[&Told::banned("member"), &blind()])).await, Err(NOBODY));
    assert_eq!(describe(&pool(&[&blind(), &Told::banned("member")])).await, Err(NOBODY));
    assert_eq!(describe(&pool(&[&Told::banned("member")])).await, Err(NOBODY));
    assert_eq!(describe(&pool(&[&blind(), &blind()])).await, Err(PoolFault::NotFound));
    // One that sees the chat and not the message knows more than one that is banned could.
    let sees = Told::new("sees", Err(LocateFault::NoMessage));
    assert_eq!(describe(&pool(&[&Told::banned("other"), &sees])).await, Err(PoolFault::NotFound));
}

#[tokio::test(start_paused = true)]
async fn one_session_that_does_not_see_the_message_speaks_for_itself_only() {
    for fault in [LocateFault::NoMessage, LocateFault::NoDocument, LocateFault::NoChat] {
        let (one, other) = (Told::new("one", Err(fault.clone())), Told::new("other", Ok(1)));
        let both = pool(&[&one, &other]);
        for _ in 0..4 {
            assert!(describe(&both).await.is_ok(), "{fault:?}");
            assert!(both.open(MESSAGE, Freshness::Recent).await.is_ok(), "{fault:?}");
        }
        // Nobody finds it any more, and somebody did.
        *other.found.lock() = Err(LocateFault::NoMessage);
        assert_eq!(both.describe(MESSAGE, Freshness::Now).await.unwrap_err(), PoolFault::Gone, "{fault:?}");
    }
    let alone = Told::new("alone", Err(LocateFault::NoMessage));
    assert_eq!(describe(&pool(&[&alone])).await, Err(PoolFault::NotFound));
}

#[tokio::test(start_paused = true)]
async fn a_stream_passes_by_a_session_that_does_not_see_the_message() {
    let (first, blind, last) =
        (Told::new("a", Ok(1)), Told::new("b", Err(LocateFault::NoMessage)), Told::new("c", Ok(1)));
    first.premium.store(true, Ordering::SeqCst);
    let body = pool(&[&first, &blind, &last]).open(MESSAGE, Freshness::Recent).await.unwrap().read(0..SIZE);
    first.floods();
    blind.premium.store(true, Ordering::SeqCst);
    assert_eq!(drain(body).await, Ok(SIZE));
    assert!(blind.lookups.load(Ordering::SeqCst) > 0, "it was never tried");
    // Nobody else sees it, and the only one that does rests: that is no reason to say it is gone.
    let body = pool(&[&first, &blind]).open(MESSAGE, Freshness::Recent).await.unwrap().read(0..SIZE);
    assert!(matches!(drain(body).await, Err(PoolFault::FloodWait { .. })));
    // It goes while it is read.
    let leaves = Told::new("leaves", Ok(1));
    let body = pool(&[&leaves]).open(MESSAGE, Freshness::Recent).await.unwrap().read(0..SIZE);
    *leaves.fault.lock() = Some(CallFault::ReferenceExpired);
    *leaves.found.lock() = Err(LocateFault::NoMessage);
    assert_eq!(drain(body).await, Err(PoolFault::Gone));
}

#[tokio::test(start_paused = true)]
async fn a_new_version_that_was_seen_once_stays() {
    let (one, other) = (Told::new("one", Ok(1)), Told::new("other", Ok(1)));
    let both = pool(&[&one, &other]);
    let old = describe(&both).await.unwrap();
    tokio::time::advance(Duration::from_millis(10)).await;
    *one.found.lock() = Ok(2);
    *other.found.lock() = Ok(2);
    let mut seen = false;
    for round in 0..20 {
        let now = describe(&both).await.unwrap();
        assert!(!seen || now != old, "round {round} went back");
        seen |= now != old;
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    assert!(seen);
}

#[tokio::test(start_paused = true)]
async fn a_stream_moves_to_a_session_that_knew_an_older_version() {
    let (one, other) = (Told::new("one", Ok(1)), Told::new("other", Ok(2)));
    one.premium.store(true, Ordering::SeqCst);
    let both = pool(&[&one, &other]);
    let old = describe(&both).await.unwrap();
    tokio::time::advance(Duration::from_secs(3600)).await;
    one.premium.store(false, Ordering::SeqCst);
    other.premium.store(true, Ordering::SeqCst);
    let opened = both.open(MESSAGE, Freshness::Recent).await.unwrap();
    assert_ne!(opened.location().identity.etag(), old);
    // The stale one looks once more after it finds the old version in its memory or at Telegram's.
    *one.found.lock() = Ok(2);
    other.floods();
    assert_eq!(drain(opened.read(0..SIZE)).await, Ok(SIZE));
    // An edit is still an edit.
    let body = both.open(MESSAGE, Freshness::Now).await.unwrap().read(0..SIZE);
    *one.fault.lock() = Some(CallFault::ReferenceExpired);
    *one.found.lock() = Ok(3);
    assert_eq!(drain(body).await, Err(PoolFault::Changed));
}

/// The hive answers before its gateway stops listening, however the time is spent.
#[tokio::test(start_paused = true)]
async fn looking_up_and_the_first_bytes_share_one_deadline() {
    struct Slow(Duration, Duration);
    impl Source for Slow {
        fn name(&self) -> &str {
            "slow"
        }
        fn is_premium(&self) -> bool {
            false
        }
        async fn locate(&self, _: MessageRef) -> Result<Location, LocateFault> {
            tokio::time::sleep(self.0).await;
            Ok(Location::synthetic(Identity::new(1, SIZE), 2, vec![1]))
        }
        async fn get_chunk(&self, _: &Location, _: u64, _: u32, _: &Ask) -> Result<Bytes, CallFault> {
            tokio::time::sleep(self.1).await;
            Err(CallFault::Timeout)
        }
    }
    for (lookup, chunk) in [(1, 5), (14, 5), (14, 600), (600, 1)] {
        let slow = Arc::new(Slow(Duration::from_secs(lookup), Duration::from_secs(chunk)));
        let (pool, started) = (Pool::new(PoolConfig::default()), tokio::time::Instant::now());
        pool.add(slow);
        let ask = async { pool.open(MESSAGE, Freshness::Recent).await?.read(0..SIZE).prime().await };
        assert_eq!(ask.await, Err(PoolFault::Timeout));
        assert!(started.elapsed() <= Duration::from_secs(16), "{:?}", started.elapsed());
    }
}
