//! Starts a simulated Telegram in process, a hive and a gateway as the binaries that operators run, all on free ports, and
//! asks them what viewers would.
//!
//! What it does: [`Stack`] holds the three up and can kill and restart them; [`Client`] asks over plain sockets and tells a
//! broken body from a whole one; [`case`] runs `tests/cases/<area>/<behaviour>.case` files; [`Terminal`] is a person at a prompt. What it refuses to do: share code
//! with what it tests. Links are signed by its own ten lines, expected bytes come from the simulator's world. Who calls it:
//! the tests under `tests/` and the benchmarks. What stays true: dropping a stack leaves no process and no file behind.

mod acme;
mod api;
mod browser;
pub mod case;
mod client;
mod collector;
mod curl;
mod disk;
mod eventually;
mod films;
mod fleet;
mod guest;
pub mod hostile;
mod plugins;
mod process;
mod redis;
mod self_signed;
mod settings;
mod sign;
mod stack;
mod successors;
mod terminal;

pub use acme::AcmeServer;
pub use api::Told;
pub use browser::Browser;
pub use client::{Answer, Client};
pub use collector::{Collector, ToldSpan};
pub use curl::{Curl, Got, browse};
pub use eventually::eventually;
pub use films::{Film, NewFilm, size};
pub use fleet::{Gateway, PEERS_TOKEN};
pub use guest::{Fixed, spinning};
pub use plugins::{Guest, PluginSettings};
pub use process::{Process, ProcessError, binary};
pub use redis::{Redis, RedisFleet};
pub use rustix::process::Signal;
pub use self_signed::{SelfSigned, self_signed};
pub use settings::{ADMIN_TOKEN, Settings};
pub use sign::{SECRET, path_escape, sign, token, viewer_token};
pub use stack::{Printed, Stack};
pub use terminal::Terminal;

/// What harness code fails with: tests print it and stop.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
