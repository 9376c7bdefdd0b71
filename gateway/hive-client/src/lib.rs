//! The gateway's side of the gateway-to-hive contract: a [`slice::SliceOrigin`] over HTTP.
//!
//! What it does: asks one of several hives for a media's description or a range of it, checks every answer against the contract
//! (status, ETag, `Content-Range`, length), goes on with the next hive where one can't answer, and resumes a transfer that breaks, at
//! the byte where it broke and on whichever hive can, for as long as the retry window allows. What it refuses to do: caching, choosing statuses for viewers, trusting lengths it did
//! not count. Who calls it: `cache`, through the trait; `edge` only builds it. What stays true: a body yields exactly
//! the bytes of the range, of exactly the version asked for, or ends with an error.

mod address;
mod answer;
mod body;
mod client;
mod fleet;
mod patience;
mod retry;
mod stats;
mod transport;

pub use address::HiveAddress;
pub use client::{HiveClient, HiveConfig};
pub use stats::HiveStats;
