//! How accounts reach Telegram: over real proxies on loopback, to a simulated data-centre that says who came from where.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on stops")]

mod carried;
mod cost;
mod life;
mod proxies;
mod refused;
mod rig;
