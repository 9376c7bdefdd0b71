//! The seed of a run: printed, and replayed by `STREAMVAULT_SEED`.

use std::hash::{BuildHasher, Hasher, RandomState};

/// The given seed, else a fresh one. It shows up in the output of a test that fails.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("STREAMVAULT_SEED").ok().map(|seed| seed.parse().expect("STREAMVAULT_SEED is a number"));
    let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    println!("STREAMVAULT_SEED={seed}");
    seed
}
