//! Every call to the disk that the cache makes, and nothing else: one place to count, to fail on purpose, to explain.
//! What changes the disk goes through [`Device`], what reads open files to the kernel.

use crate::device::{Device, Kernel};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

/// A kind of disk call, as a [`DiskHook`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiskOp {
    /// A new extent file or sidecar.
    Create,
    /// An extent file or sidecar opened again.
    Open,
    /// Bytes of a slice.
    WriteData,
    /// A slice's record in the sidecar, written or erased.
    WriteRecord,
    /// Bytes of a slice read if they are in memory. Whatever goes wrong means that they aren't, and `EOPNOTSUPP` that the
    /// file system can't tell.
    ReadReady,
    /// Bytes of a slice, or a record, read by waiting for the device.
    Read,
    /// A hole punched where a slice was.
    Punch,
    /// A file deleted.
    Unlink,
    /// A question for free space.
    FreeSpace,
    /// A file's bytes, or a folder's names, brought to the device.
    Sync,
}

/// What a [`DiskHook`] makes of a call.
#[derive(Debug)]
pub enum DiskFault {
    /// The call fails and nothing happens.
    Fail(io::Error),
    /// A write stops after so many bytes and fails; other calls just fail.
    Tear(usize, io::Error),
}

/// Watches disk calls, and makes them fail in drills: full, broken and vanishing disks, torn writes. One that doesn't return
/// is a disk that is stuck: only [`DiskOp::ReadReady`] is asked on the event loop.
pub trait DiskHook: Send + Sync + 'static {
    /// Asked right before a call; `len` is the bytes to be written or read, 0 for other calls.
    fn before(&self, op: DiskOp, len: usize) -> Option<DiskFault>;
}

/// What a read that must not wait came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    /// So many bytes were in memory.
    Bytes(usize),
    /// The device would have to be waited for.
    WouldBlock,
    /// The file system can't tell without waiting.
    Unknown,
}

/// What the file system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Bytes.
    pub(crate) len: u64,
    /// Bytes that it has blocks for.
    pub(crate) blocks: u64,
    /// When it was last written to or touched, in Unix seconds.
    pub(crate) modified: u64,
}

