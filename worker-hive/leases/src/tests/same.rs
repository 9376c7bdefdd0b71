//! The same random beats to the ledger and to the script in a real redis-server, with the same pretended clock: the same answers.

use super::seeds;
use super::server::RedisServer;
use crate::ledger::Ledger;
use crate::protocol::{Answer, Beat, Load, StoreFailure};
use crate::redis_store::RedisStore;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::collections::HashMap;
use std::time::Duration;

const TTL: u64 = 1200;
const RUNS: [&str; 3] = ["a/1", "b/2", "c.d-e_f/3"];
const ACCOUNTS: [i64; 5] = [1, -7, i64::MAX, i64::MIN, 0];
const PATIENCE: Duration = Duration::from_secs(20);
const WORLDS: u64 = 30;
const BEATS: usize = 80;

/// Some of them, with the fences that somebody knows, now and then a wrong one.
fn some(rng: &mut StdRng, fences: &HashMap<i64, u64>) -> Vec<(i64, u64)> {
    let mut list = Vec::new();
    for account in ACCOUNTS {
        if rng.random_bool(0.4) {
            let fence = fences.get(&account).copied().unwrap_or(1);
            list.push((account, (fence + rng.random_range(0..2)).saturating_sub(rng.random_range(0..2)).max(1)));
        }
    }
    list
}

#[tokio::test]
async fn the_script_does_what_the_ledger_does() {
    let server = RedisServer::start().await;
    for seed in seeds(WORLDS) {
        println!("STREAMVAULT_SEED={seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut ledger = Ledger::default();
        let mut redis = RedisStore::new(&server.url(), &format!("t{seed}")).unwrap();
        let (mut now, mut life, mut fences) = (1_000_000_u64, 0, HashMap::new());
        for step in 0..BEATS {
            now = match rng.random_range(0..40) {
                0 => now.saturating_sub(rng.random_range(0..3 * TTL)),
                1 => now + 86_400_000 + rng.random_range(0..100),
                2..6 => now + rng.random_range(TTL / 2..3 * TTL),
                _ => now + rng.random_range(0..TTL / 3),
            };
            life += u64::from(rng.random_range(0..40) == 0);
            let mut told = Vec::new();
            for account in ACCOUNTS {
                if rng.random_bool(0.3) {
                    let rests_for = Duration::from_millis(rng.random_range(0..3 * TTL));
                    told.push((
                        account,
                        Load { streams: rng.random(), bytes_per_second: rng.random_range(0..1 << 40), rests_for },
                    ));
                }
            }
            let beat = Beat {
                run: (*RUNS.choose(&mut rng).unwrap()).to_owned(),
                ttl: if rng.random_range(0..20) == 0 { TTL + 1 } else { TTL },
                sure: rng.random_bool(0.7),
                leave: rng.random_range(0..12) == 0,
                held: some(&mut rng, &fences),
                told,
                gone: some(&mut rng, &fences),
                wanted: ACCOUNTS.into_iter().filter(|_| rng.random_bool(0.3)).collect(),
            };
            redis.pretend(now, &format!("life{life}"));
            let expected = ledger
                .beat(now, &format!("life{life}"), &beat)
                .map_err(|ttl| StoreFailure::Refused(format!("other hives have a lease time of {ttl} ms")));
            let found = redis.beat(&beat, PATIENCE).await;
            assert_eq!(found, expected, "seed {seed}, step {step}, at {now}: {beat:?}");
            for (account, answer) in found.iter().flat_map(|reply| beat.wanted.iter().zip(&reply.answers)) {
                if let Answer::Granted { fence, .. } = answer {
                    fences.insert(*account, *fence);
                }
            }
        }
    }
}
