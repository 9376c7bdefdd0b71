//! A disk in memory whose power can be cut: what was not synced then is there or not, sector by sector and name by name.
//!
//! Open files are memfds: what they hold is the page cache, which the running cache reads as it would any file's. Beside them
//! lies what the device holds for certain, and everything written since, in order.

use cache::Device;
use rand::RngExt;
use rand::rngs::StdRng;
use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Something written and not yet synced.
enum Change {
    Bytes(u64, Vec<u8>),
    Length(u64),
    Hole(u64, u64),
}

/// A file, by whatever names it has.
struct Inode {
    pages: File,
    device: Vec<u8>,
    pending: Vec<Change>,
}

/// A folder's names, or a change of them: `None` takes the name away.
type Names = BTreeMap<OsString, u64>;

#[derive(Default)]
struct Folder {
    now: Names,
    device: Names,
    pending: Vec<(OsString, Option<u64>)>,
}

#[derive(Default)]
struct State {
    inodes: HashMap<u64, Inode>,
    folders: BTreeMap<PathBuf, Folder>,
    /// Folders whose own name is on the device.
    rooted: BTreeSet<PathBuf>,
    /// Changing calls until the power goes.
    left: Option<u64>,
}

/// What a device only pretends to bring into safety.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lies {
    #[default]
    None,
    Files,
    Folders,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Simulated {
    state: Mutex<State>,
    lies: Lies,
}

/// How much a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Bytes that are written whole or not at all.
    pub(crate) sector: usize,
    /// The odds of each sector, length, hole and name.
    pub(crate) survives: f64,
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>, mut keeps: impl FnMut() -> bool, sector: usize) {
        match self {
            Self::Bytes(at, bytes) => {
                let at = usize::try_from(*at).unwrap();
                to.resize(to.len().max(at + bytes.len()), 0);
                let mut from = 0;
                while from < bytes.len() {
                    let len = (sector - (at + from) % sector).min(bytes.len() - from);
                    if keeps() {
                        to[at + from..at + from + len].copy_from_slice(&bytes[from..from + len]);
                    }
                    from += len;
                }
            }
            Self::Length(len) if keeps() => to.resize(usize::try_from(*len).unwrap(), 0),
            Self::Hole(at, len) if keeps() => {
                let at = usize::try_from(*at).unwrap().min(to.len());
                let end = (at + usize::try_from(*len).unwrap()).min(to.len());
                to[at..end].fill(0);
            }
            Self::Length(_) | Self::Hole(..) => {}
        }
    }
}

fn pages_of(bytes: &[u8]) -> io::Result<File> {
    let file = File::from(rustix::fs::memfd_create("simulated", MemfdFlags::CLOEXEC)?);
    file.set_len(bytes.len() as u64)?;
    // Holes stay holes: what has blocks is how the cache finds litter.
    for (at, page) in bytes.chunks(4096).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0)) {
        file.write_all_at(page, at as u64 * 4096)?;
    }
    Ok(file)
}

fn split(path: &Path) -> (PathBuf, OsString) {
    (path.parent().unwrap().to_path_buf(), path.file_name().unwrap().to_owned())
}

