//! Which version is served, for how long without a question, and what when there is no answer.

use crate::support::{FILM, FakeOrigin, Film, SLICE, check, config, fetch, files, open, range};
use cache::{Cache, CacheConfig, CacheStatus, ReadError, Running, Scope};
use slice::{ByteRange, MediaId, OriginError, Slug, Spans};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::tempdir;
use tokio::time::advance;

const WHOLE: ByteRange = ByteRange { start: 0, end: 8 * SLICE };

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Trusted for 30 s, served while asking for 10 s more, on errors for 100 s.
fn graceful(folder: &Path) -> CacheConfig {
    let mut config = config(folder);
    (config.meta_ttl, config.stale_while_revalidate, config.stale_if_error) = (secs(30), secs(10), secs(100));
    (config.not_found_ttl, config.gone_ttl) = (secs(10), secs(60));
    config
}

/// A cache that has the film, and has forgotten that it did anything for it.
async fn filled(folder: &Path, origin: &Arc<FakeOrigin>) -> Cache {
    let cache = open(graceful(folder), origin);
    fetch(&cache, origin, WHOLE).await;
    cache.idle().await;
    origin.forget_log();
    cache
}

async fn look(cache: &Cache) -> Result<CacheStatus, OriginError> {
    Ok(cache.media(FILM).await?.read(WHOLE).status())
}

fn describes(origin: &FakeOrigin) -> u64 {
    origin.log.borrow().describes
}

#[tokio::test]
async fn a_question_is_asked_once_for_all_who_wait() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let gate = origin.gate_describe();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.media(FILM).await.map(|media| media.meta().size) })
        })
        .collect();
    origin.until(|log| log.describes == 1).await;
    // Whoever asked first may leave.
    asking[0].abort();
    gate.add_permits(1);
    for waiter in asking.into_iter().skip(1) {
        assert_eq!(waiter.await.unwrap(), Ok(8 * SLICE));
    }
    cache.media(FILM).await.unwrap();
    assert_eq!(describes(&origin), 1);
}

#[tokio::test]
async fn no_trust_at_all_waits_for_each_answer() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = open(CacheConfig { meta_ttl: Duration::ZERO, ..graceful(folder.path()) }, &origin);
    fetch(&cache, &origin, WHOLE).await;
    cache.idle().await;
    for asked in 2..5 {
        assert_eq!((look(&cache).await, describes(&origin)), (Ok(CacheStatus::Revalidated), asked));
    }
    origin.put(FILM, Film { size: 8 * SLICE, seed: 2 });
    assert_eq!(look(&cache).await, Ok(CacheStatus::Expired));
}

