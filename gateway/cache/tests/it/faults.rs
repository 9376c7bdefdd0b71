//! Bad disks: full, failing, vanishing. The viewer gets its bytes all the same.

use crate::support::{FILM, FakeOrigin, Fault, SLICE, check_to, config, fetch, files, open, range};
use cache::{DiskFault, DiskHook, DiskOp, ReadError};
use rustix::io::Errno;
use std::collections::HashSet;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::tempdir;

/// Fails the calls of some kinds, after letting so many pass.
#[derive(Default)]
struct Sick {
    kinds: Mutex<HashSet<DiskOp>>,
    pass: Mutex<usize>,
    errno: Mutex<Option<Errno>>,
}

impl Sick {
    fn with(&self, kinds: &[DiskOp], errno: Errno, pass: usize) {
        *self.kinds.lock().unwrap() = kinds.iter().copied().collect();
        *self.errno.lock().unwrap() = Some(errno);
        *self.pass.lock().unwrap() = pass;
    }

    fn heal(&self) {
        self.kinds.lock().unwrap().clear();
    }
}

impl DiskHook for Sick {
    fn before(&self, op: DiskOp, len: usize) -> Option<DiskFault> {
        let errno = (*self.errno.lock().unwrap()).filter(|_| self.kinds.lock().unwrap().contains(&op))?;
        let mut pass = self.pass.lock().unwrap();
        if *pass > 0 {
            *pass -= 1;
            return None;
        }
        Some(DiskFault::Tear(len / 2, io::Error::from(errno)))
    }
}

#[tokio::test]
async fn a_sick_disk_never_fails_a_read() {
    let kinds = [
        (DiskOp::Create, Errno::NOSPC),
        (DiskOp::Create, Errno::ROFS),
        (DiskOp::WriteData, Errno::NOSPC),
        (DiskOp::WriteData, Errno::IO),
        (DiskOp::WriteRecord, Errno::NOSPC),
        (DiskOp::WriteRecord, Errno::IO),
    ];
    for (kind, errno) in kinds {
        for pass in [0, 1, 3, 7] {
            let (folder, origin, sick) =
                (tempdir().unwrap(), FakeOrigin::new(24 * SLICE + 5), Arc::new(Sick::default()));
            let mut config = config(folder.path());
            config.disk_hook = Some(sick.clone());
            let cache = open(config, &origin);
            sick.with(&[kind], errno, pass);
            let whole = range(0, 24 * SLICE + 5);
            futures_util::future::join_all((0..4).map(|_| fetch(&cache, &origin, whole))).await;
            cache.idle().await;
            let stats = cache.stats();
            if kind != DiskOp::Create || pass < 2 {
                assert!(stats.disk_errors > 0 && stats.directs > 0, "{kind:?} {errno} {pass}: {stats:?}");
            }
            // The disk is well again: so is the cache.
            sick.heal();
            fetch(&cache, &origin, whole).await;
            cache.idle().await;
            assert_eq!(cache.stats().slices, 25, "{kind:?} {errno} {pass}");
            origin.forget_log();
            fetch(&cache, &origin, whole).await;
            assert!(origin.opens().is_empty());
        }
    }
}

#[tokio::test]
async fn unreadable_slices_are_served_from_the_origin() {
    let (folder, origin, sick) = (tempdir().unwrap(), FakeOrigin::new(24 * SLICE), Arc::new(Sick::default()));
    let mut config = config(folder.path());
    config.disk_hook = Some(sick.clone());
    let whole = range(0, 24 * SLICE);
    for (kind, pass) in [(DiskOp::Read, 0), (DiskOp::Read, 9), (DiskOp::Open, 0), (DiskOp::Open, 1)] {
        let cache = open(config.clone(), &origin);
        fetch(&cache, &origin, whole).await;
        cache.idle().await;
        drop(cache);
        // A fresh start reads every slice from the device to verify it.
        let cache = open(config.clone(), &origin);
        sick.with(&[kind], Errno::IO, pass);
        futures_util::future::join_all((0..4).map(|_| fetch(&cache, &origin, whole))).await;
        assert!(cache.stats().disk_errors > 0, "{kind:?}");
        sick.heal();
        fetch(&cache, &origin, whole).await;
        cache.idle().await;
    }
}

#[tokio::test]
async fn a_full_disk_makes_older_slices_go_first() {
    let (folder, origin, sick) = (tempdir().unwrap(), FakeOrigin::new(64 * SLICE), Arc::new(Sick::default()));
    let mut config = config(folder.path());
    config.disk_hook = Some(sick.clone());
    let cache = open(config, &origin);
    fetch(&cache, &origin, range(0, 40 * SLICE)).await;
    cache.idle().await;
    sick.with(&[DiskOp::WriteData], Errno::NOSPC, 0);
    let wanted = range(50 * SLICE, 52 * SLICE);
    fetch(&cache, &origin, wanted).await;
    cache.idle().await;
    let stats = cache.stats();
    assert!(stats.evicted > 0 && stats.slices < 40, "{stats:?}");
}

