//! Runs a plugin's code without a gateway, for `cargo test`: requests, settings, a clock, a store and a log in memory.
//!
//! All of it belongs to the thread, hence to the test; nothing is shared between tests.
//!
//! ```
//! use streamvault_sdk::{Verdict, config, testing};
//!
//! testing::setting("message", "No.");
//! let request = testing::Request::new().header("referer", "https://example.com/").build();
//! assert_eq!(request.header("Referer").as_deref(), Some("https://example.com/"));
//! assert_eq!(config::text("message"), Some("No."));
//! ```

pub(crate) mod host;
mod request;
mod store;

pub(crate) use request::Facts;
pub use request::Request;

use crate::{Finished, Level, Observe, Resolution, Tenants, config::Value, kv};

/// Gives the plugin a setting: a text, an integer, a boolean, or a list of texts.
pub fn setting(name: &str, value: impl Into<Value>) {
    host::with(|world| world.settings.insert(name.into(), value.into()));
}

/// Sets the clock: seconds since 1970. It stands still until [`advance`]; a new test begins at 1,800,000,000.
pub fn clock(seconds: u64) {
    host::with(|world| world.store.now = seconds * 1_000);
}

/// Lets time pass, for the clock and for the store's times to live.
pub fn advance(seconds: u64) {
    host::with(|world| world.store.now += seconds * 1_000);
}

/// From now on the store answers with this error; `None` heals it.
pub fn break_store(error: Option<kv::Error>) {
    host::with(|world| world.store.broken = error);
}

/// The store does `operations` more, and then one whose answer is lost: it is done, but the plugin hears that the store is
/// unavailable, as when Redis breaks off.
pub fn lose_answer_after(operations: u32) {
    host::with(|world| world.store.lost = Some(operations));
}

/// The store's keys, without those whose time is over, in order.
pub fn keys() -> Vec<String> {
    host::with(|world| world.store.keys())
}

/// One call of an observe plugin, which the gateway ends if it asks the store for more than 2,048 operations; here that is a panic.
///
/// # Errors
/// The plugin's.
pub fn batch(plugin: &impl Observe, tenant: &str, finished: &[Finished]) -> Result<(), String> {
    let _call = host::Call::begin(store::MOST_OPERATIONS_OF_OBSERVERS);
    plugin.batch(tenant, finished)
}

/// One call of a tenant plugin, which the gateway ends if it asks the store for more than 64 operations; here that is a panic.
///
/// # Errors
/// The plugin's.
pub fn resolve(plugin: &impl Tenants, host: &str) -> Result<Resolution, String> {
    let _call = host::Call::begin(store::MOST_OPERATIONS);
    plugin.resolve(host)
}

/// The lines logged so far.
pub fn logged() -> Vec<(Level, String)> {
    host::with(|world| world.logged.clone())
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

impl<const N: usize> From<[&str; N]> for Value {
    fn from(texts: [&str; N]) -> Self {
        Self::Texts(texts.map(String::from).into())
    }
}

#[cfg(test)]
mod tests {
    use super::{Request, batch};
    use crate::{Finished, Observe, kv};
    use std::{panic::catch_unwind, time::Duration};

    struct Asks(u32);

    impl Observe for Asks {
        fn load() -> Result<Self, String> {
            Ok(Self(0))
        }

        fn batch(&self, _: &str, _: &[Finished]) -> Result<(), String> {
            (0..self.0).try_for_each(|_| kv::get("k").map(drop)).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn a_call_may_ask_the_store_so_often() {
        for _ in 0..2 {
            let request = Request::new().build();
            for _ in 0..32 {
                kv::set_if_absent("k", "v", Duration::from_secs(1)).unwrap();
                kv::increment("n", 1, Duration::from_secs(1)).unwrap();
            }
            assert!(catch_unwind(|| kv::get("k")).is_err(), "the 65th");
            drop(request);
        }
        assert!((0..1_000).all(|_| kv::get("k").is_ok()), "the test's own questions");
        batch(&Asks(2_048), "films", &[]).unwrap();
        assert!(catch_unwind(|| batch(&Asks(2_049), "films", &[])).is_err());
    }
}
