//! Why an operation was not done, or a store could not be had.

/// Why an operation was not done. The cases are those of the contract's `kv.error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// Key, value, member or time to live is out of bounds.
    #[error("key, value or time to live is out of bounds")]
    OutOfBounds,
    /// The namespace, or the store as a whole, is full.
    #[error("the store is full")]
    Full,
    /// Redis did not answer in time, or refused. Whether the operation was done is not known.
    #[error("the store did not answer in time")]
    Unavailable,
    /// The value is no decimal number of 64 bits, or the sum is none.
    #[error("the value is no number, or the sum is none that 64 bits hold")]
    NotANumber,
}

/// Why there is no store or no namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// Not a Redis address. The address is not shown, as it may hold a password.
    #[error("not a Redis address; write redis://[user:password@]host:port/db or redis+unix:///path")]
    Url,
    /// A prefix that would make keys ambiguous.
    #[error("a prefix of keys has 1 to 32 of A-Z, a-z, 0-9, '-', '_' and '.', not {0:?}")]
    Prefix(String),
    /// A plugin's or tenant's name that would make keys ambiguous.
    #[error("names of plugins and tenants have 1 to 64 of a-z, 0-9, '-' and '_', not {0:?}")]
    Name(String),
}
