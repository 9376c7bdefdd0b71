//! One version of a media: who reads and fetches what of it, and its files.

use crate::claims::{Claims, Pace};
use crate::fill::Fill;
use crate::geometry::Geometry;
use crate::places::places;
use crate::stats::Counters;
use crate::status::ReadError;
use crate::store::{Files, Store};
use parking_lot::Mutex;
use slice::{MediaId, MediaMeta};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, Semaphore};

/// Why a version is no longer the cache's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doom {
    /// The media has other bytes now, or none: what is missing of this version can't be had.
    Changed,
    /// Purged, or emptied by eviction: the bytes are as good as before, but no longer kept.
    Dropped,
}

struct State {
    claims: Claims<Arc<Fill>>,
    doom: Option<Doom>,
    /// Bytes that its files have blocks for, when last looked at.
    blocks: u64,
    /// What of it evicted slices still take.
    unfreed: u64,
}

struct FilesState {
    open: Option<Arc<Files>>,
    made: bool,
    gone: bool,
}

/// See the module. Locks: `state` for moments and from anywhere, `files` across disk calls and from the blocking pool only;
/// neither while the other is held.
pub(crate) struct Version {
    pub(crate) media: MediaId,
    /// As it was when the version was first seen; names its bytes.
    pub(crate) meta: Arc<MediaMeta>,
    pub(crate) geometry: Geometry,
    /// Tells it from all other versions, as in its files' names.
    pub(crate) incarnation: u64,
    counters: Arc<Counters>,
    state: Mutex<State>,
    files: Mutex<FilesState>,
    /// Held from a look at the files' blocks until it is booked, so that the later look counts.
    measuring: Mutex<()>,
    /// A busy slice has settled.
    pub(crate) settled: Notify,
    /// Registration number in the eviction queue.
    pub(crate) slot: OnceLock<u32>,
    /// Slices of which bytes had left memory. Moves before a check loads them again: who found a slice trusted before that
    /// looks once more before it believes what it then finds in memory.
    pub(crate) alarms: AtomicU64,
    /// Places of its fills.
    pub(crate) places: Arc<Semaphore>,
    /// Fills that were abandoned since one brought bytes.
    pub(crate) stalls: AtomicU32,
    /// Disk calls for it that outran a viewer's patience and have not returned.
    stuck: AtomicU32,
    /// When its files were last asked for, among all versions.
    pub(crate) used: AtomicU64,
    /// When somebody last began or ended a read, in Unix seconds; 0 if nobody has told the time since.
    pub(crate) last_read: AtomicU64,
    /// What of it the sidecar's time of modification says.
    pub(crate) noted: AtomicU64,
    withdrawn: AtomicBool,
    withdrawal: Notify,
    /// Another process had its file open when last looked at.
    pub(crate) lent: AtomicBool,
}

/// What a version starts from.
pub(crate) struct Seed {
    pub(crate) media: MediaId,
    pub(crate) meta: Arc<MediaMeta>,
    pub(crate) geometry: Geometry,
    pub(crate) incarnation: u64,
    /// Its files exist.
    pub(crate) made: bool,
    /// See [`Version::last_read`].
    pub(crate) last_read: u64,
}

impl Version {
    pub(crate) fn new(seed: Seed, pace: Pace, counters: Arc<Counters>) -> Arc<Self> {
        let Seed { media, meta, geometry, incarnation, made, last_read } = seed;
        Arc::new(Self {
            media,
            meta,
            geometry,
            incarnation,
            counters,
            state: Mutex::new(State { claims: Claims::new(geometry, pace), doom: None, blocks: 0, unfreed: 0 }),
            measuring: Mutex::new(()),
            files: Mutex::new(FilesState { open: None, made, gone: false }),
            settled: Notify::new(),
            slot: OnceLock::new(),
            alarms: AtomicU64::new(0),
            places: places(pace.max_fills),
            stalls: AtomicU32::new(0),
            stuck: AtomicU32::new(0),
            used: AtomicU64::new(0),
            last_read: AtomicU64::new(last_read),
            noted: AtomicU64::new(last_read),
            withdrawn: AtomicBool::new(false),
            withdrawal: Notify::new(),
            lent: AtomicBool::new(false),
        })
    }

