//! Which versions have their files open: few enough for the process's descriptors, the longest unused closed first.

use crate::store::{Files, Store};
use crate::version::Version;
use parking_lot::Mutex;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// An open version takes two descriptors: this leaves three quarters of the process's to its connections.
const SHARE: u64 = 8;

/// See the module. Its lock is taken before a version's `files`, which is only tried for here: a version whose files are
/// being opened or deleted is in use.
pub(crate) struct OpenFiles {
    versions: Mutex<Vec<Weak<Version>>>,
    max: usize,
    /// Tells later uses from earlier ones.
    uses: AtomicU64,
}

impl OpenFiles {
    /// `max` versions, or fewer if the process may not open so many files.
    pub(crate) fn new(max: usize) -> Self {
        let share = getrlimit(Resource::Nofile).current.map_or(u64::MAX, |soft| (soft / SHARE).max(1));
        let max = max.min(usize::try_from(share).unwrap_or(usize::MAX));
        Self { versions: Mutex::default(), max, uses: AtomicU64::new(0) }
    }

    /// A version's files if they are open and nobody is at work on them. Never blocks.
    pub(crate) fn at_hand(&self, version: &Version) -> Option<Arc<Files>> {
        let files = version.files_at_hand()?;
        self.touch(version);
        Some(files)
    }

    /// A version's files, opened or, with `make`, made; files that nobody uses are closed for it. Blocks.
    pub(crate) fn get(&self, version: &Arc<Version>, store: &Store, make: bool) -> io::Result<Arc<Files>> {
        let found = match version.files(store, make) {
            // The descriptors went elsewhere, to connections for one.
            Err(error) if is_out_of_descriptors(&error) && self.close_one() => version.files(store, make),
            found => found,
        };
        let (files, opened) = found?;
        self.touch(version);
        if opened {
            let mut versions = self.versions.lock();
            versions.push(Arc::downgrade(version));
            if versions.len() > self.max {
                versions.retain(|version| version.upgrade().is_some_and(|version| version.is_open()));
            }
            // Files in use are left alone: to close them frees nothing, and the next reader would open them twice.
            while versions.len() > self.max && close_oldest(&mut versions) {}
        }
        Ok(files)
    }

    /// Closes what nobody uses. Waits for nothing.
    pub(crate) fn close_all_unused(&self) {
        self.versions.lock().retain(|version| {
            version.upgrade().is_some_and(|version| {
                version.close_unused();
                version.is_open()
            })
        });
    }

    fn touch(&self, version: &Version) {
        version.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn close_one(&self) -> bool {
        close_oldest(&mut self.versions.lock())
    }
}

/// Closes the longest unused version that nobody reads or fills. False if there is none.
fn close_oldest(versions: &mut Vec<Weak<Version>>) -> bool {
    let mut by_use: Vec<_> = versions
        .iter()
        .enumerate()
        .filter_map(|(at, version)| {
            version.upgrade().map(|version| (version.used.load(Ordering::Relaxed), at, version))
        })
        .collect();
    by_use.sort_unstable_by_key(|&(used, ..)| used);
    let closed = by_use.iter().find(|(.., version)| version.close_unused()).map(|&(_, at, _)| at);
    closed.map(|at| versions.swap_remove(at)).is_some()
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
