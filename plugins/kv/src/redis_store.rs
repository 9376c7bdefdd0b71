//! The store in Redis: one connection for all, made when it is first used.

use crate::error::KvError;
use crate::kv::KvBounds;
use crate::scripts::{ABSENT, DONE, FULL, NOT_A_NUMBER, Scripts, TOO_LONG};
use parking_lot::Mutex;
use redis::{FromRedisValue, RedisResult, ScriptInvocation};
use redis_link::{Connection, Failure, Server, Shared};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Timeouts that pass with nothing but failures until Redis counts as gone. One hiccup of a busy server is no outage.
const PATIENCE: u32 = 2;

/// A connection that has brought nothing but failures for this long is replaced. One that breaks is replaced at once in any case, but
/// not one that hangs.
const REPLACE_AFTER: Duration = Duration::from_secs(1);

/// A store in Redis.
pub(crate) struct RedisStore {
    shared: Shared,
    prefix: String,
    timeout: Duration,
    scripts: Scripts,
    start: Instant,
    /// When the connection was replaced last.
    replaced: Mutex<Duration>,
    /// When the failures began that no success has ended: nanoseconds since `start`, 0 for none.
    failing_since: AtomicU64,
    /// When the last of them was.
    failed_last: AtomicU64,
    /// Set while an operation finds out whether Redis is back.
    probing: AtomicBool,
}

/// The keys of one namespace: `prefix:{plugin:tenant}`.
#[derive(Clone, Debug)]
pub(crate) struct Stem(String);

impl Stem {
    fn value(&self, key: &str) -> String {
        format!("{}:k:{key}", self.0)
    }

    fn set(&self, key: &str) -> String {
        format!("{}:c:{key}", self.0)
    }

    fn index(&self) -> String {
        format!("{}:i", self.0)
    }
}

impl fmt::Debug for RedisStore {
    /// Not the client: its address may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// An answer of a script.
type Reply = (i64, Option<Vec<u8>>);

impl RedisStore {
    #[expect(clippy::disallowed_methods, reason = "how long Redis has failed is this file's own matter")]
    pub(crate) fn new(server: Server, prefix: &str, timeout: Duration) -> Self {
        Self {
            shared: Shared::new(server, timeout),
            prefix: prefix.to_owned(),
            timeout,
            scripts: Scripts::new(),
            start: Instant::now(),
            replaced: Mutex::default(),
            failing_since: AtomicU64::new(0),
            failed_last: AtomicU64::new(0),
            probing: AtomicBool::new(false),
        }
    }

    /// The stem of a namespace whose id is `plugin:tenant` or `plugin`. Braces make all its keys live on one node of a cluster.
    pub(crate) fn stem(&self, id: &str) -> Stem {
        Stem(format!("{}:{{{id}}}", self.prefix))
    }

    pub(crate) async fn get(&self, stem: &Stem, bounds: KvBounds, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        let command = redis::cmd("GET").arg(stem.value(key)).take();
        let value: Option<Vec<u8>> =
            self.run(async |mut connection| command.query_async(&mut connection).await).await?;
        match value {
            Some(value) if value.len() > bounds.value as usize => Err(KvError::OutOfBounds),
            value => Ok(value),
        }
    }

    /// True if it was set; always, unless `only_if_absent`.
    pub(crate) async fn set(
        &self,
        stem: &Stem,
        bounds: KvBounds,
        key: &str,
        value: &[u8],
        ttl_ms: u64,
        only_if_absent: bool,
    ) -> Result<bool, KvError> {
        let mut call = self.scripts.set.prepare_invoke();
        let call = Self::keys(&mut call, stem, key).arg(key).arg(ttl_ms).arg(bounds.keys).arg(value);
        Ok(self.script(call.arg(u8::from(only_if_absent))).await?.0 == DONE)
    }

    pub(crate) async fn take(&self, stem: &Stem, bounds: KvBounds, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        let mut call = self.scripts.take.prepare_invoke();
        Ok(self.script(Self::keys(&mut call, stem, key).arg(key).arg(bounds.value)).await?.1)
    }

    pub(crate) async fn delete(&self, stem: &Stem, key: &str) -> Result<(), KvError> {
        let mut call = self.scripts.delete.prepare_invoke();
        self.script(Self::keys(&mut call, stem, key).arg(key)).await.map(drop)
    }

    pub(crate) async fn increment(
        &self,
        stem: &Stem,
        bounds: KvBounds,
        key: &str,
        by: i64,
        ttl_ms: u64,
    ) -> Result<i64, KvError> {
        let mut call = self.scripts.increment.prepare_invoke();
        let call = Self::keys(&mut call, stem, key).arg(key).arg(ttl_ms).arg(bounds.keys).arg(by);
        number(self.script(call).await?)
    }