impl State {
    /// Counts a changing call; fails once the power is gone.
    fn powered(&mut self) -> io::Result<()> {
        match &mut self.left {
            None => Ok(()),
            Some(0) => Err(Errno::IO.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn inode(&mut self, file: &File) -> io::Result<&mut Inode> {
        let inode = file.metadata()?.ino();
        self.inodes.get_mut(&inode).ok_or_else(|| Errno::BADF.into())
    }

    fn folder(&mut self, folder: &Path) -> io::Result<&mut Folder> {
        self.folders.get_mut(folder).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn put(&mut self, path: &Path, to: Option<u64>) -> io::Result<Option<u64>> {
        let (folder, name) = split(path);
        let folder = self.folder(&folder)?;
        folder.pending.push((name.clone(), to));
        Ok(match to {
            Some(inode) => folder.now.insert(name, inode),
            None => folder.now.remove(&name),
        })
    }

    fn change(&mut self, file: &File, change: Change) -> io::Result<()> {
        self.powered()?;
        let inode = self.inode(file)?;
        match &change {
            Change::Bytes(at, bytes) => inode.pages.write_all_at(bytes, *at)?,
            Change::Length(len) => inode.pages.set_len(*len)?,
            Change::Hole(at, len) => {
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                rustix::fs::fallocate(&inode.pages, flags, *at, *len)?;
            }
        }
        inode.pending.push(change);
        Ok(())
    }
}

impl Simulated {
    pub(crate) fn new(lies: Lies) -> Self {
        Self { lies, ..Self::default() }
    }

    /// Every changing call after so many more fails, and changes nothing.
    pub(crate) fn cut_after(&self, calls: u64) {
        self.state.lock().unwrap().left = Some(calls);
    }

    /// False: there were not enough calls for the power to go.
    pub(crate) fn is_cut(&self) -> bool {
        self.state.lock().unwrap().left == Some(0)
    }

    /// What the device holds when the power comes back.
    pub(crate) fn survivors(&self, cut: Cut, rng: &mut StdRng) -> Arc<Self> {
        let state = self.state.lock().unwrap();
        let mut next = State::default();
        let mut moved: HashMap<u64, u64> = HashMap::new();
        for (path, folder) in &state.folders {
            let above_is_there = path.parent().is_none_or(|above| next.folders.contains_key(above));
            let is_there =
                path.ancestors().count() <= 2 || state.rooted.contains(path) || rng.random_bool(cut.survives);
            if !above_is_there || !is_there {
                continue;
            }
            let mut names = folder.device.clone();
            for (name, to) in &folder.pending {
                if rng.random_bool(cut.survives) {
                    match to {
                        Some(inode) => names.insert(name.clone(), *inode),
                        None => names.remove(name),
                    };
                }
            }
            for inode in names.values_mut() {
                *inode = *moved.entry(*inode).or_insert_with(|| {
                    let old = &state.inodes[inode];
                    let mut device = old.device.clone();
                    for change in &old.pending {
                        change.apply(&mut device, || rng.random_bool(cut.survives), cut.sector);
                    }
                    let pages = pages_of(&device).unwrap();
                    let number = pages.metadata().unwrap().ino();
                    next.inodes.insert(number, Inode { pages, device, pending: Vec::new() });
                    number
                });
            }
            // What is there now was on the device.
            next.rooted.insert(path.clone());
            next.folders.insert(path.clone(), Folder { device: names.clone(), now: names, pending: Vec::new() });
        }
        Arc::new(Self { state: Mutex::new(next), lies: self.lies })
    }
}

impl Device for Simulated {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        let missing: Vec<_> = folder.ancestors().filter(|path| !state.folders.contains_key(*path)).collect();
        for path in missing {
            state.powered()?;
            state.folders.insert(path.to_path_buf(), Folder::default());
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let mut state = self.state.lock().unwrap();
        state.powered()?;
        let (folder, name) = split(path);
        if state.folder(&folder)?.now.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let pages = pages_of(&[])?;
        let file = pages.try_clone()?;
        let number = pages.metadata()?.ino();
        state.inodes.insert(number, Inode { pages, device: Vec::new(), pending: Vec::new() });
        state.put(path, Some(number))?;
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        let mut state = self.state.lock().unwrap();
        let (folder, name) = split(path);
        let inode = *state.folder(&folder)?.now.get(&name).ok_or(io::ErrorKind::NotFound)?;
        state.inodes[&inode].pages.try_clone()
    }

    fn stat(&self, path: &Path) -> io::Result<Metadata> {
        self.open(path)?.metadata()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.powered()?;
        let inode = state.put(from, None)?;
        state.put(to, inode).map(drop)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.powered()?;
        let (folder, name) = split(path);
        if !state.folder(&folder)?.now.contains_key(&name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.put(path, None).map(drop)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let mut state = self.state.lock().unwrap();
        let mut names: Vec<_> = state.folder(folder)?.now.keys().cloned().collect();
        let below = state.folders.keys().filter(|path| path.parent() == Some(folder));
        names.extend(below.filter_map(|path| path.file_name()).map(OsString::from));
        Ok(names)
    }

    fn lock(&self, folder: &Path) -> io::Result<Option<File>> {
        self.make_folder(folder)?;
        pages_of(&[]).map(Some)
    }

    fn free_space(&self, _folder: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        self.state.lock().unwrap().change(file, Change::Length(len))
    }

    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        self.state.lock().unwrap().change(file, Change::Bytes(at, bytes.to_vec()))
    }

    fn punch(&self, file: &File, at: u64, len: u64) -> io::Result<()> {
        self.state.lock().unwrap().change(file, Change::Hole(at, len))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.powered()?;
        if self.lies == Lies::Files {
            return Ok(());
        }
        let inode = state.inode(file)?;
        let pending = std::mem::take(&mut inode.pending);
        pending.iter().for_each(|change| change.apply(&mut inode.device, || true, 4096));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.powered()?;
        if self.lies == Lies::Folders {
            return Ok(());
        }
        let below: Vec<_> = state.folders.keys().filter(|path| path.parent() == Some(folder)).cloned().collect();
        // Its own name is on the device with that of the folder above it; those at the top always were.
        state.rooted.extend(below);
        let folder = state.folder(folder)?;
        folder.pending.clear();
        folder.device = folder.now.clone();
        Ok(())
    }
}
