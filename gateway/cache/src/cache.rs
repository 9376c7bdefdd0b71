//! The cache's face: from a media id to a pinned version, purges, and figures.

use crate::config::CacheConfig;
use crate::disk::Disk;
use crate::reader::Reader;
use crate::shared::Shared;
use crate::stats::CacheStats;
use crate::status::{Freshness, OpenError};
use crate::store::Store;
use crate::sync;
use crate::validate::Found;
use crate::version::Version;
use slice::{ByteRange, MediaId, MediaMeta, OriginError, SliceOrigin};
use std::sync::Arc;
use std::time::Duration;

/// A slice cache in one folder. Clones share it.
#[derive(Clone)]
pub struct Cache {
    pub(crate) shared: Arc<Shared>,
}

/// A media at one version: what is read through it is that version's bytes or an error.
#[derive(Clone)]
pub struct Media {
    shared: Arc<Shared>,
    meta: Arc<MediaMeta>,
    version: Arc<Version>,
    freshness: Freshness,
}

impl Cache {
    /// Opens, or makes, the cache in `config.folder`. Reads sidecars, not data. Blocks; call it before serving.
    ///
    /// # Errors
    /// [`OpenError`]: settings out of bounds, a folder in use by another process, or one that can't be made, locked or
    /// listed. What is odd or unreadable inside of it is passed over, logged and counted as `disk_errors`.
    pub fn open(config: CacheConfig, origin: Arc<dyn SliceOrigin>) -> Result<Self, OpenError> {
        config.check()?;
        let disk = Disk::new(config.device.clone(), config.disk_hook.clone());
        let failed = |source| OpenError::Disk { folder: config.folder.clone(), source };
        let store = Store::open(&config.folder, config.slice_size, disk).map_err(failed)?;
        let Some(store) = store else { return Err(OpenError::InUse(config.folder)) };
        let scan = store.scan().map_err(failed)?;
        let folder = config.folder.clone();
        let shared = Shared::new(config, store, origin).map_err(|source| OpenError::Disk { folder, source })?;
        shared.take_in(scan);
        shared.make_room();
        Ok(Self { shared })
    }

    /// Resolves a media and pins its version. Metadata younger than `meta_ttl` is taken as is; else the origin is asked, once
    /// for all who wait. A version past its time is served for `stale_while_revalidate` at once, and for `stale_if_error`
    /// when the origin can't be asked; not one that is gone, and no virtual file whose parts' chats aren't known.
    ///
    /// # Errors
    /// What the origin answered, absences up to `not_found_ttl` and `gone_ttl` ago; [`OriginError::Protocol`] for a size that
    /// no media has.
    pub async fn media(&self, id: MediaId) -> Result<Media, OriginError> {
        let Found { meta, version, freshness } = self.shared.validated(id).await?;
        Ok(Media { shared: self.shared.clone(), meta, version, freshness })
    }

    /// The settings as they are now.
    #[must_use]
    pub fn adjusted(&self) -> CacheConfig {
        CacheConfig::clone(&self.shared.config())
    }

    /// Goes on with other settings, as far as they can change while it runs: bounds, times and how runs are sized. Folder, slices, `min_uses`,
    /// `max_fills`, threads and `sync_interval` stay as they were. What is over a smaller `max_size` is evicted from the next `tend` on.
    ///
    /// # Errors
    /// [`OpenError::Setting`]: settings out of bounds; nothing is changed.
    pub fn adjust(&self, wanted: CacheConfig) -> Result<(), OpenError> {
        let old = self.shared.config().clone();
        let config = CacheConfig {
            max_size: wanted.max_size,
            min_free: wanted.min_free,
            inactive: wanted.inactive,
            scrub_rate: wanted.scrub_rate,
            meta_ttl: wanted.meta_ttl,
            stale_while_revalidate: wanted.stale_while_revalidate,
            stale_if_error: wanted.stale_if_error,
            stale_wait: wanted.stale_wait,
            not_found_ttl: wanted.not_found_ttl,
            gone_ttl: wanted.gone_ttl,
            first_run: wanted.first_run,
            max_run: wanted.max_run,
            join_distance: wanted.join_distance,
            orphan_budget: wanted.orphan_budget,
            fill_patience: wanted.fill_patience,
            lock_age: wanted.lock_age,
            // Zero means other threads.
            disk_patience: if old.disk_patience.is_zero() { Duration::ZERO } else { wanted.disk_patience },
            ..CacheConfig::clone(&old)
        };
        config.check()?;
        self.shared.adjust(config);
        Ok(())
    }

    /// Counters and gauges as they stand.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.shared.counters.snapshot()
    }

    /// Brings what is committed by now to the device, and the names of what was purged off it: it survives a power cut then. False:
    /// the device didn't take all of it, which is logged.
    pub async fn sync(&self) -> bool {
        self.shared.blocking(|shared| sync::pass(shared, false)).await.unwrap_or(false)
    }

    /// Returns once no fill is running, no slice is being checked or cleared, and no question to the origin is open.
    pub async fn idle(&self) {
        self.shared.idle().await;
    }
}

impl Media {
    /// As [`Self::meta`]; the same one until the media is described anew.
    #[must_use]
    pub fn meta_shared(&self) -> &Arc<MediaMeta> {
        &self.meta
    }

    /// The version's metadata, as young as `meta_ttl` unless it is served stale.
    #[must_use]
    pub fn meta(&self) -> &MediaMeta {
        &self.meta
    }

    /// Plans a read of `range`, cut to the media. No I/O happens before the reader is first asked for bytes.
    #[must_use]
    pub fn read(&self, range: ByteRange) -> Reader {
        Reader::new(self.shared.clone(), self.version.clone(), range, self.freshness)
    }
}
