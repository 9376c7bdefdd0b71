//! The wall clock.

/// Milliseconds since 1970-01-01T00:00:00Z.
pub fn milliseconds() -> u64 {
    crate::host::now()
}

/// Whole seconds since 1970-01-01T00:00:00Z.
pub fn seconds() -> u64 {
    crate::host::now() / 1_000
}
