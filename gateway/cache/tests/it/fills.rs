//! Fills: one transfer per stretch, bytes as they come, seeks, leavers, failures.

use crate::support::{
    CHUNK, FILM, FakeOrigin, Fault, SLICE, check, check_to, config, disk_usage, fetch, open, range, source,
};
use cache::{CacheStatus, ReadError};
use slice::{ByteRange, OriginError};
use tempfile::tempdir;
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_readers_of_a_cold_range_cost_one_transfer() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(40 * SLICE + 123));
    let cache = open(config(folder.path()), &origin);
    let gate = origin.gate(3 * SLICE);
    let wanted = range(3 * SLICE + 17, 7 * SLICE - 5);
    let mut readers = JoinSet::new();
    for _ in 0..100 {
        let (cache, film) = (cache.clone(), origin.film(FILM));
        readers.spawn(async move {
            let reader = cache.media(FILM).await.unwrap().read(wanted);
            check(reader, film, wanted).await.unwrap();
        });
    }
    origin.until(|log| log.bodies == 1).await;
    gate.add_permits(10_000);
    while let Some(done) = readers.join_next().await {
        done.unwrap();
    }
    assert_eq!(origin.opens(), [range(3 * SLICE, 7 * SLICE)]);
    assert_eq!(origin.log.borrow().describes, 1, "metadata is asked for once");
    cache.idle().await;
    fetch(&cache, &origin, wanted).await;
    assert_eq!(origin.opens().len(), 1, "then it is a hit");
}

#[tokio::test]
async fn a_whole_film_is_fetched_once_in_growing_runs() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(100 * SLICE + 1));
    let cache = open(config(folder.path()), &origin);
    let whole = range(0, 100 * SLICE + 1);
    fetch(&cache, &origin, whole).await;
    cache.idle().await;
    assert_eq!(origin.asked(), whole.len(), "{:?}", origin.opens());
    let stats = cache.stats();
    assert_eq!((stats.slices, stats.bytes_held, stats.misses), (101, whole.len(), 1));
    let reader = cache.media(FILM).await.unwrap().read(whole);
    assert_eq!(reader.status(), CacheStatus::Hit);
}

#[tokio::test]
async fn joiners_get_bytes_before_the_slice_is_whole() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let gate = origin.gate(0);
    let media = cache.media(FILM).await.unwrap();
    let mut leader = media.read(range(0, 8 * SLICE));
    assert_eq!(leader.status(), CacheStatus::Miss);
    gate.add_permits(1);
    let first = leader.next().await.unwrap().unwrap();
    assert_eq!(first, source(origin.film(FILM), range(0, CHUNK)));
    let mut joiner = media.read(range(100, SLICE));
    assert_eq!(joiner.status(), CacheStatus::Joined);
    let joined = joiner.next().await.unwrap().unwrap();
    assert_eq!(joined, source(origin.film(FILM), range(100, CHUNK)), "one chunk is out, and the joiner has it");
    assert_eq!(origin.opens().len(), 1);
}

#[tokio::test]
async fn the_leader_leaves_and_the_others_finish() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let gate = origin.gate(0);
    let media = cache.media(FILM).await.unwrap();
    let mut leader = media.read(range(0, 4 * SLICE));
    gate.add_permits(2);
    leader.next().await.unwrap().unwrap();
    let joiner = tokio::spawn(check(media.read(range(0, 4 * SLICE)), origin.film(FILM), range(0, 4 * SLICE)));
    drop(leader);
    gate.add_permits(1_000);
    joiner.await.unwrap().unwrap();
    assert_eq!(origin.opens(), [range(0, 4 * SLICE)]);
}

