//! Reads the files of a plugin's folder, each once, and takes none that just anybody could have put there.
//!
//! Folder and files belong to root or to our own user, and not everybody may write them. Who is in their group may, if its bit says
//! so: users with a group of their own make files like that all the time. What is above the folder is not looked at.

use crate::error::PackageError;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::{File, Metadata};
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
        // Without `DIRECTORY` a FIFO in its place would block until somebody writes.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(folder) => File::from(folder),
            Err(Errno::NOTDIR) => return Err(refused(path, "is no folder")),
            Err(error) => return Err(unreadable(path, error.into())),
        };
        let metadata = file.metadata().map_err(|source| unreadable(path, source))?;
        check_rights(&metadata, "folder").map_err(|reason| refused(path, reason))?;
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
        check_rights(&metadata, "file").map_err(|reason| refused(&path, reason))?;
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

fn check_rights(metadata: &Metadata, what: &str) -> Result<(), String> {
    check_owner(metadata.uid(), rustix::process::geteuid().as_raw(), what)?;
    if metadata.mode() & WORLD_WRITABLE != 0 {
        return Err(format!("everybody can write to this {what}; take that right away (chmod o-w)"));
    }
    Ok(())
}

/// An owner can always give himself the right to write.
fn check_owner(owner: u32, own: u32, what: &str) -> Result<(), String> {
    if owner == 0 || owner == own {
        return Ok(());
    }
    Err(format!(
        "this {what} belongs to user {owner}, who is neither root nor who runs this ({own}); give it away (chown)"
    ))
}

pub(crate) fn unreadable(path: &Path, source: io::Error) -> PackageError {
    PackageError::Unreadable { file: path.to_owned(), source }
}

pub(crate) fn refused(path: &Path, reason: impl Into<String>) -> PackageError {
    PackageError::Refused { file: path.to_owned(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::check_owner;

    #[test]
    fn root_and_we_ourselves_may_own_a_plugin() {
        for (owner, own, fits) in
            [(0, 0, true), (0, 1_000, true), (1_000, 1_000, true), (1_000, 0, false), (1_001, 1_000, false)]
        {
            assert_eq!(check_owner(owner, own, "file").is_ok(), fits, "{owner}, {own}");
        }
    }
}
