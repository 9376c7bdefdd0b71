//! The plugins' key-value store, in memory or in Redis.

mod error;
mod kv;

pub use error::{KvError, SetupError};
pub use kv::{Kv, KvBounds, MemoryBounds, Namespace};
