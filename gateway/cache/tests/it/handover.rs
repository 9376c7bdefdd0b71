//! One folder, several processes one after the other, all of them still at work: no byte of any is wrong. Each "process" is a cache of
//! its own: what keeps them apart are locks of open files, which two caches in one process take from each other as two processes would.

use crate::support::{FakeOrigin, Fault, Film, SLICE, check, config, files, open, range, source, worlds};
use cache::{Cache, CacheConfig, Device, ReadError, Reader, Running, Scope};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::fs::{FallocateFlags, FlockOperation};
use slice::{ByteRange, MediaId, OriginError};
use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::tempdir;

const FILMS: i32 = 4;
const PATIENCE: Duration = Duration::from_secs(20);

/// The kernel's files, for whom nobody else has any of them open.
struct Heedless;

impl Device for Heedless {
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)
    }
    fn create(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }
    fn open(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(path)
    }
    fn stat(&self, path: &Path) -> io::Result<Metadata> {
        std::fs::metadata(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
    }
    fn lock(&self, folder: &Path) -> io::Result<Option<File>> {
        std::fs::create_dir_all(folder)?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(folder.join("lock"))?;
        Ok(rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file))
    }
    fn free_space(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    fn set_len(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }
    fn write(&self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }
    fn punch(&self, file: &File, at: u64, len: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, at, len)?)
    }
    fn sync(&self, _: &File) -> io::Result<()> {
        Ok(())
    }
    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn is_alone(&self, _: &File) -> io::Result<bool> {
        Ok(true)
    }
}

/// A viewer in the middle of a film.
struct Viewer {
    reader: Reader,
    film: Film,
    at: u64,
    end: u64,
}

impl Viewer {
    /// Takes some pieces. False: it is at its end, or was cut off. Panics at a wrong byte.
    async fn watch(&mut self, pieces: u64) -> bool {
        for _ in 0..pieces {
            match self.reader.next().await {
                Ok(Some(piece)) => {
                    let next = self.at + piece.len() as u64;
                    assert!(piece == source(self.film, range(self.at, next)), "wrong bytes in {}..{next}", self.at);
                    self.at = next;
                }
                Ok(None) => {
                    assert_eq!(self.at, self.end, "a clean end too early");
                    return false;
                }
                // Cut by a purge, or the origin failed on purpose, or the film is another by now.
                Err(ReadError::Withdrawn | ReadError::Origin(_) | ReadError::Changed) => return false,
            }
        }
        true
    }
}

fn film_id(n: i32) -> MediaId {
    MediaId::message(-9, n)
}

fn some_range(rng: &mut StdRng, size: u64) -> ByteRange {
    let start = rng.random_range(0..size);
    range(start, rng.random_range(start + 1..=size))
}

fn settings(folder: &Path, rng: &mut StdRng, heedless: bool) -> CacheConfig {
    let mut config = config(folder);
    // Far less than the films: evictions all the time.
    config.max_size = rng.random_range(6..30) * SLICE;
    config.max_open = rng.random_range(1..6);
    config.first_run = rng.random_range(1..4);
    config.meta_ttl = Duration::ZERO;
    config.device = heedless.then(|| Arc::new(Heedless) as Arc<dyn Device>);
    config
}

