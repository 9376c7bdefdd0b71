//! What stays: restarts, damage on disk, new versions, purges, metadata.

use crate::support::{FILM, FakeOrigin, Film, SLICE, check, config, disk_usage, fetch, files, open, range};
use cache::{Cache, CacheStatus, OpenError, Running, Scope};
use slice::MediaId;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use tempfile::tempdir;

async fn status(cache: &Cache, start: u64, end: u64) -> CacheStatus {
    cache.media(FILM).await.unwrap().read(range(start, end)).status()
}

/// Fills some slices and closes the cache again.
async fn filled(folder: &Path, origin: &Arc<FakeOrigin>, start: u64, end: u64) {
    let cache = open(config(folder), origin);
    fetch(&cache, origin, range(start, end)).await;
    cache.idle().await;
}

#[tokio::test]
async fn a_restart_keeps_what_was_whole() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(20 * SLICE + 9));
    filled(folder.path(), &origin, 3 * SLICE, 9 * SLICE).await;
    filled(folder.path(), &origin, 20 * SLICE, 20 * SLICE + 9).await;
    origin.forget_log();
    let cache = open(config(folder.path()), &origin);
    assert_eq!((cache.stats().slices, cache.stats().bytes_held), (7, 6 * SLICE + 9));
    assert_eq!(status(&cache, 3 * SLICE, 9 * SLICE).await, CacheStatus::Revalidated);
    assert_eq!(status(&cache, 2 * SLICE, 9 * SLICE).await, CacheStatus::Partial);
    assert_eq!(status(&cache, 10 * SLICE, 12 * SLICE).await, CacheStatus::Miss);
    fetch(&cache, &origin, range(3 * SLICE + 1, 9 * SLICE)).await;
    fetch(&cache, &origin, range(20 * SLICE, 20 * SLICE + 9)).await;
    assert!(origin.opens().is_empty(), "what was on disk came from the disk");
    fetch(&cache, &origin, range(0, 20 * SLICE + 9)).await;
    cache.idle().await;
    assert_eq!(origin.asked(), 14 * SLICE);
}

#[tokio::test]
async fn a_folder_in_use_is_refused() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(1));
    let first = open(config(folder.path()), &origin);
    let again = || Cache::open(config(folder.path()), Arc::new(crate::support::Origin(origin.clone())));
    assert!(matches!(again(), Err(OpenError::InUse(_))));
    drop(first);
    assert!(again().is_ok());
}

#[tokio::test]
async fn a_flipped_bit_is_never_served() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE + 100));
    for at in [0, 3 * SLICE + 777, 8 * SLICE + 99] {
        filled(folder.path(), &origin, 0, 8 * SLICE + 100).await;
        let data = std::fs::OpenOptions::new().read(true).write(true).open(&files(folder.path(), "data")[0]).unwrap();
        let mut byte = [0];
        data.read_exact_at(&mut byte, at).unwrap();
        data.write_all_at(&[byte[0] ^ 4], at).unwrap();
        origin.forget_log();
        let cache = open(config(folder.path()), &origin);
        let readers = (0..8).map(|_| fetch(&cache, &origin, range(0, 8 * SLICE + 100)));
        futures_util::future::join_all(readers).await;
        cache.idle().await;
        assert_eq!(cache.stats().checksum_failures, 1, "byte {at}");
        assert_eq!(origin.opens().len(), 1, "only the bad slice is fetched again: {:?}", origin.opens());
        assert_eq!(origin.opens()[0].start, at / SLICE * SLICE);
    }
}

#[tokio::test]
async fn a_damaged_sidecar_is_dropped_with_its_data() {
    let damages: [fn(&Path); 6] = [
        |path| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap(),
        |path| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(4000).unwrap(),
        |path| std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"x", 20).unwrap(),
        |path| std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"\x02", 8).unwrap(),
        |path| std::fs::rename(path, path.with_file_name("00-ff.meta")).unwrap(),
        |path| std::fs::OpenOptions::new().write(true).open(path.with_extension("data")).unwrap().set_len(5).unwrap(),
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
        filled(folder.path(), &origin, 0, 4 * SLICE).await;
        damage(&files(folder.path(), "meta")[0]);
        let cache = open(config(folder.path()), &origin);
        assert_eq!((cache.stats().sidecars_dropped, cache.stats().slices), (1, 0), "damage {n}");
        assert!(files(folder.path(), "data").is_empty() && files(folder.path(), "meta").is_empty(), "damage {n}");
        fetch(&cache, &origin, range(0, 4 * SLICE)).await;
    }
}

