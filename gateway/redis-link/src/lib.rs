//! Connections to Redis, whichever form it has: a single server, a Cluster, or the master that Sentinels name.
//!
//! What it does: knows where Redis is ([`Server`]), connects, and keeps one connection that all callers share ([`Shared`]), made when it
//! is first needed and anew when it broke.
//! What it refuses to do: try a failed operation again, run anything in the background, print an address (it may hold a password).
//! Who calls it: `plugin-kv`, `broadcast` and `rates`. What they ask must stay within one hash slot for each call, or a Cluster refuses it.
//! What stays true: a connection that broke, or whose server became a replica, is never handed out again; whoever comes while a
//! connection is being made waits for that one.
//!
//! A Sentinel's master is looked up for every new connection, so a failover costs what was under way and one look-up. A Cluster's
//! redirections are followed by the connection itself.

mod server;
mod shared;

pub use server::{AddressError, Connection, Login, Server};
pub use shared::{Failure, Shared};