async fn play(seed: u64, heedless: bool) {
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempdir().unwrap();
    let origin = FakeOrigin::new(1);
    let some_film = |rng: &mut StdRng| Film { size: rng.random_range(SLICE..16 * SLICE), seed: rng.random() };
    for n in 0..FILMS {
        origin.put(film_id(n), some_film(&mut rng));
    }
    let mut caches = vec![open(settings(folder.path(), &mut rng, heedless), &origin)];
    let mut viewers: Vec<Viewer> = Vec::new();
    for _ in 0..rng.random_range(100..220) {
        // Most come to the newest, some are late at an old one: a connection that was kept open.
        let at = if rng.random_bool(0.75) { caches.len() - 1 } else { rng.random_range(0..caches.len()) };
        let (cache, id) = (caches[at].clone(), film_id(rng.random_range(0..FILMS)));
        match rng.random_range(0..40) {
            0 if caches.len() < 4 => {
                let newest = caches.last().unwrap();
                assert!(newest.hand_over(PATIENCE), "a disk call hangs");
                if rng.random_bool(0.3) {
                    // The next one dies before it serves; at most it made room and cleared up.
                    if rng.random_bool(0.7) {
                        let dead = open(settings(folder.path(), &mut rng, heedless), &origin);
                        dead.idle().await;
                    }
                    take_back(newest).await;
                } else {
                    caches.push(open(settings(folder.path(), &mut rng, heedless), &origin));
                }
            }
            1 => {
                let running = if rng.random_bool(0.5) { Running::Cut } else { Running::Finish };
                cache.purge(&Scope::Media(id), running).await;
            }
            2 if rng.random_bool(0.3) => origin.put(id, some_film(&mut rng)),
            3 => origin.fail_next(Fault::After(rng.random_range(0..SLICE), OriginError::Timeout)),
            4 => cache.tend(std::time::UNIX_EPOCH + Duration::from_secs(rng.random_range(1..9))).await,
            5 => {
                cache.verify(&Scope::All, None, |_| {}).await;
            }
            6 if !viewers.is_empty() => drop(viewers.swap_remove(rng.random_range(0..viewers.len()))),
            7..20 => {
                let Ok(media) = cache.media(id).await else { continue };
                let film = origin.film(id);
                let wanted = some_range(&mut rng, film.size);
                let reader = media.read(wanted);
                viewers.push(Viewer { reader, film, at: wanted.start, end: wanted.end });
            }
            _ if !viewers.is_empty() => {
                let at = rng.random_range(0..viewers.len());
                if !viewers[at].watch(rng.random_range(1..8)).await {
                    viewers.swap_remove(at);
                }
            }
            _ => {}
        }
    }
    origin.heal();
    for mut viewer in viewers {
        while viewer.watch(8).await {}
    }
    for cache in &caches {
        cache.idle().await;
        let stats = cache.stats();
        assert_eq!(stats.checksum_failures + stats.disk_errors + stats.sidecars_dropped, 0, "{stats:?}");
    }
    // Whoever comes after all of them finds nothing wrong either.
    caches.clear();
    let last = open(settings(folder.path(), &mut rng, false), &origin);
    for n in 0..FILMS {
        let (id, film) = (film_id(n), origin.film(film_id(n)));
        check(last.media(id).await.unwrap().read(range(0, film.size)), film, range(0, film.size)).await.unwrap();
    }
    last.idle().await;
    assert_eq!(last.stats().checksum_failures, 0);
}

