//! Sessions on their way into a hive's store, inside it, and out of it: with the clients that made them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod imports;
#[path = "../hive/rig.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod rig;
mod store;
