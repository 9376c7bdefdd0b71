//! The gateway's imports in memory; the face is that of the wasm target's `host`.

use super::store::Store;
use crate::{Level, config::Value, kv};
use std::{cell::RefCell, collections::BTreeMap};

#[derive(Default)]
pub(crate) struct World {
    pub(super) settings: BTreeMap<String, Value>,
    pub(super) store: Store,
    pub(super) logged: Vec<(Level, String)>,
    random: u64,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

pub(super) fn with<R>(act: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(act)
}

pub(crate) fn log(level: Level, text: &str) {
    with(|world| world.logged.push((level, text.into())));
}

pub(crate) fn now() -> u64 {
    with(|world| world.store.now)
}

/// Different for each call, the same for each run.
pub(crate) fn random(count: u32) -> Vec<u8> {
    assert!(count <= 1_024, "the gateway ends a call that asks for more than 1,024 random bytes");
    with(|world| {
        (0..count)
            .map(|_| {
                world.random =
                    world.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                world.random.to_le_bytes()[7]
            })
            .collect()
    })
}

pub(crate) fn setting(name: &str) -> Option<Value> {
    with(|world| world.settings.get(name).cloned())
}

/// A call of the plugin: while it lasts, what it asks the store is counted.
#[derive(Debug)]
pub(crate) struct Call;

impl Call {
    pub(super) fn begin(most: u32) -> Self {
        with(|world| world.store.begin_call(most));
        Self
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        with(|world| world.store.end_call());
    }
}

/// One operation.
fn store<T>(act: impl FnOnce(&mut Store) -> Result<T, kv::Error>) -> Result<T, kv::Error> {
    with(|world| {
        world.store.count();
        let done = act(&mut world.store);
        if world.store.loses_answer() { Err(kv::Error::Unavailable) } else { done }
    })
}

pub(crate) fn kv_get(key: &str) -> Result<Option<Vec<u8>>, kv::Error> {
    store(|store| store.get(key))
}

pub(crate) fn kv_set(key: &str, value: &[u8], ttl: u32) -> Result<(), kv::Error> {
    store(|store| store.set(key, value, ttl))
}

pub(crate) fn kv_set_if_absent(key: &str, value: &[u8], ttl: u32) -> Result<bool, kv::Error> {
    store(|store| match store.get(key)? {
        Some(_) => Ok(false),
        None => store.set(key, value, ttl).map(|()| true),
    })
}

pub(crate) fn kv_take(key: &str) -> Result<Option<Vec<u8>>, kv::Error> {
    store(|store| {
        let value = store.get(key)?;
        store.delete(key)?;
        Ok(value)
    })
}

pub(crate) fn kv_delete(key: &str) -> Result<(), kv::Error> {
    store(|store| store.delete(key))
}

pub(crate) fn kv_increment(key: &str, by: i64, ttl: u32) -> Result<i64, kv::Error> {
    store(|store| store.increment(key, by, ttl))
}

pub(crate) fn kv_count_distinct(key: &str, member: &str, ttl: u32) -> Result<u64, kv::Error> {
    store(|store| store.count_distinct(key, member, ttl))
}
