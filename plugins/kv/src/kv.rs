//! The face: a store, and the namespaces in it.

use crate::error::{KvError, SetupError};
use crate::memory::Memory;
use crate::redis_store::{RedisStore, Stem};
use crate::space::Space;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a key or member: the contract's number.
const LONGEST_KEY: usize = 256;

/// Seconds in 400 days: the contract's number.
const LONGEST_TTL: u32 = 34_560_000;

/// What one namespace may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvBounds {
    /// Keys at once.
    pub keys: u32,
    /// Bytes of one value.
    pub value: u32,
}

/// What all namespaces of an in-memory store may hold together. Of the bytes one namespace gets an eighth at most, and all of one
/// plugin a half: whatever one plugin keeps, there is room for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBounds {
    /// Keys at once.
    pub keys: u64,
    /// Bytes of keys, values and what the store itself needs for them.
    pub bytes: u64,
}

impl Default for MemoryBounds {
    /// A million keys, 256 MiB.
    fn default() -> Self {
        Self { keys: 1_000_000, bytes: 256 << 20 }
    }
}

/// A store. Cloning gives another handle on the same one.
#[derive(Clone, Debug)]
pub struct Kv(Backend);

#[derive(Clone, Debug)]
enum Backend {
    Memory(Arc<Memory>),
    Redis(Arc<RedisStore>),
}

/// What one plugin keeps for one tenant, or for the gateway. Cloning is cheap and gives another handle on the same one.
///
/// Operations on it are atomic, also between gateways that share a Redis. Keys and members have 1 to 256 bytes, times to live
/// are 1 to 34,560,000 seconds (400 days).
#[derive(Clone, Debug)]
pub struct Namespace {
    bounds: KvBounds,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<Memory>, Arc<Mutex<Space>>),
    Redis(Arc<RedisStore>, Arc<Stem>),
}

impl Kv {
    /// A store that lasts as long as its handles.
    #[must_use]
    pub fn in_memory(bounds: MemoryBounds) -> Self {
        Self(Backend::Memory(Arc::new(Memory::new(bounds))))
    }

    /// A store in a single Redis, by its address: see [`Self::redis_at`].
    ///
    /// # Errors
    /// [`SetupError::Url`], [`SetupError::Prefix`].
    pub fn redis(url: &str, prefix: &str, timeout: Duration) -> Result<Self, SetupError> {
        let server = redis_link::Server::single(url).map_err(|_| SetupError::Url)?;
        Self::redis_at(server, prefix, timeout)
    }

    /// A store in Redis (6.2 or newer) or what speaks like it. Connects when it is first used and again whenever it must, so that a
    /// gateway starts while Redis is down. Every key starts with `prefix`; no operation takes longer than `timeout`.
    ///
    /// # Errors
    /// [`SetupError::Prefix`].
    pub fn redis_at(server: redis_link::Server, prefix: &str, timeout: Duration) -> Result<Self, SetupError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=32).contains(&prefix.len()) || !prefix.bytes().all(plain) {
            return Err(SetupError::Prefix(prefix.to_owned()));
        }
        Ok(Self(Backend::Redis(Arc::new(RedisStore::new(server, prefix, timeout)))))
    }

    /// What `plugin` keeps for `tenant` (`None`: for the gateway as a whole). The same names lead to the same keys, whatever the
    /// bounds: those are the caller's for what goes through this handle.
    ///
    /// # Errors
    /// [`SetupError::Name`].
    pub fn namespace(&self, plugin: &str, tenant: Option<&str>, bounds: KvBounds) -> Result<Namespace, SetupError> {
        // No name has a colon, so that no two namespaces have one id.
        let id = match tenant {
            Some(tenant) => format!("{}:{}", name(plugin)?, name(tenant)?),
            None => name(plugin)?.to_owned(),
        };
        let place = match &self.0 {
            Backend::Memory(memory) => Place::Memory(Arc::clone(memory), memory.space(plugin, &id)),
            Backend::Redis(store) => Place::Redis(Arc::clone(store), Arc::new(store.stem(&id))),
        };
        Ok(Namespace { bounds, place })
    }
}