    /// Works on the claims, and books what changed. A doomed version's bytes were taken off the books at once.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Claims<Arc<Fill>>, Option<Doom>) -> R) -> R {
        let mut state = self.state.lock();
        let doom = state.doom;
        let (bytes, coming) = (state.claims.charge(), state.claims.coming());
        let slices = u64::from(state.claims.on_disk());
        let out = work(&mut state.claims, doom);
        if doom.is_none() {
            // Wrapping: a difference below zero is an addition of its complement.
            self.counters.bytes_held.add(state.claims.charge().wrapping_sub(bytes));
            self.counters.bytes_coming.add(state.claims.coming().wrapping_sub(coming));
            self.counters.slices.add(u64::from(state.claims.on_disk()).wrapping_sub(slices));
        }
        out
    }

    /// Takes the version off the books, for good. False if it was already.
    pub(crate) fn doom(&self, doom: Doom) -> bool {
        let mut state = self.state.lock();
        if state.doom.is_some() {
            return false;
        }
        state.doom = Some(doom);
        self.counters.bytes_held.sub(state.claims.charge());
        self.counters.bytes_coming.sub(state.claims.coming());
        self.counters.bytes_on_disk.sub(state.blocks);
        self.counters.bytes_unfreed.sub(state.unfreed);
        self.counters.slices.sub(u64::from(state.claims.on_disk()));
        true
    }

    /// Books what its files take on the disk, and that bytes of evicted slices are still among it: more slices are not to go
    /// for what a disk doesn't give back. Blocks.
    pub(crate) fn measure(&self, look: impl FnOnce() -> io::Result<u64>, unfreed: u64) {
        let _one = self.measuring.lock();
        let found = look();
        let mut state = self.state.lock();
        // A file system that doesn't say leaves it as it was.
        let blocks = found.unwrap_or(state.blocks);
        let present = state.claims.charge() - state.claims.coming();
        // What was written over since, or freed by others, is no longer in the way.
        let unfreed = state.unfreed.saturating_add(unfreed).min(blocks.saturating_sub(present));
        if state.doom.is_none() {
            self.counters.bytes_on_disk.add(blocks.wrapping_sub(state.blocks));
            self.counters.bytes_unfreed.add(unfreed.wrapping_sub(state.unfreed));
        }
        (state.blocks, state.unfreed) = (blocks, unfreed);
    }

    /// Bytes that its files had blocks for, when last looked at.
    pub(crate) fn blocks(&self) -> u64 {
        self.state.lock().blocks
    }

    /// Ends all reads of a doomed version, those that wait for something too.
    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::SeqCst);
        self.withdrawal.notify_waiters();
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::SeqCst)
    }

    /// What `work` comes to, unless the version is withdrawn before: then `work` is dropped where it stands.
    pub(crate) async fn unless_withdrawn<T>(
        &self,
        work: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, ReadError> {
        // Made before the look: it is woken by a withdrawal from here on.
        let withdrawal = self.withdrawal.notified();
        if self.is_withdrawn() {
            return Err(ReadError::Withdrawn);
        }
        tokio::select! {
            biased;
            done = work => if self.is_withdrawn() { Err(ReadError::Withdrawn) } else { done },
            () = withdrawal => Err(ReadError::Withdrawn),
        }
    }

    /// No bytes, no fills, no readers.
    pub(crate) fn is_idle_and_empty(&self) -> bool {
        self.state.lock().claims.is_idle_and_empty()
    }

    pub(crate) fn is_doomed(&self) -> bool {
        self.state.lock().doom.is_some()
    }

    /// A disk call has outrun the patience, or has returned at last.
    pub(crate) fn stuck(&self, is_stuck: bool) {
        if is_stuck {
            self.stuck.fetch_add(1, Ordering::Relaxed);
        } else {
            self.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed) > 0
    }

    /// The disk is done with a busy slice.
    pub(crate) fn settle(&self, slice: u32) {
        self.with(|claims, _| claims.settle(slice));
        self.settled.notify_waiters();
    }

    /// The open files, if they are at hand without waiting.
    pub(crate) fn files_at_hand(&self) -> Option<Arc<Files>> {
        self.files.try_lock()?.open.clone()
    }

    /// The files, opened or, with `make`, made. The flag says whether they were opened just now. Blocks.
    pub(crate) fn files(&self, store: &Store, make: bool) -> io::Result<(Arc<Files>, bool)> {
        let mut state = self.files.lock();
        if let Some(open) = &state.open {
            return Ok((open.clone(), false));
        }
        let files = match (state.gone, state.made, make) {
            (false, true, _) => store.reopen(self.media, &self.meta, self.incarnation)?,
            (false, false, true) => store.create(self.media, &self.meta, self.incarnation)?,
            _ => return Err(io::ErrorKind::NotFound.into()),
        };
        let files = Arc::new(files);
        state.made = true;
        state.open = Some(files.clone());
        Ok((files, true))
    }

    /// Its files are open, or are just being opened or closed. Never blocks.
    pub(crate) fn is_open(&self) -> bool {
        self.files.try_lock().is_none_or(|state| state.open.is_some())
    }

    /// Closes the files if nobody uses them. True if that set descriptors free. Doesn't wait for a lock.
    pub(crate) fn close_unused(&self) -> bool {
        // Others get at the files through this lock alone: one reference is nobody's but this.
        let Some(mut state) = self.files.try_lock() else { return false };
        state.open.take_if(|files| Arc::strong_count(files) == 1).is_some()
    }

    /// Never opens the files again, unless they are open. True: they were not, and what is known of them is what another process
    /// may have changed.
    pub(crate) fn abandon_closed(&self) -> bool {
        let mut state = self.files.lock();
        let is_closed = state.open.is_none();
        state.gone |= is_closed;
        is_closed
    }

    /// Its files are never opened again.
    pub(crate) fn is_given_up(&self) -> bool {
        self.files.lock().gone
    }

    /// Its files were made. Blocks.
    pub(crate) fn is_made(&self) -> bool {
        self.files.lock().made
    }

    /// Sets the sidecar's time of modification, if there is a sidecar. Blocks.
    pub(crate) fn touch(&self, store: &Store, seconds: u64) -> io::Result<()> {
        let state = self.files.lock();
        if state.gone || !state.made {
            return Ok(());
        }
        store.touch(self.media, &self.meta, self.incarnation, seconds)
    }

    /// Deletes the files. Who has them open keeps their bytes, nobody opens them again. Blocks.
    pub(crate) fn delete(&self, store: &Store) -> io::Result<()> {
        let mut state = self.files.lock();
        state.open = None;
        if std::mem::replace(&mut state.gone, true) || !state.made {
            return Ok(());
        }
        store.remove(self.media, &self.meta, self.incarnation)
    }
}