    pub(crate) async fn count_distinct(
        &self,
        stem: &Stem,
        bounds: KvBounds,
        key: &str,
        member: &str,
        ttl_ms: u64,
    ) -> Result<u64, KvError> {
        let mut call = self.scripts.count_distinct.prepare_invoke();
        let call = Self::keys(&mut call, stem, key).arg(key).arg(ttl_ms).arg(bounds.keys).arg(member);
        number(self.script(call).await?)
    }

    fn keys<'c, 's>(call: &'c mut ScriptInvocation<'s>, stem: &Stem, key: &str) -> &'c mut ScriptInvocation<'s> {
        call.key(stem.value(key)).key(stem.set(key)).key(stem.index())
    }

    async fn script(&self, call: &ScriptInvocation<'_>) -> Result<Reply, KvError> {
        let (code, text): Reply =
            self.run(async |mut connection| parse(call.invoke_async(&mut connection).await?)).await?;
        match code {
            DONE | ABSENT => Ok((code, text)),
            FULL => Err(KvError::Full),
            NOT_A_NUMBER => Err(KvError::NotANumber),
            TOO_LONG => Err(KvError::OutOfBounds),
            _ => Err(KvError::Unavailable),
        }
    }

    /// Runs one operation within the timeout. While Redis is gone one at a time tries; the others fail at once instead of
    /// each waiting the timeout out.
    async fn run<T>(&self, operation: impl AsyncFnOnce(Connection) -> RedisResult<T>) -> Result<T, KvError> {
        let _probe = if self.is_gone() { Some(Probe::begin(&self.probing).ok_or(KvError::Unavailable)?) } else { None };
        match self.shared.run(operation).await {
            Ok(done) => {
                self.succeeded();
                Ok(done)
            }
            // An answer all the same: Redis is there, and the operation was not done.
            Err(Failure::Redis(error)) if error.code() == Some("OOM") => {
                self.succeeded();
                Err(KvError::Full)
            }
            Err(Failure::Redis(error)) if error.code() == Some("WRONGTYPE") => {
                self.succeeded();
                Err(KvError::Unavailable)
            }
            Err(_) => {
                self.failed();
                Err(KvError::Unavailable)
            }
        }
    }

    fn is_gone(&self) -> bool {
        let since = self.failing_since.load(Ordering::Relaxed);
        // Nearly always: no look at the clock for those.
        if since == 0 {
            return false;
        }
        // A failure of long ago, after which nobody asked, says nothing.
        self.passed(self.failed_last.load(Ordering::Relaxed)) < REPLACE_AFTER.max(self.timeout)
            && self.passed(since) >= self.timeout.saturating_mul(PATIENCE)
    }

    fn passed(&self, since: u64) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_nanos(since))
    }

    fn succeeded(&self) {
        if self.failing_since.load(Ordering::Relaxed) != 0 {
            self.failing_since.store(0, Ordering::Relaxed);
        }
    }

    fn failed(&self) {
        let now = self.start.elapsed();
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.failed_last.store(nanos, Ordering::Relaxed);
        let begun = self.failing_since.compare_exchange(0, nanos, Ordering::Relaxed, Ordering::Relaxed);
        let since = begun.err().unwrap_or(nanos);
        let mut replaced = self.replaced.lock();
        if self.passed(since) >= REPLACE_AFTER && now.saturating_sub(*replaced) >= REPLACE_AFTER {
            *replaced = now;
            self.shared.replace();
        }
    }
}

fn parse(reply: redis::Value) -> RedisResult<Reply> {
    let mut parts: Vec<redis::Value> = FromRedisValue::from_redis_value(reply)?;
    let text = if parts.len() > 1 { parts.pop() } else { None };
    let code = parts.pop().unwrap_or(redis::Value::Nil);
    let text = text.map(FromRedisValue::from_redis_value).transpose()?;
    Ok((FromRedisValue::from_redis_value(code)?, text))
}

fn number<T: std::str::FromStr>((_, text): Reply) -> Result<T, KvError> {
    let text = text.and_then(|text| String::from_utf8(text).ok());
    text.and_then(|text| text.parse().ok()).ok_or(KvError::Unavailable)
}

/// The right to find out whether Redis is back, given up on drop: also if the caller is cancelled.
struct Probe<'a>(&'a AtomicBool);

impl<'a> Probe<'a> {
    fn begin(probing: &'a AtomicBool) -> Option<Self> {
        // Not `then_some`: that would make a probe, and drop it, for those who get none.
        (!probing.swap(true, Ordering::AcqRel)).then(|| Self(probing))
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
