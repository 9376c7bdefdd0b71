//! The hive's HTTP face, as a library that the `worker-hive` command and tests start.
//!
//! What it does: answers the contract of `wire` out of a `pool` of Telegram sessions, over a unix socket or TCP, HTTP/1.1 or h2c;
//! keeps manifests of virtual files and serves their parts as one; lists the channels that its sessions see; shows metrics, health and its sessions to the operator; drains on stop. What it refuses to do: cache bytes, know viewers, speak to anyone
//! without the token. Who calls it: the `worker-hive` command, and the test harness in process. What stays true: every answer is a
//! row of the contract; a body that fails breaks its connection; statuses are chosen in `refusal` alone.

mod admin;
mod channels;
mod greeting;
mod hive;
mod hives;
mod joined;
mod listen;
mod media;
mod metrics;
mod options;
mod refusal;
mod roster;
mod running;
mod sending;
mod session_metrics;
mod sessions;
mod shares;
mod virtual_api;
mod virtual_files;
mod virtual_media;
mod virtual_text;

pub use hive::{Hive, HiveError};
pub use options::{HiveOptions, OptionsError, SharedLeases, store_key};
