//! Settings, with their bounds.

use crate::claims::Pace;
use crate::device::Device;
use crate::disk::DiskHook;
use crate::status::OpenError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// How a cache keeps and fetches slices. [`CacheConfig::new`] has the defaults.
#[derive(Clone)]
pub struct CacheConfig {
    /// Folder that the cache makes and locks; it must be on a file system with sparse files and hole punching.
    pub folder: PathBuf,
    /// Bytes of a slice: a power of two from 64 KiB to 8 MiB (1 MiB). Another size drops what is on disk.
    pub slice_size: u32,
    /// Bytes of slices kept, on disk or on their way (10 GiB). Readers and running fills may hold it over for a while.
    pub max_size: u64,
    /// Bytes that the file system keeps free (1 GiB); 0 doesn't ask.
    pub min_free: u64,
    /// A media that nobody reads for so long is dropped, if [`crate::Cache::tend`] is called (never). At least a second.
    pub inactive: Option<Duration>,
    /// Bytes a second that [`crate::Cache::tend`] checks against their checksums (4 MiB); 0 for none.
    pub scrub_rate: u64,
    /// How long metadata is trusted before the origin is asked again (60 s).
    pub meta_ttl: Duration,
    /// How long after that a version is still served at once, while the origin is asked (10 s). Not with a `meta_ttl` of zero.
    pub stale_while_revalidate: Duration,
    /// How long after that a version is still served when the origin can't be asked (1 h). What is found on disk when the cache
    /// is opened counts as past its time from then on.
    pub stale_if_error: Duration,
    /// How long a look-up that may be answered with a version past its time waits for the origin (1 s).
    pub stale_wait: Duration,
    /// How long it is remembered that the origin knows no such media (10 s); 0 asks each time.
    pub not_found_ttl: Duration,
    /// How long it is remembered that a media is gone (60 s); 0 asks each time.
    pub gone_ttl: Duration,
    /// Most bytes of a piece that a reader yields (63 KiB: with a head, in records of TLS, it is still one segment of 64 KiB).
    pub piece: usize,
    /// Slices of the first request for a missing stretch (4).
    pub first_run: u32,
    /// Most slices of a request, for readers that keep pace with it (32).
    pub max_run: u32,
    /// A slice further than this ahead of a running request is fetched by one of its own (2).
    pub join_distance: u32,
    /// Slices that a request still fetches after its last reader left, beyond the one under way (2).
    pub orphan_budget: u32,
    /// The request of a slice from which on it is kept (1, at most 255). Slices asked for less often pass through the extent
    /// file, for all who read them meanwhile.
    pub min_uses: u8,
    /// Requests to the origin at once, for slices of all media (256). Over that, readers of what nobody fetches wait in line.
    pub max_fills: u32,
    /// Requests to the origin at once for slices of one media (64).
    pub max_fills_per_media: u32,
    /// How long a reader waits in that line before it fails as [`slice::OriginError::Busy`] (20 s).
    pub fill_patience: Duration,
    /// A request that has brought no byte for so long holds up nobody but its first reader: the next one to wait for it has it
    /// ended and starts its own (10 s). Doubles with each time that this brings nothing either.
    pub lock_age: Duration,
    /// Versions whose files stay open while nobody reads them (1024), two descriptors each; at most an eighth of the files
    /// that the process may open when the cache is opened.
    pub max_open: usize,
    /// Longest wait for a disk call (2 s): then readers go on straight from the origin, and fills hand theirs over. After a few in
    /// a row the disk is passed by altogether, and asked every second whether it answers again. Zero waits as long as it takes, on
    /// the runtime's own blocking threads: for tests that stop its clock.
    pub disk_patience: Duration,
    /// Threads for disk calls (16), made when needed; at least 4. No other threads ever wait for the disk, but those that sync
    /// and probe it.
    pub disk_threads: usize,
    /// How often committed slices are brought to the device, to survive a power cut (5 s); zero leaves it to the kernel. Without
    /// it too, what is committed survives the end of the process.
    pub sync_interval: Duration,
    /// In the place of the kernel's file systems, in drills.
    pub device: Option<Arc<dyn Device>>,
    /// Watches disk calls and makes them fail, in drills.
    pub disk_hook: Option<Arc<dyn DiskHook>>,
}

