//! What the cache does by itself as time goes by. Its owner tells the time: there is no clock in here.

use crate::cache::Cache;
use crate::map::Walk;
use crate::scope::Scope;
use crate::shared::Shared;
use crate::store::Store;
use crate::verify::Checker;
use crate::version::{Doom, Version};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

/// The time between two looks for what nobody reads, as a part of `inactive`, in seconds.
const PARTS: u64 = 16;
const LONGEST_WAIT: u64 = 600;
/// Seconds from the beginning of one scrub of the whole cache to that of the next.
const SCRUB_EVERY: u64 = 24 * 3600;
/// A clock that jumps, or a machine that slept, makes up for no more seconds than these.
const MOST_ELAPSED: u64 = 10;
/// While fills run, the scrub leaves the disk to them, but for one part of its rate in so many.
const SHARE_BESIDE_FILLS: u64 = 8;

/// Where the work between two calls stands.
#[derive(Default)]
pub(crate) struct Tending {
    told: Option<u64>,
    look_at: u64,
    scrub: Option<Checker>,
    scrub_at: u64,
    /// Bytes that the scrub may read.
    credit: u64,
}

impl Cache {
    /// Does what is due at `now`: drops what nobody has read for `inactive`, keeps `min_free` free, and goes on with the scrub.
    /// To be called about once a second. Returns when that is done; while a call still works, another only takes the time.
    pub async fn tend(&self, now: SystemTime) {
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.shared.now.store(now, Ordering::Relaxed);
        // Nobody to tell of a runtime that ends.
        self.shared.blocking(move |shared| shared.tend(now)).await.unwrap_or_default();
    }
}

impl Shared {
    /// Notes that a version is read.
    pub(crate) fn stamp(&self, version: &Version) {
        version.last_read.store(self.now.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn tend(self: &Arc<Self>, now: u64) {
        if self.store.is_handed_over() {
            // Whoever has the folder now can't empty a file while it is open here.
            self.open.close_all_unused();
            return;
        }
        let Some(mut tending) = self.tending.try_lock() else { return };
        let told = tending.told.replace(now);
        let elapsed = told.map_or(0, |told| now.saturating_sub(told)).min(MOST_ELAPSED);
        self.keeper.look_at_space();
        self.keeper.look_at_lent(self);
        self.make_room();
        if let Some(inactive) = self.config().inactive.map(|inactive| inactive.as_secs().max(1))
            && now >= tending.look_at
        {
            tending.look_at = now + (inactive / PARTS).clamp(1, LONGEST_WAIT);
            self.drop_inactive(now, inactive);
        }
        self.scrub(&mut tending, now, elapsed);
    }

    fn drop_inactive(self: &Arc<Self>, now: u64, inactive: u64) {
        let mut walk = Walk::new(Scope::All);
        loop {
            let (mut idle, mut read): (Vec<Arc<Version>>, Vec<Arc<Version>>) = Default::default();
            let more = walk.step(&mut self.map.lock(), |_, entry| {
                let Some(version) = &entry.version else { return true };
                if version.is_inactive(now, inactive) {
                    idle.extend(entry.version.take());
                } else if version.is_worth_noting(inactive / PARTS) {
                    read.push(version.clone());
                }
                true
            });
            for version in idle {
                self.counters.expired.add(version.with(|claims, _| u64::from(claims.on_disk())));
                self.discard(&version, Doom::Dropped);
            }
            for version in read {
                let noted = version.note_last_read(&self.store);
                noted.unwrap_or_else(|error| self.disk_error(&error));
            }
            if !more {
                return;
            }
        }
    }

    fn scrub(self: &Arc<Self>, tending: &mut Tending, now: u64, elapsed: u64) {
        let rate = self.config().scrub_rate;
        let rate = if self.counters.running_fills.get() > 0 { rate / SHARE_BESIDE_FILLS } else { rate };
        // A slice larger than a second's worth is saved up for.
        let most = rate.saturating_mul(MOST_ELAPSED).max(u64::from(self.config().slice_size));
        tending.credit = tending.credit.saturating_add(rate.saturating_mul(elapsed)).min(most);
        if rate == 0 {
            return;
        }
        if tending.scrub.is_none() && now >= tending.scrub_at {
            tending.scrub_at = now + SCRUB_EVERY;
            tending.scrub = Some(Checker::new(Scope::All));
        }
        let Some(mut checker) = tending.scrub.take() else { return };
        while tending.credit >= u64::from(self.config().slice_size) {
            let Some((version, slice)) = checker.next(self) else {
                tracing::info!(verified = ?checker.verified, "the cache was scrubbed");
                return;
            };
            let len = version.geometry.len(slice) as u64;
            checker.note(len, self.check_at_rest(&version, slice));
            self.counters.scrubbed.add(len);
            tending.credit = tending.credit.saturating_sub(len);
        }
        tending.scrub = Some(checker);
    }
}

impl Version {
    /// When it was last read, if that is known.
    pub(crate) fn last_read(&self) -> Option<u64> {
        Some(self.last_read.load(Ordering::Relaxed)).filter(|&at| at > 0)
    }

    /// Its last read is so much later than what its sidecar says.
    fn is_worth_noting(&self, seconds: u64) -> bool {
        let noted = self.noted.load(Ordering::Relaxed);
        self.last_read.load(Ordering::Relaxed) > noted.saturating_add(seconds)
    }

    /// Has the next start know when it was last read. Blocks.
    fn note_last_read(&self, store: &Store) -> io::Result<()> {
        let last_read = self.last_read.load(Ordering::Relaxed);
        self.noted.store(last_read, Ordering::Relaxed);
        self.touch(store, last_read)
    }

    /// Nobody has read it for so long, and nobody has it in hand. To be asked under the map's lock.
    fn is_inactive(self: &Arc<Self>, now: u64, inactive: u64) -> bool {
        let Some(last_read) = self.last_read() else {
            // Read before the time was first told.
            self.last_read.store(now, Ordering::Relaxed);
            return false;
        };
        // Handles are only given out under the map's lock: one reference is the map's.
        last_read.saturating_add(inactive) <= now && Arc::strong_count(self) == 1
    }
}
