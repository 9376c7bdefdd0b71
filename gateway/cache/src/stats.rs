//! Counters and gauges. Plain atomics: whoever exports them reads a snapshot.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What the cache has done since it was opened, and how it stands. Figures are read one by one, so they may be apart
        /// by what happened meanwhile.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct CacheStats { $($(#[$doc])* pub $name: u64,)+ }

        /// The living figures behind [`CacheStats`].
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Count,)+ }

        impl Counters {
            pub(crate) fn snapshot(&self) -> CacheStats {
                CacheStats { $($name: self.$name.get(),)+ }
            }
        }
    };
}

counters! {
    /// Reads planned with all slices on disk.
    hits,
    /// Reads planned with some slices on disk.
    partials,
    /// Reads planned with no slice on disk and some that nobody was fetching.
    misses,
    /// Reads planned with all slices on their way for others.
    joins,
    /// Reads past the cache: of versions purged since they were looked up, or while the disk is sick or stuck.
    bypasses,
    /// Reads of versions past their time, whatever else they count as.
    stale,
    /// Transfers opened at the origin to fill slices.
    fills,
    /// Fills that failed, for whatever reason.
    fill_failures,
    /// Requests of slices, each counted when a read comes to it, that were too few to have it kept.
    unadmitted,
    /// Fills ended because they brought no bytes while others waited for them.
    fills_abandoned,
    /// Reads that waited in line for a fill of their own.
    fill_waits,
    /// Reads that failed because that took too long.
    fill_refusals,
    /// Reads that went on straight from the origin because the disk failed or the version was purged.
    directs,
    /// Questions to the origin about a media's version.
    describes,
    /// Questions that were answered with the version known before.
    revalidated,
    /// Look-ups answered with an absence that was remembered.
    negatives,
    /// Versions dropped because the media changed or went away.
    changed,
    /// Versions dropped by purges.
    purged,
    /// Slices evicted for room.
    evicted,
    /// Slices dropped because nobody had read their media for `inactive`.
    expired,
    /// Bytes read by the scrub.
    scrubbed,
    /// Slices whose bytes didn't match their checksum; they were fetched again.
    checksum_failures,
    /// Sidecars found unusable at the start.
    sidecars_dropped,
    /// Disk calls that failed.
    disk_errors,
    /// Disk calls that took longer than a viewer is kept waiting.
    disk_timeouts,
    /// Versions whose new slices were brought to the device.
    synced,
    /// Bytes given to readers out of extent files.
    bytes_read,
    /// Bytes fetched from the origin into extent files.
    bytes_filled,
    /// Bytes passed from the origin to readers without the disk.
    bytes_direct,
    /// Gauge: bytes of slices on disk or claimed by fills.
    bytes_held,
    /// Gauge: bytes that extent files and sidecars have blocks for, as the file system says. What `max_size` bounds, with
    /// `bytes_coming`.
    bytes_on_disk,
    /// Gauge: what of `bytes_on_disk` evicted slices still take, as the disk didn't free it. Freed by the next start, if it
    /// can be; not counted towards `max_size`.
    bytes_unfreed,
    /// Gauge: bytes of slices claimed by fills, written or not.
    bytes_coming,
    /// Gauge: slices on disk.
    slices,
    /// Gauge: media known.
    media,
    /// Gauge: disk calls that took too long and have still not returned.
    disk_stuck,
    /// Gauge: 1 while the disk is passed by, after too many failures or timeouts in a row.
    disk_sick,
    /// Gauge: fills running.
    running_fills,
    /// Gauge: reads in line for a fill.
    waiting_fills,
}

/// One figure.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    pub(crate) fn sub(&self, by: u64) {
        self.0.fetch_sub(by, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, to: u64) {
        self.0.store(to, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
