//! Certificates that somebody else keeps in files, and changes while we run.

use crate::chain::{Chain, ChainError};
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes of the longest file that is taken for a certificate or key.
const LONGEST: u64 = 1 << 20;

/// Two PEM files that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The certificate, then those that lead to its root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A pair can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Their content is no certificate and its key.
    #[error("{} and {}: {source}", pair.certificate.display(), pair.key.display())]
    Chain {
        /// Which.
        pair: Pair,
        /// Why.
        source: ChainError,
    },
}

/// Pairs of files, and what they were like when they were read last.
#[derive(Debug)]
pub struct Files {
    pairs: Vec<Pair>,
    seen: Mutex<Vec<Option<(SystemTime, u64)>>>,
}

impl Files {
    /// These pairs; nothing is read yet.
    #[must_use]
    pub fn new(pairs: Vec<Pair>) -> Self {
        Self { pairs, seen: Mutex::default() }
    }

    /// Reads all of them, in their order.
    ///
    /// # Errors
    /// [`FilesError`] names the first pair that can't be used.
    pub fn read(&self) -> Result<Vec<Arc<Chain>>, FilesError> {
        // Looked at before they are read: what changes meanwhile is seen the next time.
        let stamps = self.stamps();
        let chains = self.pairs.iter().map(|pair| read(pair).map(Arc::new)).collect::<Result<_, _>>()?;
        *self.seen.lock() = stamps;
        Ok(chains)
    }

    /// Reads all of them if one has changed since it was read last.
    ///
    /// # Errors
    /// [`FilesError`] of a pair that can't be used now. The next call tries again only when something has changed: a tool that writes
    /// one file after the other is told of once, and comes right.
    pub fn changed(&self) -> Result<Option<Vec<Arc<Chain>>>, FilesError> {
        let stamps = self.stamps();
        if *self.seen.lock() == stamps {
            return Ok(None);
        }
        let read = self.read().map(Some);
        if read.is_err() {
            *self.seen.lock() = stamps;
        }
        read
    }

    fn stamps(&self) -> Vec<Option<(SystemTime, u64)>> {
        let stamp = |path: &Path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        self.pairs.iter().flat_map(|pair| [stamp(&pair.certificate), stamp(&pair.key)]).collect()
    }
}

fn read(pair: &Pair) -> Result<Chain, FilesError> {
    let (certificate, key) = (text(&pair.certificate)?, text(&pair.key)?);
    Chain::from_pem(&certificate, &key).map_err(|source| FilesError::Chain { pair: pair.clone(), source })
}

fn text(path: &Path) -> Result<Vec<u8>, FilesError> {
    let read = || {
        if std::fs::metadata(path)?.len() > LONGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than any certificate"));
        }
        std::fs::read(path)
    };
    read().map_err(|source| FilesError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "files of a test")]
mod tests {
    use super::{Files, FilesError, Pair};
    use crate::chain::tests::pem;

    #[test]
    fn files_are_read_again_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        let pair = Pair { certificate: folder.path().join("a.pem"), key: folder.path().join("a.key") };
        let files = Files::new(vec![pair.clone()]);
        assert!(matches!(files.read(), Err(FilesError::Read { .. })));
        let write = |names: &[&str]| {
            let (certificate, key) = pem(names);
            std::fs::write(&pair.certificate, certificate).unwrap();
            std::fs::write(&pair.key, key).unwrap();
        };
        write(&["a.example.com"]);
        assert_eq!(files.read().unwrap()[0].names(), ["a.example.com"]);
        assert!(files.changed().unwrap().is_none());
        write(&["longer.example.com", "b.example.com"]);
        assert_eq!(files.changed().unwrap().unwrap()[0].names().len(), 2);
        std::fs::write(&pair.key, "no key").unwrap();
        assert!(matches!(files.changed(), Err(FilesError::Chain { .. })));
        assert!(files.changed().unwrap().is_none(), "told once");
        write(&["c.example.com"]);
        assert_eq!(files.changed().unwrap().unwrap()[0].names(), ["c.example.com"]);
    }
}
