//! Everything at once: a cache far too small for its readers, failing transfers, leavers, purges, restarts.

use crate::support::{FakeOrigin, Fault, Film, SLICE, check_to, config, disk_usage, open, range, worlds};
use cache::{Cache, ReadError, Running, Scope};
use futures_util::FutureExt;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use slice::{ByteRange, MediaId, OriginError};
use std::sync::Arc;
use tempfile::tempdir;
use tokio::task::JoinSet;

const FILMS: i32 = 3;
const ROOM: u64 = 24;

fn film_id(n: i32) -> MediaId {
    MediaId::message(-7, n)
}

fn random_range(rng: &mut StdRng, size: u64) -> ByteRange {
    let start = rng.random_range(0..size);
    let most = if rng.random_bool(0.3) { size } else { size.min(start + 6 * SLICE) };
    range(start, rng.random_range(start + 1..=most.max(start + 1)))
}

/// One viewer: a few ranges one after the other, some left half-way, some slowly read.
async fn view(cache: Cache, origin: Arc<FakeOrigin>, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..6 {
        let id = film_id(rng.random_range(0..FILMS));
        let film = origin.film(id);
        let wanted = random_range(&mut rng, film.size);
        let media = cache.media(id).await.unwrap();
        let mut reader = media.read(wanted);
        let mut at = wanted.start;
        let mut pieces = if rng.random_bool(0.5) { rng.random_range(0..12) } else { 0 };
        while pieces > 0 {
            // A future that is dropped half-way loses nothing.
            let next = match reader.next().now_or_never() {
                Some(next) => next,
                None if rng.random_bool(0.7) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                None => reader.next().await,
            };
            let Ok(Some(piece)) = next else { break };
            let end = at + piece.len() as u64;
            assert!(piece == crate::support::source(film, range(at, end)), "wrong bytes at {at}");
            (at, pieces) = (end, pieces - 1);
        }
        if at > wanted.start && rng.random_bool(0.5) {
            continue;
        }
        let (_, end) = check_to(reader, film, range(at, wanted.end)).await;
        // Transfers fail on purpose; what comes must be right, and an end that looks clean must be one.
        assert!(!matches!(end, Err(ReadError::Changed)), "nothing changed");
    }
}

async fn play(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempdir().unwrap();
    let origin = FakeOrigin::new(1);
    for n in 0..FILMS {
        let size = rng.random_range(10 * SLICE..40 * SLICE);
        origin.put(film_id(n), Film { size, seed: seed.wrapping_add(u64::try_from(n).unwrap()) });
    }
    for round in 0..3 {
        let mut config = config(folder.path());
        config.max_size = ROOM * SLICE;
        config.max_open = rng.random_range(1..4);
        config.first_run = rng.random_range(1..5);
        let cache = open(config, &origin);
        let mut viewers = JoinSet::new();
        for _ in 0..12 {
            viewers.spawn(view(cache.clone(), origin.clone(), rng.random()));
        }
        for _ in 0..rng.random_range(0..6) {
            let fault = match rng.random_range(0..4) {
                0 => Fault::After(rng.random_range(0..3 * SLICE), OriginError::Timeout),
                1 => Fault::After(0, OriginError::Unreachable),
                2 => Fault::Short(rng.random_range(0..2 * SLICE)),
                _ => Fault::Long(1),
            };
            origin.fail_next(fault);
            tokio::task::yield_now().await;
            if rng.random_bool(0.4) {
                cache.purge(&Scope::Media(film_id(rng.random_range(0..FILMS))), Running::Finish).await;
            }
        }
        while let Some(done) = viewers.join_next().await {
            done.unwrap();
        }
        cache.idle().await;
        let stats = cache.stats();
        assert!(stats.bytes_held <= ROOM * SLICE, "{stats:?}");
        assert_eq!(stats.running_fills, 0);
        assert_eq!(stats.checksum_failures + stats.disk_errors + stats.sidecars_dropped, 0, "round {round}: {stats:?}");
    }
    // The next start clears litter: what is used then is what is held.
    let cache = open(config(folder.path()), &origin);
    let (held, used) = (cache.stats().bytes_held, disk_usage(folder.path()));
    assert!(held <= ROOM * SLICE && used <= held + 3 * SLICE, "{held} held, {used} used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_byte_is_right_in_a_crowded_cache() {
    worlds(20, play).await;
}