impl Stat {
    fn of(found: &std::fs::Metadata) -> Self {
        let modified = u64::try_from(found.mtime()).unwrap_or_default();
        Self { len: found.len(), blocks: found.blocks() * 512, modified }
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Disk {
    device: Arc<dyn Device>,
    hook: Option<Arc<dyn DiskHook>>,
    /// The file system can't say whether a read would wait: don't ask again.
    no_nowait: Arc<AtomicBool>,
    /// The system can't say what is in memory: don't ask again.
    no_residency: Arc<AtomicBool>,
}

impl Disk {
    /// `None`: the kernel's.
    pub(crate) fn new(device: Option<Arc<dyn Device>>, hook: Option<Arc<dyn DiskHook>>) -> Self {
        let device = device.unwrap_or_else(|| Arc::new(Kernel));
        Self { device, hook, no_nowait: Arc::default(), no_residency: Arc::default() }
    }

    fn check(&self, op: DiskOp, len: usize) -> io::Result<()> {
        match self.hook.as_ref().and_then(|hook| hook.before(op, len)) {
            None => Ok(()),
            Some(DiskFault::Fail(error) | DiskFault::Tear(_, error)) => Err(error),
        }
    }

    /// Makes a new file; one of that name must not exist. `len` is its length, all hole.
    pub(crate) fn create(&self, path: &Path, len: u64) -> io::Result<File> {
        self.check(DiskOp::Create, 0)?;
        if let Some(folder) = path.parent() {
            self.device.make_folder(folder)?;
        }
        let file = self.device.create(path)?;
        self.device.set_len(&file, len)?;
        Ok(file)
    }

    /// Writes a whole new file under a temporary name and renames it: it is there whole or not at all.
    pub(crate) fn create_whole(&self, path: &Path, bytes: &[u8], len: u64) -> io::Result<File> {
        let temporary = path.with_extension("tmp");
        let file = self.create(&temporary, 0)?;
        self.device.write(&file, bytes, 0)?;
        self.device.set_len(&file, len)?;
        self.device.rename(&temporary, path)?;
        Ok(file)
    }

    pub(crate) fn open(&self, path: &Path) -> io::Result<File> {
        self.check(DiskOp::Open, 0)?;
        self.device.open(path)
    }

    pub(crate) fn read_whole(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.device.open(path)?;
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// What the file system says of a file, opened or not.
    pub(crate) fn stat(&self, path: &Path) -> io::Result<Stat> {
        Ok(Stat::of(&self.device.stat(path)?))
    }

    pub(crate) fn write_data(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write(DiskOp::WriteData, file, bytes, at)
    }

    pub(crate) fn write_record(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write(DiskOp::WriteRecord, file, bytes, at)
    }

    fn write(&self, op: DiskOp, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        match self.hook.as_ref().and_then(|hook| hook.before(op, bytes.len())) {
            None => self.device.write(file, bytes, at),
            Some(DiskFault::Fail(error)) => Err(error),
            Some(DiskFault::Tear(keep, error)) => {
                self.device.write(file, bytes.get(..keep).unwrap_or(bytes), at)?;
                Err(error)
            }
        }
    }

    /// Reads what is in memory already; never waits for the device, so the event loop may call it.
    pub(crate) fn read_ready(&self, file: &File, into: &mut [u8], at: u64) -> Ready {
        if self.no_nowait.load(Ordering::Relaxed) {
            return Ready::Unknown;
        }
        let read = self
            .check(DiskOp::ReadReady, into.len())
            .and_then(|()| Ok(rustix::io::preadv2(file, &mut [IoSliceMut::new(into)], at, ReadWriteFlags::NOWAIT)?));
        match read {
            Ok(got) if got > 0 => Ready::Bytes(got),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => {
                self.no_nowait.store(true, Ordering::Relaxed);
                Ready::Unknown
            }
            // An I/O error or an end of file shows again in the read that may wait, which is the one that reports it.
            Ok(_) | Err(_) => Ready::WouldBlock,
        }
    }

    /// Whether all of these bytes are in memory. `None`: the system can't tell. Never waits for the device.
    pub(crate) fn is_in_memory(&self, file: &File, at: u64, len: u64) -> Option<bool> {
        if self.no_residency.load(Ordering::Relaxed) {
            return None;
        }
        // A drill that keeps bytes out of memory keeps them out of the kernel's hands, too.
        if self.check(DiskOp::ReadReady, usize::try_from(len).unwrap_or(usize::MAX)).is_err() {
            return Some(false);
        }
        zero_copy::is_in_memory(file, at, len).map_or_else(
            |_| {
                self.no_residency.store(true, Ordering::Relaxed);
                None
            },
            Some,
        )
    }

    /// Reads all of `into`; waits for the device.
    pub(crate) fn read(&self, file: &File, into: &mut [u8], at: u64) -> io::Result<()> {
        self.check(DiskOp::Read, into.len())?;
        file.read_exact_at(into, at)
    }

    /// Has the kernel load nothing of a file but what is asked for.
    pub(crate) fn no_read_ahead(&self, file: &File) {
        // A hint: without it, a neighbour's bytes may be in memory that nobody has checked since.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::Random);
    }

    /// Has the kernel forget what it holds of a file in memory, and is on the device.
    pub(crate) fn forget(&self, file: &File) {
        // A hint: without it, a probe reads memory.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    }

    /// Tells the kernel that these bytes are wanted soon.
    pub(crate) fn will_need(&self, file: &File, at: u64, len: u64) {
        // A hint: what it fails to load is loaded by the read that follows.
        let _ = rustix::fs::fadvise(file, at, std::num::NonZeroU64::new(len), rustix::fs::Advice::WillNeed);
    }

    /// Tells the kernel that it need not keep these bytes in memory.
    pub(crate) fn wont_need(&self, file: &File, at: u64, len: u64) {
        // A hint: what stays in memory costs memory.
        let _ = rustix::fs::fadvise(file, at, std::num::NonZeroU64::new(len), rustix::fs::Advice::DontNeed);
    }

    /// Gives the bytes' blocks back to the file system; the file keeps its length.
    pub(crate) fn punch(&self, file: &File, at: u64, len: u64) -> io::Result<()> {
        self.check(DiskOp::Punch, 0)?;
        self.device.punch(file, at, len)
    }

    /// Deletes a file. One that isn't there is no error.
    pub(crate) fn unlink(&self, path: &Path) -> io::Result<()> {
        self.check(DiskOp::Unlink, 0)?;
        match self.device.unlink(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Sets a file's time of modification, in Unix seconds.
    pub(crate) fn touch(&self, path: &Path, seconds: u64) -> io::Result<()> {
        let file = self.device.open(path)?;
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// As [`Disk::stat`], for an open file: waits for no device.
    pub(crate) fn stat_open(&self, file: &File) -> io::Result<Stat> {
        Ok(Stat::of(&file.metadata()?))
    }

    /// Bytes that the file system still has for us.
    pub(crate) fn free_space(&self, folder: &Path) -> io::Result<u64> {
        self.check(DiskOp::FreeSpace, 0)?;
        self.device.free_space(folder)
    }

    /// Brings what was written to a file to the device.
    pub(crate) fn sync(&self, file: &File) -> io::Result<()> {
        self.check(DiskOp::Sync, 0)?;
        self.device.sync(file)
    }

    /// Brings a folder's names to the device. A folder that isn't there has none.
    pub(crate) fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.check(DiskOp::Sync, 0)?;
        match self.device.sync_folder(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Shows other processes that this one has the file open.
    pub(crate) fn hold(&self, file: &File) -> io::Result<()> {
        self.device.hold(file)
    }

    /// Whether no other process has the file open.
    pub(crate) fn is_alone(&self, file: &File) -> io::Result<bool> {
        self.device.is_alone(file)
    }

    /// Makes a folder and locks it for as long as the file lives. `None`: another process has it.
    pub(crate) fn lock(&self, folder: &Path) -> io::Result<Option<File>> {
        self.device.lock(folder)
    }

    /// The names in a folder; none if there is no such folder.
    pub(crate) fn list(&self, folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
        match self.device.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed,
        }
    }
}
