//! Redis, for gateways that share their certificates. Who can read it has the keys: it must be as private as a folder of them.

use crate::store::{Bundle, Claim, Store, StoreError};
use async_trait::async_trait;
use redis::{Cmd, FromRedisValue, cmd};
use redis_link::{Server, Shared};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

/// Deletes a key that still has this value.
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Keys: `{prefix}:tls:cert:{name}`, `…:marks` (a hash: the begin of each bundle's SHA-256 by name), `…:account:{authority}`, `…:claim:{name}`, `…:challenge:{token}`.
pub struct RedisStore {
    shared: Shared,
    prefix: String,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Connects when it is first used. `timeout` is for one operation.
    #[must_use]
    pub fn new(server: Server, prefix: &str, timeout: Duration) -> Self {
        Self { shared: Shared::new(server, timeout), prefix: format!("{prefix}:tls") }
    }

    async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let asked = self.shared.run_once(async |mut connection| command.query_async(&mut connection).await);
        asked.await.map_err(|_| StoreError::Redis)
    }

    fn key(&self, kind: &str, name: &str) -> String {
        format!("{}:{kind}:{name}", self.prefix)
    }

    fn marks_key(&self) -> String {
        format!("{}:marks", self.prefix)
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn load(&self, name: &str) -> Result<Option<Bundle>, StoreError> {
        let text: Option<String> = self.run(cmd("GET").arg(self.key("cert", name))).await?;
        Ok(text.map(Bundle::new))
    }

    async fn save(&self, name: &str, bundle: &Bundle) -> Result<(), StoreError> {
        self.run::<()>(cmd("SET").arg(self.key("cert", name)).arg(bundle.expose())).await?;
        let mark: String = Sha256::digest(bundle.expose()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.run(cmd("HSET").arg(self.marks_key()).arg(name).arg(mark)).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.run::<()>(cmd("HDEL").arg(self.marks_key()).arg(name)).await?;
        self.run(cmd("DEL").arg(self.key("cert", name))).await
    }

    async fn kept(&self) -> Result<Vec<(String, String)>, StoreError> {
        let marks: HashMap<String, String> = self.run(cmd("HGETALL").arg(self.marks_key())).await?;
        Ok(marks.into_iter().collect())
    }

    async fn account(&self, authority: &str) -> Result<Option<SecretString>, StoreError> {
        let text: Option<String> = self.run(cmd("GET").arg(self.key("account", authority))).await?;
        Ok(text.map(SecretString::from))
    }

    async fn save_account(&self, authority: &str, account: &SecretString) -> Result<(), StoreError> {
        self.run(cmd("SET").arg(self.key("account", authority)).arg(account.expose_secret())).await
    }

    async fn claim(&self, name: &str, time: Duration) -> Result<Option<Claim>, StoreError> {
        let (key, value) = (self.key("claim", name), rand::random::<u64>());
        let set: Option<String> =
            self.run(cmd("SET").arg(key).arg(value).arg("NX").arg("PX").arg(time.as_millis() as u64)).await?;
        Ok(set.map(|_| Claim { name: name.to_owned(), value }))
    }

    async fn release(&self, claim: Claim) {
        let mut release = cmd("EVAL");
        release.arg(RELEASE).arg(1).arg(self.key("claim", &claim.name)).arg(claim.value);
        // It ends by itself, if not now.
        let _: Result<(), _> = self.run(&release).await;
    }

    async fn post_challenge(&self, token: &str, authorization: &str, time: Duration) -> Result<(), StoreError> {
        let key = self.key("challenge", token);
        self.run(cmd("SET").arg(key).arg(authorization).arg("PX").arg(time.as_millis() as u64)).await
    }

    async fn challenge(&self, token: &str) -> Result<Option<String>, StoreError> {
        self.run(cmd("GET").arg(self.key("challenge", token))).await
    }

    fn is_shared(&self) -> bool {
        true
    }
}