#[tokio::test]
async fn a_damaged_record_costs_its_slice_only() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
    filled(folder.path(), &origin, 0, 4 * SLICE).await;
    let sidecar = std::fs::OpenOptions::new().write(true).open(&files(folder.path(), "meta")[0]).unwrap();
    sidecar.write_all_at(b"junk", 4096 + 16 + 3).unwrap();
    origin.forget_log();
    let cache = open(config(folder.path()), &origin);
    assert_eq!(cache.stats().slices, 3);
    fetch(&cache, &origin, range(0, 4 * SLICE)).await;
    assert_eq!(origin.opens(), [range(SLICE, 2 * SLICE)]);
}

#[tokio::test]
async fn litter_is_cleared_at_the_start() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(64 * SLICE));
    filled(folder.path(), &origin, 0, SLICE).await;
    let path = files(folder.path(), "data").remove(0);
    let data = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    data.write_all_at(&vec![7; 5 << 16], 30 * SLICE).unwrap();
    let orphan = path.with_file_name("0123456789abcdef-ff.data");
    std::fs::File::create(&orphan).unwrap();
    let cache = open(config(folder.path()), &origin);
    assert!(!orphan.exists());
    assert!(std::fs::metadata(&path).unwrap().blocks() * 512 <= 2 * SLICE, "what no slice holds is given back");
    fetch(&cache, &origin, range(0, 64 * SLICE)).await;
}

#[tokio::test]
async fn another_slice_size_starts_afresh() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    filled(folder.path(), &origin, 0, 8 * SLICE).await;
    let mut other = config(folder.path());
    other.slice_size *= 2;
    let cache = open(other, &origin);
    assert_eq!((cache.stats().slices, cache.stats().sidecars_dropped), (0, 1));
    fetch(&cache, &origin, range(0, 8 * SLICE)).await;
}

#[tokio::test]
async fn a_new_version_drops_the_old_one() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    filled(folder.path(), &origin, 0, 8 * SLICE).await;
    origin.put(FILM, Film { size: 6 * SLICE, seed: 9 });
    let cache = open(config(folder.path()), &origin);
    assert_eq!(status(&cache, 0, SLICE).await, CacheStatus::Expired);
    assert_eq!((cache.stats().slices, cache.stats().bytes_held, cache.stats().changed), (0, 0, 1));
    cache.idle().await;
    assert!(files(folder.path(), "data").is_empty());
    fetch(&cache, &origin, range(0, 6 * SLICE)).await;
}

#[tokio::test]
async fn a_purge_while_reading_leaves_right_bytes_and_no_files() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(16 * SLICE));
    let other = MediaId::message(5, 5);
    origin.put(other, Film { size: 3 * SLICE, seed: 5 });
    let cache = open(config(folder.path()), &origin);
    fetch(&cache, &origin, range(0, 8 * SLICE)).await;
    let small = cache.media(other).await.unwrap().read(range(0, 3 * SLICE));
    check(small, origin.film(other), range(0, 3 * SLICE)).await.unwrap();
    cache.idle().await;
    let film = origin.film(FILM);
    let media = cache.media(FILM).await.unwrap();
    let (mut midway, planned) = (media.read(range(0, 16 * SLICE)), media.read(range(0, 16 * SLICE)));
    let got = midway.next().await.unwrap().unwrap().len() as u64;
    let purged = cache.purge(&Scope::Media(FILM), Running::Finish).await;
    assert_eq!((purged.media, purged.slices), (1, 8));
    assert_eq!((cache.stats().slices, files(folder.path(), "data").len()), (3, 1));
    check(midway, film, range(got, 16 * SLICE)).await.unwrap();
    check(planned, film, range(0, 16 * SLICE)).await.unwrap();
    assert_eq!(media.read(range(0, SLICE)).status(), CacheStatus::Bypass);
    assert_eq!(status(&cache, 0, SLICE).await, CacheStatus::Miss);
    fetch(&cache, &origin, range(0, 16 * SLICE)).await;
    cache.idle().await;
    let purged = cache.purge(&Scope::All, Running::Finish).await;
    assert_eq!((purged.media, purged.slices), (2, 19));
    assert_eq!((cache.stats().slices, cache.stats().bytes_held, cache.stats().media), (0, 0, 0));
    assert!(files(folder.path(), "data").is_empty() && files(folder.path(), "meta").is_empty());
}

