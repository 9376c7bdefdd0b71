//! The gateway's imports, in this crate's types. `testing` has the same face in memory.

use crate::{Level, bindings::policy::streamvault::plugin as wit, config::Value, kv};
use alloc::vec::Vec;

pub(crate) fn log(level: Level, text: &str) {
    let level = match level {
        Level::Debug => wit::log::Level::Debug,
        Level::Info => wit::log::Level::Info,
        Level::Warn => wit::log::Level::Warn,
        Level::Error => wit::log::Level::Error,
    };
    wit::log::write(level, text);
}

pub(crate) fn now() -> u64 {
    wit::clock::now()
}

pub(crate) fn random(count: u32) -> Vec<u8> {
    wit::random::bytes(count)
}

pub(crate) fn setting(name: &str) -> Option<Value> {
    wit::config::get(name).map(|value| match value {
        wit::config::Value::Text(text) => Value::Text(text),
        wit::config::Value::Integer(integer) => Value::Integer(integer),
        wit::config::Value::Boolean(boolean) => Value::Boolean(boolean),
        wit::config::Value::Texts(texts) => Value::Texts(texts),
    })
}

pub(crate) fn kv_get(key: &str) -> Result<Option<Vec<u8>>, kv::Error> {
    wit::kv::get(key).map_err(error)
}

pub(crate) fn kv_set(key: &str, value: &[u8], ttl: u32) -> Result<(), kv::Error> {
    wit::kv::set(key, value, ttl).map_err(error)
}

pub(crate) fn kv_set_if_absent(key: &str, value: &[u8], ttl: u32) -> Result<bool, kv::Error> {
    wit::kv::set_if_absent(key, value, ttl).map_err(error)
}

pub(crate) fn kv_take(key: &str) -> Result<Option<Vec<u8>>, kv::Error> {
    wit::kv::take(key).map_err(error)
}

pub(crate) fn kv_delete(key: &str) -> Result<(), kv::Error> {
    wit::kv::delete(key).map_err(error)
}

pub(crate) fn kv_increment(key: &str, by: i64, ttl: u32) -> Result<i64, kv::Error> {
    wit::kv::increment(key, by, ttl).map_err(error)
}

pub(crate) fn kv_count_distinct(key: &str, member: &str, ttl: u32) -> Result<u64, kv::Error> {
    wit::kv::count_distinct(key, member, ttl).map_err(error)
}

fn error(error: wit::kv::Error) -> kv::Error {
    match error {
        wit::kv::Error::OutOfBounds => kv::Error::OutOfBounds,
        wit::kv::Error::Full => kv::Error::Full,
        wit::kv::Error::Unavailable => kv::Error::Unavailable,
        wit::kv::Error::NotANumber => kv::Error::NotANumber,
    }
}
