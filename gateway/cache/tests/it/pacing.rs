//! How much is asked of the origin, how many at once, and who waits for whom.

use crate::support::{CHUNK, FILM, FakeOrigin, SLICE, check, config, fetch, open, range, source};
use cache::{Cache, CacheConfig, Media, ReadError, Reader};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use slice::{MediaId, OriginError};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::tempdir;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{advance, sleep};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Reads one slice, as a task.
fn spawn(media: &Media, origin: &FakeOrigin, slice: u64) -> JoinHandle<Result<(), ReadError>> {
    let wanted = range(slice * SLICE, (slice + 1) * SLICE);
    tokio::spawn(check(media.read(wanted), origin.film(FILM), wanted))
}

fn starts(origin: &FakeOrigin) -> Vec<u64> {
    origin.opens().iter().map(|range| range.start / SLICE).collect()
}

fn bounded(folder: &Path, max_fills: u32, per_media: u32) -> CacheConfig {
    CacheConfig { max_fills, max_fills_per_media: per_media, ..config(folder) }
}

/// Lets all tasks come as far as they can.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test]
async fn a_seeker_costs_no_more_than_the_slices_it_touches() {
    let seed =
        std::env::var("STREAMVAULT_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().expect("a number"));
    let mut rng = StdRng::seed_from_u64(seed);
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4_000 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let mut touched = HashSet::new();
    for _ in 0..50 {
        let start = rng.random_range(0..3_999 * SLICE);
        let wanted = range(start, start + SLICE);
        touched.extend(start / SLICE..(start + SLICE).div_ceil(SLICE));
        fetch(&cache, &origin, wanted).await;
        cache.idle().await;
    }
    assert!(origin.asked() <= touched.len() as u64 * SLICE, "STREAMVAULT_SEED={seed}: {:?}", origin.opens());
}

#[tokio::test]
async fn a_seeker_that_could_read_on_costs_a_first_run_each_time() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(1_000 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let media = cache.media(FILM).await.unwrap();
    for place in 0..20 {
        let start = place * 50 * SLICE;
        let mut reader = media.read(range(start, 1_000 * SLICE));
        let mut got = 0;
        while got < SLICE {
            got += reader.next().await.unwrap().unwrap().len() as u64;
        }
        drop(reader);
        cache.idle().await;
    }
    // Its slice, the first run, and what was asked ahead before it left.
    let sent = origin.log.borrow().sent;
    assert!(sent <= 20 * 8 * SLICE, "{sent} bytes for {} read", 20 * SLICE);
}

#[tokio::test]
async fn a_sequential_viewer_finds_the_next_run_asked_for_at_every_boundary() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(200 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let film = origin.film(FILM);
    let mut reader = cache.media(FILM).await.unwrap().read(range(0, film.size));
    let mut at = 0;
    while let Some(piece) = reader.next().await.unwrap() {
        assert_eq!(piece, source(film, range(at, at + piece.len() as u64)));
        at += piece.len() as u64;
        // While it reads a slice, the two behind that have been asked for, without any further step of its own.
        let ahead = ((at - 1) / SLICE * SLICE + 3 * SLICE).min(film.size);
        origin.until(|log| log.opens.iter().any(|range| range.end >= ahead)).await;
    }
    assert_eq!((at, origin.asked()), (film.size, film.size), "and nothing twice");
}

#[tokio::test(start_paused = true)]
async fn fills_over_the_bound_wait_their_turn() {
    for (all, per_media) in [(2, 9), (9, 2)] {
        let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(400 * SLICE));
        let cache = open(bounded(folder.path(), all, per_media), &origin);
        let media = cache.media(FILM).await.unwrap();
        let gates: Vec<Arc<Semaphore>> = (0..6).map(|n| origin.gate(n * 50 * SLICE)).collect();
        let mut readers = Vec::new();
        for n in 0..6 {
            readers.push(spawn(&media, &origin, n * 50));
            settle().await;
        }
        assert_eq!((starts(&origin), cache.stats().waiting_fills), (vec![0, 50], 4));
        // Who comes for what is under way waits in no line.
        let joiner = spawn(&media, &origin, 50);
        settle().await;
        assert_eq!(cache.stats().waiting_fills, 4);
        // Who leaves the line is skipped.
        readers.remove(3).abort();
        settle().await;
        for (done, then) in [(0, 100), (1, 200), (2, 250)] {
            gates[done].add_permits(100);
            origin.until(|log| log.opens.last().is_some_and(|range| range.start == then * SLICE)).await;
        }
        gates.iter().for_each(|gate| gate.add_permits(100));
        for reader in readers {
            reader.await.unwrap().unwrap();
        }
        joiner.await.unwrap().unwrap();
        cache.idle().await;
        let stats = cache.stats();
        assert_eq!(starts(&origin), [0, 50, 100, 200, 250]);
        assert_eq!((stats.fill_waits, stats.waiting_fills, stats.running_fills, stats.fill_refusals), (4, 0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn one_film_leaves_places_for_others() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(400 * SLICE));
    let other = MediaId::message(-7, 7);
    origin.put(other, origin.film(FILM));
    let cache = open(bounded(folder.path(), 3, 2), &origin);
    let media = cache.media(FILM).await.unwrap();
    let gates: Vec<_> = (0..4).map(|n| origin.gate(n * 50 * SLICE)).collect();
    let readers: Vec<_> = (0..4).map(|n| spawn(&media, &origin, n * 50)).collect();
    settle().await;
    let wanted = range(300 * SLICE, 301 * SLICE);
    check(cache.media(other).await.unwrap().read(wanted), origin.film(other), wanted).await.unwrap();
    assert_eq!(cache.stats().waiting_fills, 2);
    gates.iter().for_each(|gate| gate.add_permits(100));
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_place_joins_whoever_gets_the_slice_first() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(400 * SLICE));
    let cache = open(bounded(folder.path(), 1, 1), &origin);
    let media = cache.media(FILM).await.unwrap();
    let (first, second) = (origin.gate(0), origin.gate(100 * SLICE));
    let holder = spawn(&media, &origin, 0);
    settle().await;
    let same: Vec<_> = (0..5).map(|_| spawn(&media, &origin, 100)).collect();
    settle().await;
    assert_eq!(cache.stats().waiting_fills, 5);
    first.add_permits(100);
    origin.until(|log| log.opens.len() == 2).await;
    settle().await;
    assert_eq!(cache.stats().waiting_fills, 0, "the others have left the line");
    second.add_permits(100);
    for reader in same.into_iter().chain([holder]) {
        reader.await.unwrap().unwrap();
    }
    assert_eq!(starts(&origin), [0, 100]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_place_is_told_so() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(400 * SLICE));
    let cache = open(bounded(folder.path(), 1, 1), &origin);
    let media = cache.media(FILM).await.unwrap();
    let gate = origin.gate(0);
    let holder = spawn(&media, &origin, 0);
    settle().await;
    let refused = spawn(&media, &origin, 100).await.unwrap();
    assert_eq!(refused, Err(ReadError::Origin(OriginError::Busy { retry_after: None })));
    assert_eq!((starts(&origin), cache.stats().fill_refusals, cache.stats().directs), (vec![0], 1, 0));
    gate.add_permits(100);
    holder.await.unwrap().unwrap();
}

#[tokio::test]
async fn one_place_is_enough_for_a_film_and_for_seeks_into_slices() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(9 << 20));
    let config = CacheConfig { slice_size: 1 << 20, ..bounded(folder.path(), 1, 1) };
    let cache = open(config, &origin);
    fetch(&cache, &origin, range(700_000, 3 << 20)).await;
    fetch(&cache, &origin, range(0, 9 << 20)).await;
    cache.idle().await;
    assert_eq!((cache.stats().running_fills, cache.stats().slices), (0, 9));
}

