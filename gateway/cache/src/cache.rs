//! The cache's face: from a media id to a pinned version, purges, and figures.

use crate::config::CacheConfig;
use crate::disk::Disk;
use crate::reader::Reader;
use crate::shared::{Described, Entry, Map, Pinned, Shared};
use crate::stats::CacheStats;
use crate::status::OpenError;
use crate::store::Store;
use crate::version::{Doom, Seed, Version};
use slice::{ByteRange, MediaId, MediaMeta, OriginError, SliceOrigin};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Entries of the map before forgotten ones are looked for.
const SWEEP_FROM: usize = 1024;

/// A slice cache in one folder. Clones share it.
#[derive(Clone)]
pub struct Cache {
    shared: Arc<Shared>,
}

/// A media at one version: what is read through it is that version's bytes or an error.
#[derive(Clone)]
pub struct Media {
    shared: Arc<Shared>,
    meta: Arc<MediaMeta>,
    version: Arc<Version>,
}

/// What a purge takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purge {
    /// One media.
    Media(MediaId),
    /// Everything.
    All,
}

/// What a purge took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Media that had bytes on disk or under way.
    pub media: u64,
    /// Their slices on disk.
    pub slices: u64,
}

impl Cache {
    /// Opens, or makes, the cache in `config.folder`. Reads sidecars, not data. Blocks; call it before serving.
    ///
    /// # Errors
    /// [`OpenError`]: settings out of bounds, a folder in use by another process, or one that can't be made, locked or
    /// listed. What is odd or unreadable inside of it is passed over, logged and counted as `disk_errors`.
    pub fn open(config: CacheConfig, origin: Arc<dyn SliceOrigin>) -> Result<Self, OpenError> {
        config.check()?;
        let disk = Disk::new(config.disk_hook.clone());
        let failed = |source| OpenError::Disk { folder: config.folder.clone(), source };
        let store = Store::open(&config.folder, config.slice_size, disk).map_err(failed)?;
        let Some(store) = store else { return Err(OpenError::InUse(config.folder)) };
        let scan = store.scan().map_err(failed)?;
        let shared = Shared::new(config, store, origin);
        shared.counters.sidecars_dropped.add(scan.dropped);
        shared.counters.disk_errors.add(scan.errors);
        for found in scan.found {
            let (media, meta) = (found.media, Arc::new(found.meta));
            let seed = Seed {
                media,
                meta: meta.clone(),
                geometry: found.geometry,
                incarnation: found.incarnation,
                made: true,
            };
            let version = Version::new(seed, shared.config.pace(), shared.counters.clone());
            let queue: Vec<u32> =
                version.with(|claims, _| found.present.into_iter().filter(|&slice| claims.restore(slice)).collect());
            shared.keeper.insert(&version, &queue);
            // Not fresh: the origin is asked before the first byte is served.
            let entry = Entry { meta: Some(meta), version: Some(version), ..Entry::default() };
            shared.map.lock().entries.insert(media, entry);
        }
        shared.counters.media.set(shared.map.lock().entries.len() as u64);
        shared.make_room();
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Resolves a media and pins its version. Metadata younger than `meta_ttl` is taken as is; else the origin is asked, once
    /// for all who wait.
    ///
    /// # Errors
    /// What the origin answered; [`OriginError::Protocol`] for a size that no media has.
    pub async fn media(&self, id: MediaId) -> Result<Media, OriginError> {
        let mut asking = {
            let mut map = self.shared.map.lock();
            let entry = self.entry(&mut map, id);
            if let Some((meta, version)) = self.fresh(id, entry)? {
                return Ok(self.handle(meta, version));
            }
            match &entry.asking {
                // A question whose runtime ended will never be answered.
                Some(asking) if asking.has_changed().is_ok() => asking.clone(),
                _ => {
                    let (answer, asking) = watch::channel(None);
                    entry.asking = Some(asking.clone());
                    // A task of its own: whoever asked first may leave, the others still get the answer.
                    let (shared, mark) = (self.shared.clone(), self.shared.work());
                    tokio::spawn(async move {
                        Self::describe(shared, id, answer).await;
                        drop(mark);
                    });
                    asking
                }
            }
        };
        let described = match asking.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone(),
            Err(_) => None,
        };
        // A task that died without an answer dies with its runtime.
        let (meta, version) = described.unwrap_or(Err(OriginError::Unreachable))?;
        Ok(self.handle(meta, version))
    }

    /// Forgets media and their bytes, at once for new readers. Running readers keep what is on disk and get what is not
    /// straight from the origin. Returns when the files are deleted.
    pub async fn purge(&self, what: Purge) -> Purged {
        let mut taken: Vec<Arc<Version>> = Vec::new();
        {
            let mut map = self.shared.map.lock();
            let Map { entries, .. } = &mut *map;
            let mut take = |entry: &mut Entry| {
                taken.extend(entry.version.take());
                entry.fresh_until = None;
            };
            match what {
                Purge::Media(id) => entries.get_mut(&id).into_iter().for_each(&mut take),
                Purge::All => entries.values_mut().for_each(&mut take),
            }
            entries.retain(|_, entry| entry.version.is_some() || entry.asking.is_some() || entry.fresh_until.is_some());
            self.shared.counters.media.set(entries.len() as u64);
        }
        let mut purged = Purged::default();
        for version in &taken {
            let (slices, bytes) = version.with(|claims, _| (u64::from(claims.on_disk()), claims.charge()));
            if version.doom(Doom::Dropped) {
                purged.media += u64::from(bytes > 0);
                purged.slices += slices;
                self.shared.counters.purged.add(1);
                self.shared.keeper.retire(version);
            }
        }
        let deleted = self.shared.blocking(move |shared| taken.iter().for_each(|version| shared.delete(version)));
        if deleted.await.is_err() {
            tracing::warn!("a purge was cut off before its files were deleted");
        }
        purged
    }

