//! The public edge: pingora listeners, the request flow, refusals, metrics and the `gateway` command.
//!
//! What it does: takes a viewer's request through the steps of [`flow`], one after the other, and writes the answer.
//! What it refuses to do: judge links itself (`link`) or viewers' tokens (`viewer`), count streams (`limits`), run plugins
//! (`plugin-host`), plan ranges (`slice`), touch the disk (`cache`) or the hive (`hive-client`), know who owns which film (`peers`). Who calls it: the `gateway` binary. What stays true: the flow's types make a step impossible
//! before the one it needs; every ending is a row of [`outcome`]; only [`refusal`] and [`answer`] choose a status;
//! pingora's types stay in `server`, `signals`, `background`, `proxy`, `serve`, `admin` and `peer_listener`.

mod accept;
mod access_log;
mod acts;
mod admin;
mod answer;
mod authorize;
mod background;
mod cache_admin;
mod cache_command;
mod clear;
mod clock;
mod columns;
mod command;
mod crowd;
mod directory;
mod downstream;
mod edge;
mod entitle;
mod exchange;
mod facts;
mod flow;
mod http1;
mod identify;
mod json_line;
mod labels;
mod log_writer;
mod maintenance;
mod metrics;
mod observe;
mod outcome;
mod peer_answer;
mod peer_listener;
mod permit;
mod place;
mod plan;
mod playlist;
mod plugin_admin;
mod plugin_metrics;
mod plugins;
mod proxy;
mod refusal;
mod reload;
mod remote;
mod selection;
mod serve;
mod server;
mod signals;
mod takedown;
mod takedown_admin;
mod takedown_command;
mod tenant;
mod tenants;

pub use command::main;
