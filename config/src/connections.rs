//! The gateway's settings of viewers' connections.

use crate::report::Report;
use crate::units::TimeSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use std::time::Duration;

/// As many as a port has to one address, and more: what is behind it is no viewer.
const MOST: u32 = 16_000_000;
/// RFC 9113 §6.5.2 advises at least 100 streams; a browser opens that many for a page of pictures.
const MOST_STREAMS: u32 = 1000;
const LONGEST: Duration = Duration::from_secs(600);

/// Viewers' connections: how many there may be, and how long one may take to say what it wants. Who is among proxies.trusted, or comes by a unix
/// socket, is not counted by address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Connections {
    /// Most connections at once. When they are reached, some that ask for nothing are closed for new ones, those first that have been idle
    /// long and come from an address with many; where none is idle, new ones are closed. If unset, three quarters of the files that the
    /// process may open.
    #[schemars(extend("example" = 50_000))]
    pub max: Option<NonZeroU32>,
    /// Most connections of one address (of IPv6, a /64), requests that run beside each other on one connection of HTTP/2 counted like
    /// connections; 0 for no bound. Whole companies and mobile networks share an address.
    pub max_per_address: u32,
    /// How long TLS may take to begin.
    pub handshake_timeout: TimeSpan,
    /// How long a request's head may take from its first byte to its last; with HTTP/2, the first bytes of the connection.
    pub head_timeout: TimeSpan,
    /// How long a request's body may take.
    pub body_timeout: TimeSpan,
    /// Requests that may run beside each other on one connection of HTTP/2.
    pub http2_streams: u32,
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            max: None,
            max_per_address: 1024,
            handshake_timeout: TimeSpan::seconds(20),
            head_timeout: TimeSpan::seconds(30),
            body_timeout: TimeSpan::seconds(30),
            http2_streams: 100,
        }
    }
}

impl Connections {
    pub(crate) fn check(&self, report: &mut Report<'_>) {
        let is_bound = |bound: u32| bound <= MOST;
        report.require(self.max.is_none_or(|max| is_bound(max.get())), "connections.max", "must be at most 16000000");
        report.require(is_bound(self.max_per_address), "connections.max_per_address", "must be at most 16000000");
        let streams = (1..=MOST_STREAMS).contains(&self.http2_streams);
        report.require(streams, "connections.http2_streams", "must be from 1 to 1000");
        for (key, time) in [
            ("connections.handshake_timeout", self.handshake_timeout),
            ("connections.head_timeout", self.head_timeout),
            ("connections.body_timeout", self.body_timeout),
        ] {
            let is_time = (Duration::from_millis(100)..=LONGEST).contains(&time.get());
            report.require(is_time, key, "must be from 100ms to 10m");
        }
    }
}
