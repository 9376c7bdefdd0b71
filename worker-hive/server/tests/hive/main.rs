//! The hive against a simulated Telegram: unmodified grammers, real transport, real encryption.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod channels;
mod command;
mod downloads;
mod faults;
mod life;
mod login;
mod operation;
mod requests;
mod rig;
mod speed;
mod virtual_bodies;
mod virtual_command;
mod virtual_manifests;
