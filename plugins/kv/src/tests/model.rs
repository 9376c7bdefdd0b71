//! The same random operations on memory, whose clock the test moves, and on a real redis-server. `STREAMVAULT_SEED` replays.

use super::PATIENT;
use super::server::RedisServer;
use crate::redis_store::{RedisStore, Stem};
use crate::space::{Account, Ledger, Space};
use crate::{KvBounds, KvError, MemoryBounds};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::sync::Arc;

/// So few keys that they meet, and so small a bound that it is met.
const KEYS: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "é:{}\0"];
const MEMBERS: [&str; 5] = ["v", "w", "x", "y", "z"];
const VALUES: [&[u8]; 7] = [b"", b"0", b"-5", b"9223372036854775807", b"007", b"\0\xff", b"too long"];
const BOUNDS: KvBounds = KvBounds { keys: 6, value: 20 };

const WORLDS: usize = 40;
const OPERATIONS: usize = 80;
const LONG_MS: u64 = 400 * 86_400_000;

#[derive(Clone, Debug)]
enum Operation {
    Get,
    Set(&'static [u8]),
    SetIfAbsent(&'static [u8]),
    Take,
    Delete,
    Increment(i64),
    CountDistinct(&'static str),
}

#[derive(Debug, PartialEq)]
enum Outcome {
    Value(Option<Vec<u8>>),
    Done(bool),
    Sum(i64),
    Count(u64),
    Failed(KvError),
}

fn draw(rng: &mut StdRng) -> (Operation, &'static str, bool) {
    let value = VALUES.choose(rng).copied().unwrap_or_default();
    let operation = match rng.random_range(0..20) {
        0..4 => Operation::Get,
        4..8 => Operation::Set(value),
        8..10 => Operation::SetIfAbsent(value),
        10..12 => Operation::Take,
        12..14 => Operation::Delete,
        14..17 => Operation::Increment(*[1, -1, i64::MAX, i64::MIN, 1 << 53].choose(rng).unwrap()),
        _ => Operation::CountDistinct(MEMBERS.choose(rng).unwrap()),
    };
    (operation, KEYS.choose(rng).unwrap(), rng.random_bool(0.5))
}

fn outcome<T>(done: Result<T, KvError>, outcome: impl FnOnce(T) -> Outcome) -> Outcome {
    done.map_or_else(Outcome::Failed, outcome)
}

fn in_memory(space: &mut Space, now: u64, operation: &Operation, key: &str, ttl: u64) -> Outcome {
    let until = now + ttl;
    match operation {
        Operation::Get => outcome(space.get(now, BOUNDS, key), Outcome::Value),
        Operation::Set(value) => outcome(space.set(now, BOUNDS, key, value, until), |()| Outcome::Done(true)),
        Operation::SetIfAbsent(value) => outcome(space.set_if_absent(now, BOUNDS, key, value, until), Outcome::Done),
        Operation::Take => outcome(space.take(now, BOUNDS, key), Outcome::Value),
        Operation::Delete => {
            space.delete(now, key);
            Outcome::Done(true)
        }
        Operation::Increment(by) => outcome(space.increment(now, BOUNDS, key, *by, until), Outcome::Sum),
        Operation::CountDistinct(member) => {
            outcome(space.count_distinct(now, BOUNDS, key, member, until), Outcome::Count)
        }
    }
}

async fn in_redis(store: &RedisStore, stem: &Stem, operation: &Operation, key: &str, ttl: u64) -> Outcome {
    match operation {
        Operation::Get => outcome(store.get(stem, BOUNDS, key).await, Outcome::Value),
        Operation::Set(value) => outcome(store.set(stem, BOUNDS, key, value, ttl, false).await, Outcome::Done),
        Operation::SetIfAbsent(value) => outcome(store.set(stem, BOUNDS, key, value, ttl, true).await, Outcome::Done),
        Operation::Take => outcome(store.take(stem, BOUNDS, key).await, Outcome::Value),
        Operation::Delete => outcome(store.delete(stem, key).await, |()| Outcome::Done(true)),
        Operation::Increment(by) => outcome(store.increment(stem, BOUNDS, key, *by, ttl).await, Outcome::Sum),
        Operation::CountDistinct(member) => {
            outcome(store.count_distinct(stem, BOUNDS, key, member, ttl).await, Outcome::Count)
        }
    }
}

/// Plays half of the operations, lets everything short expire, and plays the rest. False if the first half took so long that
/// short keys may have expired meanwhile, in Redis alone: then nothing can be said.
async fn play(server: &RedisServer, seed: u64, short_ms: u64) -> bool {
    let store = RedisStore::new(redis_link::Server::single(&server.url()).unwrap(), &format!("m{short_ms}"), PATIENT);
    let ledger = Arc::new(Ledger::new(MemoryBounds::default()));
    let mut rng = StdRng::seed_from_u64(seed);
    let mut worlds: Vec<(Stem, Space)> = Vec::new();
    for index in 0..WORLDS {
        worlds.push((store.stem(&format!("p{index}:t")), Space::new(Arc::new(Account::new(Arc::clone(&ledger))))));
    }
    server.cli::<()>(&format!("SET first 1 PX {}", short_ms / 2)).await;
    let mut now = 0;
    for half in 0..2 {
        for (index, (stem, space)) in worlds.iter_mut().enumerate() {
            for step in 0..OPERATIONS {
                let (operation, key, short) = draw(&mut rng);
                let ttl = if short && half == 0 { short_ms } else { LONG_MS };
                let wanted = in_memory(space, now, &operation, key, ttl);
                let found = in_redis(&store, stem, &operation, key, ttl).await;
                if half == 0 && wanted != found && server.cli::<i64>("EXISTS first").await == 0 {
                    return false;
                }
                assert_eq!(
                    found, wanted,
                    "redis, memory: {operation:?} {key:?}, step {step} of half {half} in world {index}; \
                     replay with STREAMVAULT_SEED={seed}"
                );
            }
        }
        if half == 0 && server.cli::<i64>("EXISTS first").await == 0 {
            return false;
        }
        server.cli::<()>(&format!("SET last 1 PX {}", short_ms + 100)).await;
        super::eventually("all that is short expires", async || server.cli::<i64>("EXISTS last").await == 0).await;
        now += short_ms + 100;
    }
    drop(worlds);
    assert_eq!(ledger.taken(), (0, 0), "STREAMVAULT_SEED={seed}");
    true
}

#[tokio::test]
async fn memory_and_redis_agree() {
    let given = std::env::var("STREAMVAULT_SEED").ok().map(|seed| seed.parse().expect("STREAMVAULT_SEED is a number"));
    let seed = given.unwrap_or_else(rand::random);
    println!("STREAMVAULT_SEED={seed}");
    let server = RedisServer::start().await;
    for short_ms in [1_500, 6_000, 24_000] {
        if play(&server, seed, short_ms).await {
            return;
        }
    }
    panic!("the machine is too slow to say: half of the operations took over twelve seconds");
}
