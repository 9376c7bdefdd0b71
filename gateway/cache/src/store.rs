//! The folder: extent files and their sidecars by name. Blocks; never called from the
//! event loop, but for [`Store::read_ready`].

use crate::disk::{Disk, Ready};
use crate::format::{self, FormatError, Header};
use crate::geometry::Geometry;
use crate::handover::Withheld;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use slice::{MediaId, MediaMeta};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3Default;

/// Bytes that a probe writes: as many as a fill does at once, since a disk that is nearly full takes a few.
const PROBE_WRITE: usize = 512 * 1024;
/// Bytes that a probe reads.
const PROBE_READ: usize = 4096;

/// The open files of one version.
pub(crate) struct Files {
    data: File,
    sidecar: File,
    incarnation: u64,
}

impl Files {
    /// The extent file.
    pub(crate) fn data(&self) -> &File {
        &self.data
    }
}

/// See the module.
pub(crate) struct Store {
    pub(crate) root: PathBuf,
    pub(crate) slice_size: u32,
    pub(crate) disk: Disk,
    pub(crate) next_incarnation: AtomicU64,
    /// Folders with names that came or went since they were last synced.
    renamed: Mutex<BTreeSet<PathBuf>>,
    /// The folder's lock, while the folder is this process's. Read for as long as a call opens, deletes or empties files: once it was
    /// taken away, no such call is under way. Taken under any other lock, and none under it.
    ours: RwLock<Option<File>>,
    /// What `ours` says, for those who needn't be sure.
    handed_over: AtomicBool,
}

impl Store {
    /// Locks the folder. `None`: another process works in it.
    pub(crate) fn open(folder: &Path, slice_size: u32, disk: Disk) -> io::Result<Option<Self>> {
        let Some(lock) = disk.lock(folder)? else { return Ok(None) };
        let root = folder.join("v1");
        Ok(Some(Self {
            root,
            slice_size,
            disk,
            next_incarnation: AtomicU64::new(1),
            renamed: Mutex::default(),
            ours: RwLock::new(Some(lock)),
            handed_over: AtomicBool::new(false),
        }))
    }

    /// Lets go of the folder, once no call is under way that opens, deletes or empties files of it, and makes all later ones fail. False:
    /// such a call took longer than `patience`, and nothing is changed.
    pub(crate) fn hand_over(&self, patience: Duration) -> bool {
        let Some(mut ours) = self.ours.try_write_for(patience) else { return false };
        self.handed_over.store(true, Ordering::SeqCst);
        *ours = None;
        true
    }

    /// The folder's lock, for [`Store::take_back`]. `None`: another process works in it.
    pub(crate) fn lock(&self) -> io::Result<Option<File>> {
        self.disk.lock(self.folder())
    }

    /// Works in the folder again.
    pub(crate) fn take_back(&self, lock: File) {
        *self.ours.write() = Some(lock);
        self.handed_over.store(false, Ordering::SeqCst);
    }

