//! Stretches: where a reader says that bytes are, those bytes are, whole and checked.

use crate::support::{FILM, FakeOrigin, SLICE, config, fetch, files, open, range, source};
use cache::{Cache, DiskFault, DiskHook, DiskOp, Piece};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::io::Errno;
use slice::ByteRange;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tempfile::tempdir;

/// Whether the system tells what is in memory.
fn is_told() -> bool {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(b"x", 0).unwrap();
    zero_copy::is_in_memory(&file, 0, 1).is_ok()
}

/// Reads a range by pieces, taking of each stretch what the random numbers say. Returns the bytes that came by stretches.
async fn check(cache: &Cache, origin: &FakeOrigin, wanted: ByteRange, rng: &mut StdRng) -> u64 {
    let mut reader = cache.media(FILM).await.unwrap().read(wanted);
    let expected = source(origin.film(FILM), wanted);
    let (mut got, mut by_stretch) = (Vec::new(), 0);
    loop {
        let piece = if rng.random_ratio(1, 4) {
            reader.next_bytes(rng.random_range(1..9000)).await.unwrap().map(Piece::Bytes)
        } else {
            reader.next_piece().await.unwrap()
        };
        match piece {
            None => break,
            Some(Piece::Bytes(bytes)) => got.extend_from_slice(&bytes),
            Some(Piece::Stretch(stretch)) => {
                assert!(stretch.len() > 0 && stretch.len() <= reader.remaining());
                let take = rng.random_range(0..=stretch.len());
                let mut bytes = vec![0; usize::try_from(take).unwrap()];
                stretch.file().read_exact_at(&mut bytes, stretch.at()).unwrap();
                got.extend_from_slice(&bytes);
                reader.sent(take);
                by_stretch += take;
            }
        }
    }
    assert!(got == expected, "{wanted:?}");
    by_stretch
}

#[tokio::test]
async fn stretches_and_bytes_make_up_the_range() {
    let seed = std::env::var("STRETCH_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("STRETCH_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(20 * SLICE + 77));
    let cache = open(config(folder.path()), &origin);
    let mut by_stretch = 0;
    for _ in 0..60 {
        let start = rng.random_range(0..20 * SLICE);
        let end = rng.random_range(start + 1..=20 * SLICE + 77);
        by_stretch += check(&cache, &origin, range(start, end), &mut rng).await;
    }
    assert_eq!(by_stretch > 0, is_told(), "{by_stretch}");
    assert!(cache.stats().bytes_read >= by_stretch);
}

#[tokio::test]
async fn what_rotted_since_the_last_start_is_never_told_of() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(8 * SLICE));
    let cache = open(config(folder.path()), &origin);
    fetch(&cache, &origin, range(0, 8 * SLICE)).await;
    cache.idle().await;
    drop(cache);
    let data = files(folder.path(), "data");
    let file = std::fs::File::options().read(true).write(true).open(&data[0]).unwrap();
    for slice in 0..8 {
        let (at, mut byte) = (slice * SLICE + slice * 1001, [0]);
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }
    let cache = open(config(folder.path()), &origin);
    let mut rng = StdRng::seed_from_u64(1);
    check(&cache, &origin, range(0, 8 * SLICE), &mut rng).await;
    assert_eq!(cache.stats().checksum_failures, 8);
}

/// As if nothing ever were in memory.
struct Cold;

impl DiskHook for Cold {
    fn before(&self, op: DiskOp, _: usize) -> Option<DiskFault> {
        (op == DiskOp::ReadReady).then(|| DiskFault::Fail(io::Error::from(Errno::AGAIN)))
    }
}

#[tokio::test]
async fn what_is_not_in_memory_is_read_by_waiting() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(6 * SLICE + 1));
    let mut config = config(folder.path());
    config.disk_hook = Some(Arc::new(Cold));
    let cache = open(config, &origin);
    let mut rng = StdRng::seed_from_u64(2);
    for _ in 0..3 {
        assert_eq!(check(&cache, &origin, range(5, 6 * SLICE), &mut rng).await, 0);
    }
}