/// The one that is gone lets go of its folder when the last of its tasks is done.
async fn take_back(cache: &Cache) {
    for _ in 0..4000 {
        match cache.take_back() {
            Err(cache::OpenError::InUse(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
            done => return done.unwrap(),
        }
    }
    panic!("the folder stays in use");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_byte_is_wrong_while_several_processes_share_a_folder() {
    worlds(60, |seed| play(seed, false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_heed_open_files_is_found_out() {
    // Or else the test above could not fail. Quietly: hundreds of worlds that end in a panic would bury the one that matters.
    let mut found = false;
    for seed in 0..400 {
        found = tokio::spawn(play(seed, true)).await.is_err();
        if found {
            break;
        }
    }
    assert!(found, "no world showed a hole under a reader");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes; make soak runs it"]
async fn soak_handovers() {
    worlds(3_000, |seed| play(seed, false)).await;
}

/// The first film, of so many slices, read to its end by this cache.
async fn filled(cache: &Cache, origin: &FakeOrigin, slices: u64) -> Film {
    let film = Film { size: slices * SLICE, seed: 5 };
    origin.put(film_id(0), film);
    check(cache.media(film_id(0)).await.unwrap().read(range(0, film.size)), film, range(0, film.size)).await.unwrap();
    cache.idle().await;
    film
}

#[tokio::test]
async fn what_is_being_read_is_spared_and_goes_when_its_reader_does() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(1));
    let old = open(config(folder.path()), &origin);
    let film = filled(&old, &origin, 8).await;
    let reader = old.media(film_id(0)).await.unwrap().read(range(0, film.size));
    let mut viewer = Viewer { reader, film, at: 0, end: film.size };
    assert!(viewer.watch(1).await);
    assert!(old.hand_over(PATIENCE) && old.hand_over(PATIENCE), "once more is no harm");
    let mut small = config(folder.path());
    small.max_size = 3 * SLICE;
    let new = open(small, &origin);
    assert_eq!(new.stats().slices, 8, "nothing of it goes while it is read");
    new.tend(std::time::UNIX_EPOCH + Duration::from_secs(1)).await;
    assert_eq!((new.stats().slices, new.stats().evicted), (8, 0));
    origin.forget_log();
    while viewer.watch(1).await {}
    assert_eq!((viewer.at, origin.opens()), (film.size, vec![]), "all of it came from the disk");
    drop(viewer);
    // Closed by the old one's next look, and evicted by the new one's.
    old.tend(std::time::UNIX_EPOCH + Duration::from_secs(2)).await;
    new.tend(std::time::UNIX_EPOCH + Duration::from_secs(2)).await;
    let stats = new.stats();
    // The sidecar takes some of the room.
    assert!(stats.slices < 3 && stats.evicted > 5, "{stats:?}");
    // What the old one is asked for now passes the disk by, and comes whole.
    let late = old.media(film_id(0)).await.unwrap().read(range(0, film.size));
    assert_eq!(late.status(), cache::CacheStatus::Bypass);
    check(late, film, range(0, film.size)).await.unwrap();
    old.idle().await;
    assert_eq!(old.stats().bytes_direct, film.size);
}

#[tokio::test]
async fn a_film_that_is_being_watched_is_filled_on_and_taken_over_when_its_viewer_leaves() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(1));
    let mut slow = config(folder.path());
    (slow.first_run, slow.max_run) = (1, 1);
    let old = open(slow, &origin);
    let film = Film { size: 6 * SLICE, seed: 3 };
    origin.put(film_id(0), film);
    let all = range(0, film.size);
    let reader = old.media(film_id(0)).await.unwrap().read(all);
    let mut viewer = Viewer { reader, film, at: 0, end: film.size };
    // The first slice is whole, so that the next process knows the film.
    while viewer.at < SLICE + SLICE / 2 {
        assert!(viewer.watch(1).await);
    }
    old.idle().await;
    assert!(old.hand_over(PATIENCE));
    let new = open(config(folder.path()), &origin);
    let known = new.stats().slices;
    assert!((1..4).contains(&known), "{known} slices");
    while viewer.watch(1).await {}
    assert_eq!((viewer.at, old.stats().bytes_direct), (film.size, 0), "all of it by the disk");
    old.idle().await;
    new.tend(std::time::UNIX_EPOCH + Duration::from_secs(1)).await;
    assert_eq!(new.stats().slices, known, "not before the file is closed");
    drop(viewer);
    old.tend(std::time::UNIX_EPOCH + Duration::from_secs(2)).await;
    new.tend(std::time::UNIX_EPOCH + Duration::from_secs(2)).await;
    assert_eq!(new.stats().slices, 6);
    origin.forget_log();
    check(new.media(film_id(0)).await.unwrap().read(all), film, all).await.unwrap();
    new.idle().await;
    assert_eq!((origin.opens(), new.stats().checksum_failures), (vec![], 0), "nothing is fetched twice");
}

#[tokio::test]
async fn what_another_process_deleted_is_known_to_be_gone_when_the_folder_comes_back() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(1));
    let mut settings = config(folder.path());
    settings.max_open = 1;
    let cache = open(settings, &origin);
    let film = filled(&cache, &origin, 4).await;
    origin.put(film_id(1), film);
    let reader = cache.media(film_id(0)).await.unwrap().read(range(0, film.size));
    let mut viewer = Viewer { reader, film, at: 0, end: film.size };
    assert!(viewer.watch(1).await);
    assert!(cache.hand_over(PATIENCE));
    let dead = open(config(folder.path()), &origin);
    dead.purge(&Scope::Media(film_id(0)), Running::Finish).await;
    dead.idle().await;
    drop(dead);
    take_back(&cache).await;
    while viewer.watch(1).await {}
    assert_eq!(viewer.at, film.size, "who has it open reads on");
    drop(viewer);
    // Another film takes the only place among open files.
    for id in [film_id(1), film_id(0)] {
        check(cache.media(id).await.unwrap().read(range(0, film.size)), film, range(0, film.size)).await.unwrap();
        cache.idle().await;
    }
    let stats = cache.stats();
    assert_eq!((stats.disk_errors, stats.media, stats.slices), (0, 2, 8), "{stats:?}");
}

#[tokio::test]
async fn what_is_purged_meanwhile_stays_purged_when_the_folder_comes_back() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(1));
    let cache = open(config(folder.path()), &origin);
    let film = filled(&cache, &origin, 4).await;
    origin.put(film_id(1), film);
    check(cache.media(film_id(1)).await.unwrap().read(range(0, SLICE)), film, range(0, SLICE)).await.unwrap();
    cache.idle().await;
    assert!(cache.hand_over(PATIENCE));
    cache.purge(&Scope::Media(film_id(0)), Running::Finish).await;
    assert_eq!(files(folder.path(), "data").len(), 2, "the files are another's to delete");
    cache.take_back().unwrap();
    assert_eq!(files(folder.path(), "data").len(), 1, "deleted in the end");
    assert!(cache.stats().slices >= 1, "the other one is there again");
    origin.forget_log();
    check(cache.media(film_id(0)).await.unwrap().read(range(0, SLICE)), film, range(0, SLICE)).await.unwrap();
    assert!(!origin.opens().is_empty(), "fetched anew");
    cache.idle().await;
    origin.forget_log();
    check(cache.media(film_id(1)).await.unwrap().read(range(0, SLICE)), film, range(0, SLICE)).await.unwrap();
    assert!(origin.opens().is_empty(), "a hit, as before");
}
