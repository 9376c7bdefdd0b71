//! Open files: few, whatever the cache holds, and none that somebody would have to wait for in vain.

use crate::support::{FILM, FakeOrigin, Film, SLICE, check, config, fetch, open, range};
use cache::{Cache, DiskFault, DiskHook, DiskOp, Running, Scope};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slice::MediaId;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::tempdir;

/// This process's descriptors of files in a folder.
fn open_in(folder: &Path) -> usize {
    let links =
        std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|path| path.starts_with(folder.join("v1"))).count()
}

async fn watch(cache: &Cache, origin: &FakeOrigin, number: i32) {
    let id = MediaId::message(9, number);
    origin.put(id, Film { size: SLICE, seed: u64::from(number.unsigned_abs()) + 10 });
    let reader = cache.media(id).await.unwrap().read(range(0, SLICE));
    check(reader, origin.film(id), range(0, SLICE)).await.unwrap();
    cache.idle().await;
}

/// Counts files opened again.
#[derive(Default)]
struct Reopened(AtomicUsize);

impl DiskHook for Reopened {
    fn before(&self, op: DiskOp, _len: usize) -> Option<DiskFault> {
        self.0.fetch_add(usize::from(op == DiskOp::Open), Ordering::Relaxed);
        None
    }
}

#[tokio::test]
async fn the_longest_unused_files_are_closed_first() {
    let (folder, origin, reopened) = (tempdir().unwrap(), FakeOrigin::new(SLICE), Arc::new(Reopened::default()));
    let mut config = config(folder.path());
    config.max_open = 4;
    config.disk_hook = Some(reopened.clone());
    let cache = open(config, &origin);
    for number in 0..60 {
        fetch(&cache, &origin, range(0, SLICE)).await;
        watch(&cache, &origin, number).await;
        assert!(open_in(folder.path()) <= 8, "{} files are open", open_in(folder.path()));
    }
    assert_eq!(reopened.0.load(Ordering::Relaxed), 0, "the film that is read all the time stayed open");
}

#[tokio::test]
async fn deleted_versions_do_not_count_as_open() {
    let (folder, origin, reopened) = (tempdir().unwrap(), FakeOrigin::new(SLICE), Arc::new(Reopened::default()));
    let mut config = config(folder.path());
    config.max_open = 4;
    config.disk_hook = Some(reopened.clone());
    let cache = open(config, &origin);
    watch(&cache, &origin, 1).await;
    watch(&cache, &origin, 2).await;
    for _ in 0..20 {
        fetch(&cache, &origin, range(0, SLICE)).await;
        cache.idle().await;
        cache.purge(&Scope::Media(FILM), Running::Finish).await;
    }
    watch(&cache, &origin, 1).await;
    watch(&cache, &origin, 2).await;
    assert_eq!(reopened.0.load(Ordering::Relaxed), 0);
}

/// A process that may open few more files than the cache has open.
struct Crowded(PathBuf);

impl DiskHook for Crowded {
    fn before(&self, op: DiskOp, _len: usize) -> Option<DiskFault> {
        let full = matches!(op, DiskOp::Create | DiskOp::Open) && open_in(&self.0) >= 11;
        full.then(|| DiskFault::Fail(Errno::MFILE.into()))
    }
}

#[tokio::test]
async fn unused_files_make_way_when_descriptors_run_out() {
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(SLICE));
    let mut config = config(folder.path());
    config.disk_hook = Some(Arc::new(Crowded(folder.path().into())));
    let cache = open(config, &origin);
    for _ in 0..2 {
        for number in 0..30 {
            watch(&cache, &origin, number).await;
        }
    }
    let stats = cache.stats();
    assert_eq!((stats.directs, stats.disk_errors, stats.hits), (0, 0, 30), "{stats:?}");
}

const CHILD: &str = "STREAMVAULT_TEST_FEW_DESCRIPTORS";

/// Not a test of its own: the next one runs it in a process that it may starve.
#[tokio::test]
async fn child_with_few_descriptors() {
    if std::env::var(CHILD).is_err() {
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) }).unwrap();
    let (folder, origin) = (tempdir().unwrap(), FakeOrigin::new(SLICE));
    let cache = open(config(folder.path()), &origin);
    for number in 0..100 {
        watch(&cache, &origin, number).await;
        assert!(open_in(folder.path()) <= 16);
    }
    assert_eq!((cache.stats().directs, cache.stats().disk_errors, cache.stats().slices), (0, 0, 100));
}

#[tokio::test]
async fn many_films_fit_few_descriptors() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "descriptors::child_with_few_descriptors", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}
