//! Instances: whose they are, how many there are, how long they live.

use crate::guest::{Guest, REPLY, deny};
use crate::rig::{Rig, ask, chain, failures, request, stats, until, word};
use plugin_host::{Outcome, Plugins};
use plugin_kv::Kv;
use std::time::Duration;

/// Refuses with 400 and the number of calls that its memory remembers.
fn remembering() -> Guest {
    Guest::policy(&format!(
        "(call $drop (local.get $request))
         (i32.store16 (i32.const {status}) (i32.add (i32.const 400) (i32.load (i32.const 96))))
         (i32.store (i32.const 96) (i32.add (i32.load (i32.const 96)) (i32.const 1)))
         i32.const {REPLY}",
        status = REPLY + 8,
    ))
    .data(REPLY, deny(0, 0, 0).bytes())
}

async fn statuses(plugins: &Plugins, tenants: &[&str]) -> Vec<String> {
    let mut words = Vec::new();
    for tenant in tenants {
        words.push(word(&chain(plugins, tenant).policy(&request(1)).await));
    }
    words
}

#[tokio::test]
async fn no_tenant_meets_the_memory_of_another() {
    let rig = Rig::new();
    let plugins = rig.policy("", &remembering()).await;
    assert_eq!(statuses(&plugins, &["a", "a", "b", "a", "b", "c"]).await, ["400", "401", "400", "402", "401", "400"]);
    assert_eq!((stats(&plugins).created, stats(&plugins).idle), (3, 3));
}

#[tokio::test]
async fn an_instance_for_each_call() {
    let rig = Rig::new();
    let plugins = rig.policy("isolation = \"request\"", &remembering()).await;
    assert_eq!(statuses(&plugins, &["a", "a", "a"]).await, ["400", "400", "400"]);
    let now = stats(&plugins);
    assert_eq!((now.created, now.retired, now.idle, now.busy), (3, 3, 0, 0));
}

#[tokio::test]
async fn instances_retire() {
    let rig = Rig::new();
    let plugins = rig.policy("[limits]\ncalls = 3", &remembering()).await;
    assert_eq!(statuses(&plugins, &["a"; 7]).await, ["400", "401", "402", "400", "401", "402", "400"]);
    assert_eq!((stats(&plugins).created, stats(&plugins).retired), (3, 2));
}

/// Runs until the clock of the host says two milliseconds more: long enough that others come meanwhile.
fn slow() -> Guest {
    Guest::policy(
        "(local $end i64)
         (local.set $end (i64.add (call $now ) (i64.const 2)))
         (loop $l (br_if $l (i64.lt_u (call $now ) (local.get $end))))
         (call $drop (local.get $request))
         i32.const 512",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_calls_than_instances_wait() {
    let rig = Rig::new();
    let plugins = rig.policy("[limits]\ninstances = 2\ntime = \"10s\"\nwall = \"60s\"", &slow()).await;
    let chain = chain(&plugins, "films");
    let calls: Vec<_> = (0..40)
        .map(|message| {
            let chain = chain.clone();
            tokio::spawn(async move { chain.policy(&request(message)).await })
        })
        .collect();
    for call in calls {
        assert_eq!(word(&call.await.unwrap()), "allow");
    }
    let now = stats(&plugins);
    assert!(now.created <= 2 && now.waits > 0 && now.busy == 0, "{now:?}");
    assert_eq!((now.latency.count(), now.discarded), (40, 0));
}

/// One instance in all, many tenants: an idle one makes room for the next, and nobody is turned away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_share_the_places_of_the_host() {
    let rig = Rig::with_instances(1);
    let plugins = rig.policy("[limits]\ntime = \"10s\"\nwall = \"60s\"", &slow()).await;
    let calls: Vec<_> = (0..24)
        .map(|message| {
            let chain = chain(&plugins, ["a", "b", "c"][message as usize % 3]);
            tokio::spawn(async move { chain.policy(&request(message)).await })
        })
        .collect();
    for call in calls {
        assert_eq!(word(&call.await.unwrap()), "allow");
    }
    let now = stats(&plugins);
    assert!(now.idle <= 1 && now.waits > 0, "{now:?}");
}

/// A store that never answers: the call ends at its wall, and one that waits for the instance meanwhile at its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wall_bounds_all_waiting() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let rig = Rig::with(1, Kv::redis(&url, "test", Duration::from_secs(60)).unwrap());
    let asking = Guest::evil(
        "(call $set (i32.const 256) (i32.const 8) (i32.const 256) (i32.const 8) (i32.const 60) (i32.const 128))",
    );
    let patient = rig.spec("patient", "hook = \"policy\"\n[limits]\nwall = \"60s\"", &asking.component());
    let hasty = rig.spec("hasty", "hook = \"policy\"\n[limits]\nwall = \"20ms\"", &asking.component());
    let (only_hasty, _) = rig.open(vec![hasty.clone()]).await;
    assert_eq!(word(&ask(&only_hasty, 666).await), "wall");
    assert_eq!((stats(&only_hasty).discarded, stats(&only_hasty).busy), (1, 0));

    let (only_patient, changes) = rig.open(vec![patient]).await;
    assert!(matches!(changes[0].outcome, Outcome::Loaded { .. }));
    let waiting = chain(&only_patient, "films");
    let waiting = tokio::spawn(async move { waiting.policy(&request(666)).await });
    until(|| stats(&only_patient).busy == 1).await;
    assert_eq!(word(&ask(&only_hasty, 1).await), "busy");
    assert_eq!(failures(&stats(&only_hasty), "busy"), 1);
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(word(&ask(&only_hasty, 1).await), "allow");
}

/// However many tenants ask a plugin, half of the instances are left to others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_plugin_takes_all_places() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let rig = Rig::with(4, Kv::redis(&url, "test", Duration::from_secs(60)).unwrap());
    let asking = Guest::evil(
        "(call $set (i32.const 256) (i32.const 8) (i32.const 256) (i32.const 8) (i32.const 60) (i32.const 128))",
    );
    let greedy = rig.spec("greedy", "hook = \"policy\"\n[limits]\nwall = \"60s\"", &asking.component());
    let neighbour = rig.spec("neighbour", "hook = \"policy\"", &asking.component());
    let (greedy, _) = rig.open(vec![greedy]).await;
    let (neighbour, _) = rig.open(vec![neighbour]).await;
    let calls: Vec<_> = ["a", "b", "c", "d"]
        .map(|tenant| {
            let chain = chain(&greedy, tenant);
            tokio::spawn(async move { chain.policy(&request(666)).await })
        })
        .into();
    until(|| stats(&greedy).busy + stats(&greedy).waits >= 4).await;
    assert_eq!(word(&ask(&neighbour, 1).await), "allow");
    assert_eq!((stats(&greedy).busy, stats(&greedy).waits), (2, 2));
    for call in calls {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    assert_eq!(word(&ask(&greedy, 1).await), "allow");
}

#[tokio::test]
async fn memory_is_told() {
    let rig = Rig::new();
    let plugins = rig
        .policy(
            "",
            &Guest::policy("(drop (memory.grow (i32.const 10))) (call $drop (local.get $request)) i32.const 512"),
        )
        .await;
    assert_eq!(word(&ask(&plugins, 1).await), "allow");
    assert!(stats(&plugins).memory_high_water >= 12 << 16, "{:?}", stats(&plugins));
}
