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

use crate::{Level, config::Value, kv};

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

/// The store's keys, without those whose time is over, in order.
pub fn keys() -> Vec<String> {
    host::with(|world| world.store.keys())
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
