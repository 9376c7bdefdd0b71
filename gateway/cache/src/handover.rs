//! One folder from one process to the next, while the first one still serves what it has begun.
//!
//! The folder's lock says whose it is, and only its owner opens, empties or deletes files. Who hands it over keeps what it has open, and
//! reads and fills those films on. The rest passes the disk by, as on a bad disk.
//!
//! Why no reader of either process meets a wrong byte. Each open extent file is held, by a shared `flock` that goes with its
//! descriptor, and an owner makes no hole in a file that another process holds (`Withheld::Lent`). What was handed over is never
//! opened again, so who holds a file has held it since it was the owner, and knows what is in it. Files that are deleted keep their bytes for who
//! has them open. Both may write the same slice: then they write the same bytes of the same version, and the same record.
//!
//! What of a film is filled by a process that is not the owner, the owner doesn't know of. When that process closes the file, the owner reads
//! the sidecar's records again (`Keeper::look_at_lent`), and has the slices from then on; they are checked before they are read, as after a start.
//!
//! A successor that dies before it serves leaves the folder as it was, but for what it evicted. So who takes the folder back believes of it
//! only what it has held all along, and looks at the rest as at a start.

use crate::cache::Cache;
use crate::scan::{Found, Scan};
use crate::shared::{Entry, Shared};
use crate::status::OpenError;
use crate::trust::Trust;
use crate::version::{Doom, Seed, Version};
use slice::{MediaId, MediaMeta};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Files to be deleted: what their names are made of.
pub(crate) type Owed = (MediaId, Arc<MediaMeta>, u64);

/// Why a disk call was not made. Not the disk's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Withheld {
    #[error("the cache folder is another process's by now")]
    HandedOver,
    #[error("another process has the file open")]
    Lent,
}

impl Withheld {
    /// What `error` says of it, if it does.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl From<Withheld> for io::Error {
    fn from(withheld: Withheld) -> Self {
        Self::other(withheld)
    }
}

impl Cache {
    /// Leaves the folder to another process. Films whose files are open here are read and filled on while somebody reads them; everything else
    /// comes straight from the origin from now on, and nothing is evicted or deleted. Idempotent. Blocks, for as long as calls that open, delete or empty
    /// files are under way.
    ///
    /// False: such a call took longer than `patience`. Nothing is changed then.
    #[must_use]
    pub fn hand_over(&self, patience: Duration) -> bool {
        let handed_over = self.shared.store.hand_over(patience);
        if handed_over {
            self.shared.open.close_all_unused();
        }
        handed_over
    }

    /// Takes the folder back from a process that is gone, as far as the disk lets it. Blocks, as a start does.
    ///
    /// # Errors
    /// [`OpenError::InUse`]: the other process is not gone. [`OpenError::Disk`]: the folder can't be locked or listed; what is open here is
    /// served on.
    pub fn take_back(&self) -> Result<(), OpenError> {
        let shared = &self.shared;
        if !shared.store.is_handed_over() {
            return Ok(());
        }
        let config = shared.config();
        let folder = &config.folder;
        let failed = |source| OpenError::Disk { folder: folder.clone(), source };
        let lock = shared.store.lock().map_err(failed)?.ok_or_else(|| OpenError::InUse(folder.clone()))?;
        // First of all: once the folder is ours, files are opened again.
        shared.disown_closed();
        shared.store.take_back(lock);
        for (media, meta, incarnation) in std::mem::take(&mut *shared.owed.lock()) {
            shared.store.remove(media, &meta, incarnation).unwrap_or_else(|error| shared.disk_error(&error));
        }
        let scan = shared.store.scan().map_err(failed)?;
        shared.disown_deleted(&scan);
        shared.take_in(scan);
        shared.make_room();
        Ok(())
    }
}

impl Shared {
    /// Takes versions out whose files are closed: another process may have changed them.
    fn disown_closed(&self) {
        let mut map = self.map.lock();
        let closed: Vec<Arc<Version>> = map
            .entries
            .values_mut()
            .filter_map(|entry| entry.version.take_if(|version| version.abandon_closed()))
            .collect();
        for version in &closed {
            map.depart(version);
        }
        for version in map.departed(&crate::scope::Scope::All) {
            version.abandon_closed();
        }
        drop(map);
        for version in closed {
            if version.doom(Doom::Dropped) {
                self.keeper.retire(&version);
            }
        }
    }

    /// Takes versions out whose names the folder has no more: another process deleted them. Who reads them keeps their bytes; once closed,
    /// they could not be opened again.
    fn disown_deleted(&self, scan: &Scan) {
        let found: HashSet<(MediaId, u64)> = scan.found.iter().map(|found| (found.media, found.incarnation)).collect();
        let known: Vec<Arc<Version>> =
            self.map.lock().entries.values().filter_map(|entry| entry.version.clone()).collect();
        for version in known {
            if version.is_made() && !found.contains(&(version.media, version.incarnation)) {
                self.discard(&version, Doom::Dropped);
            }
        }
    }

    /// Puts what a look through the folder found on the map and on the books.
    pub(crate) fn take_in(&self, scan: Scan) {
        self.counters.sidecars_dropped.add(scan.dropped);
        self.counters.disk_errors.add(scan.errors);
        let now = Instant::now();
        for found in scan.found {
            self.take_in_one(found, now);
        }
        self.counters.media.set(self.map.lock().entries.len() as u64);
    }

    fn take_in_one(&self, found: Found, now: Instant) {
        let Found { media, meta, incarnation, geometry, present, last_read, blocks, lent } = found;
        let meta = Arc::new(meta);
        let mut map = self.map.lock();
        if let Some(known) = map.entries.get(&media).and_then(|entry| entry.version.as_ref()) {
            // Open all along; or another one, made up while the folder was not ours.
            if known.incarnation != incarnation {
                drop(map);
                self.store.remove(media, &meta, incarnation).unwrap_or_else(|error| self.disk_error(&error));
            }
            return;
        }
        let seed = Seed { media, meta: meta.clone(), geometry, incarnation, made: true, last_read };
        let version = Version::new(seed, self.config().pace(), self.counters.clone());
        // The origin is asked before the first byte is served, if it can be.
        map.index(media, &meta);
        let entry = map.entries.entry(media).or_default();
        *entry = Entry {
            meta: Some(meta),
            version: Some(version.clone()),
            trust: Trust::found(now),
            asking: entry.asking.take(),
        };
        let queue: Vec<u32> =
            version.with(|claims, _| present.into_iter().filter(|&slice| claims.restore(slice)).collect());
        // Under the map's lock: nobody drops the version before it is on the books.
        self.keeper.insert(&version, &queue);
        version.measure(|| Ok(blocks), 0);
        if lent {
            self.keeper.lend(&version);
        }
    }
}
