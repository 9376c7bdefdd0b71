//! Where a document's bytes come from.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::derive;

/// A document's bytes, read by offset and never held whole unless they were given whole.
#[derive(Clone, Debug)]
pub enum Content {
    /// A file on disk, sparse ones included. It's opened once; a file that grows or shrinks later is a broken world.
    File(Arc<OpenFile>),
    /// A reproducible stream of any length that costs no memory.
    Generated {
        /// Which stream; two seeds share no bytes.
        seed: u64,
    },
    /// Bytes in memory.
    Bytes(Arc<[u8]>),
}

/// A file that content is read from.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    path: PathBuf,
}

impl Content {
    /// Opens `path`; returns the content and its size in bytes.
    ///
    /// # Errors
    /// Whatever opening or examining the file says; a folder is `InvalidInput`.
    pub fn open(path: &Path) -> io::Result<(Self, u64)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok((Self::File(Arc::new(OpenFile { file, path: path.to_owned() })), metadata.len()))
    }

    /// Fills `out` with the bytes from `offset` on.
    ///
    /// # Errors
    /// A read error, or `UnexpectedEof` when the content ends before `out` is full.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self {
            Self::File(open) => open
                .file
                .read_exact_at(out, offset)
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", open.path.display()))),
            Self::Generated { seed } => {
                derive::fill(*seed, offset, out);
                Ok(())
            }
            Self::Bytes(bytes) => {
                let from = usize::try_from(offset).ok();
                let part = from.and_then(|from| bytes.get(from..from.checked_add(out.len())?));
                out.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}
