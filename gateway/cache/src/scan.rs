//! What a start finds in the folder. Reads sidecars, not data; several threads share the work, as most of it is waiting.

use crate::format::{self, Header};
use crate::geometry::Geometry;
use crate::store::Store;
use slice::{MediaId, MediaMeta};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Blocks a file may have beyond its slices before a start looks for litter: extent trees and rounding take a few.
const SLACK: u64 = 64 * 1024;
/// Threads that read sidecars, at most.
const MOST_THREADS: usize = 16;

/// A version found at the start.
pub(crate) struct Found {
    pub(crate) media: MediaId,
    pub(crate) meta: MediaMeta,
    pub(crate) incarnation: u64,
    pub(crate) geometry: Geometry,
    pub(crate) present: Vec<u32>,
    /// Unix seconds.
    pub(crate) last_read: u64,
    /// Bytes that its files have blocks for.
    pub(crate) blocks: u64,
    /// Another process has its file open, and may fill it.
    pub(crate) lent: bool,
}

/// What a start found.
#[derive(Default)]
pub(crate) struct Scan {
    /// The longest unread first.
    pub(crate) found: Vec<Found>,
    /// Sidecars that were of no use.
    pub(crate) dropped: u64,
    /// Disk calls that failed; what they were for was passed over.
    pub(crate) errors: u64,
    highest: u64,
}

impl Scan {
    /// Counts and logs what failed.
    fn note<T>(&mut self, path: &Path, done: io::Result<T>) -> Option<T> {
        done.inspect_err(|error| {
            self.errors += 1;
            tracing::warn!(path = %path.display(), %error, "something in the cache folder is passed over");
        })
        .ok()
    }

    fn join(&mut self, other: Self) {
        self.found.extend(other.found);
        self.dropped += other.dropped;
        self.errors += other.errors;
        self.highest = self.highest.max(other.highest);
    }
}

impl Store {
    /// Reads every sidecar and deletes what is of no use. What can't be read or deleted is left for the next start.
    ///
    /// # Errors
    /// The folder can't be listed.
    pub(crate) fn scan(&self) -> io::Result<Scan> {
        let shards: Vec<PathBuf> = self.disk.list(&self.root)?.iter().map(|shard| self.root.join(shard)).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut scan = Scan::default();
            while let Some(shard) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.scan_shard(shard, &mut scan);
            }
            scan
        };
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get) * 2;
        let mut scan = std::thread::scope(|scope| {
            let helper = || std::thread::Builder::new().name("cache-scan".to_owned()).spawn_scoped(scope, work);
            // Threads that the system doesn't give are work for the others.
            let helpers: Vec<_> =
                (1..threads.min(MOST_THREADS).min(shards.len())).map_while(|_| helper().ok()).collect();
            let mut scan = work();
            for helper in helpers {
                let part = helper.join().map_err(|_| io::Error::other("a look through the cache folder broke off"))?;
                scan.join(part);
            }
            Ok::<_, io::Error>(scan)
        })?;
        // Some may have been given out before: the folder was handed over and taken back.
        self.next_incarnation.fetch_max(scan.highest + 1, Ordering::Relaxed);
        self.drop_older_versions(&mut scan);
        scan.found.sort_by_key(|found| found.last_read);
        Ok(scan)
    }

    fn scan_shard(&self, shard: &Path, scan: &mut Scan) {
        let mut names = scan.note(shard, self.disk.list(shard)).unwrap_or_default();
        names.sort_unstable();
        for name in names.iter().filter_map(|name| name.to_str()) {
            let path = shard.join(name);
            let Some(incarnation) = format::incarnation_of(name) else { continue };
            scan.highest = scan.highest.max(incarnation);
            match path.extension().and_then(|ending| ending.to_str()) {
                Some("meta") => {}
                // A sidecar is made after its extent file: without one, the file holds nothing that can be trusted.
                Some("data") if !has_sidecar(&names, name) => {
                    scan.note(&path, self.disk.unlink(&path));
                    continue;
                }
                Some("tmp") => {
                    scan.note(&path, self.disk.unlink(&path));
                    continue;
                }
                _ => continue,
            }
            match self.inspect(&path, incarnation) {
                Some(found) if !found.present.is_empty() => scan.found.push(found),
                found => {
                    scan.dropped += u64::from(found.is_none());
                    scan.note(&path, self.delete(&path));
                }
            }
        }
    }

    /// Two versions of one media: the process died between dropping the old and deleting it.
    fn drop_older_versions(&self, scan: &mut Scan) {
        let mut newest = HashMap::<MediaId, u64>::with_capacity(scan.found.len());
        for found in &scan.found {
            let incarnation = newest.entry(found.media).or_default();
            *incarnation = found.incarnation.max(*incarnation);
        }
        let is_old = |found: &mut Found| newest.get(&found.media).is_some_and(|&newest| newest > found.incarnation);
        let old: Vec<Found> = scan.found.extract_if(.., is_old).collect();
        for old in old {
            let path = self.path(&old.media, &old.meta, old.incarnation);
            scan.note(&path, self.delete(&path));
        }
    }

    fn inspect(&self, sidecar: &Path, incarnation: u64) -> Option<Found> {
        let bytes = self.disk.read_whole(sidecar).ok()?;
        let header = Header::decode(&bytes, self.slice_size).ok().filter(|header| header.incarnation == incarnation)?;
        let path = self.path(&header.media, &header.meta, incarnation);
        let geometry = Geometry::new(header.meta.size, self.slice_size).filter(|_| path == sidecar)?;
        let extent_file = sidecar.with_extension("data");
        let (mut data, records) = (self.disk.stat(&extent_file).ok()?, self.disk.stat(sidecar).ok()?);
        if data.len != header.meta.size {
            return None;
        }
        let present = format::present(incarnation, geometry, bytes.get(format::HEADER..).unwrap_or_default());
        let expected: u64 = present.iter().map(|&slice| geometry.len(slice) as u64).sum();
        // What can't be opened or told says nothing about the bytes.
        let open = self.disk.open(&extent_file).ok();
        let lent = open.as_ref().is_some_and(|open| !self.disk.is_alone(open).unwrap_or(false));
        if let Some(open) = open.filter(|_| !lent && data.blocks > expected + SLACK) {
            // Litter of fills cut by the last end of the process. A failure leaves it for the next start.
            data.blocks = self.punch_gaps(&open, geometry, &present).unwrap_or(data.blocks);
        }
        let blocks = data.blocks + records.blocks;
        Some(Found {
            media: header.media,
            meta: header.meta,
            incarnation,
            geometry,
            present,
            last_read: records.modified,
            blocks,
            lent,
        })
    }

    /// Gives back what no present slice holds, and says what blocks are left.
    fn punch_gaps(&self, data: &File, geometry: Geometry, present: &[u32]) -> io::Result<u64> {
        let mut from = 0;
        for slice in present.iter().copied().chain([geometry.slices()]) {
            if from < slice {
                let gap = geometry.bytes(&(from..slice));
                self.disk.punch(data, gap.start, gap.len())?;
            }
            from = slice + 1;
        }
        Ok(self.disk.stat_open(data)?.blocks)
    }
}

fn has_sidecar(sorted: &[std::ffi::OsString], extent_file: &str) -> bool {
    let sidecar = Path::new(extent_file).with_extension("meta");
    sorted.binary_search_by(|name| name.as_os_str().cmp(sidecar.as_os_str())).is_ok()
}
