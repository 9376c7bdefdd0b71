//! The plugins' key-value store, in memory or in Redis.
//!
//! What it does: nothing yet. What it refuses to do: nothing yet. Who calls it: nobody yet. What stays true: nothing yet.
