//! Purges: what they take, and what becomes of the reads that they meet.

use crate::support::{
    FILM, FakeOrigin, Film, SLICE, check, check_to, config, disk_usage, fetch, files, open, range, worlds,
};
use cache::{Cache, CacheStatus, PathPrefix, ReadError, Running, Scope};
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use slice::{ETag, MediaId, Slug, Spans};
use std::sync::Arc;
use tempfile::tempdir;

fn prefix(text: &str) -> Scope {
    Scope::Prefix(PathPrefix::parse(text).unwrap())
}

async fn fill(cache: &Cache, origin: &FakeOrigin, id: MediaId, slices: u64) {
    let wanted = range(0, slices * SLICE);
    let reader = cache.media(id).await.unwrap().read(wanted);
    check(reader, origin.film(id), wanted).await.unwrap();
}

async fn held(cache: &Cache) -> Vec<MediaId> {
    cache.list(&Scope::All, None, usize::MAX).await.into_iter().map(|listed| listed.media).collect()
}

#[tokio::test]
async fn each_scope_takes_its_media_and_no_other() {
    let virtual_file = |slug: &str| MediaId::Virtual(Slug::parse(slug).unwrap());
    let all = [
        MediaId::message(-1002, 1),
        MediaId::message(-1001, 1),
        MediaId::message(-1001, 4),
        MediaId::message(-1001, 45),
        MediaId::message(7, 1),
        virtual_file("abc"),
        virtual_file("abd"),
        virtual_file("x"),
    ];
    // Of the last virtual file nobody knows the parts.
    let chats = [("abc", vec![-1001, 7]), ("abd", vec![7])];
    let cases: Vec<(Scope, Vec<usize>)> = vec![
        (Scope::Media(all[2]), vec![2]),
        (Scope::Media(MediaId::message(-1001, 5)), vec![]),
        (Scope::Chats([-1001, 9].into()), vec![1, 2, 3, 5, 7]),
        (Scope::Chats([].into()), vec![7]),
        (prefix("/stream/-1001/"), vec![1, 2, 3]),
        (prefix("/stream/-1001/4"), vec![2, 3]),
        (prefix("/stream/-1001/4/"), vec![2]),
        (prefix("/stream/-100"), vec![0, 1, 2, 3]),
        (prefix("/v/ab"), vec![5, 6]),
        (Scope::Document(ETag::new("2-20000")), vec![2, 6]),
        (Scope::All, (0..8).collect()),
    ];
    for (scope, taken) in cases {
        let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(1));
        for (n, id) in all.into_iter().enumerate() {
            origin.put(id, Film { size: 2 * SLICE, seed: if n == 2 || n == 6 { 2 } else { 100 + n as u64 } });
        }
        for (slug, chats) in &chats {
            let spans = Spans { chat_id: chats[0], message_id: 1, chats: chats.clone() };
            origin.span(virtual_file(slug), spans);
        }
        let cache = open(config(folder.path()), &origin);
        for id in all {
            fill(&cache, &origin, id, 2).await;
        }
        cache.idle().await;
        assert_eq!(held(&cache).await, all);
        let listed = cache.list(&scope, None, usize::MAX).await;
        assert_eq!(listed.len(), taken.len(), "{scope:?}");
        let purged = cache.purge(&scope, Running::Finish).await;
        let count = taken.len() as u64;
        assert_eq!((purged.media, purged.slices, purged.bytes), (count, count * 2, count * 2 * SLICE), "{scope:?}");
        let left: Vec<MediaId> = (0..8).filter(|n| !taken.contains(n)).map(|n| all[n]).collect();
        assert_eq!(held(&cache).await, left, "{scope:?}");
        assert_eq!(files(folder.path(), "data").len(), left.len());
        assert_eq!(cache.stats().slices, left.len() as u64 * 2);
    }
}

#[tokio::test]
async fn a_list_goes_on_where_it_ended() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(1));
    let cache = open(config(folder.path()), &origin);
    let ids: Vec<MediaId> = (0..7).map(|n| MediaId::message(-100 + n % 3, i32::try_from(n).unwrap())).collect();
    for id in &ids {
        origin.put(*id, Film { size: 3 * SLICE, seed: 5 });
        fill(&cache, &origin, *id, 1).await;
    }
    // Looked up, but without bytes.
    origin.put(FILM, Film { size: SLICE, seed: 1 });
    cache.media(FILM).await.unwrap();
    cache.idle().await;
    let (mut got, mut after) = (Vec::new(), None);
    loop {
        let page = cache.list(&Scope::All, after, 2).await;
        let Some(last) = page.last() else { break };
        after = Some(last.media);
        for listed in page {
            assert_eq!((listed.size, listed.slices, listed.slices_of), (3 * SLICE, 1, 3));
            assert_eq!((listed.readers, listed.last_read, listed.etag.as_str()), (0, None, "5-30000"));
            got.push(listed.media);
        }
    }
    let mut sorted = ids;
    sorted.sort_unstable();
    assert_eq!(got, sorted);
}

