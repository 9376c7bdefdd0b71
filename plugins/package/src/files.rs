//! Reads the files of a plugin's folder, each once, and takes none that somebody else could have put there.

use crate::error::PackageError;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Other users may write.
const WORLD_WRITABLE: u32 = 0o002;

/// How often a folder that changes under our eyes is looked at again.
const ATTEMPTS: usize = 8;

/// A plugin's folder, held open: what is read next is in this very folder, whatever its path leads to by then.
pub(crate) struct Folder {
    path: PathBuf,
    folder: OwnedFd,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Self, PackageError> {
        let file = File::open(path).map_err(|source| unreadable(path, source))?;
        let metadata = file.metadata().map_err(|source| unreadable(path, source))?;
        if !metadata.is_dir() {
            return Err(refused(path, "is no folder"));
        }
        if metadata.mode() & WORLD_WRITABLE != 0 {
            return Err(refused(path, "everybody can write to this folder; take that right away (chmod o-w)"));
        }
        Ok(Self { path: path.to_owned(), folder: file.into() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The whole file, `None` if there is none. Links are followed as long as they stay in the folder.
    pub(crate) fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, PackageError> {
        let path = self.path(name);
        let file = match self.open_beneath(name) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::XDEV | Errno::LOOP) => return Err(refused(&path, "is a link that leaves the plugin's folder")),
            Err(error) => return Err(unreadable(&path, error.into())),
        };
        let metadata = file.metadata().map_err(|source| unreadable(&path, source))?;
        if !metadata.is_file() {
            return Err(refused(&path, "is no regular file"));
        }
        if metadata.mode() & WORLD_WRITABLE != 0 {
            return Err(refused(&path, "everybody can write to this file; take that right away (chmod o-w)"));
        }
        let mut bytes = Vec::new();
        // Not `metadata.len()`: the file may grow while it is read.
        file.take(most + 1).read_to_end(&mut bytes).map_err(|source| unreadable(&path, source))?;
        if bytes.len() as u64 > most {
            return Err(refused(&path, format!("is larger than {} KiB", most >> 10)));
        }
        Ok(Some(bytes))
    }

    fn open_beneath(&self, name: &str) -> Result<OwnedFd, Errno> {
        // A FIFO would block the opener until somebody writes.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..ATTEMPTS {
            match rustix::fs::openat2(&self.folder, name, flags, Mode::empty(), resolve) {
                // Something was renamed meanwhile, and the kernel can't tell whether the path stayed inside.
                Err(Errno::AGAIN) => {}
                // Kernels before 5.6, and sandboxes that don't know the call: no links at all then.
                Err(Errno::NOSYS | Errno::PERM) => {
                    return rustix::fs::openat(&self.folder, name, flags | OFlags::NOFOLLOW, Mode::empty());
                }
                done => return done,
            }
        }
        Err(Errno::AGAIN)
    }
}

pub(crate) fn unreadable(path: &Path, source: io::Error) -> PackageError {
    PackageError::Unreadable { file: path.to_owned(), source }
}

pub(crate) fn refused(path: &Path, reason: impl Into<String>) -> PackageError {
    PackageError::Refused { file: path.to_owned(), reason: reason.into() }
}