#[tokio::test]
async fn a_seek_does_not_wait_behind_a_long_transfer() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(64 * SLICE));
    let mut config = config(folder.path());
    config.first_run = 32;
    let cache = open(config, &origin);
    let gate = origin.gate(0);
    let media = cache.media(FILM).await.unwrap();
    let mut slow = media.read(range(0, 64 * SLICE));
    gate.add_permits(1);
    slow.next().await.unwrap().unwrap();
    // The gate is shut: only a transfer of its own can serve this one.
    fetch(&cache, &origin, range(20 * SLICE, 22 * SLICE)).await;
    assert_eq!(origin.opens(), [range(0, 32 * SLICE), range(20 * SLICE, 22 * SLICE)]);
    gate.add_permits(10_000);
    check(slow, origin.film(FILM), range(CHUNK, 64 * SLICE)).await.unwrap();
    cache.idle().await;
    assert_eq!(cache.stats().bytes_filled, 64 * SLICE, "no slice was fetched twice");
}

#[tokio::test]
async fn a_near_slice_of_a_running_transfer_is_waited_for() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let gate = origin.gate(0);
    let media = cache.media(FILM).await.unwrap();
    let mut leader = media.read(range(0, 4 * SLICE));
    gate.add_permits(1);
    leader.next().await.unwrap().unwrap();
    let near = tokio::spawn(check(media.read(range(SLICE, 2 * SLICE)), origin.film(FILM), range(SLICE, 2 * SLICE)));
    gate.add_permits(1_000);
    near.await.unwrap().unwrap();
    assert_eq!(origin.opens().len(), 1);
}

#[tokio::test]
async fn an_orphaned_transfer_is_cut_within_its_budget() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(64 * SLICE));
    let mut config = config(folder.path());
    config.first_run = 32;
    let cache = open(config, &origin);
    let gate = origin.gate(0);
    let mut reader = cache.media(FILM).await.unwrap().read(range(0, 64 * SLICE));
    gate.add_permits(1);
    reader.next().await.unwrap().unwrap();
    drop(reader);
    gate.add_permits(10_000);
    cache.idle().await;
    origin.until(|log| log.bodies == 0).await;
    let stats = cache.stats();
    // The slice under way, two more, and no byte beyond in the books or on disk.
    assert_eq!((stats.slices, stats.bytes_held, stats.bytes_filled), (3, 3 * SLICE, 3 * SLICE));
    assert_eq!(stats.fill_failures, 0);
}

#[tokio::test]
async fn runs_double_for_a_reader_that_keeps_pace() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(100 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let chunks = usize::try_from(SLICE / CHUNK).unwrap();
    let mut reader = cache.media(FILM).await.unwrap().read(range(0, 100 * SLICE));
    let (mut at, mut start, mut size, mut gate) = (0, 0, 4, origin.gate(0));
    for _ in 0..4 {
        // All of the run but its last slice is out: the next one is asked for now, and is twice as long.
        let next = start + size;
        let later = origin.gate(next * SLICE);
        gate.add_permits(chunks * usize::try_from(size - 1).unwrap());
        while at < (next - 1) * SLICE {
            at += reader.next().await.unwrap().unwrap().len() as u64;
        }
        size = (size * 2).min(32);
        let wanted = range(next * SLICE, (next + size).min(100) * SLICE);
        origin.until(|log| log.opens.last() != Some(&range(start * SLICE, next * SLICE))).await;
        assert_eq!(origin.opens().last(), Some(&wanted));
        gate.add_permits(chunks);
        (start, gate) = (next, later);
    }
}

#[tokio::test]
async fn a_slow_reader_pulls_only_a_little_ahead() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(200 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let mut reader = cache.media(FILM).await.unwrap().read(range(0, 200 * SLICE));
    let mut at = 0;
    while at < 40 * SLICE {
        at += reader.next().await.unwrap().unwrap().len() as u64;
        // Slower than any origin: all that was asked for arrives before the next piece is taken.
        cache.idle().await;
        let ahead = origin.asked() - at;
        assert!(ahead <= 8 * SLICE, "at {at}, {} slices ahead", ahead / SLICE);
    }
}

