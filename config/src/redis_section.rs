//! Where the gateways' Redis is.

use crate::report::Report;
use crate::secret::Secret;
use crate::tenant_rules::{NAME, is_name};
use crate::units::TimeSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A Redis, Valkey or compatible server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// A single server: redis://host:port/db, redis://user:password@host:port/db or redis+unix:///path. A secret, since it may hold a
    /// password.
    #[schemars(extend("example" = { "file": "/etc/streamvault/redis.url" }))]
    pub url: Option<Secret>,
    /// In the place of url: a Redis Cluster.
    pub cluster: Option<RedisCluster>,
    /// In the place of url: the master that Sentinels name.
    pub sentinel: Option<RedisSentinel>,
    /// First part of every key.
    #[serde(default = "Redis::default_prefix")]
    pub prefix: String,
    /// How long one operation may take.
    #[serde(default = "Redis::default_timeout")]
    pub timeout: TimeSpan,
    /// How long a request waits for an answer about its rates and streams, before the gateway decides by itself.
    #[serde(default = "Redis::default_rate_timeout")]
    pub rate_timeout: TimeSpan,
}

/// A Redis Cluster.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisCluster {
    /// host:port of some of its nodes; they name the others.
    #[schemars(extend("example" = ["10.0.0.1:6379", "10.0.0.2:6379"]))]
    pub nodes: Vec<String>,
    /// Its user, if not Redis' default one.
    #[schemars(extend("example" = "gateway"))]
    pub user: Option<String>,
    /// Its password.
    #[schemars(extend("example" = { "file": "/etc/streamvault/redis.password" }))]
    pub password: Option<Secret>,
}

/// A Redis whose master Sentinels know.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisSentinel {
    /// host:port of the Sentinels.
    #[schemars(extend("example" = ["10.0.0.1:26379", "10.0.0.2:26379"]))]
    pub nodes: Vec<String>,
    /// What they call the master.
    #[schemars(extend("example" = "mymaster"))]
    pub master: String,
    /// Its database.
    #[serde(default)]
    pub database: u32,
    /// The master's user, if not Redis' default one.
    #[schemars(extend("example" = "gateway"))]
    pub user: Option<String>,
    /// The master's password.
    #[schemars(extend("example" = { "file": "/etc/streamvault/redis.password" }))]
    pub password: Option<Secret>,
    /// The Sentinels' own user.
    #[schemars(extend("example" = "gateway"))]
    pub sentinel_user: Option<String>,
    /// The Sentinels' own password.
    #[schemars(extend("example" = { "file": "/etc/streamvault/sentinel.password" }))]
    pub sentinel_password: Option<Secret>,
}

impl Redis {
    fn default_prefix() -> String {
        "sv".to_owned()
    }

    fn default_timeout() -> TimeSpan {
        TimeSpan::millis(100)
    }

    fn default_rate_timeout() -> TimeSpan {
        TimeSpan::millis(50)
    }

    /// Each of its secrets with its key.
    #[must_use]
    pub fn secrets(&self) -> Vec<(String, &Secret)> {
        let (cluster, sentinel) = (self.cluster.as_ref(), self.sentinel.as_ref());
        let all = [
            ("redis.url", self.url.as_ref()),
            ("redis.cluster.password", cluster.and_then(|cluster| cluster.password.as_ref())),
            ("redis.sentinel.password", sentinel.and_then(|sentinel| sentinel.password.as_ref())),
            ("redis.sentinel.sentinel_password", sentinel.and_then(|sentinel| sentinel.sentinel_password.as_ref())),
        ];
        all.into_iter().filter_map(|(key, secret)| Some((key.to_owned(), secret?))).collect()
    }
}

pub(crate) fn check_redis(redis: &Redis, report: &mut Report<'_>) {
    report.require_positive(redis.timeout, "redis.timeout");
    let patience = (Duration::from_millis(5)..=Duration::from_secs(5)).contains(&redis.rate_timeout.get());
    report.require(patience, "redis.rate_timeout", "must be from 5ms to 5s");
    let forms = [redis.url.is_some(), redis.cluster.is_some(), redis.sentinel.is_some()];
    let one = forms.iter().filter(|there| **there).count() == 1;
    report.require(one, "redis", "needs one of url, cluster and sentinel");
    if let Some(url) = &redis.url {
        let schemes = ["redis://", "redis+unix://", "unix://"];
        let known = schemes.iter().any(|scheme| url.expose().starts_with(scheme));
        report.require(known, "redis.url", "must begin with redis:// or redis+unix://");
    }
    if let Some(cluster) = &redis.cluster {
        check_nodes(&cluster.nodes, "redis.cluster.nodes", report);
    }
    if let Some(sentinel) = &redis.sentinel {
        check_nodes(&sentinel.nodes, "redis.sentinel.nodes", report);
        report.require(!sentinel.master.is_empty(), "redis.sentinel.master", "must not be empty");
    }
    report.require(is_name(&redis.prefix), "redis.prefix", NAME);
}

fn check_nodes(nodes: &[String], key: &str, report: &mut Report<'_>) {
    report.require(!nodes.is_empty(), key, "needs at least one host:port");
    for (index, node) in nodes.iter().enumerate() {
        let parts = node.rsplit_once(':');
        let good = parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
        report.require(good, &format!("{key}[{index}]"), "must be host:port");
    }
}
