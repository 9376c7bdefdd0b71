//! The plugins' key-value store, in memory or in Redis.

mod error;
mod kv;
mod memory;
mod redis_store;
mod scripts;
mod space;
#[cfg(test)]
mod tests;

pub use error::{KvError, SetupError};
pub use kv::{Kv, KvBounds, MemoryBounds, Namespace};
