//! The hive against a simulated Telegram: unmodified grammers, real transport, real encryption.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod command;
mod downloads;
mod faults;
mod life;
mod requests;
mod rig;
