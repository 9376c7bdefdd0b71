//! The state that gateways share, in Redis: calls within a short timeout, and none at all while Redis is gone.

use crate::bucket::{Bucket, Standing, Verdict};
use crate::scripts::Scripts;
use crate::streams::Name;
use redis::{FromRedisValue, ScriptInvocation};
use redis_link::{Failure, Server, Shared};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// A gateway that wasn't heard of for so long isn't there.
const ALIVE: Duration = Duration::from_secs(10);

/// Longest time of connecting, which no request waits for.
const CONNECT: Duration = Duration::from_secs(2);

/// Redis did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Away;

/// Whether a stream may be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) verdict: u64,
    /// The tenant's streams at other gateways.
    pub(crate) elsewhere: u64,
}

/// What a viewer has on this gateway.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) viewer: Name,
    pub(crate) streams: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Remote {
    shared: Shared,
    prefix: String,
    /// Who this gateway is.
    name: String,
    /// Who this process is, once another one is the gateway.
    own_name: String,
    /// It is.
    apart: AtomicBool,
    scripts: Scripts,
    /// Requests ask it. Set and taken back by [`Self::beat`], and taken back by whoever gets no answer.
    there: AtomicBool,
    /// Told when a request found it gone.
    lost: Notify,
    failures: AtomicU64,
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripts")
    }
}

impl Remote {
    pub(crate) fn new(server: Server, prefix: &str, [name, own_name]: [String; 2], timeout: Duration) -> Self {
        Self {
            shared: Shared::new(server, timeout),
            prefix: prefix.to_owned(),
            name,
            own_name,
            apart: AtomicBool::new(false),
            scripts: Scripts::new(),
            // Until a beat has found out: no request waits for a connection.
            there: AtomicBool::new(false),
            lost: Notify::new(),
            failures: AtomicU64::new(0),
        }
    }

    /// Streams go by the process's own name from now on. False: they do already.
    pub(crate) fn go_apart(&self) -> bool {
        !self.apart.swap(true, Ordering::Relaxed)
    }

    /// Who has this process's streams.
    fn holder(&self) -> &str {
        if self.apart.load(Ordering::Relaxed) { &self.own_name } else { &self.name }
    }

    /// Requests may ask.
    pub(crate) fn is_there(&self) -> bool {
        self.there.load(Ordering::Relaxed)
    }

    pub(crate) fn set_there(&self, there: bool) {
        self.there.store(there, Ordering::Relaxed);
    }

    /// Waits until a request has found it gone: whether it was only slow is then to be found out, before others have done without for long.
    pub(crate) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// Calls that brought no answer.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Has the next call connect anew.
    pub(crate) fn reconnect(&self) {
        self.shared.replace();
    }

    /// Says that this gateway is there, and learns how many are.
    pub(crate) async fn beat(&self) -> Result<u64, Failure> {
        self.shared.ready(CONNECT).await?;
        let mut call = self.scripts.beat.key(format!("{}:{{rates}}:gateways", self.prefix));
        self.ask(call.arg(&self.name).arg(ALIVE.as_millis())).await
    }

    /// Takes from all buckets or from none. `owed` are units of each bucket that were let through without Redis.
    pub(crate) async fn decide(&self, tenant: &str, buckets: &[Bucket], owed: &[u64]) -> Result<Verdict, Away> {
        let mut call = self.scripts.decide.prepare_invoke();
        let stem = self.stem(tenant);
        for (bucket, owed) in buckets.iter().zip(owed) {
            call.key(format!("{stem}:{}:{}:{}", bucket.route.word(), bucket.scope.word(), hex(&bucket.key)));
            call.arg(bucket.rate.tokens()).arg(bucket.rate.window_us()).arg(bucket.rate.cost(1)).arg(owed);
        }
        let reply: Vec<u64> = self.quickly(&call).await?;
        let [refused, levels @ ..] = reply.as_slice() else { return Err(Away) };
        if levels.len() != buckets.len() {
            return Err(Away);
        }
        let passed = *refused == 0;
        let standing = |(bucket, level): (&Bucket, &u64)| {
            let cost = bucket.rate.cost(1);
            let level = if passed { level + cost } else { *level };
            Standing { scope: bucket.scope, rate: bucket.rate, route: bucket.route, level, cost }
        };
        Ok(Verdict { passed, standings: buckets.iter().zip(levels).map(standing).collect() })
    }

