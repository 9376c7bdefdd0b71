//! The store as plugins meet it: in memory, and in a real redis-server.

mod memory;
mod model;
mod outage;
mod redis;
mod semantics;
mod server;

use crate::{Kv, KvBounds, MemoryBounds, Namespace};
use server::RedisServer;
use std::time::Duration;

const BOUNDS: KvBounds = KvBounds { keys: 100, value: 1_000 };

/// Long enough that a busy machine doesn't fail a test that is not about it.
const PATIENT: Duration = Duration::from_secs(20);

/// A namespace of each kind of store, fresh.
fn both(server: &RedisServer, plugin: &str, bounds: KvBounds) -> [(&'static str, Namespace); 2] {
    let redis = Kv::redis(&server.url(), "sv", PATIENT).unwrap();
    [("memory", Kv::in_memory(MemoryBounds::default())), ("redis", redis)]
        .map(|(name, kv)| (name, kv.namespace(plugin, Some("t"), bounds).unwrap()))
}

/// Asks again until it holds.
async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let asking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking).await.expect(what);
}
