//! Redis in its other forms, and Redis that comes and goes.

use super::servers::{Gateway, Redis, eventually, free_port, nobody};
use plugin_kv::{Kv, KvBounds};
use redis_link::Server;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_gone_each_gateway_keeps_its_share_and_tells_of_it_later() {
    let mut redis = Redis::start(&[]).await;
    let gateways = [Gateway::start(redis.server(), None), Gateway::start(redis.server(), None)];
    for gateway in &gateways {
        gateway.sees(2).await;
    }
    let [first, second] = &gateways;
    assert_eq!(first.pass(100, 60, "known").await, 60);
    // What Redis said last is known to who asked it; the other asks once.
    assert_eq!(second.pass(100, 1, "known").await, 1);
    redis.stop();
    for gateway in &gateways {
        eventually("it is noticed", async || gateway.is_away()).await;
    }
    // Half of what was left, each.
    let left = first.pass(100, 100, "known").await + second.pass(100, 100, "known").await;
    assert!((38..=40).contains(&left), "{left}");
    // Half of everything for who is new.
    assert_eq!([first.pass(100, 100, "new").await, second.pass(100, 100, "new").await], [50, 50]);
    // More gateways than tokens: one each.
    assert_eq!([first.pass(1, 10, "rare").await, second.pass(1, 10, "rare").await], [1, 1]);

    // Empty, and yet nobody gets a second helping: it is told what was let through.
    redis.run().await;
    for gateway in &gateways {
        eventually("it is back", async || !gateway.is_away()).await;
    }
    let again =
        second.pass(100, 1, "new").await + first.pass(100, 100, "new").await + second.pass(100, 100, "new").await;
    assert!(again <= 51, "{again}");
    assert_eq!([first.pass(100, 100, "new").await, second.pass(100, 100, "new").await], [0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_takes_all_keys_of_a_decision() {
    let bus = free_port().to_string();
    let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-announce-ip", "127.0.0.1"];
    let redis = Redis::start(&arguments).await;
    assert!(redis.cli("CLUSTER ADDSLOTSRANGE 0 16383").contains("OK"));
    eventually("the cluster is up", async || redis.cli("CLUSTER INFO").contains("cluster_state:ok")).await;
    let server = || Server::cluster(&[redis.address()], &nobody()).unwrap();
    let [first, second] = [Gateway::start(server(), None), Gateway::start(server(), None)];
    first.sees(2).await;
    second.sees(2).await;
    assert_eq!(first.pass(100, 70, "a").await + second.pass(100, 70, "a").await, 100);
    let tenant = "films".into();
    let place = first.rates.open(&tenant, "alice", "a", (Some(1), Some(10))).await.unwrap();
    assert!(second.rates.open(&tenant, "alice", "b", (Some(1), Some(10))).await.is_err());
    drop(place);
    first.rates.account(&tenant, 1_000).add(7);
    let sum = second.rates.account(&tenant, 1_000);
    eventually("sums are learnt", async || sum.sent() == 7).await;

    // The plugins' store, whose keys have tags of their own.
    let kv = Kv::redis_at(server(), "test", Duration::from_secs(10)).unwrap();
    for tenant in ["films", "others", "third"] {
        let bounds = KvBounds { keys: 10, value: 100 };
        let space = kv.namespace("plugin", Some(tenant), bounds).unwrap();
        space.set("key", tenant.as_bytes(), 60).await.unwrap();
        assert_eq!(space.get("key").await.unwrap().as_deref(), Some(tenant.as_bytes()));
        assert_eq!(space.increment("number", 5, 60).await, Ok(5));
        assert_eq!(space.count_distinct("set", "member", 60).await, Ok(1));
        space.delete("key").await.unwrap();
        assert_eq!(space.take("key").await, Ok(None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_master_is_who_the_sentinels_say() {
    let mut master = Redis::start(&[]).await;
    let port = master.port.to_string();
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &port]).await;
    let sentinel = Redis::sentinel(master.port).await;
    eventually("the sentinel knows the replica", async || {
        sentinel.cli("SENTINEL REPLICAS films").contains(&replica.port.to_string())
    })
    .await;
    let server = Server::sentinel(&[sentinel.address()], &nobody(), "films", &nobody(), 0).unwrap();
    let gateway = Gateway::start(server, None);
    gateway.sees(1).await;
    assert_eq!(gateway.pass(100, 30, "a").await, 30);
    eventually("the replica has it", async || replica.cli("KEYS *sign:address*").contains("films")).await;
    master.stop();
    eventually("it is noticed", async || gateway.is_away()).await;
    assert_eq!(gateway.pass(100, 20, "a").await, 20, "nobody is refused for want of Redis");
    eventually("the replica is master", async || replica.cli("ROLE").starts_with("master")).await;
    eventually("it is found", async || !gateway.is_away()).await;
    // It knows of the first thirty, and is told of the twenty.
    assert_eq!(gateway.pass(100, 100, "a").await, 50);
}
