//! What all handles of one cache share: settings, folder, origin, books, and the map from media to its version.

use crate::absent::Absences;
use crate::buffers::Buffers;
use crate::config::CacheConfig;
use crate::geometry::Geometry;
use crate::handover::{Owed, Withheld};
use crate::keeper::Keeper;
use crate::map::{Map, Walk};
use crate::open::OpenFiles;
use crate::patience::Health;
use crate::places::Places;
use crate::pool::Pool;
use crate::scope::Scope;
use crate::stats::Counters;
use crate::status::Freshness;
use crate::store::{Files, Store};
use crate::sync::{self, Unsynced};
use crate::tend::Tending;
use crate::trust::Trust;
use crate::uses::Uses;
use crate::version::{Doom, Seed, Version};
use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use slice::{MediaId, MediaMeta, OriginError, SliceOrigin};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A media's metadata and the version that it names.
pub(crate) type Pinned = (Arc<MediaMeta>, Arc<Version>);

/// The outcome of asking the origin about a media, for all who wait for it.
pub(crate) type Described = Result<(Arc<MediaMeta>, Arc<Version>, Freshness), OriginError>;

/// An open question.
pub(crate) type Asking = watch::Receiver<Option<Described>>;

/// What is known of a media.
#[derive(Default)]
pub(crate) struct Entry {
    pub(crate) meta: Option<Arc<MediaMeta>>,
    pub(crate) version: Option<Arc<Version>>,
    pub(crate) trust: Trust,
    pub(crate) asking: Option<Asking>,
}

/// Lock order: map, then eviction queue, then a version's state; the others are taken alone. None is held across an await.
pub(crate) struct Shared {
    config: ArcSwap<CacheConfig>,
    pub(crate) store: Store,
    pub(crate) origin: Arc<dyn SliceOrigin>,
    pub(crate) keeper: Keeper,
    pub(crate) counters: Arc<Counters>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) places: Places,
    /// `None`: every slice is kept.
    uses: Option<Mutex<Uses>>,
    pub(crate) map: Mutex<Map>,
    /// Taken alone, or under the map's lock.
    pub(crate) absent: Mutex<Absences>,
    pub(crate) open: OpenFiles,
    /// Unix seconds as they were last told, 0 before.
    pub(crate) now: AtomicU64,
    /// What the next `tend` goes on with.
    pub(crate) tending: Mutex<Tending>,
    pub(crate) unsynced: Unsynced,
    pub(crate) pool: Pool,
    pub(crate) health: Health,
    /// Files to be deleted if the folder, which is another process's, should become this one's again.
    pub(crate) owed: Mutex<Vec<Owed>>,
    /// The folder is another process's, and its disk is nearly full.
    pub(crate) out_of_room: AtomicBool,
    /// Tasks at work.
    working: Arc<watch::Sender<usize>>,
}

/// Counts a task as long as it works. Dropped after the task's hold on [`Shared`]: once none is left, the folder is free.
pub(crate) struct Work(Arc<watch::Sender<usize>>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.send_modify(|working| *working -= 1);
    }
}