#[tokio::test]
async fn a_seek_into_a_slice_gets_its_bytes_before_the_head() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * 1024 * 1024));
    let mut config = config(folder.path());
    config.slice_size = 1024 * 1024;
    let cache = open(config, &origin);
    let film = origin.film(FILM);
    let head = origin.gate(1024 * 1024);
    let pos = 1024 * 1024 + 700_000;
    let wanted = range(pos, pos + 10);
    fetch(&cache, &origin, wanted).await;
    let from = pos / 4096 * 4096;
    origin.until(|log| log.opens.len() == 2).await;
    assert_eq!(origin.opens(), [range(from, 2 * 1024 * 1024), range(1024 * 1024, from)]);
    // Somebody who wants the head joins it; the slice is whole once both parts are.
    let media = cache.media(FILM).await.unwrap();
    let both = range(1024 * 1024 + 1, 2 * 1024 * 1024);
    let reader = tokio::spawn(check(media.read(both), film, both));
    head.add_permits(1_000);
    reader.await.unwrap().unwrap();
    cache.idle().await;
    assert_eq!(cache.stats().slices, 1);
    assert_eq!(origin.asked(), 1024 * 1024);
    assert_eq!(media.read(both).status(), CacheStatus::Hit);
}

#[tokio::test]
async fn a_head_that_is_done_first_waits_for_its_tail() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(1024 * 1024));
    let mut config = config(folder.path());
    config.slice_size = 1024 * 1024;
    let cache = open(config, &origin);
    let from = 600_000 / 4096 * 4096;
    let tail = origin.gate(from);
    tail.add_permits(1);
    fetch(&cache, &origin, range(600_000, 600_010)).await;
    // The head is out, and as its transfer is over its bytes are taken.
    origin.until(|log| log.opens.len() == 2 && log.bodies == 1).await;
    fetch(&cache, &origin, range(0, from)).await;
    assert_eq!(cache.stats().slices, 0);
    tail.add_permits(1_000);
    cache.idle().await;
    assert_eq!(cache.stats().slices, 1);
    fetch(&cache, &origin, range(0, 1024 * 1024)).await;
    assert_eq!(origin.asked(), 1024 * 1024);
}

#[tokio::test]
async fn a_failed_head_leaves_no_half_slice() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * 1024 * 1024));
    let mut config = config(folder.path());
    config.slice_size = 1024 * 1024;
    let cache = open(config, &origin);
    let head = origin.gate(0);
    let wanted = range(800_000, 800_010);
    fetch(&cache, &origin, wanted).await;
    origin.until(|log| log.opens.len() == 2).await;
    origin.remove(FILM);
    head.close();
    cache.idle().await;
    assert_eq!((cache.stats().slices, cache.stats().fill_failures), (0, 1));
}

#[tokio::test]
async fn a_broken_transfer_is_tried_once_more_by_those_who_joined_it() {
    let faults = [
        Fault::After(0, OriginError::Unreachable),
        Fault::After(CHUNK + 5, OriginError::Timeout),
        Fault::After(SLICE + 5, OriginError::Busy { retry_after: None }),
        Fault::Short(CHUNK),
        Fault::Short(2 * SLICE),
        Fault::Long(1),
    ];
    for fault in faults {
        let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
        let cache = open(config(folder.path()), &origin);
        origin.fail_next(fault);
        let (mut readers, mut failed) = (JoinSet::new(), 0);
        for _ in 0..10 {
            let (cache, film) = (cache.clone(), origin.film(FILM));
            readers.spawn(async move {
                let wanted = range(5, 4 * SLICE);
                check(cache.media(FILM).await.unwrap().read(wanted), film, wanted).await
            });
        }
        while let Some(done) = readers.join_next().await {
            failed += usize::from(done.unwrap().is_err());
        }
        cache.idle().await;
        // Only the reader whose own transfer it was, if it was there when it failed.
        let at_the_start = !matches!(fault, Fault::After(SLICE.., _) | Fault::Short(SLICE..));
        assert!(failed == 1 || failed == 0 && !at_the_start, "{fault:?}: {failed} readers failed");
        assert_eq!(origin.opens().len(), 2, "{fault:?}: {:?}", origin.opens());
        assert_eq!(cache.stats().fill_failures, 1, "{fault:?}");
        fetch(&cache, &origin, range(0, 8 * SLICE)).await;
    }
}

