//! The plugins' key-value store, in memory or in Redis.
//!
//! What it does: keeps small values, numbers and counted sets for each plugin and tenant, each for a time, within bounds;
//! the operations and their errors are those of `kv` in `plugins/wit/imports.wit`.
//! What it refuses to do: keep anything for ever, list keys, let one namespace see another's, run anything in the background,
//! print the address of Redis, wait longer than its timeout.
//! Who calls it: `plugin-host`, for each call of a guest's `kv` import. It makes one [`Kv`], and a [`Namespace`] for each
//! plugin and tenant.
//! What stays true: both stores give the same answers, which a seeded random test holds them to; an operation is done by one
//! caller at a time, also between gateways that share a Redis; what a namespace holds never exceeds its [`KvBounds`], and in
//! memory what all hold never exceeds the [`MemoryBounds`], of which one namespace takes an eighth at most and one plugin a half.
//! Two plugins that keep all they may can still leave no room for a third; and how much a Redis holds in all is its own
//! `maxmemory`'s matter.
//!
//! # In memory
//!
//! Each namespace has a lock of its own. What has expired is never seen again and is cleared away by whoever comes by; once
//! in half a minute, and when the store is full, one caller does a part of it for namespaces that nobody asks for, and the next
//! ones go on until all is clear.
//!
//! # In Redis
//!
//! With the default prefix `sv`, plugin `ads-gate` (the name in the gateway's settings) and tenant `acme`:
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `sv:{ads-gate:acme}:k:<key>` | string | a value or a number |
//! | `sv:{ads-gate:acme}:c:<key>` | string (HyperLogLog) | a counted set |
//! | `sv:{ads-gate:acme}:i` | sorted set | the index: `k<key>` and `c<key>` by the millisecond at which they expire |
//!
//! What a plugin keeps for the gateway as a whole, as tenant plugins do, is under `{tenant-registry}`, without a colon. The braces
//! make a namespace one hash slot. Operators may write values themselves, and plugins read them like their own:
//!
//! ```text
//! redis-cli SET 'sv:{tenant-registry}:k:films.example.com' '{"id":"acme"}'
//! ```
//!
//! Such a key takes none of the namespace's places, expires only if it was told to, and is taken, changed and deleted like
//! any other. A key that is deleted by hand keeps its place in the index until it would have expired.
//!
//! The server is a single one, a Redis Cluster or the master that Sentinels name ([`Kv::redis_at`]).
//!
//! Scripts need Redis 6.2 or a server that speaks like it. Writes need room under the server's `maxmemory`: refused for want of
//! it they are [`KvError::Full`]. Set no eviction policy that touches these keys if tokens and locks must hold: an evicted lock
//! is a free lock.
//!
//! A server that is gone makes operations fail within the timeout. When it has failed for two timeouts one operation at a time
//! finds out whether it is back, and the others fail at once, so that a policy plugin that fails open stays quick.

mod error;
mod kv;
mod memory;
mod redis_store;
mod scripts;
mod space;
#[cfg(test)]
mod tests;

pub use error::{KvError, SetupError};
pub use kv::{Kv, KvBounds, MemoryBounds, Namespace};
