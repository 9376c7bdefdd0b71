//! Purges: media leave the map in strides, before a byte of them is deleted, so that others wait for no disk.

use crate::cache::Cache;
use crate::map::Walk;
use crate::pool::Pending;
use crate::scope::Scope;
use crate::shared::Shared;
use crate::trust::Trust;
use crate::version::{Doom, Version};
use std::sync::Arc;

/// What a purge does to reads that are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// They go on: from the disk as far as it goes, then straight from the origin.
    Finish,
    /// They end at once, with [`crate::ReadError::Withdrawn`].
    Cut,
}

/// What a purge took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// Media that had bytes on disk or under way.
    pub media: u64,
    /// Their slices on disk.
    pub slices: u64,
    /// Bytes of these slices, and of those under way.
    pub bytes: u64,
    /// Media whose files couldn't be deleted, for the next start to find. Nothing is served of them until then.
    pub undeleted: u64,
}

impl Cache {
    /// Forgets media and their bytes, at once for new reads. Returns when the files are deleted; a caller that doesn't wait
    /// cuts nothing short. What is deleted stays so when the process is killed, but the last moments of it may be undone by a
    /// power cut.
    pub async fn purge(&self, what: &Scope, running: Running) -> Purged {
        self.begin_purge(what, running).await.done().await
    }

    /// As [`Self::purge`], but returns as soon as no new read meets what was purged, and with [`Running::Cut`] none that runs goes on. That waits
    /// for no disk. The files are deleted meanwhile, whether or not anybody waits for it.
    pub async fn begin_purge(&self, what: &Scope, running: Running) -> Purging {
        let (shared, walk, mark) = (self.shared.clone(), Walk::new(what.clone()), self.shared.work());
        let work = tokio::spawn(async move {
            let purging = shared.purge(walk, running).await;
            drop(shared);
            drop(mark);
            purging
        });
        // A task that dies without a word dies with its runtime.
        work.await.unwrap_or_default()
    }
}

/// A purge of which nothing is served any more, and whose files are being deleted.
#[derive(Default)]
pub struct Purging {
    purged: Purged,
    undeleted: Option<Pending<usize>>,
}

impl std::fmt::Debug for Purging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Purging").field("purged", &self.purged).finish_non_exhaustive()
    }
}

impl Purging {
    /// What it came to, but for `undeleted`.
    #[must_use]
    pub fn so_far(&self) -> Purged {
        self.purged
    }

    /// Returns when the files are deleted.
    pub async fn done(self) -> Purged {
        let Self { mut purged, undeleted } = self;
        if let Some(undeleted) = undeleted {
            match undeleted.await {
                Ok(undeleted) => purged.undeleted = undeleted as u64,
                Err(_) => tracing::warn!("a purge was cut off before its files were deleted"),
            }
        }
        purged
    }
}

impl Shared {
    async fn purge(self: &Arc<Self>, mut walk: Walk, running: Running) -> Purging {
        let (mut purged, mut doomed) = (Purged::default(), Vec::new());
        // Who purges wants the origin's word anew.
        self.absent.lock().forget(|id| walk.scope().may_mean(id));
        loop {
            let (taken, more) = self.take(&mut walk, running);
            for version in taken {
                let (slices, bytes) = version.with(|claims, _| (u64::from(claims.on_disk()), claims.charge()));
                let is_first = version.doom(Doom::Dropped);
                if running == Running::Cut {
                    version.withdraw();
                }
                if is_first {
                    purged.media += u64::from(bytes > 0);
                    purged.slices += slices;
                    purged.bytes += bytes;
                    self.counters.purged.add(1);
                    self.keeper.retire(&version);
                    doomed.push(version);
                }
            }
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
        let delete = move |shared: &Arc<Self>| doomed.iter().filter(|version| !shared.delete(version)).count();
        Purging { purged, undeleted: Some(self.blocking(delete)) }
    }

    /// Takes the next stride of a walk out of the map. False: there are no more.
    fn take(&self, walk: &mut Walk, running: Running) -> (Vec<Arc<Version>>, bool) {
        let mut map = self.map.lock();
        let (mut taken, mut useless) = (Vec::new(), Vec::new());
        let more = walk.step(&mut map, |id, entry| {
            taken.extend(entry.version.take());
            entry.trust = Trust::default();
            if entry.asking.is_none() {
                useless.push(id);
            }
            true
        });
        for id in useless {
            map.entries.remove(&id);
        }
        for version in &taken {
            map.depart(version);
        }
        if !more && running == Running::Cut {
            taken.extend(map.departed(walk.scope()));
        }
        self.counters.media.set(map.entries.len() as u64);
        (taken, more)
    }
}