async fn first(reader: &mut Reader) {
    reader.next().await.unwrap().unwrap();
}

#[tokio::test]
async fn each_of_several_orphans_is_cut_within_its_budget() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(400 * SLICE));
    let config = CacheConfig { first_run: 16, orphan_budget: 3, ..config(folder.path()) };
    let cache = open(config, &origin);
    let media = cache.media(FILM).await.unwrap();
    let gates: Vec<_> = (0..4).map(|n| origin.gate(n * 100 * SLICE)).collect();
    let mut readers: Vec<Reader> = (0..4).map(|n| media.read(range(n * 100 * SLICE, 400 * SLICE))).collect();
    for (reader, gate) in readers.iter_mut().zip(&gates) {
        gate.add_permits(1);
        first(reader).await;
    }
    // One goes on to be watched.
    let stays = readers.pop();
    drop(readers);
    gates.iter().for_each(|gate| gate.add_permits(10_000));
    let most = (3 * (1 + 3 + 1) + 18) * SLICE;
    drop(stays);
    cache.idle().await;
    let sent = origin.log.borrow().sent;
    assert!(sent <= most, "{} slices for four viewers who left in their first", sent / SLICE);
    assert!(cache.stats().slices >= 3, "what was begun is kept");
}

/// A fill of the film's first slices that somebody else has started, and a reader that waits for its bytes.
async fn stuck(cache: &Cache, origin: &FakeOrigin) -> [JoinHandle<Result<(), ReadError>>; 2] {
    let media = cache.media(FILM).await.unwrap();
    let leader = spawn(&media, origin, 0);
    origin.until(|log| log.opens.len() == 1).await;
    [leader, spawn(&media, origin, 0)]
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_brings_nothing_is_started_anew_for_those_it_holds_up() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let gate = origin.gate(0);
    let readers = stuck(&cache, &origin).await;
    advance(secs(9)).await;
    settle().await;
    assert_eq!(origin.opens().len(), 1);
    advance(secs(1)).await;
    origin.until(|log| log.opens.len() == 2).await;
    settle().await;
    assert_eq!(origin.log.borrow().bodies, 1, "the first transfer is closed");
    // If that brings nothing either, the patience is twice as long.
    advance(secs(19)).await;
    settle().await;
    assert_eq!(origin.opens().len(), 2);
    gate.add_permits(100);
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    cache.idle().await;
    let stats = cache.stats();
    assert_eq!((stats.fills_abandoned, stats.fill_failures, stats.slices, stats.running_fills), (1, 0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_fill_that_flows_is_not_duplicated() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let gate = origin.gate(0);
    let readers = stuck(&cache, &origin).await;
    for _ in 0..SLICE / CHUNK + 1 {
        sleep(secs(9)).await;
        gate.add_permits(1);
    }
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    assert_eq!((origin.opens().len(), cache.stats().fills_abandoned), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_alone_leaves_its_fill_to_the_origin() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let gate = origin.gate(0);
    let reader = spawn(&cache.media(FILM).await.unwrap(), &origin, 0);
    sleep(secs(3_600)).await;
    assert_eq!(origin.opens().len(), 1);
    gate.add_permits(100);
    reader.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stuck_tail_frees_its_head_too() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 << 20));
    let config = CacheConfig { slice_size: 1 << 20, ..config(folder.path()) };
    let cache = open(config, &origin);
    let gate = origin.gate(700_000 / 4096 * 4096);
    let media = cache.media(FILM).await.unwrap();
    let film = origin.film(FILM);
    let [into, whole] = [range(700_000, 800_000), range(0, 1 << 20)];
    let leader = tokio::spawn(check(media.read(into), film, into));
    origin.until(|log| log.opens.len() == 1).await;
    for wanted in [whole, into] {
        let joiner = tokio::spawn(check(media.read(wanted), film, wanted));
        sleep(secs(30)).await;
        joiner.await.unwrap().unwrap();
    }
    gate.add_permits(1_000);
    leader.await.unwrap().unwrap();
    cache.idle().await;
    assert_eq!((cache.stats().fills_abandoned, cache.stats().slices), (2, 1));
}