#[tokio::test]
async fn a_reader_asks_a_silent_origin_once() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let wanted = range(0, 4 * SLICE);
    // Each refusal stands for a whole window of the origin's own tries.
    for bytes in [0, CHUNK] {
        origin.forget_log();
        origin.fail_next(Fault::After(bytes, OriginError::Timeout));
        let reader = cache.media(FILM).await.unwrap().read(wanted);
        let (_, end) = check_to(reader, origin.film(FILM), wanted).await;
        assert_eq!(end, Err(ReadError::Origin(OriginError::Timeout)));
        assert_eq!(origin.opens(), [wanted]);
        cache.idle().await;
    }
    fetch(&cache, &origin, wanted).await;
}

#[tokio::test]
async fn litter_under_a_reader_is_cleared_when_it_leaves() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(4 * SLICE));
    let cache = open(config(folder.path()), &origin);
    origin.fail_next(Fault::After(3 * CHUNK, OriginError::Timeout));
    let media = cache.media(FILM).await.unwrap();
    let gate = origin.gate(0);
    gate.add_permits(1);
    let mut readers = [media.read(range(0, SLICE)), media.read(range(0, SLICE))];
    for reader in &mut readers {
        reader.next().await.unwrap().unwrap();
    }
    gate.add_permits(1_000);
    cache.idle().await;
    assert_eq!((cache.stats().fill_failures, cache.stats().bytes_held), (1, 0));
    let [first, mut second] = readers;
    drop(first);
    cache.idle().await;
    assert!(disk_usage(folder.path()) > 0, "the other still reads it");
    second.next().await.unwrap().unwrap();
    drop(second);
    cache.idle().await;
    assert_eq!(disk_usage(folder.path()), 0);
    fetch(&cache, &origin, range(0, 4 * SLICE)).await;
}

#[tokio::test]
async fn a_broken_origin_is_a_visible_error_and_leaves_nothing_wrong() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = open(config(folder.path()), &origin);
    origin.fail_next(Fault::After(SLICE + CHUNK, OriginError::Timeout));
    // For a reader that comes to the second slice after its transfer has failed.
    origin.fail_next(Fault::After(0, OriginError::Timeout));
    let wanted = range(0, 4 * SLICE);
    let reader = cache.media(FILM).await.unwrap().read(wanted);
    let (at, end) = check_to(reader, origin.film(FILM), wanted).await;
    assert_eq!(end, Err(ReadError::Origin(OriginError::Timeout)));
    assert!(at <= SLICE + CHUNK);
    cache.idle().await;
    assert_eq!(cache.stats().slices, 1);
    assert_eq!(cache.stats().bytes_held, SLICE);
    origin.heal();
    fetch(&cache, &origin, wanted).await;
}

#[tokio::test]
async fn a_media_that_changes_ends_the_read_and_the_old_version() {
    for by_meta in [false, true] {
        let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(32 * SLICE));
        let cache = open(config(folder.path()), &origin);
        let old = origin.film(FILM);
        fetch(&cache, &origin, range(0, SLICE)).await;
        cache.idle().await;
        let wanted: ByteRange = range(0, 32 * SLICE);
        let reader = cache.media(FILM).await.unwrap().read(wanted);
        if by_meta {
            origin.fail_next(Fault::OtherVersion);
        }
        origin.put(FILM, crate::support::Film { size: 32 * SLICE, seed: if by_meta { 1 } else { 2 } });
        let (at, end) = check_to(reader, old, wanted).await;
        assert_eq!((at, end), (SLICE, Err(ReadError::Changed)));
        cache.idle().await;
        assert_eq!((cache.stats().slices, cache.stats().bytes_held, cache.stats().changed), (0, 0, 1));
        // The next look-up asks again, although the metadata was young.
        fetch(&cache, &origin, wanted).await;
    }
}

#[tokio::test]
async fn an_empty_media_reads_as_nothing() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(0));
    let cache = open(config(folder.path()), &origin);
    let media = cache.media(FILM).await.unwrap();
    assert_eq!(media.meta().size, 0);
    assert_eq!(media.read(range(0, 0)).next().await, Ok(None));
    assert_eq!(media.read(range(0, 10)).next().await, Ok(None));
    assert!(origin.opens().is_empty());
}
