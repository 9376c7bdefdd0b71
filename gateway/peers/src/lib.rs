//! Several gateways as one cache: each media has an owning gateway, which the others ask before they ask a hive.
//!
//! What it does: picks the owner of a media on a Ketama ring, the same in every gateway that knows the same members; asks it as a
//! hive is asked (the contract of `wire`, over `hive-client`); passes over an owner that is out of reach or silent, also in the
//! middle of a body, at the byte where it stood; reads and answers what others ask. What it refuses to do: viewers' rights (who
//! asks has judged them), listening, caching, asking a third gateway on behalf of a second. Who calls it: `cache`, through
//! [`slice::SliceOrigin`]; `edge` builds it and serves others by it. What stays true: a request of another gateway is answered
//! without waiting for any gateway, whatever the rings say (`board`); a body yields exactly the bytes of the range, of exactly the
//! version asked for, or ends with an error; for one dead or silent owner a request waits at most twice [`PeersConfig::patience`].
//!
//! Gateways that share a token trust each other's bytes, as they trust the hive's.

mod answer;
mod board;
mod body;
mod origin;
mod peer;
mod ring;
mod route;
mod stats;
#[cfg(test)]
mod tests;

pub use answer::{Asked, Refused, Wanted};
pub use board::AtHome;
pub use origin::{Member, Peers, PeersConfig, PeersError};
pub use stats::PeerStats;
