//! What a route costs: a measurement to be run by hand, `--run-ignored all -E 'test(cost)' --no-capture`.

use crate::proxies::{Kind, Manner, Proxy};
use crate::rig::{Rig, config, world};
use mtproto::{ClientConfig, Route};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use telegram_sim::Sim;
use tokio::time::Instant;

const CHUNK: u64 = 512 * 1024;
/// Of the document's first three MiB, again and again.
const CHUNKS: u64 = 600;

/// Simulator, proxy and client share the machine: only the differences mean anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn of_each_route() {
    for what in ["direct", "socks5", "http", "mtproxy", "direct again"] {
        let sim = Sim::start(world()).unwrap();
        let socks = Proxy::start(Kind::Socks, Manner::Open).await;
        let http = Proxy::start(Kind::Http, Manner::Open).await;
        let front = sim.put_mtproxy([7; 16]).unwrap();
        let text = match what {
            "socks5" => format!("socks5://{}", socks.address),
            "http" => format!("http://{}", http.address),
            "mtproxy" => format!("mtproxy://dd{}@{front}", "07".repeat(16)),
            _ => "direct".to_owned(),
        };
        let one = ClientConfig { connections: 1, connections_min: 1, ..config(Route::parse(&text).unwrap()) };
        let rig = Arc::new(Rig::start(sim, one));
        let location = rig.locate(1).await;
        rig.exact(&location, 0, 4096).await.unwrap();
        let (began, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let workers = (0..4).map(|_| {
            let (rig, location, next) = (Arc::clone(&rig), location.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                while let n @ 0..CHUNKS = next.fetch_add(1, Ordering::Relaxed) {
                    let limit = u32::try_from(CHUNK).unwrap();
                    rig.account.get_chunk(&location, n % 6 * CHUNK, limit, &mtproto::Ask::new(false)).await.unwrap();
                }
            })
        });
        for worker in workers.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
        let rate = CHUNKS as f64 * CHUNK as f64 / began.elapsed().as_secs_f64() / 1e6;
        eprintln!("{what}: {rate:.0} MB/s over one connection");
    }
}
