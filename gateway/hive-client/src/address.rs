//! Where a hive listens.

use std::path::PathBuf;

/// A hive's address. Its text form is the `config` crate's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HiveAddress {
    /// A unix socket on this machine.
    Unix(PathBuf),
    /// `host:port`, resolved anew for each connection.
    Tcp(String),
}