    pub(crate) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::SeqCst)
    }

    /// The folder stays this process's while the guard lives.
    fn ours(&self) -> io::Result<RwLockReadGuard<'_, Option<File>>> {
        let ours = self.ours.read();
        if ours.is_some() { Ok(ours) } else { Err(Withheld::HandedOver.into()) }
    }

    /// A number that no file found at the start has, and that was not given out since. Deleted files may have had it
    /// before the start.
    pub(crate) fn fresh_incarnation(&self) -> u64 {
        self.next_incarnation.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes the files of a new version: first the extent file, then its sidecar.
    pub(crate) fn create(&self, media: MediaId, meta: &MediaMeta, incarnation: u64) -> io::Result<Files> {
        let _ours = self.ours()?;
        let path = self.path(&media, meta, incarnation);
        let header = Header { media, meta: meta.clone(), slice_size: self.slice_size, incarnation };
        let header = header.encode().map_err(io::Error::other)?;
        let geometry =
            Geometry::new(meta.size, self.slice_size).ok_or_else(|| io::Error::other(FormatError::TooLong))?;
        let data = self.disk.create(&path.with_extension("data"), meta.size)?;
        match self.disk.create_whole(&path, &header, format::record_at(geometry.slices())) {
            Ok(sidecar) => {
                self.renamed_in(&path);
                self.files(data, sidecar, incarnation)
            }
            Err(error) => {
                // Out of the way of the next try, as far as the disk lets us.
                let _ = self.disk.unlink(&path.with_extension("tmp")).and_then(|()| self.unlink(&path));
                Err(error)
            }
        }
    }

    /// Opens the files of a version that has some.
    pub(crate) fn reopen(&self, media: MediaId, meta: &MediaMeta, incarnation: u64) -> io::Result<Files> {
        let _ours = self.ours()?;
        let path = self.path(&media, meta, incarnation);
        let data = self.disk.open(&path.with_extension("data"))?;
        let sidecar = self.disk.open(&path)?;
        self.files(data, sidecar, incarnation)
    }

    fn files(&self, data: File, sidecar: File, incarnation: u64) -> io::Result<Files> {
        // While the folder is ours: whoever has it next finds the file held, and makes no holes in it.
        self.disk.hold(&data)?;
        self.disk.no_read_ahead(&data);
        Ok(Files { data, sidecar, incarnation })
    }

    /// Deletes a version's files. Readers that have them open keep their bytes.
    pub(crate) fn remove(&self, media: MediaId, meta: &MediaMeta, incarnation: u64) -> io::Result<()> {
        self.delete(&self.path(&media, meta, incarnation))
    }

    /// Sets the time at which a version was last read, in Unix seconds.
    pub(crate) fn touch(&self, media: MediaId, meta: &MediaMeta, incarnation: u64, seconds: u64) -> io::Result<()> {
        let _ours = self.ours()?;
        self.disk.touch(&self.path(&media, meta, incarnation), seconds)
    }

    pub(crate) fn write(&self, files: &Files, bytes: &[u8], at: u64) -> io::Result<()> {
        self.disk.write_data(&files.data, bytes, at)
    }

    /// Says on disk that a slice is whole. Its bytes were written before.
    pub(crate) fn commit(&self, files: &Files, slice: u32, checksum: u64) -> io::Result<()> {
        let record = format::record(files.incarnation, slice, checksum);
        self.disk.write_record(&files.sidecar, &record, format::record_at(slice))
    }

    /// Says on disk that a slice is not there.
    pub(crate) fn erase(&self, files: &Files, slice: u32) -> io::Result<()> {
        let _ours = self.ours()?;
        self.erase_record(files, slice)
    }

    fn erase_record(&self, files: &Files, slice: u32) -> io::Result<()> {
        self.disk.write_record(&files.sidecar, &[0; format::RECORD], format::record_at(slice))
    }

    /// Forgets a slice and gives its blocks back; in this order, so that no record is ever left without its bytes. Does neither while
    /// another process has the file open: a hole under its readers would be zeros to them.
    pub(crate) fn clear(&self, files: &Files, geometry: Geometry, slice: u32) -> io::Result<()> {
        let _ours = self.ours()?;
        if !self.disk.is_alone(&files.data)? {
            return Err(Withheld::Lent.into());
        }
        self.erase_record(files, slice)?;
        self.disk.punch(&files.data, geometry.start(slice), u64::from(geometry.slice_size()))
    }

    /// Whether a slice's bytes are those that its record was written for.
    pub(crate) fn is_intact(&self, files: &Files, geometry: Geometry, slice: u32) -> io::Result<bool> {
        let mut record = [0; format::RECORD];
        self.disk.read(&files.sidecar, &mut record, format::record_at(slice))?;
        let Some(expected) = format::read_record(files.incarnation, slice, &record) else { return Ok(false) };
        self.disk.will_need(&files.data, geometry.start(slice), geometry.len(slice) as u64);
        Ok(self.checksum(files, geometry.start(slice)..geometry.end(slice))? == expected)
    }

    /// The checksum of bytes in the extent file.
    pub(crate) fn checksum(&self, files: &Files, bytes: Range<u64>) -> io::Result<u64> {
        let (mut hasher, mut at) = (Xxh3Default::new(), bytes.start);
        let mut buffer = vec![0; 128 * 1024];
        while at < bytes.end {
            let len = usize::try_from(bytes.end - at).unwrap_or(usize::MAX).min(buffer.len());
            self.disk.read(&files.data, &mut buffer[..len], at)?;
            hasher.update(&buffer[..len]);
            at += len as u64;
        }
        Ok(hasher.digest())
    }

    /// The slices that the sidecar says are whole. `None`: another process has the files open, and may say more.
    pub(crate) fn settled(&self, files: &Files, geometry: Geometry) -> io::Result<Option<Vec<u32>>> {
        let _ours = self.ours()?;
        if !self.disk.is_alone(&files.data)? {
            return Ok(None);
        }
        let mut records = vec![0; geometry.slices() as usize * format::RECORD];
        self.disk.read(&files.sidecar, &mut records, format::record_at(0))?;
        Ok(Some(format::present(files.incarnation, geometry, &records)))
    }

    /// Bytes that a version's files have blocks for.
    pub(crate) fn blocks(&self, files: &Files) -> io::Result<u64> {
        Ok(self.disk.stat_open(&files.data)?.blocks + self.disk.stat_open(&files.sidecar)?.blocks)
    }

    /// Reads what memory has; see [`Disk::read_ready`].
    pub(crate) fn read_ready(&self, files: &Files, into: &mut [u8], at: u64) -> Ready {
        self.disk.read_ready(&files.data, into, at)
    }

    /// Whether all of these bytes are in memory; see [`Disk::is_in_memory`].
    pub(crate) fn is_in_memory(&self, files: &Files, at: u64, len: u64) -> Option<bool> {
        self.disk.is_in_memory(&files.data, at, len)
    }

    /// Reads by waiting, and has the kernel load what follows up to `ahead`.
    pub(crate) fn read(&self, files: &Files, into: &mut [u8], at: u64, ahead: u64) -> io::Result<()> {
        self.disk.will_need(&files.data, at, ahead.saturating_sub(at));
        self.disk.read(&files.data, into, at)
    }

    /// Whether a slice's first byte is in memory.
    pub(crate) fn is_ready(&self, files: &Files, geometry: Geometry, slice: u32) -> bool {
        matches!(self.disk.read_ready(&files.data, &mut [0], geometry.start(slice)), Ready::Bytes(_))
    }

    /// Has the kernel forget a slice's bytes.
    pub(crate) fn wont_need(&self, files: &Files, geometry: Geometry, slice: u32) {
        self.disk.wont_need(&files.data, geometry.start(slice), geometry.len(slice) as u64);
    }

    /// Brings a version's slices to the device: first the bytes, then the records that vouch for them.
    pub(crate) fn sync(&self, files: &Files) -> io::Result<()> {
        self.disk.sync(&files.data)?;
        self.disk.sync(&files.sidecar)
    }

    /// Brings the names of files made and deleted since the last time to the device. What fails is tried again the next time.
    pub(crate) fn sync_folders(&self) -> io::Result<()> {
        let mut renamed = std::mem::take(&mut *self.renamed.lock());
        if renamed.is_empty() {
            return Ok(());
        }
        // Folders are names too, of those above them.
        renamed.extend([self.root.clone(), self.folder().to_path_buf()]);
        let synced = renamed.iter().try_for_each(|folder| self.disk.sync_folder(folder));
        if synced.is_err() {
            self.renamed.lock().append(&mut renamed);
        }
        synced
    }

    /// Books that a file's name came or went. After it did: a note taken before would be of no use.
    fn renamed_in(&self, file: &Path) {
        if let Some(folder) = file.parent() {
            self.renamed.lock().insert(folder.to_path_buf());
        }
    }

    /// Has something on the disk that [`Store::probe_reads`] can read, as far as the disk lets us.
    pub(crate) fn prepare_probe(&self) {
        let path = self.probe_file();
        let made = self.disk.create(&path, 0).and_then(|file| self.disk.write_data(&file, &[0; PROBE_READ], 0));
        if let Err(error) = made
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            tracing::warn!(%error, "no file to probe the cache's disk with");
        }
    }

    /// Does what fills do, down to the device.
    pub(crate) fn probe_writes(&self) -> io::Result<()> {
        let path = self.probe_file();
        self.disk.unlink(&path)?;
        let file = self.disk.create(&path, 0)?;
        self.disk.write_data(&file, &vec![0; PROBE_WRITE], 0)?;
        self.disk.sync(&file)
    }

    /// Does what readers do, down to the device. That the file is gone is an answer too.
    pub(crate) fn probe_reads(&self) -> io::Result<()> {
        let read = self.disk.open(&self.probe_file()).and_then(|file| {
            self.disk.forget(&file);
            self.disk.read(&file, &mut [0; PROBE_READ], 0)
        });
        match read {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => Ok(()),
            read => read,
        }
    }

    fn probe_file(&self) -> PathBuf {
        self.folder().join("probe")
    }

    /// The folder that the cache was given.
    fn folder(&self) -> &Path {
        self.root.parent().unwrap_or(&self.root)
    }

    pub(crate) fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space(self.folder())
    }

    /// Path of the sidecar; the extent file differs in its ending.
    pub(crate) fn path(&self, media: &MediaId, meta: &MediaMeta, incarnation: u64) -> PathBuf {
        let stem = format::stem(*media, &meta.etag, incarnation);
        self.root.join(stem.get(..2).unwrap_or("00")).join(stem + ".meta")
    }

    /// The sidecar goes first: an extent file alone is deleted by the next start.
    pub(crate) fn delete(&self, sidecar: &Path) -> io::Result<()> {
        let _ours = self.ours()?;
        self.unlink(sidecar)
    }

    fn unlink(&self, sidecar: &Path) -> io::Result<()> {
        self.disk.unlink(sidecar)?;
        let deleted = self.disk.unlink(&sidecar.with_extension("data"));
        self.renamed_in(sidecar);
        deleted
    }
}
