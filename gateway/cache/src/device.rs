//! What the cache asks of a disk that changes something on it, as a trait: the kernel's, or one in memory whose power can
//! be cut. Blocks.

use rustix::fs::{FallocateFlags, FlockOperation};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A disk. Whatever it is, an open file of it is one of the kernel's: reading is no part of this trait, and costs no
/// dispatch. Paths are below the cache's folder.
///
/// # Errors
/// Whatever the system says, as it says it: [`io::ErrorKind::NotFound`], [`io::ErrorKind::AlreadyExists`] and
/// [`io::ErrorKind::StorageFull`] are told from the others.
pub trait Device: Send + Sync + 'static {
    /// Makes a folder, and those above it. One that is there is no error.
    fn make_folder(&self, folder: &Path) -> io::Result<()>;
    /// Makes an empty file for reading and writing; one of that name must not exist.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<File>;
    /// What is known of a file without opening it.
    fn stat(&self, path: &Path) -> io::Result<Metadata>;
    /// Gives a file another name in its folder, in the place of the file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Deletes a file. Who has it open keeps its bytes.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;
    /// Makes a folder and locks it for as long as the file lives. `None`: another process has it.
    fn lock(&self, folder: &Path) -> io::Result<Option<File>>;
    /// Bytes that the file system still has for us.
    fn free_space(&self, folder: &Path) -> io::Result<u64>;
    /// Sets a file's length; what is new reads as zeros and takes no blocks.
    fn set_len(&self, file: &File, len: u64) -> io::Result<()>;
    /// Writes all of `bytes`.
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Gives the bytes' blocks back; the file keeps its length.
    fn punch(&self, file: &File, at: u64, len: u64) -> io::Result<()>;
    /// Returns when what was written to the file, and its length, would survive a power cut; its name might not.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Returns when the folder's names would survive a power cut.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Shows other processes that this one has the file open, until it closes it. Doesn't wait.
    fn hold(&self, file: &File) -> io::Result<()> {
        Ok(rustix::fs::flock(file, FlockOperation::NonBlockingLockShared)?)
    }

    /// Whether no other process holds the file, by [`Device::hold`]. Afterwards this one does. Doesn't wait.
    fn is_alone(&self, file: &File) -> io::Result<bool> {
        // A lock that can't be made exclusive is lost (flock(2)), and one that can goes back: both end in a shared one.
        let alone = match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => true,
            Err(Errno::WOULDBLOCK) => false,
            Err(error) => return Err(error.into()),
        };
        self.hold(file)?;
        Ok(alone)
    }
}

/// The kernel's file systems.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel;

impl Device for Kernel {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Metadata> {
        std::fs::metadata(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn lock(&self, folder: &Path) -> io::Result<Option<File>> {
        std::fs::create_dir_all(folder)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(folder.join("lock"))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn free_space(&self, folder: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }

    fn punch(&self, file: &File, at: u64, len: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, at, len)?)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}
