//! What several gateways agree about while Redis is there.

use super::servers::{Gateway, Redis, UNIX, daily, eventually};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rates::{Full, Limited, Rates, Route, RouteRates, Scope, Who};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gateways_pass_what_one_may() {
    let redis = Redis::start(&[]).await;
    let gateways = [Gateway::start(redis.server(), None), Gateway::start(redis.server(), None)];
    for gateway in &gateways {
        gateway.sees(2).await;
    }
    let [first, second] = &gateways;
    let passes = |gateway: &Gateway| {
        let (rates, who) = (RouteRates { address: Some(daily(500)), ..RouteRates::default() }, "192.0.2.1");
        let workers = (0..8).map(|_| {
            let ours = gateway.rates.clone();
            tokio::spawn(async move {
                let who = Who { tenant: "films", address: Some(who), identity: None };
                let mut passed = 0;
                for _ in 0..100 {
                    passed += u64::from(ours.check(Route::Sign, &rates, &who, Duration::ZERO).await.is_ok());
                }
                passed
            })
        });
        workers.collect::<Vec<_>>()
    };
    let mut passed = 0;
    for worker in passes(first).into_iter().chain(passes(second)) {
        passed += worker.await.unwrap();
    }
    // A call that was slow on a busy machine is decided by one gateway alone, within its share, and told later.
    let alone: u64 = gateways.iter().flat_map(|gateway| gateway.rates.stats().routes).map(|route| route.alone).sum();
    assert!((490..=510).contains(&passed), "{passed} of 500 passed, {alone} decided alone");
    assert!(alone > 0 || passed == 500, "{passed}");
    // Gone when it is empty, and no sooner.
    let key = redis.cli("KEYS *sign:address*");
    let left: u64 = redis.cli(&format!("PTTL {}", key.trim())).trim().parse().unwrap();
    assert!((86_000_000..=86_400_001).contains(&left), "{key} {left}");
}