#[tokio::test(start_paused = true)]
async fn past_its_time_a_version_is_served_while_the_origin_is_asked() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = filled(folder.path(), &origin).await;
    advance(secs(29)).await;
    assert_eq!((look(&cache).await, describes(&origin)), (Ok(CacheStatus::Hit), 1));
    advance(secs(1)).await;
    let gate = origin.gate_describe();
    assert_eq!(look(&cache).await, Ok(CacheStatus::Stale), "who has the question asked doesn't wait for its answer");
    origin.until(|log| log.describes == 2).await;
    assert_eq!(look(&cache).await, Ok(CacheStatus::Updating), "nor does who comes while it is open");
    fetch(&cache, &origin, WHOLE).await;
    gate.add_permits(1);
    cache.idle().await;
    assert_eq!((look(&cache).await, describes(&origin)), (Ok(CacheStatus::Hit), 2));
    assert!(origin.opens().is_empty(), "no byte was fetched again");
    let stats = cache.stats();
    assert_eq!((stats.stale, stats.revalidated), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn longer_past_its_time_the_answer_is_waited_for() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = filled(folder.path(), &origin).await;
    advance(secs(40)).await;
    assert_eq!(look(&cache).await, Ok(CacheStatus::Revalidated));
    assert_eq!(look(&cache).await, Ok(CacheStatus::Hit));
    assert!(origin.opens().is_empty());
    advance(secs(40)).await;
    origin.put(FILM, Film { size: 8 * SLICE, seed: 2 });
    assert_eq!(look(&cache).await, Ok(CacheStatus::Expired));
    fetch(&cache, &origin, WHOLE).await;
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_cannot_be_asked_costs_no_viewer_what_is_on_disk() {
    let errors = [
        OriginError::Unreachable,
        OriginError::Timeout,
        OriginError::Protocol,
        OriginError::Busy { retry_after: None },
    ];
    for error in errors {
        let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(9 * SLICE));
        let cache = filled(folder.path(), &origin).await;
        let film = origin.film(FILM);
        origin.away(Some(error));
        advance(secs(50)).await;
        assert_eq!(look(&cache).await, Ok(CacheStatus::Stale));
        assert_eq!(describes(&origin), 2);
        let media = cache.media(FILM).await.unwrap();
        check(media.read(WHOLE), film, WHOLE).await.unwrap();
        let missing = range(8 * SLICE, 9 * SLICE);
        assert_eq!(check(media.read(missing), film, missing).await, Err(ReadError::Origin(error)));
        assert_eq!(describes(&origin), 2, "one that has just failed isn't asked by every viewer");
        advance(secs(1)).await;
        assert_eq!(look(&cache).await, Ok(CacheStatus::Stale));
        cache.idle().await;
        assert_eq!(describes(&origin), 3);
        advance(secs(50)).await;
        origin.away(None);
        assert_eq!(look(&cache).await, Ok(CacheStatus::Stale));
        cache.idle().await;
        assert_eq!(look(&cache).await, Ok(CacheStatus::Hit), "back again");
        origin.away(Some(error));
        advance(secs(130)).await;
        assert_eq!(look(&cache).await, Err(error), "this is too old");
        assert_eq!(cache.stats().slices, 8, "yet it says nothing about the bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn an_origin_that_takes_its_time_is_not_waited_for() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = filled(folder.path(), &origin).await;
    let gate = origin.gate_describe();
    advance(secs(50)).await;
    assert_eq!(look(&cache).await, Ok(CacheStatus::Stale), "after a second");
    let before = tokio::time::Instant::now();
    assert_eq!(look(&cache).await, Ok(CacheStatus::Updating));
    assert_eq!(before.elapsed(), Duration::ZERO, "the others don't wait that second too");
    gate.add_permits(1);
    cache.idle().await;
    assert_eq!((look(&cache).await, describes(&origin)), (Ok(CacheStatus::Hit), 2));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_starts_without_its_hive_serves_what_it_has() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    drop(filled(folder.path(), &origin).await);
    origin.away(Some(OriginError::Unreachable));
    let cache = open(graceful(folder.path()), &origin);
    assert_eq!(look(&cache).await, Ok(CacheStatus::Stale));
    fetch(&cache, &origin, WHOLE).await;
    advance(secs(100)).await;
    assert_eq!(look(&cache).await, Err(OriginError::Unreachable));
    drop(cache);
    origin.away(None);
    let cache = open(graceful(folder.path()), &origin);
    assert_eq!(look(&cache).await, Ok(CacheStatus::Revalidated), "with it, it asks before it serves");
    assert!(origin.opens().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_is_never_served_stale() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = filled(folder.path(), &origin).await;
    origin.away(Some(OriginError::Unreachable));
    advance(secs(50)).await;
    assert_eq!(look(&cache).await, Ok(CacheStatus::Stale));
    origin.away(Some(OriginError::Gone));
    advance(secs(2)).await;
    assert_eq!(look(&cache).await, Ok(CacheStatus::Stale), "nobody knows yet");
    cache.idle().await;
    origin.away(Some(OriginError::Unreachable));
    assert_eq!(look(&cache).await, Err(OriginError::Gone));
    assert_eq!((cache.stats().slices, cache.stats().media), (0, 0));
    assert!(files(folder.path(), "data").is_empty());
    advance(secs(60)).await;
    assert_eq!(look(&cache).await, Err(OriginError::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn a_transfer_that_finds_the_media_gone_ends_its_trust() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(9 * SLICE));
    let cache = filled(folder.path(), &origin).await;
    let film = origin.film(FILM);
    origin.remove(FILM);
    let missing = range(8 * SLICE, 9 * SLICE);
    let read = check(cache.media(FILM).await.unwrap().read(missing), film, missing).await;
    assert_eq!(read, Err(ReadError::Origin(OriginError::Gone)));
    cache.idle().await;
    origin.away(Some(OriginError::Unreachable));
    assert_eq!(look(&cache).await, Err(OriginError::Unreachable), "not stale either");
}

#[tokio::test(start_paused = true)]
async fn a_purge_ends_staleness_at_once() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = filled(folder.path(), &origin).await;
    origin.away(Some(OriginError::Unreachable));
    advance(secs(50)).await;
    assert_eq!(look(&cache).await, Ok(CacheStatus::Stale));
    cache.purge(&Scope::Media(FILM), Running::Finish).await;
    assert_eq!(look(&cache).await, Err(OriginError::Unreachable));

    origin.away(None);
    let cache = {
        drop(cache);
        filled(folder.path(), &origin).await
    };
    let gate = origin.gate_describe();
    advance(secs(50)).await;
    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move { look(&cache).await }
    });
    let asked = describes(&origin);
    origin.until(|log| log.describes > asked).await;
    cache.purge(&Scope::All, Running::Finish).await;
    advance(secs(2)).await;
    gate.add_permits(1);
    assert_eq!(waiting.await.unwrap(), Ok(CacheStatus::Miss), "not what was there when it began to wait");
}

#[tokio::test(start_paused = true)]
async fn absences_are_remembered_for_their_time() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = open(graceful(folder.path()), &origin);
    origin.fail_describe(OriginError::NotFound);
    for _ in 0..3 {
        assert_eq!(look(&cache).await, Err(OriginError::NotFound));
    }
    let stats = cache.stats();
    assert_eq!((describes(&origin), stats.negatives, stats.media), (1, 2, 0));
    advance(secs(10)).await;
    origin.fail_describe(OriginError::Gone);
    assert_eq!(look(&cache).await, Err(OriginError::Gone));
    advance(secs(59)).await;
    assert_eq!((look(&cache).await, describes(&origin)), (Err(OriginError::Gone), 2));
    cache.purge(&Scope::Media(FILM), Running::Finish).await;
    assert_eq!((look(&cache).await, describes(&origin)), (Ok(CacheStatus::Miss), 3));
}

