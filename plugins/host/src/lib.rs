//! Runs plugins: WebAssembly components behind the hooks of the request flow.
//!
//! What it does: compiles components (once, and keeps the code), holds warm instances for each plugin and tenant, puts one
//! question at a time to each within its limits, checks the answers, and swaps plugins while requests run.
//! What it refuses to do: read settings or manifests (`plugin-package`), keep keys and values (`plugin-kv`), choose
//! statuses or touch requests (`edge`), run code that was compiled elsewhere, pass on a reply that doesn't hold.
//! Who calls it: `edge`, once per request and hook; the admin API and SIGHUP, to change plugins.
//! What stays true: an instance is in one call or in one pool, and a pool serves one tenant. An instance whose call failed or
//! was left is never used again. A guest that runs gives its thread away each millisecond and is stopped when its time is
//! used up; one that was seen to run for that long is asked on another thread than the requests'. What a guest says reaches a viewer only through `reply`. A plugin that doesn't load changes nothing for the
//! others, nor for its own generation in service.

mod aside;
mod bindings;
mod call;
mod chain;
mod code;
mod counters;
mod edits;
mod engine;
mod failure;
mod generation;
mod guest;
mod hooks;
mod imports;
mod kept;
mod load;
mod plugins;
mod pool;
mod reload;
mod reply;
mod request;
mod running;
mod set;
mod slot;
mod state;
mod status;
mod text;
mod verdict;

pub use chain::Chain;
pub use counters::{LATENCY_BOUNDS, Latency, Stats};
pub use engine::{Host, HostConfig, HostError};
pub use failure::Failure;
pub use kept::{Likeness, Likening};
pub use load::CONTRACT;
pub use plugins::{AdminError, Plugins};
pub use reply::BadReply;
pub use request::{Claims, Identity, Link, Media, Request};
pub use status::{Change, GenerationStatus, Outcome, Status};
pub use verdict::{
    Ads, Branding, ByteRange, Cookie, Failed, Finished, Limits, Playlist, PlaylistKind, Policy, TenantRecord,
    TenantStatus,
};
