//! Checks of slices against their checksums: for readers, on demand, and in the background.

use crate::cache::Cache;
use crate::map::Walk;
use crate::patience::Undone;
use crate::pool::Lane;
use crate::scope::Scope;
use crate::shared::Shared;
use crate::store::Files;
use crate::version::Version;
use std::collections::VecDeque;
use std::io;
use std::num::NonZeroU64;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::Instant;

/// What a check has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Slices checked.
    pub slices: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Slices whose bytes didn't match their checksum. They count as missing from then on.
    pub rotten: u64,
    /// Slices that the disk didn't give. They count as missing, too.
    pub unreadable: u64,
    /// Slices passed over, as they were being read or fetched: readers check what they read.
    pub in_use: u64,
}

/// What a slice's check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Intact,
    Rotten,
    Unreadable,
}

/// Goes from slice to slice of a scope. Holds no version while it rests.
pub(crate) struct Checker {
    walk: Walk,
    /// The walk has more.
    more: bool,
    todo: VecDeque<Weak<Version>>,
    /// Where in the first of them.
    slice: u32,
    pub(crate) verified: Verified,
}

impl Cache {
    /// Checks the slices of a scope, at most `rate` bytes a second, and drops what is rotten. `told` learns how far it has
    /// come after each slice. Dropping the future ends the check behind the slice under way.
    pub async fn verify(&self, what: &Scope, rate: Option<NonZeroU64>, mut told: impl FnMut(&Verified)) -> Verified {
        let mut checker = Checker::new(what.clone());
        let mut due = Instant::now();
        while let Some((version, slice)) = checker.next(&self.shared) {
            let len = version.geometry.len(slice) as u64;
            let check = self.shared.blocking(move |shared| shared.check_at_rest(&version, slice)).await;
            checker.note(len, check.unwrap_or(Check::Unreadable));
            told(&checker.verified);
            if let Some(rate) = rate {
                // From when the last was due, so that the rate is met; but what a slow disk lost is not made up for.
                due = due.max(Instant::now()) + Duration::from_secs_f64(len as f64 / rate.get() as f64);
                tokio::time::sleep_until(due).await;
            }
        }
        checker.verified
    }
}

impl Checker {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { walk: Walk::new(scope), more: true, todo: VecDeque::new(), slice: 0, verified: Verified::default() }
    }

    /// The next slice, busy from now on: it must be checked. `None`: that was all.
    pub(crate) fn next(&mut self, shared: &Shared) -> Option<(Arc<Version>, u32)> {
        loop {
            let Some(first) = self.todo.front() else {
                if !self.more {
                    return None;
                }
                let todo = &mut self.todo;
                self.more = self.walk.step(&mut shared.map.lock(), |_, entry| {
                    todo.extend(entry.version.as_ref().map(Arc::downgrade));
                    true
                });
                continue;
            };
            let (from, mut in_use) = (self.slice, 0);
            let found = first.upgrade().and_then(|version| {
                let slice = version.with(|claims, doom| match doom {
                    None => claims.begin_check(from, &mut in_use),
                    Some(_) => None,
                });
                slice.map(|slice| (version, slice))
            });
            self.verified.in_use += in_use;
            match found {
                Some((_, slice)) => self.slice = slice + 1,
                None => {
                    self.todo.pop_front();
                    self.slice = 0;
                }
            }
            if found.is_some() {
                return found;
            }
        }
    }

    pub(crate) fn note(&mut self, bytes: u64, check: Check) {
        self.verified.slices += 1;
        self.verified.bytes += bytes;
        self.verified.rotten += u64::from(check == Check::Rotten);
        self.verified.unreadable += u64::from(check == Check::Unreadable);
    }
}

impl Shared {
    /// Has a busy slice checked. The reader may leave, others wait for the outcome.
    pub(crate) fn check_soon(self: &Arc<Self>, version: &Arc<Version>, files: Option<Arc<Files>>, slice: u32) {
        let checked = version.clone();
        let done = self.disk(Lane::Check, Some(version), move |shared| match shared.check(&checked, files, slice) {
            // What went wrong is logged; for the disk's health, that something did.
            Check::Unreadable if !checked.is_doomed() && !shared.store.is_handed_over() => {
                Err(io::ErrorKind::Other.into())
            }
            _ => Ok(()),
        });
        let mark = self.work();
        tokio::spawn(async move {
            let done = done.await;
            // The version counts as stuck for as long as this is.
            if let Err(Undone::Stuck(stuck)) = done {
                stuck.await;
            }
            drop(mark);
        });
    }

    /// Checks a busy slice, and says so to all who wait for it. Blocks.
    pub(crate) fn check(self: &Arc<Self>, version: &Arc<Version>, files: Option<Arc<Files>>, slice: u32) -> Check {
        let geometry = version.geometry;
        let intact = files.map_or_else(|| self.files(version, false), Ok).and_then(|files| {
            let intact = self.store.is_intact(&files, geometry, slice).inspect_err(|error| self.disk_error(error));
            if !matches!(intact, Ok(true)) {
                // It is fetched again, or at least not trusted again.
                self.store.erase(&files, slice).unwrap_or_else(|error| self.disk_error(&error));
            }
            intact
        });
        if matches!(intact, Ok(false)) {
            self.counters.checksum_failures.add(1);
            tracing::warn!(media = %version.media, slice, "a cached slice failed its checksum and is fetched again");
        }
        let litter = version.with(|claims, _| {
            claims.verified(slice, matches!(intact, Ok(true)));
            claims.take_litter()
        });
        version.settled.notify_waiters();
        self.clear(version, litter);
        match intact {
            Ok(true) => Check::Intact,
            Ok(false) => Check::Rotten,
            Err(_) => Check::Unreadable,
        }
    }

    /// Checks a busy slice that nobody waits for: what wasn't in memory before isn't afterwards. Blocks.
    pub(crate) fn check_at_rest(self: &Arc<Self>, version: &Arc<Version>, slice: u32) -> Check {
        let files = self.files(version, false).ok();
        let was_here = files.as_ref().is_none_or(|files| self.store.is_ready(files, version.geometry, slice));
        let check = self.check(version, files.clone(), slice);
        if let Some(files) = files.filter(|_| !was_here) {
            self.store.wont_need(&files, version.geometry, slice);
        }
        check
    }
}