#[tokio::test]
async fn a_scan_of_ids_leaves_nothing_on_the_map() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = open(graceful(folder.path()), &origin);
    for n in 0..3000 {
        assert_eq!(cache.media(MediaId::message(-9, n)).await.err(), Some(OriginError::NotFound));
    }
    assert_eq!(cache.stats().media, 0);
}

#[tokio::test]
async fn a_question_that_fails_fails_for_all_and_is_asked_again() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = open(config(folder.path()), &origin);
    let busy = OriginError::Busy { retry_after: Some(secs(3)) };
    origin.fail_describe(busy);
    assert_eq!(look(&cache).await, Err(busy));
    fetch(&cache, &origin, range(0, SLICE)).await;
}

#[tokio::test(start_paused = true)]
async fn a_virtual_file_is_not_served_stale_before_its_chats_are_known() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let id = MediaId::Virtual(Slug::parse("film").unwrap());
    let film = Film { size: 8 * SLICE, seed: 3 };
    origin.put(id, film);
    origin.span(id, Spans { chat_id: -5, message_id: 7, chats: vec![-5, -6] });
    let cache = open(graceful(folder.path()), &origin);
    check(cache.media(id).await.unwrap().read(WHOLE), film, WHOLE).await.unwrap();
    cache.idle().await;
    origin.away(Some(OriginError::Unreachable));
    advance(secs(50)).await;
    let media = cache.media(id).await.unwrap();
    assert_eq!(media.read(WHOLE).status(), CacheStatus::Stale);
    assert!(media.meta().spans.is_some());
    drop((media, cache));
    let cache = open(graceful(folder.path()), &origin);
    assert_eq!(cache.media(id).await.err(), Some(OriginError::Unreachable), "sidecars don't name chats");
    assert_eq!(cache.stats().slices, 8);
}