impl CacheConfig {
    /// Defaults, in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            slice_size: 1024 * 1024,
            max_size: 10 * 1024 * MIB,
            min_free: 1024 * MIB,
            inactive: None,
            scrub_rate: 4 * MIB,
            meta_ttl: Duration::from_secs(60),
            stale_while_revalidate: Duration::from_secs(10),
            stale_if_error: Duration::from_secs(3600),
            stale_wait: Duration::from_secs(1),
            not_found_ttl: Duration::from_secs(10),
            gone_ttl: Duration::from_secs(60),
            piece: 63 * 1024,
            first_run: 4,
            max_run: 32,
            join_distance: 2,
            orphan_budget: 2,
            min_uses: 1,
            max_fills: 256,
            max_fills_per_media: 64,
            fill_patience: Duration::from_secs(20),
            lock_age: Duration::from_secs(10),
            max_open: 1024,
            disk_patience: Duration::from_secs(2),
            disk_threads: 16,
            sync_interval: Duration::from_secs(5),
            device: None,
            disk_hook: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let slice = u64::from(self.slice_size);
        let rules = [
            (self.slice_size.is_power_of_two(), "slice_size must be a power of two"),
            ((64 * KIB..=8 * MIB).contains(&slice), "slice_size must be from 64 KiB to 8 MiB"),
            (self.max_size >= slice, "max_size must hold at least one slice"),
            ((4 * 1024..=1024 * 1024).contains(&self.piece), "piece must be from 4 KiB to 1 MiB"),
            (self.min_uses >= 1, "min_uses must be at least 1"),
            (self.max_fills >= 1, "max_fills must be at least 1"),
            (self.max_fills_per_media >= 1, "max_fills_per_media must be at least 1"),
            (!self.lock_age.is_zero(), "lock_age must be more than 0"),
            (self.first_run >= 1, "first_run must be at least 1"),
            (self.max_run >= self.first_run, "max_run must be at least first_run"),
            (self.meta_ttl <= Duration::from_secs(366 * 86_400), "meta_ttl must be at most a year"),
            (self.inactive.is_none_or(|inactive| inactive.as_secs() >= 1), "inactive must be at least a second"),
            (
                self.disk_patience.is_zero() || self.disk_patience >= Duration::from_millis(10),
                "disk_patience must be at least 10 ms, or zero",
            ),
            ((4..=512).contains(&self.disk_threads), "disk_threads must be from 4 to 512"),
            (self.sync_interval <= Duration::from_secs(86_400), "sync_interval must be at most a day"),
            (self.max_open >= 1, "max_open must be at least 1"),
        ];
        rules.into_iter().find(|(good, _)| !good).map_or(Ok(()), |(_, rule)| Err(OpenError::Setting(rule)))
    }

    pub(crate) fn pace(&self) -> Pace {
        // A run larger than a good part of the cache would push out its own slices before they are read.
        let most = u32::try_from(self.max_size / u64::from(self.slice_size) / 8).unwrap_or(u32::MAX).max(1);
        Pace {
            first_run: self.first_run.min(most),
            max_run: self.max_run.min(most),
            join_distance: self.join_distance,
            orphan_budget: self.orphan_budget,
            max_fills: self.max_fills_per_media,
            keeps_all: self.min_uses <= 1,
        }
    }
}

impl fmt::Debug for CacheConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheConfig")
            .field("folder", &self.folder)
            .field("slice_size", &self.slice_size)
            .field("max_size", &self.max_size)
            .field("min_free", &self.min_free)
            .field("inactive", &self.inactive)
            .field("meta_ttl", &self.meta_ttl)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::CacheConfig;

    #[test]
    fn bounds_are_checked() {
        assert!(CacheConfig::new("x").check().is_ok());
        let bad: [fn(&mut CacheConfig); 6] = [
            |c| c.slice_size = 3 << 16,
            |c| c.slice_size = 1 << 15,
            |c| c.slice_size = 1 << 24,
            |c| c.max_size = 1,
            |c| c.first_run = 0,
            |c| c.max_run = 1,
        ];
        for change in bad {
            let mut config = CacheConfig::new("x");
            change(&mut config);
            assert!(config.check().is_err(), "{config:?}");
        }
    }
}
