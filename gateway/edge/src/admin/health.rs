//! Whether the gateway lives, can be reached, and should be sent viewers.

use crate::edge::Edge;
use http::StatusCode;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Longest wait for a connection to ourselves.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks.
pub(crate) struct Health {
    edge: Arc<Edge>,
    public: Vec<SocketAddr>,
}

impl Health {
    pub(crate) fn new(edge: Arc<Edge>, public: &[String]) -> Self {
        Self { edge, public: public.iter().filter_map(|address| address.parse().ok()).map(reachable).collect() }
    }

    /// Healthy is who can be connected to: a process alone is not a gateway.
    pub(crate) async fn healthz(&self) -> (StatusCode, String) {
        if self.is_connected_to().await {
            (StatusCode::OK, "ok".to_owned())
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "a public address can't be connected to".to_owned())
        }
    }

    /// Ready is who can be connected to and does not drain. What costs viewers some films and not all of them is said, and no reason to send them
    /// elsewhere: with the hive gone all gateways of a fleet would be unready at once, though each has a cache to serve.
    pub(crate) async fn readyz(&self) -> (StatusCode, String) {
        if self.edge.live.is_draining() {
            return (StatusCode::SERVICE_UNAVAILABLE, "draining".to_owned());
        }
        if !self.is_connected_to().await {
            return (StatusCode::SERVICE_UNAVAILABLE, "a public address can't be connected to".to_owned());
        }
        let hives = self.edge.hive.health();
        let mut degraded = Vec::new();
        if !hives.is_empty() && hives.iter().all(|(_, left_alone)| *left_alone) {
            degraded.push("no hive can be reached: what is cached is served");
        }
        if self.edge.cache.stats().disk_sick > 0 {
            degraded.push("the cache's disk is passed by: all comes from the hive");
        }
        match degraded.as_slice() {
            [] => (StatusCode::OK, "ready".to_owned()),
            some => (StatusCode::OK, format!("ready, degraded: {}", some.join("; "))),
        }
    }

    async fn is_connected_to(&self) -> bool {
        for address in &self.public {
            let connected = tokio::time::timeout(PATIENCE, TcpStream::connect(address)).await;
            if !matches!(connected, Ok(Ok(_))) {
                return false;
            }
        }
        true
    }
}

/// An address that listens everywhere is asked on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    address
}