#[tokio::test]
async fn a_purge_during_a_fill_ends_in_right_bytes() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let gate = origin.gate(0);
    let wanted = range(0, 4 * SLICE);
    let mut reader = cache.media(FILM).await.unwrap().read(wanted);
    gate.add_permits(1);
    let got = reader.next().await.unwrap().unwrap().len() as u64;
    cache.purge(&Scope::All, Running::Finish).await;
    gate.add_permits(1_000);
    check(reader, origin.film(FILM), range(got, 4 * SLICE)).await.unwrap();
    cache.idle().await;
    assert_eq!((cache.stats().slices, cache.stats().bytes_held), (0, 0));
    assert!(files(folder.path(), "data").is_empty());
    fetch(&cache, &origin, wanted).await;
}

#[tokio::test]
async fn a_film_watched_once_does_not_push_out_what_is_read_often() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(200 * SLICE));
    let mut config = config(folder.path());
    config.max_size = 32 * SLICE;
    let cache = open(config, &origin);
    for _ in 0..3 {
        fetch(&cache, &origin, range(0, 4 * SLICE)).await;
        cache.idle().await;
    }
    // Seven times the cache's room, with the loved part asked for now and then.
    for start in (10..190).step_by(10) {
        fetch(&cache, &origin, range(start * SLICE, (start + 10) * SLICE)).await;
        cache.idle().await;
        assert_eq!(status(&cache, 0, 4 * SLICE).await, CacheStatus::Hit, "at {start}");
        fetch(&cache, &origin, range(0, 4 * SLICE)).await;
        assert!(cache.stats().bytes_held <= 32 * SLICE);
        assert!(disk_usage(folder.path()) <= 36 * SLICE);
    }
    assert!(cache.stats().evicted >= 150);
}

#[tokio::test]
async fn a_crowded_file_system_empties_the_cache_and_serves_on() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    filled(folder.path(), &origin, 0, 8 * SLICE).await;
    let mut config = config(folder.path());
    // More than any file system has.
    config.min_free = u64::MAX / 2;
    let cache = open(config, &origin);
    assert_eq!((cache.stats().evicted, cache.stats().slices), (8, 0));
    assert!(files(folder.path(), "data").is_empty(), "emptied versions leave no files");
    fetch(&cache, &origin, range(0, 8 * SLICE)).await;
}

#[tokio::test]
async fn odd_things_in_the_folder_are_passed_over() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
    filled(folder.path(), &origin, 0, 4 * SLICE).await;
    let root = folder.path().join("v1");
    std::fs::File::create(root.join("notes.txt")).unwrap();
    std::os::unix::fs::symlink(root.join("loop"), root.join("loop")).unwrap();
    // Neither can be deleted as a file is.
    std::fs::create_dir_all(root.join("zz/00-1.meta")).unwrap();
    std::fs::create_dir_all(root.join("zz/00-2.tmp")).unwrap();
    std::fs::create_dir_all(root.join("zz/00-3.data")).unwrap();
    let cache = open(config(folder.path()), &origin);
    let stats = cache.stats();
    assert_eq!((stats.slices, stats.sidecars_dropped, stats.disk_errors), (4, 1, 5), "{stats:?}");
    origin.forget_log();
    fetch(&cache, &origin, range(0, 4 * SLICE)).await;
    assert!(origin.opens().is_empty());
}
