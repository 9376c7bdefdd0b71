//! The public edge: pingora listeners, the request flow, refusals, metrics and the `gateway` command.
//!
//! What it does: takes a viewer's request through the steps of [`flow`], one after the other, and writes the answer.
//! What it refuses to do: judge links itself (`link`), plan ranges itself (`slice`), touch the disk (`cache`) or the
//! hive (`hive-client`). Who calls it: the `gateway` binary. What stays true: the flow's types make a step impossible
//! before the one it needs; every ending is a row of [`outcome`]; only [`refusal`] and [`answer`] choose a status;
//! pingora's types stay in `server`, `signals`, `proxy`, `serve` and `admin`.

mod accept;
mod access_log;
mod admin;
mod answer;
mod authorize;
mod command;
mod edge;
mod flow;
mod metrics;
mod outcome;
mod plan;
mod proxy;
mod refusal;
mod serve;
mod server;
mod signals;
mod tenant;

pub use command::main;
