//! Where a hive listens.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A hive's address. Its text form is the `config` crate's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HiveAddress {
    /// A unix socket on this machine.
    Unix(PathBuf),
    /// `host:port`, resolved anew for each connection.
    Tcp(String),
}

impl HiveAddress {
    /// What tells it from any other: a path of a unix socket is absolute, and no authority begins with a slash.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Unix(path) => path.as_os_str().as_bytes(),
            Self::Tcp(authority) => authority.as_bytes(),
        }
    }
}

impl fmt::Display for HiveAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(authority) => f.write_str(authority),
        }
    }
}