/// Buckets in Redis and in the process are held against each other, over days' windows, in which nothing comes back.
#[tokio::test]
async fn redis_and_process_decide_alike() {
    let seed: u64 = std::env::var("RATES_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    let mut random = StdRng::seed_from_u64(seed);
    let redis = Redis::start(&[]).await;
    let shared = Gateway::start(redis.server(), None);
    shared.sees(1).await;
    let alone = Rates::new(None, None, UNIX).unwrap();
    for step in 0..600 {
        let mut rate =
            || random.random_bool(0.7).then(|| daily(*[3, 5, 40, 90].get(random.random_range(0..4)).unwrap()));
        let rates = RouteRates { address: rate(), identity: rate(), tenant: rate() };
        let name = |random: &mut StdRng| ["a", "b", "c"][random.random_range(0..3)];
        let (address, identity) = (name(&mut random), name(&mut random));
        let who = Who { tenant: name(&mut random), address: Some(address), identity: Some(identity) };
        let route = Route::ALL[random.random_range(0..4)];
        let before = shared.rates.stats().redis_failures;
        let told = shared.rates.check(route, &rates, &who, Duration::ZERO).await;
        let own = alone.check(route, &rates, &who, Duration::ZERO).await;
        if shared.rates.stats().redis_failures != before {
            // A machine so busy that Redis took longer than a request waits: nothing can be said from here on.
            return;
        }
        let remaining = |passed: &Result<rates::Passed, Limited>| {
            let field = match passed {
                Ok(passed) => passed.limit_field(),
                Err(limited) => limited.limit_field(),
            };
            let members = field.unwrap_or_default();
            members.split(", ").filter_map(|member| member.split(";t=").next().map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(told.is_ok(), own.is_ok(), "seed {seed}, step {step}: {told:?} {own:?}");
        assert_eq!(remaining(&told), remaining(&own), "seed {seed}, step {step}");
    }
}

#[tokio::test]
async fn a_refusal_names_whose_rate_it_was() {
    let redis = Redis::start(&[]).await;
    let gateway = Gateway::start(redis.server(), None);
    gateway.sees(1).await;
    let rates = RouteRates { address: Some(daily(9)), identity: Some(daily(2)), tenant: None };
    let who = Who { tenant: "films", address: Some("192.0.2.1"), identity: Some("alice") };
    for _ in 0..2 {
        gateway.rates.check(Route::Sign, &rates, &who, Duration::ZERO).await.unwrap();
    }
    let limited = gateway.rates.check(Route::Sign, &rates, &who, Duration::ZERO).await.unwrap_err();
    assert_eq!((limited.route, limited.scope), (Route::Sign, Scope::Identity));
    assert!((43_190..=43_200).contains(&limited.retry_after().as_secs()), "{limited:?}");
    // The address was not charged for it.
    assert!(limited.limit_field().unwrap().starts_with("\"sign-address\";r=7;"), "{limited:?}");
}

#[tokio::test]
async fn a_viewer_has_its_streams_over_all_gateways() {
    let redis = Redis::start(&[]).await;
    let [first, second] = [Gateway::start(redis.server(), None), Gateway::start(redis.server(), None)];
    first.sees(2).await;
    second.sees(2).await;
    let tenant: Arc<str> = "films".into();
    let open = async |gateway: &Gateway, viewer: &str, film: &str| {
        gateway.rates.open(&tenant, viewer, film, (Some(2), Some(3))).await
    };
    let a = open(&first, "alice", "a").await.unwrap();
    let b = open(&second, "alice", "b").await.unwrap();
    assert_eq!(open(&first, "alice", "c").await.err(), Some(Full::Viewer));
    // The same film by way of another gateway is the same stream of the viewer's.
    let same = open(&second, "alice", "a").await.unwrap();
    assert_eq!(open(&second, "bob", "a").await.err(), Some(Full::Tenant), "the tenant has three places");
    drop((b, same));
    // What ended is told of at once.
    eventually("the others learn of it", async || open(&first, "alice", "c").await.is_ok()).await;
    drop(a);
    eventually("all are gone", async || {
        let (one, two) = (open(&second, "bob", "x").await, open(&first, "bob", "y").await);
        one.is_ok() && two.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_month_is_summed_up_over_gateways_and_told_again_to_a_redis_without_memory() {
    let redis = Redis::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("first.json"), folder.path().join("second.json"));
    let [first, second] = [Gateway::start(redis.server(), Some(&here)), Gateway::start(redis.server(), Some(&there))];
    let tenant: Arc<str> = "films".into();
    let accounts = [&first, &second].map(|gateway| gateway.rates.account(&tenant, 1_000));
    accounts[0].add(600);
    assert!(!accounts[0].is_spent());
    accounts[1].add(400);
    let spent = async || accounts.iter().all(|account| account.sent() == 1_000 && account.is_spent());
    eventually("both know of both", spent).await;
    redis.cli("FLUSHALL");
    eventually("it is told again", async || redis.cli("HVALS test:{rates:films}:sent:2026-11").contains("600")).await;
    eventually("and the sum stands", spent).await;
    // A gateway that comes again goes on under its own name.
    first.rates.write().unwrap();
    drop(first);
    let again = Gateway::start(redis.server(), Some(&here));
    let account = again.rates.account(&tenant, 1_000);
    eventually("the sum is the same", async || account.sent() == 1_000).await;
    assert_eq!(redis.cli("HLEN test:{rates:films}:sent:2026-11").trim(), "2");
}

#[tokio::test]
async fn a_process_and_the_one_that_takes_its_place_count_apart_and_are_one_gateway() {
    let redis = Redis::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sent.json");
    let old = Gateway::start(redis.server(), Some(&file));
    old.sees(1).await;
    let tenant: Arc<str> = "films".into();
    let before = old.rates.account(&tenant, 1_000);
    before.add(100);
    let bounds = (Some(1), Some(10));
    let _place = old.rates.open(&tenant, "alice", "a", bounds).await.unwrap();
    let months = "test:{rates:films}:sent:2026-11";
    eventually("it is told", async || redis.cli(&format!("HVALS {months}")).contains("100")).await;
    old.rates.hand_over().unwrap();
    old.rates.go_apart();
    let new = Gateway::start(redis.server(), Some(&file));
    new.sees(1).await;
    let after = new.rates.account(&tenant, 1_000);
    before.add(1);
    after.add(10);
    eventually("each knows of both", async || [&before, &after].iter().all(|account| account.sent() == 111)).await;
    assert_eq!(redis.cli(&format!("HLEN {months}")).trim(), "2");
    // One has streams, the other has not: what it says of its own takes nothing away.
    let other = new.rates.open(&tenant, "bob", "x", bounds).await.unwrap();
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(new.rates.open(&tenant, "alice", "b", bounds).await.is_err(), "it watches at the old one");
    }
    drop(other);
    assert_eq!((old.rates.gateways(), new.rates.gateways()), (1, 1));
}
