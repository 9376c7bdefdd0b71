//! A small store, shared by all instances of this plugin for this tenant and by nobody else: in Redis if the gateway has one
//! (then shared by all gateways), else in the gateway's memory (then lost at a restart).
//!
//! Keys have 1 to 256 bytes, values up to the manifest's `limits.kv_value`, one store holds up to `limits.kv_keys` keys. Each
//! call may wait for Redis: keep them off requests that don't need them. One call of a plugin may ask 64 times, of an
//! observe plugin 2,048 times; asking once more ends it. A time to live is rounded up to whole seconds and
//! lies between one second and 400 days.

use alloc::{string::String, vec::Vec};
use core::{fmt, time::Duration};

/// Why an operation was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Key, value or time to live is out of bounds.
    OutOfBounds,
    /// The store is full: delete something, or wait for something to expire.
    Full,
    /// Redis did not answer in time.
    Unavailable,
    /// The value is no number, or the sum is none that 64 bits hold.
    NotANumber,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::OutOfBounds => "key, value or time to live is out of bounds",
            Self::Full => "the plugin's store is full",
            Self::Unavailable => "the plugin's store does not answer",
            Self::NotANumber => "the value is not a number that can be added to",
        })
    }
}

impl core::error::Error for Error {}

/// The value, `None` if absent or expired.
///
/// # Errors
/// As named in [`Error`].
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    crate::host::kv_get(key)
}

/// The value as text, `None` if absent or expired; what is not UTF-8 comes with U+FFFD in the place of its bad bytes.
///
/// # Errors
/// As named in [`Error`].
pub fn get_text(key: &str) -> Result<Option<String>, Error> {
    Ok(get(key)?.map(text))
}

/// Sets a value for some time.
///
/// # Errors
/// As named in [`Error`].
pub fn set(key: &str, value: impl AsRef<[u8]>, ttl: Duration) -> Result<(), Error> {
    crate::host::kv_set(key, value.as_ref(), seconds(ttl))
}

/// Sets a value only if the key is absent; true if it was. Atomic, also between gateways that share a Redis.
///
/// # Errors
/// As named in [`Error`].
pub fn set_if_absent(key: &str, value: impl AsRef<[u8]>, ttl: Duration) -> Result<bool, Error> {
    crate::host::kv_set_if_absent(key, value.as_ref(), seconds(ttl))
}

/// Takes a value out: of several callers one gets it. Atomic, as above.
///
/// # Errors
/// As named in [`Error`].
pub fn take(key: &str) -> Result<Option<Vec<u8>>, Error> {
    crate::host::kv_take(key)
}

/// Removes a key. Absent is fine.
///
/// # Errors
/// As named in [`Error`].
pub fn delete(key: &str) -> Result<(), Error> {
    crate::host::kv_delete(key)
}

/// Adds to a decimal number and returns the sum. An absent key counts as 0 and expires after `ttl`; a key that is there keeps
/// its time.
///
/// # Errors
/// As named in [`Error`].
pub fn increment(key: &str, by: i64, ttl: Duration) -> Result<i64, Error> {
    crate::host::kv_increment(key, by, seconds(ttl))
}

/// Adds a member (1 to 256 bytes) to a set that is only counted; returns the number of distinct members, exact in memory (up to
/// 10,000) and within about one per cent in Redis. A set that is there keeps its time. Sets have names of their own: of the
/// other operations only [`delete`] sees them.
///
/// # Errors
/// As named in [`Error`].
pub fn count_distinct(key: &str, member: &str, ttl: Duration) -> Result<u64, Error> {
    crate::host::kv_count_distinct(key, member, seconds(ttl))
}

fn seconds(ttl: Duration) -> u32 {
    let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    // What doesn't fit is beyond the bound, and refused as such.
    u32::try_from(whole).unwrap_or(u32::MAX)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
