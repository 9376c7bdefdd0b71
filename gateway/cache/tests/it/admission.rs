//! Slices that are kept from their n-th request on.

use crate::support::{CHUNK, FILM, FakeOrigin, SLICE, check, config, disk_usage, fetch, open, range, source};
use cache::{Cache, CacheConfig, CacheStatus};
use std::path::Path;
use std::sync::Arc;
use tempfile::tempdir;

fn choosy(folder: &Path, origin: &Arc<FakeOrigin>, min_uses: u8) -> Cache {
    open(CacheConfig { min_uses, ..config(folder) }, origin)
}

#[tokio::test]
async fn a_slice_is_kept_from_its_nth_request_on() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = choosy(folder.path(), &origin, 3);
    let wanted = range(SLICE, 3 * SLICE);
    for (request, kept) in [(1, 0), (2, 0), (3, 2)] {
        fetch(&cache, &origin, wanted).await;
        cache.idle().await;
        let stats = cache.stats();
        assert_eq!((stats.slices, stats.bytes_held), (kept, kept * SLICE), "request {request}");
        assert!(disk_usage(folder.path()) <= kept * SLICE, "request {request}: holes are left where nothing is kept");
    }
    assert_eq!((origin.asked(), cache.stats().unadmitted), (6 * SLICE, 4));
    assert_eq!(cache.media(FILM).await.unwrap().read(wanted).status(), CacheStatus::Hit);
    // Others are not kept for that.
    fetch(&cache, &origin, range(0, 8 * SLICE)).await;
    cache.idle().await;
    assert_eq!(cache.stats().slices, 2);
}

#[tokio::test]
async fn what_passes_is_shared_by_those_who_read_it_meanwhile() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
    let cache = choosy(folder.path(), &origin, 9);
    let (gate, film) = (origin.gate(0), origin.film(FILM));
    let media = cache.media(FILM).await.unwrap();
    let wanted = range(0, SLICE);
    let readers: Vec<_> = (0..5).map(|_| tokio::spawn(check(media.read(wanted), film, wanted))).collect();
    let mut slow = media.read(wanted);
    gate.add_permits(100);
    let first = slow.next().await.unwrap().unwrap();
    assert!(first.len() as u64 >= CHUNK);
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    cache.idle().await;
    assert_eq!(cache.stats().slices, 1, "somebody still reads it");
    let late = media.read(wanted);
    assert_eq!(late.status(), CacheStatus::Hit);
    check(late, film, wanted).await.unwrap();
    check_rest(slow, first.len() as u64).await;
    cache.idle().await;
    assert_eq!((cache.stats().slices, origin.opens().len()), (0, 1));
}

async fn check_rest(mut reader: cache::Reader, mut at: u64) {
    let film = crate::support::Film { size: 4 * SLICE, seed: 1 };
    while let Some(piece) = reader.next().await.unwrap() {
        assert_eq!(piece, source(film, range(at, at + piece.len() as u64)));
        at += piece.len() as u64;
    }
}

#[tokio::test]
async fn a_request_that_comes_in_time_has_what_passes_kept() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
    let cache = choosy(folder.path(), &origin, 2);
    let media = cache.media(FILM).await.unwrap();
    let mut reader = media.read(range(0, SLICE));
    let first = reader.next().await.unwrap().unwrap();
    fetch(&cache, &origin, range(0, SLICE)).await;
    check_rest(reader, first.len() as u64).await;
    cache.idle().await;
    assert_eq!((cache.stats().slices, origin.asked()), (1, SLICE));
    drop((media, cache));
    let cache = choosy(folder.path(), &origin, 2);
    fetch(&cache, &origin, range(0, SLICE)).await;
    assert_eq!(origin.asked(), SLICE, "and over a restart");
}

#[tokio::test]
async fn a_viewer_of_what_passes_leaves_little_on_disk_and_fetches_nothing_twice() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(300 * SLICE));
    let cache = choosy(folder.path(), &origin, 2);
    let mut reader = cache.media(FILM).await.unwrap().read(range(0, 300 * SLICE));
    let (film, mut at) = (origin.film(FILM), 0);
    while let Some(piece) = reader.next().await.unwrap() {
        assert_eq!(piece, source(film, range(at, at + piece.len() as u64)));
        at += piece.len() as u64;
        // Two runs of the largest size: one that it reads, one ahead.
        assert!(cache.stats().slices <= 2 * 32 + 2, "{} slices", cache.stats().slices);
    }
    cache.idle().await;
    assert_eq!((cache.stats().slices, origin.asked()), (0, 300 * SLICE));
}