impl Shared {
    /// Starts what works in the background.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn new(config: CacheConfig, store: Store, origin: Arc<dyn SliceOrigin>) -> io::Result<Arc<Self>> {
        let (unsynced, ends) = Unsynced::new();
        let shared = Arc::new(Self {
            keeper: Keeper::new(config.max_size, config.min_free),
            buffers: Buffers::new(config.piece),
            places: Places::new(&config),
            uses: (config.min_uses > 1).then(|| Mutex::new(Uses::new())),
            counters: Arc::default(),
            map: Mutex::default(),
            absent: Mutex::default(),
            open: OpenFiles::new(config.max_open),
            now: AtomicU64::new(0),
            tending: Mutex::default(),
            working: Arc::new(watch::Sender::new(0)),
            unsynced,
            pool: if config.disk_patience.is_zero() { Pool::borrowed() } else { Pool::new(config.disk_threads) },
            health: Health::default(),
            owed: Mutex::default(),
            out_of_room: AtomicBool::new(false),
            config: ArcSwap::from_pointee(config),
            store,
            origin,
        });
        shared.store.prepare_probe();
        let interval = shared.config().sync_interval;
        if !interval.is_zero() {
            sync::start(&shared, ends, interval)?;
        }
        Ok(shared)
    }

    /// The settings as they are now. Not to be held for long.
    pub(crate) fn config(&self) -> Guard<Arc<CacheConfig>> {
        self.config.load()
    }

    /// Goes on with these settings.
    pub(crate) fn adjust(&self, config: CacheConfig) {
        self.keeper.bound(config.max_size, config.min_free);
        let pace = config.pace();
        self.config.store(Arc::new(config));
        let mut walk = Walk::new(Scope::All);
        let set = |_: MediaId, entry: &mut Entry| {
            if let Some(version) = &entry.version {
                version.with(|claims, _| claims.set_pace(pace));
            }
            true
        };
        while walk.step(&mut self.map.lock(), set) {}
    }

    /// Marks a task as working.
    pub(crate) fn work(&self) -> Work {
        self.working.send_modify(|working| *working += 1);
        Work(self.working.clone())
    }

    /// Returns once no task is at work.
    pub(crate) async fn idle(&self) {
        // The sender lives as long as `self`, so this wait can't fail.
        let _ = self.working.subscribe().wait_for(|working| *working == 0).await;
    }

    /// A version without bytes. `None`: its size is absurd.
    pub(crate) fn fresh_version(&self, media: MediaId, meta: &Arc<MediaMeta>) -> Option<Arc<Version>> {
        let geometry = Geometry::new(meta.size, self.config().slice_size)?;
        let incarnation = self.store.fresh_incarnation();
        let last_read = self.now.load(Ordering::Relaxed);
        let seed = Seed { media, meta: meta.clone(), geometry, incarnation, made: false, last_read };
        Some(Version::new(seed, self.config().pace(), self.counters.clone()))
    }

    /// A version's files, opened or made if need be. Blocks.
    pub(crate) fn files(&self, version: &Arc<Version>, make: bool) -> io::Result<Arc<Files>> {
        self.open.get(version, &self.store, make).inspect_err(|error| {
            // A purged version's files are gone on purpose, and so are those that were given up with the folder.
            if version.is_doomed() || version.is_given_up() || Withheld::of(error).is_some() {
                return;
            }
            self.disk_error(error);
            if error.kind() == io::ErrorKind::NotFound {
                // The folder was cleared under us: the next look-up starts afresh.
                self.discard(version, Doom::Dropped);
            }
        })
    }

    /// Counts a request of a slice, which is kept from its `min_uses`th on.
    pub(crate) fn note_use(&self, version: &Arc<Version>, slice: u32) {
        let Some(uses) = &self.uses else { return };
        let key = xxh3_64_with_seed(version.meta.etag.as_str().as_bytes(), u64::from(slice));
        let count = uses.lock().note(key);
        if count < self.config().min_uses {
            self.counters.unadmitted.add(1);
        } else if version.with(|claims, _| claims.admit(slice)) {
            self.keeper.insert(version, &[slice]);
        }
    }

    /// Takes a version out of the map, if it is still there. Its files are deleted by `discard`.
    pub(crate) fn forget(&self, version: &Arc<Version>, doom: Doom) {
        let mut map = self.map.lock();
        if let Some(entry) = map.entries.get_mut(&version.media)
            && entry.version.as_ref().is_some_and(|current| Arc::ptr_eq(current, version))
        {
            entry.version = None;
            if doom == Doom::Changed {
                entry.trust = Trust::default();
            }
            map.depart(version);
        }
    }

    /// Has the origin asked again about a media before anything new is served of it.
    pub(crate) fn distrust(&self, media: MediaId) {
        if let Some(entry) = self.map.lock().entries.get_mut(&media) {
            entry.trust = Trust::default();
        }
    }

    /// Counts and logs a disk call that failed. One that was not to be made has not.
    pub(crate) fn disk_error(&self, error: &io::Error) {
        if Withheld::of(error).is_some() {
            return;
        }
        self.counters.disk_errors.add(1);
        tracing::warn!(%error, "cache disk");
    }

    /// Takes a version off the map and off the books. True: its files are the caller's to delete.
    pub(crate) fn retire(&self, version: &Arc<Version>, doom: Doom) -> bool {
        self.forget(version, doom);
        if !version.doom(doom) {
            return false;
        }
        if doom == Doom::Changed {
            self.counters.changed.add(1);
        }
        self.keeper.retire(version);
        true
    }

    /// Ends a version: off the map, off the books, off the disk. Blocks for the last.
    pub(crate) fn discard(&self, version: &Arc<Version>, doom: Doom) {
        if self.retire(version, doom) {
            self.delete(version);
        }
    }

    /// Ends a version at once, and deletes its files by and by.
    pub(crate) fn discard_soon(self: &Arc<Self>, version: Arc<Version>, doom: Doom) {
        if self.retire(&version, doom) {
            drop(self.blocking(move |shared| shared.delete(&version)));
        }
    }

    /// Deletes a doomed version's files. False if the disk doesn't let it. Blocks.
    pub(crate) fn delete(&self, version: &Version) -> bool {
        match version.delete(&self.store) {
            Err(error) if Withheld::of(&error).is_some() => {
                self.owed.lock().push((version.media, version.meta.clone(), version.incarnation));
                true
            }
            deleted => deleted.inspect_err(|error| self.disk_error(error)).is_ok(),
        }
    }

    /// Clears the slices that `Claims::take_litter` named, by and by.
    pub(crate) fn clear(self: &Arc<Self>, version: &Arc<Version>, litter: Vec<u32>) {
        if litter.is_empty() {
            return;
        }
        let version = version.clone();
        let clear = move |shared: &Arc<Self>| {
            // Not `files`: it is no fault if they were never made, or are purged by now.
            let files = shared.open.get(&version, &shared.store, false).ok();
            for slice in litter {
                let done = files.as_ref().map_or(Ok(()), |files| shared.store.clear(files, version.geometry, slice));
                // What stays is cleared by the next start, or written over by the next fill of the slice.
                done.unwrap_or_else(|error| shared.disk_error(&error));
                version.settle(slice);
            }
            if let Some(files) = &files {
                shared.measure(&version, files);
            }
        };
        drop(self.blocking(clear));
    }

    /// Books what a version's files take on the disk. Blocks.
    pub(crate) fn measure(&self, version: &Version, files: &Files) {
        version.measure(|| self.store.blocks(files), 0);
    }

    /// Brings the cache back within its bounds. Blocks.
    pub(crate) fn make_room(&self) {
        if self.store.is_handed_over() {
            // Room is the owner's to make, who learns of these fills by the file system alone.
            let is_full = self.store.free_space().is_ok_and(|free| free < self.config().min_free);
            self.out_of_room.store(is_full, Ordering::Relaxed);
            return;
        }
        let touched = self.keeper.make_room(self);
        self.drop_empty(touched);
    }

    /// The disk is full although the cache is within its bounds: gives up some of it. Blocks.
    pub(crate) fn give_up(&self, bytes: u64) {
        if self.store.is_handed_over() {
            return;
        }
        let touched = self.keeper.give_up(self, bytes);
        self.drop_empty(touched);
    }

    /// Versions that eviction has emptied leave no files behind, unless somebody has a use for them.
    fn drop_empty(&self, touched: Vec<Arc<Version>>) {
        for version in touched {
            let unused = {
                let mut map = self.map.lock();
                // Handles are only given out under the map's lock: two references are the map's and this one.
                map.entries.get_mut(&version.media).is_some_and(|entry| {
                    let ours = entry.version.as_ref().is_some_and(|current| Arc::ptr_eq(current, &version));
                    let unused = ours && Arc::strong_count(&version) == 2 && version.is_idle_and_empty();
                    if unused {
                        entry.version = None;
                    }
                    unused
                })
            };
            if unused {
                self.discard(&version, Doom::Dropped);
            }
        }
    }
}
