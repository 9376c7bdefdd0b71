//! The face: a store, and the namespaces in it.

use crate::error::{KvError, SetupError};
use std::time::Duration;

/// What one namespace may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvBounds {
    /// Keys at once.
    pub keys: u32,
    /// Bytes of one value.
    pub value: u32,
}

/// What all namespaces of an in-memory store may hold together.
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
pub struct Kv {}

/// What one plugin keeps for one tenant, or for the gateway. Cloning is cheap and gives another handle on the same one.
///
/// Operations on it are atomic, also between gateways that share a Redis. Keys and members have 1 to 256 bytes, times to live
/// are 1 to 34,560,000 seconds (400 days).
#[derive(Clone, Debug)]
pub struct Namespace {}

impl Kv {
    /// A store that lasts as long as its handles.
    #[must_use]
    pub fn in_memory(bounds: MemoryBounds) -> Self {
        let _ = bounds;
        Self {}
    }

    /// A store in Redis (6.2 or newer) or what speaks like it. Connects when it is first used and again whenever it must, so that a
    /// gateway starts while Redis is down. Every key starts with `prefix`; no operation takes longer than `timeout`.
    ///
    /// # Errors
    /// [`SetupError::Url`], [`SetupError::Prefix`].
    pub fn redis(url: &str, prefix: &str, timeout: Duration) -> Result<Self, SetupError> {
        let _ = (url, prefix, timeout);
        Ok(Self {})
    }

    /// What `plugin` keeps for `tenant` (`None`: for the gateway as a whole). The same names lead to the same keys, whatever the
    /// bounds: those are the caller's for what goes through this handle.
    ///
    /// # Errors
    /// [`SetupError::Name`].
    pub fn namespace(&self, plugin: &str, tenant: Option<&str>, bounds: KvBounds) -> Result<Namespace, SetupError> {
        let _ = (plugin, tenant, bounds);
        Ok(Namespace {})
    }
}

impl Namespace {
    /// The value, `None` if absent or expired.
    ///
    /// # Errors
    /// [`KvError::OutOfBounds`], [`KvError::Unavailable`].
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        let _ = key;
        Err(KvError::Unavailable)
    }

    /// Sets a value that expires after `ttl` seconds.
    ///
    /// # Errors
    /// [`KvError::OutOfBounds`], [`KvError::Full`], [`KvError::Unavailable`].
    pub async fn set(&self, key: &str, value: &[u8], ttl: u32) -> Result<(), KvError> {
        let _ = (key, value, ttl);
        Err(KvError::Unavailable)
    }

    /// Sets a value only if the key is absent; true if it was.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn set_if_absent(&self, key: &str, value: &[u8], ttl: u32) -> Result<bool, KvError> {
        let _ = (key, value, ttl);
        Err(KvError::Unavailable)
    }

    /// Takes a value out: of several callers one gets it.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn take(&self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        let _ = key;
        Err(KvError::Unavailable)
    }

    /// Removes a key, its value and its counted set. Absent is fine.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn delete(&self, key: &str) -> Result<(), KvError> {
        let _ = key;
        Err(KvError::Unavailable)
    }

    /// Adds to a decimal number and returns the sum. An absent key counts as 0 and expires after `ttl` seconds; a key that is
    /// there keeps its time.
    ///
    /// # Errors
    /// As [`Self::set`], and [`KvError::NotANumber`].
    pub async fn increment(&self, key: &str, by: i64, ttl: u32) -> Result<i64, KvError> {
        let _ = (key, by, ttl);
        Err(KvError::Unavailable)
    }

    /// Adds a member to a set that is only counted, and returns the number of its members: exact in memory, where it stops at
    /// 10,000, and within about one per cent in Redis. A set has a name of its own: `get` and the others don't see it, but for
    /// [`Self::delete`].
    ///
    /// # Errors
    /// As [`Self::set`].
    pub async fn count_distinct(&self, key: &str, member: &str, ttl: u32) -> Result<u64, KvError> {
        let _ = (key, member, ttl);
        Err(KvError::Unavailable)
    }
}
