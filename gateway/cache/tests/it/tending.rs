//! What the cache does by itself and on demand: what nobody reads goes, what rots is found, what is on disk is counted.

use crate::support::{FILM, FakeOrigin, Film, SLICE, check, config, fetch, files, open, range, sum_of_blocks};
use cache::{Cache, CacheConfig, CacheStatus, DiskFault, DiskHook, DiskOp, Running, Scope, Verified};
use slice::MediaId;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::tempdir;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn film(n: i32) -> MediaId {
    MediaId::message(-5, n)
}

async fn fill(cache: &Cache, origin: &FakeOrigin, id: MediaId, slices: u64) {
    let wanted = range(0, slices * SLICE);
    let reader = cache.media(id).await.unwrap().read(wanted);
    check(reader, origin.film(id), wanted).await.unwrap();
    cache.idle().await;
}

async fn held(cache: &Cache) -> Vec<MediaId> {
    cache.list(&Scope::All, None, usize::MAX).await.into_iter().map(|listed| listed.media).collect()
}

/// Flips a bit of each of these slices of the only film on disk.
fn flip(folder: &Path, slices: &[u64]) {
    let data = std::fs::OpenOptions::new().read(true).write(true).open(&files(folder, "data")[0]).unwrap();
    for slice in slices {
        let (mut byte, place) = ([0], slice * SLICE + 12_345);
        data.read_exact_at(&mut byte, place).unwrap();
        data.write_all_at(&[byte[0] ^ 1], place).unwrap();
    }
}

fn no_scrub(folder: &Path) -> CacheConfig {
    CacheConfig { scrub_rate: 0, ..config(folder) }
}

#[tokio::test]
async fn what_nobody_reads_goes() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(1));
    let cache = open(CacheConfig { inactive: Some(Duration::from_secs(3600)), ..no_scrub(folder.path()) }, &origin);
    for n in 1..=4 {
        origin.put(film(n), Film { size: 8 * SLICE, seed: 3 });
        fill(&cache, &origin, film(n), 2).await;
    }
    // Whoever read before the time was told, read when it was.
    cache.tend(at(0)).await;
    cache.tend(at(3000)).await;
    fill(&cache, &origin, film(2), 1).await;
    let handle = cache.media(film(4)).await.unwrap();
    let mut reader = cache.media(film(3)).await.unwrap().read(range(0, 2 * SLICE));
    reader.next().await.unwrap();
    assert_eq!(cache.list(&Scope::Media(film(2)), None, 1).await[0].last_read, Some(1_800_003_000));
    cache.tend(at(3500)).await;
    assert_eq!(held(&cache).await.len(), 4);
    cache.tend(at(4000)).await;
    assert_eq!(held(&cache).await, [film(2), film(3), film(4)], "one was read since, one is read, one is in hand");
    assert_eq!((cache.stats().expired, files(folder.path(), "data").len()), (2, 3));
    drop(handle);
    cache.tend(at(6400)).await;
    assert_eq!(held(&cache).await, [film(2), film(3)]);
    drop(reader);
    cache.tend(at(9000)).await;
    assert_eq!(held(&cache).await, [film(3)], "a read lasts to its end");
    cache.tend(at(20_000)).await;
    assert_eq!((held(&cache).await.len(), cache.stats().slices, cache.stats().bytes_on_disk), (0, 0, 0));
    assert!(files(folder.path(), "meta").is_empty());
    fill(&cache, &origin, film(1), 8).await;
}

#[tokio::test]
async fn a_restart_does_not_forget_when_films_were_read() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
    let config = || CacheConfig { inactive: Some(Duration::from_secs(3600)), ..no_scrub(folder.path()) };
    let cache = open(config(), &origin);
    fetch(&cache, &origin, range(0, SLICE)).await;
    cache.idle().await;
    drop(cache);
    let sidecar = std::fs::File::options().write(true).open(&files(folder.path(), "meta")[0]).unwrap();
    sidecar.set_modified(at(0)).unwrap();
    let cache = open(config(), &origin);
    assert_eq!(cache.list(&Scope::All, None, 1).await[0].last_read, Some(1_800_000_000));
    // Read again, without a write to the disk.
    cache.tend(at(3000)).await;
    fetch(&cache, &origin, range(0, SLICE)).await;
    cache.tend(at(3300)).await;
    cache.idle().await;
    drop(cache);
    let cache = open(config(), &origin);
    cache.tend(at(4000)).await;
    assert_eq!(cache.stats().slices, 1);
    cache.tend(at(7000)).await;
    assert_eq!(cache.stats().slices, 0);
}

#[tokio::test]
async fn a_check_finds_what_rots_and_drops_it() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(12 * SLICE));
    let cache = open(no_scrub(folder.path()), &origin);
    fetch(&cache, &origin, range(0, 12 * SLICE)).await;
    cache.idle().await;
    flip(folder.path(), &[2, 3, 9]);
    let mut told = Vec::new();
    let verified = cache.verify(&Scope::All, None, |so_far| told.push(*so_far)).await;
    assert_eq!((verified.slices, verified.bytes, verified.rotten), (12, 12 * SLICE, 3), "{verified:?}");
    assert_eq!((told.len(), told.last()), (12, Some(&verified)));
    cache.idle().await;
    assert_eq!((cache.stats().slices, cache.stats().checksum_failures), (9, 3));
    assert_eq!(cache.stats().bytes_on_disk, sum_of_blocks(folder.path()), "the rotten bytes are given back");
    assert_eq!(cache.verify(&Scope::All, None, |_| ()).await.rotten, 0);
    assert_eq!(cache.verify(&Scope::Media(film(1)), None, |_| ()).await, Verified::default());
    origin.forget_log();
    fetch(&cache, &origin, range(0, 12 * SLICE)).await;
    assert_eq!(origin.asked(), 3 * SLICE);
}

