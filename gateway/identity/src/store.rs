//! The face of both stores.

use crate::memory::Memory;
use crate::redis_store::RedisStore;
use crate::refresh::RefreshToken;
use crate::session::{Rotation, Session, SessionRules};
use parking_lot::Mutex;
use redis_link::Server;
use std::sync::Arc;
use std::time::Duration;

/// The store can't answer: Redis is away, or there is no room. Whether something was done is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store of sessions can't answer")]
pub struct Away;

/// Sessions, and one-time links that were used. Of guests' sessions there is a bound: those that end first go first. Cloning gives another handle on the same one.
#[derive(Clone, Debug)]
pub struct Store(Backend);

/// A one-time link, as [`Magic`](crate::Magic) says.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Its id.
    pub id: &'a str,
    /// The second since 1970 at which it expires.
    pub expires: i64,
}

#[derive(Clone, Debug)]
enum Backend {
    Memory(Arc<Mutex<Memory>>),
    Redis(Arc<RedisStore>),
}

impl Store {
    /// In the process: 200,000 sessions at most, gone when it ends. With more, guests of the tenant that has most of them go; nobody with a name does for a guest.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Backend::Memory(Arc::default()))
    }

    /// In Redis (6.2 or newer), shared by all who name it: 200,000 guests of a tenant at most. Connects when it is first used, and again whenever it must. Every key starts
    /// with `prefix`; no operation takes longer than `timeout`.
    #[must_use]
    pub fn redis(server: Server, prefix: &str, timeout: Duration) -> Self {
        Self(Backend::Redis(Arc::new(RedisStore::new(server, prefix, timeout))))
    }

    /// Begins a session.
    ///
    /// # Errors
    /// [`Away`], also if there is no room for a guest.
    pub async fn open(&self, tenant: &str, sid: &str, session: Session, now: i64) -> Result<(), Away> {
        match &self.0 {
            Backend::Memory(memory) => memory.lock().open(&name(tenant, sid), session, now).then_some(()).ok_or(Away),
            Backend::Redis(redis) => redis.open(tenant, sid, &session, now).await,
        }
    }

    /// Uses a refresh token; `next` is in force after [`Rotation::Rotated`]. Of several who use it at once one rotates.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn rotate(
        &self,
        tenant: &str,
        used: &RefreshToken,
        next: &RefreshToken,
        now: i64,
        rules: &SessionRules,
    ) -> Result<Rotation, Away> {
        let (sid, used, next) = (used.sid(), used.secret_hash(), next.secret_hash());
        match &self.0 {
            Backend::Memory(memory) => Ok(memory.lock().rotate(&name(tenant, &sid), &used, next, now, rules)),
            Backend::Redis(redis) => redis.rotate(tenant, &sid, &used, &next, now, rules).await,
        }
    }

    /// Ends the session of a refresh token that is good, or was before the last one. True if there was one.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn end(&self, tenant: &str, token: &RefreshToken) -> Result<bool, Away> {
        let (sid, secret) = (token.sid(), token.secret_hash());
        match &self.0 {
            Backend::Memory(memory) => Ok(memory.lock().end(&name(tenant, &sid), &secret).is_some()),
            Backend::Redis(redis) => redis.end(tenant, &sid, Some(&secret)).await,
        }
    }

    /// Ends a session by its name. True if there was one.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn close(&self, tenant: &str, sid: &str) -> Result<bool, Away> {
        match &self.0 {
            Backend::Memory(memory) => Ok(memory.lock().close(&name(tenant, sid)).is_some()),
            Backend::Redis(redis) => redis.end(tenant, sid, None).await,
        }
    }

    /// Uses up a one-time link and begins the session that it is for: both, or neither. True for the first who does, and for nobody after;
    /// remembered until the link expires.
    ///
    /// # Errors
    /// [`Away`]. If Redis went away in the middle, both may have been done.
    pub async fn enter(
        &self,
        tenant: &str,
        link: &Link<'_>,
        sid: &str,
        session: Session,
        now: i64,
    ) -> Result<bool, Away> {
        // Verifiers allow for clocks that differ by seconds.
        let until = link.expires.saturating_add(60);
        match &self.0 {
            Backend::Memory(memory) => {
                memory.lock().enter(name(tenant, link.id), until, &name(tenant, sid), session, now).ok_or(Away)
            }
            Backend::Redis(redis) => redis.enter(tenant, link.id, until, sid, &session, now).await,
        }
    }
}

/// No tenant's id has a slash.
fn name(tenant: &str, id: &str) -> String {
    format!("{tenant}/{id}")
}
