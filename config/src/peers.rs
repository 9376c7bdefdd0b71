//! The gateway's settings of the fleet that it is one of.

use crate::address::{ListenAddress, PeerAddress};
use crate::gateway_rules::check_token;
use crate::report::Report;
use crate::secret::Secret;
use crate::units::TimeSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// More points on the ring would cost memory, not help.
const HEAVIEST: u32 = 100;
const MOST_MEMBERS: usize = 1000;

/// A fleet of gateways that fetches each film from the hive once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Peers {
    /// Where the other gateways ask this one: 10.0.0.1:9100 or unix:/path. Never for viewers, and on a network where nobody
    /// else listens: it is plain HTTP.
    #[schemars(extend("example" = "10.0.0.1:9100"))]
    pub listen: ListenAddress,
    /// This gateway among the members, as the others name it.
    #[serde(rename = "self")]
    #[schemars(extend("example" = "10.0.0.1:9100"))]
    pub own: PeerAddress,
    /// All gateways, this one too, written alike everywhere: the addresses decide who owns which film. One of weight 2 owns
    /// twice as much as one of weight 1. While they differ between gateways, some films are fetched twice.
    pub members: Vec<PeerMember>,
    /// The token that the gateways share: visible ASCII without spaces. Another one than the hive's.
    #[schemars(extend("example" = { "file": "/etc/streamvault/peers.token" }))]
    pub token: Secret,
    /// How long connecting to a gateway may take.
    #[serde(default = "Peers::default_connect_timeout")]
    pub connect_timeout: TimeSpan,
    /// How long a gateway may be silent before it is asked for a sign of life, and how long it has to give one. A viewer waits
    /// at most twice as long for a gateway that is dead.
    #[serde(default = "Peers::default_patience")]
    pub patience: TimeSpan,
    /// Idle connections kept open, to each gateway.
    #[serde(default = "Peers::default_max_idle")]
    pub max_idle: usize,
}

/// A gateway of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PeerMember {
    /// host:port or unix:/path.
    #[schemars(extend("example" = "10.0.0.1:9100"))]
    pub address: PeerAddress,
    /// Its share of the films, from 1 to 100.
    #[serde(default = "PeerMember::default_weight")]
    pub weight: u32,
}

impl PeerMember {
    fn default_weight() -> u32 {
        1
    }
}

impl Peers {
    fn default_connect_timeout() -> TimeSpan {
        TimeSpan::millis(300)
    }

    fn default_patience() -> TimeSpan {
        TimeSpan::millis(400)
    }

    fn default_max_idle() -> usize {
        32
    }

    pub(crate) fn check(&self, report: &mut Report<'_>) {
        check_token(&self.token, "peers.token", report);
        report.require_positive(self.connect_timeout, "peers.connect_timeout");
        report.require_positive(self.patience, "peers.patience");
        report.require(self.members.len() <= MOST_MEMBERS, "peers.members", "must be at most 1000");
        for (index, member) in self.members.iter().enumerate() {
            let key = format!("peers.members[{index}]");
            let earlier = self.members.iter().take(index).any(|other| other.address == member.address);
            report.require(!earlier, &format!("{key}.address"), "is there already");
            let weight = (1..=HEAVIEST).contains(&member.weight);
            report.require(weight, &format!("{key}.weight"), "must be from 1 to 100");
        }
        let is_member = self.members.iter().any(|member| member.address == self.own);
        report.require(is_member, "peers.self", "is none of peers.members");
    }
}