    /// Counters and gauges as they stand.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.shared.counters.snapshot()
    }

    /// Returns once no fill is running, no slice is being checked or cleared, and no question to the origin is open.
    pub async fn idle(&self) {
        self.shared.idle().await;
    }

    fn handle(&self, meta: Arc<MediaMeta>, version: Arc<Version>) -> Media {
        Media { shared: self.shared.clone(), meta, version }
    }

    /// The entry of a media, made if need be; now and then, entries that hold nothing are dropped.
    fn entry<'a>(&self, map: &'a mut Map, id: MediaId) -> &'a mut Entry {
        if map.entries.len() >= map.sweep_at.max(SWEEP_FROM) {
            let now = Instant::now();
            let useless = map.entries.extract_if(|_, entry| {
                let fresh = entry.fresh_until.is_some_and(|until| until > now);
                let used = |it: &Arc<Version>| Arc::strong_count(it) > 1 || !it.is_idle_and_empty();
                entry.asking.is_none() && !fresh && !entry.version.as_ref().is_some_and(used)
            });
            let versions: Vec<_> = useless.filter_map(|(_, entry)| entry.version).collect();
            self.shared.blocking(move |shared| versions.iter().for_each(|it| shared.discard(it, Doom::Dropped)));
            map.sweep_at = map.entries.len() * 2;
        }
        map.entries.entry(id).or_default()
    }

    fn fresh(&self, id: MediaId, entry: &mut Entry) -> Result<Option<Pinned>, OriginError> {
        let is_fresh = entry.fresh_until.is_some_and(|until| Instant::now() < until);
        let Some(meta) = entry.meta.clone().filter(|_| is_fresh) else { return Ok(None) };
        if entry.version.is_none() {
            entry.version = self.shared.fresh_version(id, &meta);
        }
        let version = entry.version.clone().ok_or(OriginError::Protocol)?;
        Ok(Some((meta, version)))
    }

    async fn describe(shared: Arc<Shared>, id: MediaId, answer: watch::Sender<Option<Described>>) {
        shared.counters.describes.add(1);
        let described = shared.origin.describe(id).await;
        let (old, told) = {
            let mut map = shared.map.lock();
            let entry = map.entries.entry(id).or_default();
            entry.asking = None;
            let settled = match described {
                Ok(meta) => Self::settle(&shared, id, entry, Arc::new(meta)),
                Err(error) => {
                    entry.fresh_until = None;
                    // Bytes of a media that is gone are not kept; a hive that can't be asked says nothing about them.
                    let gone = matches!(error, OriginError::NotFound | OriginError::Gone | OriginError::Changed);
                    (if gone { entry.version.take() } else { None }, Err(error))
                }
            };
            if settled.1.is_err() && entry.version.is_none() {
                map.entries.remove(&id);
            }
            shared.counters.media.set(map.entries.len() as u64);
            settled
        };
        // Before the answer: a handle of the new version must not find the old one's bytes on the books.
        if let Some(old) = old
            && shared.blocking(move |shared| shared.discard(&old, Doom::Changed)).await.is_err()
        {
            tracing::warn!(media = %id, "an old version was not deleted");
        }
        answer.send_replace(Some(told));
    }

    /// Takes fresh metadata in. Returns the version that it replaces, and the answer.
    fn settle(
        shared: &Shared,
        id: MediaId,
        entry: &mut Entry,
        meta: Arc<MediaMeta>,
    ) -> (Option<Arc<Version>>, Described) {
        let same = |it: &Arc<Version>| it.meta.etag == meta.etag && it.meta.size == meta.size;
        let old = entry.version.take_if(|version| !same(version));
        if entry.version.is_none() {
            entry.version = shared.fresh_version(id, &meta);
        }
        let Some(version) = entry.version.clone() else { return (old, Err(OriginError::Protocol)) };
        entry.meta = Some(meta.clone());
        entry.fresh_until = Instant::now().checked_add(shared.config.meta_ttl);
        (old, Ok((meta, version)))
    }
}

impl Media {
    /// The version's metadata, as young as `meta_ttl`.
    #[must_use]
    pub fn meta(&self) -> &MediaMeta {
        &self.meta
    }

    /// Plans a read of `range`, cut to the media. No I/O happens before the reader is first asked for bytes.
    #[must_use]
    pub fn read(&self, range: ByteRange) -> Reader {
        Reader::new(self.shared.clone(), self.version.clone(), range)
    }
}
