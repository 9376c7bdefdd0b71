//! Why a command failed.

use admin_client::AdminError;
use config::ConfigError;
use plugin_host::HostError;
use plugin_kv::SetupError;
use plugin_package::{KeyFileError, PackageError, SignError, TrustError};
use std::io;
use std::path::{Path, PathBuf};

/// Why a command failed. Messages are for whoever typed it; none contains a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The gateway's settings can't be had.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A plugin's folder doesn't hold what it should.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// A trusted key can't be had.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// A key can't be made.
    #[error(transparent)]
    Key(#[from] TrustError),
    /// A folder can't be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The host for plugins doesn't start here.
    #[error(transparent)]
    Host(#[from] HostError),
    /// There is no store.
    #[error("the store: {0}")]
    Store(#[from] SetupError),
    /// A file or folder can't be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds something else than what is wanted.
    #[error("{path}: {message}", path = path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wanted.
        message: String,
    },
    /// The running gateway can't be reached, or refused.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// What was tried did not succeed; the details have been printed.
    #[error("{0}")]
    Failed(String),
    /// Standard output is closed.
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
}

impl CommandError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }

    pub(crate) fn content(path: &Path, message: impl Into<String>) -> Self {
        Self::Content { path: path.to_owned(), message: message.into() }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}