    /// Says what this gateway, or with `apart` this process, has sent for a tenant in a month, and learns what all have.
    pub(crate) async fn sent(
        &self,
        apart: bool,
        tenant: &str,
        month: &str,
        bytes: u64,
        keep: Duration,
    ) -> Result<u64, Away> {
        let mut call = self.scripts.sent.key(format!("{}:sent:{month}", self.stem(tenant)));
        let name = if apart { &self.own_name } else { &self.name };
        self.ask(call.arg(name).arg(bytes).arg(keep.as_millis())).await.map_err(|_| Away)
    }

    /// Asks whether a viewer, whose streams here are `held`, may open one more. `here` counts the tenant's streams on this gateway.
    pub(crate) async fn open(
        &self,
        tenant: &str,
        held: &Held,
        stream: &str,
        (viewer_bound, tenant_bound): (Option<u32>, Option<u32>),
        here: u64,
        lease: Duration,
    ) -> Result<Opened, Away> {
        let bound = |bound: Option<u32>| bound.map_or(-1, i64::from);
        let mut call = self.scripts.open.prepare_invoke();
        call.key(self.viewer(tenant, &held.viewer)).key(self.streams(tenant));
        call.arg(self.holder()).arg(lease.as_millis()).arg(bound(viewer_bound)).arg(bound(tenant_bound)).arg(here);
        call.arg(stream);
        for stream in &held.streams {
            call.arg(stream);
        }
        let (verdict, elsewhere) = self.quickly(&call).await?;
        Ok(Opened { verdict, elsewhere })
    }

    /// Says what is still going on of a tenant's viewers, and learns of its streams elsewhere.
    pub(crate) async fn hold(&self, tenant: &str, here: u64, held: &[Held], lease: Duration) -> Result<u64, Away> {
        self.hold_as(self.holder(), tenant, here, held, lease).await
    }

    /// Takes back what the gateway's name holds of these viewers.
    pub(crate) async fn release(&self, tenant: &str, held: &[Held], lease: Duration) -> Result<u64, Away> {
        let none: Vec<Held> = held.iter().map(|held| Held { viewer: held.viewer, streams: Vec::new() }).collect();
        self.hold_as(&self.name, tenant, 0, &none, lease).await
    }

    async fn hold_as(&self, name: &str, tenant: &str, here: u64, held: &[Held], lease: Duration) -> Result<u64, Away> {
        let mut call = self.scripts.hold.prepare_invoke();
        call.key(self.streams(tenant)).arg(name).arg(lease.as_millis()).arg(here);
        for held in held {
            call.key(self.viewer(tenant, &held.viewer)).arg(held.streams.join(" "));
        }
        self.ask(&call).await.map_err(|_| Away)
    }

    fn streams(&self, tenant: &str) -> String {
        format!("{}:streams", self.stem(tenant))
    }

    fn viewer(&self, tenant: &str, viewer: &Name) -> String {
        format!("{}:viewer:{}", self.stem(tenant), hex(viewer))
    }

    /// The braces make all keys of a tenant one hash slot. An id that could break them goes by its digest.
    fn stem(&self, tenant: &str) -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if (1..=64).contains(&tenant.len()) && tenant.bytes().all(plain) {
            return format!("{}:{{rates:{tenant}}}", self.prefix);
        }
        format!("{}:{{rates:#{}}}", self.prefix, hex(&Sha256::digest(tenant)))
    }

    /// For requests: none at all while Redis is gone, and no second one waits for a Redis that gave the first no answer.
    async fn quickly<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Away> {
        if !self.is_there() {
            return Err(Away);
        }
        let answer = self.ask(call).await;
        answer.map_err(|_| {
            self.set_there(false);
            self.lost.notify_one();
            Away
        })
    }

    async fn ask<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Failure> {
        let asked = self.shared.run(async |mut connection| call.invoke_async(&mut connection).await).await;
        asked.inspect_err(|_| {
            self.failures.fetch_add(1, Ordering::Relaxed);
        })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