#[tokio::test(start_paused = true)]
async fn a_check_keeps_to_its_rate_and_out_of_readers_way() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(10 * SLICE));
    let cache = open(no_scrub(folder.path()), &origin);
    fetch(&cache, &origin, range(0, 10 * SLICE)).await;
    cache.idle().await;
    let mut reader = cache.media(FILM).await.unwrap().read(range(4 * SLICE, 5 * SLICE));
    reader.next().await.unwrap();
    let started = tokio::time::Instant::now();
    let verified = cache.verify(&Scope::All, NonZeroU64::new(SLICE), |_| ()).await;
    assert_eq!((verified.slices, verified.in_use, verified.rotten), (9, 1, 0));
    assert_eq!(started.elapsed().as_secs(), 9);
}

#[tokio::test]
async fn the_scrub_goes_round_at_its_rate() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(6 * SLICE));
    let cache = open(CacheConfig { scrub_rate: 2 * SLICE, ..config(folder.path()) }, &origin);
    fetch(&cache, &origin, range(0, 6 * SLICE)).await;
    cache.idle().await;
    flip(folder.path(), &[5]);
    // The first call can't know how much time has gone by.
    for (second, scrubbed, rotten) in [(0, 0, 0), (1, 2, 0), (2, 4, 0), (3, 6, 1), (4, 6, 1), (9, 6, 1)] {
        cache.tend(at(second)).await;
        cache.idle().await;
        assert_eq!((cache.stats().scrubbed / SLICE, cache.stats().checksum_failures), (scrubbed, rotten));
    }
    cache.tend(at(24 * 3600)).await;
    assert!(cache.stats().scrubbed / SLICE > 6, "and round again, a day later");
    assert_eq!(cache.stats().slices, 5);
}

/// Refuses to punch holes as long as it is told to.
struct NoHoles(AtomicBool);

impl DiskHook for NoHoles {
    fn before(&self, op: DiskOp, _: usize) -> Option<DiskFault> {
        let refused = op == DiskOp::Punch && self.0.load(Ordering::SeqCst);
        refused.then(|| DiskFault::Fail(io::ErrorKind::PermissionDenied.into()))
    }
}

#[tokio::test]
async fn what_is_on_disk_is_counted_as_the_file_system_does() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(100 * SLICE + 77));
    origin.put(film(1), Film { size: 3 * SLICE + 5, seed: 9 });
    let mut config = no_scrub(folder.path());
    config.max_size = 40 * SLICE;
    let cache = open(config.clone(), &origin);
    let agrees = |cache: &Cache, when: &str| {
        let stats = cache.stats();
        assert_eq!(stats.bytes_on_disk, sum_of_blocks(folder.path()), "{when}: {stats:?}");
        assert_eq!(stats.bytes_coming, 0, "{when}");
        assert!(stats.bytes_on_disk <= 40 * SLICE, "{when}: {stats:?}");
    };
    fetch(&cache, &origin, range(0, 10 * SLICE)).await;
    cache.idle().await;
    agrees(&cache, "filled");
    assert!(cache.stats().bytes_on_disk > cache.stats().bytes_held, "sidecars take room, too");
    let reader = cache.media(film(1)).await.unwrap().read(range(0, 3 * SLICE + 5));
    check(reader, origin.film(film(1)), range(0, 3 * SLICE + 5)).await.unwrap();
    cache.idle().await;
    agrees(&cache, "a last slice of five bytes takes a block");
    fetch(&cache, &origin, range(10 * SLICE, 100 * SLICE + 77)).await;
    cache.idle().await;
    cache.tend(at(0)).await;
    assert!(cache.stats().evicted > 60);
    agrees(&cache, "holes were punched");
    let listed = cache.list(&Scope::All, None, 9).await;
    assert_eq!(listed.iter().map(|listed| listed.bytes_on_disk).sum::<u64>(), cache.stats().bytes_on_disk);
    drop(cache);
    let cache = open(config, &origin);
    agrees(&cache, "found at the start");
    cache.purge(&Scope::Media(FILM), Running::Finish).await;
    agrees(&cache, "purged");
    cache.purge(&Scope::All, Running::Finish).await;
    assert_eq!(cache.stats().bytes_on_disk, 0);
}

#[tokio::test]
async fn a_disk_that_punches_no_holes_loses_no_more_slices_than_one_that_does() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(100 * SLICE));
    let hook = Arc::new(NoHoles(AtomicBool::new(true)));
    let mut config = no_scrub(folder.path());
    config.max_size = 40 * SLICE;
    config.disk_hook = Some(hook);
    let cache = open(config, &origin);
    for start in (0..100).step_by(10) {
        fetch(&cache, &origin, range(start * SLICE, (start + 10) * SLICE)).await;
        cache.idle().await;
        let status = cache.media(FILM).await.unwrap().read(range(start * SLICE, (start + 10) * SLICE)).status();
        assert_eq!(status, CacheStatus::Hit, "what was just read stays");
    }
    let stats = cache.stats();
    assert!(stats.disk_errors > 0 && stats.bytes_unfreed >= 60 * SLICE, "{stats:?}");
    assert_eq!(stats.bytes_on_disk, sum_of_blocks(folder.path()));
    drop(cache);
    let mut config = no_scrub(folder.path());
    config.max_size = 40 * SLICE;
    let cache = open(config, &origin);
    let stats = cache.stats();
    assert_eq!(
        (stats.bytes_on_disk, stats.bytes_unfreed),
        (sum_of_blocks(folder.path()), 0),
        "the next start frees it"
    );
    assert!(stats.bytes_on_disk <= 40 * SLICE);
}