#[tokio::test]
async fn a_vanished_folder_is_made_again() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let mut config = config(folder.path());
    config.max_open = 1;
    let cache = open(config, &origin);
    fetch(&cache, &origin, range(0, 4 * SLICE)).await;
    // Files of another media push this one's out of the open ones, as time does.
    let other = slice::MediaId::message(1, 1);
    origin.put(other, crate::support::Film { size: SLICE, seed: 4 });
    let reader = cache.media(other).await.unwrap().read(range(0, SLICE));
    crate::support::check(reader, origin.film(other), range(0, SLICE)).await.unwrap();
    cache.idle().await;
    crate::support::remove_all(&folder.path().join("v1"));
    fetch(&cache, &origin, range(0, 8 * SLICE)).await;
    cache.idle().await;
    fetch(&cache, &origin, range(0, 8 * SLICE)).await;
    cache.idle().await;
    assert_eq!(files(folder.path(), "data").len(), 1);
    origin.forget_log();
    fetch(&cache, &origin, range(0, 8 * SLICE)).await;
    assert!(origin.opens().is_empty());
    assert_eq!(cache.media(FILM).await.unwrap().meta().size, 8 * SLICE);
}

#[tokio::test]
async fn a_change_behind_a_sick_disk_is_noticed() {
    let (folder, origin, sick) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE), Arc::new(Sick::default()));
    let mut config = config(folder.path());
    config.disk_hook = Some(sick.clone());
    let cache = open(config, &origin);
    sick.with(&[DiskOp::WriteData], Errno::IO, 0);
    // The fill's transfer is sound, the one past the disk is of another version.
    origin.fail_next(Fault::Long(0));
    origin.fail_next(Fault::OtherVersion);
    let wanted = range(0, SLICE);
    let reader = cache.media(FILM).await.unwrap().read(wanted);
    let (at, end) = check_to(reader, origin.film(FILM), wanted).await;
    assert_eq!((at, end), (0, Err(ReadError::Changed)));
    cache.idle().await;
    assert_eq!(cache.stats().changed, 1);
    sick.heal();
    fetch(&cache, &origin, wanted).await;
    assert_eq!(origin.log.borrow().describes, 2, "what was known of the media is asked for again");
}

/// A machine whose memory keeps nothing of a file, once told to; counts the reads from the device.
#[derive(Default)]
struct Forgetful {
    says: Mutex<Option<Errno>>,
    reads: AtomicU64,
}

impl DiskHook for Forgetful {
    fn before(&self, op: DiskOp, _len: usize) -> Option<DiskFault> {
        self.reads.fetch_add(u64::from(op == DiskOp::Read), Ordering::Relaxed);
        let says = (*self.says.lock().unwrap()).filter(|_| op == DiskOp::ReadReady)?;
        Some(DiskFault::Fail(says.into()))
    }
}

#[tokio::test]
async fn a_bit_that_flips_while_the_cache_runs_is_never_served() {
    let whole = range(0, 8 * SLICE + 100);
    for (at, restart) in [(0, false), (3 * SLICE + 777, false), (8 * SLICE + 99, false), (5 * SLICE, true)] {
        let (folder, origin, memory) = (tempdir().unwrap(), FakeOrigin::new(whole.end), Arc::new(Forgetful::default()));
        let mut config = config(folder.path());
        config.disk_hook = Some(memory.clone());
        let mut cache = open(config.clone(), &origin);
        fetch(&cache, &origin, whole).await;
        cache.idle().await;
        if restart {
            drop(cache);
            cache = open(config, &origin);
            // Every slice is checked, and trusted from here on.
            fetch(&cache, &origin, whole).await;
        }
        let data = std::fs::OpenOptions::new().read(true).write(true).open(&files(folder.path(), "data")[0]).unwrap();
        let mut byte = [0];
        data.read_exact_at(&mut byte, at).unwrap();
        data.write_all_at(&[byte[0] ^ 4], at).unwrap();
        origin.forget_log();
        *memory.says.lock().unwrap() = Some(Errno::AGAIN);
        futures_util::future::join_all((0..8).map(|_| fetch(&cache, &origin, whole))).await;
        cache.idle().await;
        let stats = cache.stats();
        assert_eq!((stats.checksum_failures, stats.directs, stats.disk_errors), (1, 0, 0), "byte {at}: {stats:?}");
        assert_eq!(origin.opens().len(), 1, "only the bad slice is fetched again: {:?}", origin.opens());
        assert_eq!(origin.opens()[0].start, at / SLICE * SLICE);
    }
}

#[tokio::test]
async fn a_slice_that_left_memory_is_checked_once_and_one_in_memory_never() {
    let (folder, origin, memory) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE), Arc::new(Forgetful::default()));
    let mut config = config(folder.path());
    config.disk_hook = Some(memory.clone());
    // Sixteen pieces to a slice.
    config.piece = 4096;
    let cache = open(config, &origin);
    let whole = range(0, 8 * SLICE);
    fetch(&cache, &origin, whole).await;
    // A piece costs a read; a check reads the record and the slice. Where memory can't be asked, none is made.
    for (says, reads) in [(None, 0), (Some(Errno::AGAIN), 8 * (16 + 2)), (Some(Errno::OPNOTSUPP), 8 * 16)] {
        *memory.says.lock().unwrap() = says;
        memory.reads.store(0, Ordering::Relaxed);
        fetch(&cache, &origin, whole).await;
        cache.idle().await;
        assert_eq!(memory.reads.load(Ordering::Relaxed), reads, "{says:?}");
    }
    assert_eq!(origin.opens().iter().map(|range| range.len()).sum::<u64>(), 8 * SLICE);
}
