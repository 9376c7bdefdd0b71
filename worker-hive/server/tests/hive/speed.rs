//! How fast the hive is against a Telegram with the shape of the real one: 40 ms away, 6 MB/s on each connection. Ignored, as it
//! measures the machine too: run it with `--run-ignored all --no-capture`.

use crate::rig::{MIB, Rig, film, finish, path};
use http::Method;
use std::time::{Duration, Instant};
use telegram_sim::{Account, Shape};

const SHAPE: Shape =
    Shape { rtt_ms: 40, connection_bytes_per_second: 6_000_000, account_bytes_per_second: 0, flood: None };
const AUTH: (&str, &str) = ("authorization", "Bearer test-token");
const SIZE: u64 = 256 * MIB;

async fn rig(accounts: usize) -> Rig {
    let names = ["ann", "ben", "cleo", "dora"];
    let accounts = names[..accounts].iter().zip(7001..).map(|(name, id)| Account::bot(name, id)).collect();
    let documents = (0..4).map(|extra| film(2, SIZE + extra)).collect();
    let rig = Rig::start_with(accounts, documents, |options| {
        (options.client.connections_min, options.client.connections) = (2, 8);
        options.client.call_timeout = Duration::from_secs(5);
    })
    .await;
    rig.sim.set_shape(SHAPE);
    rig
}

#[expect(clippy::disallowed_methods, reason = "a speed is measured by the clock on the wall")]
async fn megabytes_per_second(rig: &Rig, viewers: i32) -> f64 {
    let started = Instant::now();
    let mut bodies = Vec::new();
    for message in 1..=viewers {
        bodies.push(async move {
            let response = rig.open(Method::GET, &path(message), &[AUTH]).await;
            finish(response).await.whole().len()
        });
    }
    let lengths = futures_util::future::join_all(bodies).await;
    let sum: usize = lengths.into_iter().sum();
    sum as f64 / started.elapsed().as_secs_f64() / 1e6
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures the machine"]
async fn one_stream_uses_all_connections_of_its_account() {
    let rig = rig(1).await;
    rig.until_metric("hive_session_state{session=\"ann\",state=\"ready\"} 1").await;
    let speed = megabytes_per_second(&rig, 1).await;
    println!("one stream, one account: {speed:.1} MB/s of 48, {} connections", rig.counts().open[&2]);
    assert!(speed >= 0.9 * 48.0, "{speed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures the machine"]
async fn four_viewers_use_four_accounts() {
    let rig = rig(4).await;
    rig.until("all are known", |counts| counts.calls("users.getUsers") == 4).await;
    let speed = megabytes_per_second(&rig, 4).await;
    println!("four streams, four accounts: {speed:.1} MB/s of 192, {} connections", rig.counts().open[&2]);
    assert!(speed >= 0.9 * 192.0, "{speed}");
}
