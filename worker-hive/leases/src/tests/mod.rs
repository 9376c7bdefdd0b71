//! The leases as hives meet them: random schedules of the pure parts, the script beside the ledger, and a real redis-server.

mod live;
mod model;
mod same;
mod server;

/// The seed of a random test from `STREAMVAULT_SEED`, or `count` of them, or as many as `STREAMVAULT_SEEDS` says.
fn seeds(count: u64) -> Vec<u64> {
    let told = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    match told("STREAMVAULT_SEED") {
        Some(seed) => vec![seed],
        None => (0..told("STREAMVAULT_SEEDS").unwrap_or(count)).map(|_| rand::random()).collect(),
    }
}