/// A reader for each thing that a read can wait for; all end when the purge comes.
#[tokio::test]
async fn a_cut_wakes_whoever_waits() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(64 * SLICE));
    let cache = open(config(folder.path()), &origin);
    fetch(&cache, &origin, range(0, 4 * SLICE)).await;
    cache.idle().await;
    let film = origin.film(FILM);
    let media = cache.media(FILM).await.unwrap();
    let (before, held) = (media.read(range(0, 64 * SLICE)), media.read(range(0, SLICE)));
    let mut midway = media.read(range(0, 4 * SLICE));
    midway.next().await.unwrap().unwrap();
    let gate = origin.gate(8 * SLICE);
    let waiting: Vec<_> = (0..4)
        .map(|_| tokio::spawn(check_to(media.read(range(8 * SLICE, 9 * SLICE)), film, range(8 * SLICE, 9 * SLICE))))
        .collect();
    origin.until(|log| log.opens.contains(&range(8 * SLICE, 9 * SLICE))).await;
    // A purge that lets reads finish sends this one past the disk; the next purge finds it there.
    cache.purge(&Scope::Media(FILM), Running::Finish).await;
    let direct_gate = origin.gate(32 * SLICE);
    let direct = tokio::spawn(check_to(media.read(range(32 * SLICE, 33 * SLICE)), film, range(32 * SLICE, 33 * SLICE)));
    origin.until(|log| log.opens.contains(&range(32 * SLICE, 33 * SLICE))).await;
    drop(held);
    cache.purge(&Scope::Media(FILM), Running::Cut).await;
    for reader in waiting.into_iter().chain([direct]) {
        let (_, end) = reader.await.unwrap();
        assert_eq!(end, Err(ReadError::Withdrawn));
    }
    for mut reader in [before, midway] {
        assert_eq!(reader.next().await, Err(ReadError::Withdrawn));
        assert_eq!(reader.next().await, Err(ReadError::Withdrawn), "and says so again");
    }
    assert_eq!(media.read(range(0, SLICE)).next().await, Err(ReadError::Withdrawn), "an old handle opens nothing");
    gate.add_permits(1_000);
    direct_gate.add_permits(1_000);
    cache.idle().await;
    assert_eq!((cache.stats().slices, cache.stats().bytes_held, disk_usage(folder.path())), (0, 0, 0));
    fetch(&cache, &origin, range(0, 12 * SLICE)).await;
}

#[tokio::test]
async fn a_read_that_is_done_is_not_cut() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(SLICE));
    let cache = open(config(folder.path()), &origin);
    let mut reader = cache.media(FILM).await.unwrap().read(range(0, SLICE));
    while reader.remaining() > 0 {
        reader.next().await.unwrap().unwrap();
    }
    cache.purge(&Scope::All, Running::Cut).await;
    assert_eq!(reader.next().await, Ok(None));
}

/// Readers, fills and purges of all kinds at once: no wrong byte, and what was purged is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purges_under_load_end_in_right_bytes() {
    worlds(8, storm).await;
}

async fn storm(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(1));
    let ids: Vec<MediaId> = (0..6).map(|n| MediaId::message(-1 - n % 3, i32::try_from(n).unwrap() + 1)).collect();
    for (n, id) in ids.iter().enumerate() {
        origin.put(*id, Film { size: 12 * SLICE, seed: n as u64 });
    }
    let mut config = config(folder.path());
    config.max_size = 40 * SLICE;
    let cache = open(config, &origin);
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let (cache, origin, ids, seed) = (cache.clone(), Arc::clone(&origin), ids.clone(), rng.random::<u64>());
            tokio::spawn(async move {
                let mut rng = StdRng::seed_from_u64(seed);
                for _ in 0..20 {
                    let id = ids[rng.random_range(0..ids.len())];
                    let start = rng.random_range(0..12 * SLICE);
                    let wanted = range(start, rng.random_range(start + 1..=12 * SLICE));
                    let reader = cache.media(id).await.unwrap().read(wanted);
                    let (_, end) = check_to(reader, origin.film(id), wanted).await;
                    assert!(matches!(end, Ok(()) | Err(ReadError::Withdrawn)), "{end:?}");
                }
            })
        })
        .collect();
    for _ in 0..30 {
        let id = ids[rng.random_range(0..ids.len())];
        let scope = match rng.random_range(0..5) {
            0 => Scope::All,
            1 => Scope::Chats([-1 - rng.random_range(0..3)].into()),
            2 => prefix(&format!("/stream/-{}/", rng.random_range(1..4))),
            3 => Scope::Document(ETag::new("3-c0000")),
            _ => Scope::Media(id),
        };
        let running = if rng.random() { Running::Cut } else { Running::Finish };
        cache.purge(&scope, running).await;
        tokio::task::yield_now().await;
    }
    for reader in join_all(readers).await {
        reader.unwrap();
    }
    cache.purge(&Scope::All, Running::Cut).await;
    cache.idle().await;
    let stats = cache.stats();
    assert_eq!((stats.slices, stats.bytes_held, stats.media, stats.running_fills), (0, 0, 0, 0));
    assert!(files(folder.path(), "data").is_empty() && files(folder.path(), "meta").is_empty());
    let id = ids[0];
    assert_eq!(cache.media(id).await.unwrap().read(range(0, SLICE)).status(), CacheStatus::Miss);
}