impl Namespace {
    /// The value, `None` if absent or expired.
    ///
    /// # Errors
    /// [`KvError::OutOfBounds`], also for a value that is longer than this handle's bound; [`KvError::Unavailable`].
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        text(key)?;
        match &self.place {
            Place::Memory(memory, space) => space.lock().get(memory.now(), self.bounds, key),
            Place::Redis(store, stem) => store.get(stem, self.bounds, key).await,
        }
    }

    /// Sets a value that expires after `ttl` seconds.
    ///
    /// # Errors
    /// [`KvError::OutOfBounds`], [`KvError::Full`], [`KvError::Unavailable`].
    pub async fn set(&self, key: &str, value: &[u8], ttl: u32) -> Result<(), KvError> {
        let ttl = self.check(key, value, ttl)?;
        match &self.place {
            Place::Memory(memory, space) => {
                in_memory(memory, space, |space, now| space.set(now, self.bounds, key, value, now + ttl))
            }
            Place::Redis(store, stem) => store.set(stem, self.bounds, key, value, ttl, false).await.map(drop),
        }
    }

    /// Sets a value only if the key is absent; true if it was.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn set_if_absent(&self, key: &str, value: &[u8], ttl: u32) -> Result<bool, KvError> {
        let ttl = self.check(key, value, ttl)?;
        match &self.place {
            Place::Memory(memory, space) => {
                in_memory(memory, space, |space, now| space.set_if_absent(now, self.bounds, key, value, now + ttl))
            }
            Place::Redis(store, stem) => store.set(stem, self.bounds, key, value, ttl, true).await,
        }
    }

    /// Takes a value out: of several callers one gets it.
    ///
    /// # Errors
    /// As [`Self::get`]; what is too long stays.
    pub async fn take(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        text(key)?;
        match &self.place {
            Place::Memory(memory, space) => space.lock().take(memory.now(), self.bounds, key),
            Place::Redis(store, stem) => store.take(stem, self.bounds, key).await,
        }
    }

    /// Removes a key, its value and its counted set. Absent is fine.
    ///
    /// # Errors
    /// [`KvError::OutOfBounds`], [`KvError::Unavailable`].
    pub async fn delete(&self, key: &str) -> Result<(), KvError> {
        text(key)?;
        match &self.place {
            Place::Memory(memory, space) => {
                space.lock().delete(memory.now(), key);
                Ok(())
            }
            Place::Redis(store, stem) => store.delete(stem, key).await,
        }
    }

    /// Adds to a decimal number and returns the sum. An absent key counts as 0 and expires after `ttl` seconds; a key that is
    /// there keeps its time.
    ///
    /// # Errors
    /// As [`Self::set`], and [`KvError::NotANumber`].
    pub async fn increment(&self, key: &str, by: i64, ttl: u32) -> Result<i64, KvError> {
        let ttl = self.check(key, &[], ttl)?;
        match &self.place {
            Place::Memory(memory, space) => {
                in_memory(memory, space, |space, now| space.increment(now, self.bounds, key, by, now + ttl))
            }
            Place::Redis(store, stem) => store.increment(stem, self.bounds, key, by, ttl).await,
        }
    }

    /// Adds a member to a set that is only counted, and returns the number of its members: exact in memory, where it stops at
    /// 10,000, and within about one per cent in Redis. An absent set expires after `ttl` seconds; one that is there keeps its time.
    /// A set has a name of its own: `get` and the others don't see it, but for [`Self::delete`].
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn count_distinct(&self, key: &str, member: &str, ttl: u32) -> Result<u64, KvError> {
        let ttl = self.check(key, &[], ttl)?;
        text(member)?;
        match &self.place {
            Place::Memory(memory, space) => {
                in_memory(memory, space, |space, now| space.count_distinct(now, self.bounds, key, member, now + ttl))
            }
            Place::Redis(store, stem) => store.count_distinct(stem, self.bounds, key, member, ttl).await,
        }
    }

    /// The time to live in milliseconds, if all is within bounds.
    fn check(&self, key: &str, value: &[u8], ttl: u32) -> Result<u64, KvError> {
        text(key)?;
        if value.len() > self.bounds.value as usize || !(1..=LONGEST_TTL).contains(&ttl) {
            return Err(KvError::OutOfBounds);
        }
        Ok(u64::from(ttl) * 1_000)
    }
}

/// An operation that may need room. It is tried again after clearing up everywhere: the store may be full of what has expired in
/// namespaces that nobody asks for.
fn in_memory<T>(
    memory: &Memory,
    space: &Mutex<Space>,
    mut operation: impl FnMut(&mut Space, u64) -> Result<T, KvError>,
) -> Result<T, KvError> {
    let now = memory.now();
    let done = operation(&mut space.lock(), now);
    match done {
        Err(KvError::Full) if memory.sweep_for_room(now) => operation(&mut space.lock(), now),
        done => {
            memory.sweep_sometimes(now);
            done
        }
    }
}

fn text(key: &str) -> Result<(), KvError> {
    if (1..=LONGEST_KEY).contains(&key.len()) { Ok(()) } else { Err(KvError::OutOfBounds) }
}

fn name(name: &str) -> Result<&str, SetupError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(name);
    }
    Err(SetupError::Name(name.to_owned()))
}
