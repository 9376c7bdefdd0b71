//! Against real servers: a single one, a Cluster, and a master that Sentinels change. Counters decide, and windows are a day long, so that
//! what comes back meanwhile is less than one request.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod suite {
    mod fleet;
    mod servers;
    mod shared;
}
