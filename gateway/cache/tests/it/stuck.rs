//! Disks that don't answer, or fail at everything: viewers get their bytes from the origin, within a patience or at once, and the
//! disk is used again when it is well.

use crate::support::{FakeOrigin, Film, SLICE, check, config, open, range};
use cache::{Cache, CacheStats, CacheStatus, DiskFault, DiskHook, DiskOp, Running, Scope};
use rustix::io::Errno;
use slice::{ByteRange, MediaId};
use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tempfile::{TempDir, tempdir};

#[derive(Default)]
struct Plan {
    /// Calls of these kinds don't return, or fail.
    kinds: HashSet<DiskOp>,
    fails: Option<Errno>,
    /// So many of them.
    left: usize,
    held: usize,
}

/// A disk whose calls stop, until they are let go, or fail. Its memory is never asked for bytes.
#[derive(Default)]
struct Bad {
    plan: Mutex<Plan>,
    changed: Condvar,
}

impl Bad {
    fn stall(&self, kinds: &[DiskOp], left: usize) {
        let mut plan = self.plan.lock().unwrap();
        (plan.kinds, plan.fails, plan.left) = (kinds.iter().copied().collect(), None, left);
    }

    fn fail(&self, kinds: &[DiskOp], errno: Errno) {
        let mut plan = self.plan.lock().unwrap();
        (plan.kinds, plan.fails, plan.left) = (kinds.iter().copied().collect(), Some(errno), usize::MAX);
    }

    fn heal(&self) {
        self.plan.lock().unwrap().kinds.clear();
        self.changed.notify_all();
    }

    fn held(&self) -> usize {
        self.plan.lock().unwrap().held
    }
}

impl DiskHook for Bad {
    fn before(&self, op: DiskOp, _len: usize) -> Option<DiskFault> {
        if op == DiskOp::ReadReady {
            return Some(DiskFault::Fail(Errno::OPNOTSUPP.into()));
        }
        let mut plan = self.plan.lock().unwrap();
        if !plan.kinds.contains(&op) || plan.left == 0 {
            return None;
        }
        plan.left -= 1;
        if let Some(errno) = plan.fails {
            return Some(DiskFault::Fail(errno.into()));
        }
        plan.held += 1;
        let mut plan = self.changed.wait_while(plan, |plan| !plan.kinds.is_empty()).unwrap();
        plan.held -= 1;
        None
    }
}

struct Stage {
    _folder: TempDir,
    origin: Arc<FakeOrigin>,
    disk: Arc<Bad>,
    cache: Cache,
}

const SIZE: u64 = 6 * SLICE + 100;

fn id(film: i32) -> MediaId {
    MediaId::message(-100, film)
}

impl Stage {
    fn new(patience: Duration) -> Self {
        let (folder, origin, disk) = (tempdir().unwrap(), FakeOrigin::new(SLICE), Arc::new(Bad::default()));
        for film in 0..32 {
            origin.put(id(film), Film { size: SIZE, seed: film.unsigned_abs().into() });
        }
        let mut config = config(folder.path());
        config.max_size = 20 * SIZE;
        config.disk_patience = patience;
        config.disk_hook = Some(disk.clone());
        let cache = open(config, &origin);
        Self { _folder: folder, origin, disk, cache }
    }

    /// Reads a whole film, checking it.
    async fn watch(&self, film: i32) -> CacheStatus {
        let whole = range(0, SIZE);
        let reader = self.cache.media(id(film)).await.unwrap().read(whole);
        let status = reader.status();
        check(reader, self.origin.film(id(film)), whole).await.unwrap();
        status
    }

    async fn until(&self, mut what: impl FnMut(&CacheStats) -> bool) {
        while !what(&self.cache.stats()) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn opens(&self) -> Vec<ByteRange> {
        let opens = self.origin.opens();
        self.origin.forget_log();
        opens
    }
}

#[tokio::test]
async fn a_stuck_read_costs_its_reader_a_patience_and_others_nothing() {
    let stage = Stage::new(Duration::from_secs(1));
    stage.watch(1).await;
    stage.watch(2).await;
    stage.cache.idle().await;
    stage.disk.stall(&[DiskOp::Read], 1);
    stage.opens();
    assert_eq!(stage.watch(1).await, CacheStatus::Hit, "nobody knew");
    let stats = stage.cache.stats();
    assert_eq!((stats.disk_timeouts, stats.disk_stuck, stats.directs, stats.disk_sick), (1, 1, 1, 0));
    assert_eq!(stage.opens(), [range(0, SIZE)]);
    // The film is left alone until the disk has answered; nobody waits for that again.
    assert_eq!(stage.watch(1).await, CacheStatus::Bypass);
    assert_eq!(stage.cache.stats().disk_timeouts, 1);
    stage.opens();
    assert_eq!(stage.watch(2).await, CacheStatus::Hit);
    assert_eq!(stage.opens(), []);
    assert_eq!(stage.disk.held(), 1);
    stage.disk.heal();
    stage.cache.idle().await;
    assert_eq!(stage.watch(1).await, CacheStatus::Hit);
    assert_eq!((stage.opens(), stage.cache.stats().disk_stuck), (vec![], 0));
}

#[tokio::test]
async fn a_stuck_write_hands_its_readers_over_and_keeps_its_claims() {
    let stage = Stage::new(Duration::from_secs(1));
    stage.disk.stall(&[DiskOp::WriteData], 1);
    futures_util::future::join_all((0..4).map(|_| stage.watch(1))).await;
    let stats = stage.cache.stats();
    assert_eq!((stats.disk_timeouts, stats.disk_stuck, stats.directs, stats.disk_sick), (1, 1, 4, 0));
    assert_eq!(stats.running_fills, 1, "its slices are nobody else's until the write is over");
    assert_eq!(stage.watch(1).await, CacheStatus::Bypass);
    assert_eq!(stage.watch(2).await, CacheStatus::Miss);
    stage.opens();
    assert_eq!((stage.watch(2).await, stage.opens()), (CacheStatus::Hit, vec![]));
    stage.disk.heal();
    stage.cache.idle().await;
    let stats = stage.cache.stats();
    assert_eq!((stats.running_fills, stats.disk_stuck, stats.slices), (0, 0, 7));
    stage.watch(1).await;
    stage.opens();
    assert_eq!((stage.watch(1).await, stage.opens()), (CacheStatus::Hit, vec![]));
}

#[tokio::test]
async fn a_crowd_on_a_disk_that_is_stuck_at_anything_is_served() {
    let all = [DiskOp::Create, DiskOp::Open, DiskOp::WriteData, DiskOp::WriteRecord, DiskOp::Read, DiskOp::Punch];
    for kind in all {
        let stage = Stage::new(Duration::from_millis(100));
        for film in 0..10 {
            stage.watch(film).await;
        }
        stage.cache.idle().await;
        stage.disk.stall(&[kind], usize::MAX);
        // Cold ones and cached ones, more of each than there are threads, and more than there is room for.
        futures_util::future::join_all((0..160).map(|viewer| stage.watch(viewer % 32))).await;
        let stats = stage.cache.stats();
        assert_eq!(stats.disk_timeouts > 0, stage.disk.held() > 0, "{kind:?}: {stats:?}");
        stage.disk.heal();
        stage.cache.idle().await;
        stage.until(|stats| stats.disk_sick == 0 && stats.disk_stuck == 0).await;
        // Well again, and whoever comes is kept: as soon as no call happens to be slow.
        loop {
            stage.watch(3).await;
            stage.opens();
            if stage.watch(3).await == CacheStatus::Hit && stage.opens().is_empty() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_disk_that_fails_at_writes_is_passed_by_for_them_and_probed() {
    for errno in [Errno::IO, Errno::ROFS, Errno::NOSPC] {
        let stage = Stage::new(Duration::from_millis(200));
        stage.watch(0).await;
        stage.cache.idle().await;
        let writes = [DiskOp::Create, DiskOp::WriteData, DiskOp::WriteRecord, DiskOp::Punch, DiskOp::Unlink];
        stage.disk.fail(&writes, errno);
        for film in 1..20 {
            stage.watch(film).await;
        }
        stage.until(|stats| stats.disk_sick == 1).await;
        assert_eq!(stage.watch(20).await, CacheStatus::Bypass, "{errno}");
        stage.opens();
        if errno != Errno::NOSPC {
            // A full disk gives up what it has, to no end here.
            assert_eq!((stage.watch(0).await, stage.opens()), (CacheStatus::Hit, vec![]), "{errno}");
        }
        let errors = stage.cache.stats().disk_errors;
        stage.watch(20).await;
        assert_eq!(stage.cache.stats().disk_errors, errors, "not even tried");
        stage.disk.heal();
        stage.until(|stats| stats.disk_sick == 0).await;
        stage.cache.idle().await;
        loop {
            stage.watch(21).await;
            stage.opens();
            if stage.watch(21).await == CacheStatus::Hit && stage.opens().is_empty() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_disk_that_fails_at_reads_is_passed_by_altogether() {
    let stage = Stage::new(Duration::from_millis(200));
    for film in 0..10 {
        stage.watch(film).await;
    }
    stage.cache.idle().await;
    stage.disk.fail(&[DiskOp::Read], Errno::IO);
    for film in 0..9 {
        stage.watch(film).await;
    }
    assert_eq!(stage.watch(9).await, CacheStatus::Bypass);
    stage.disk.heal();
    stage.until(|stats| stats.disk_sick == 0).await;
    stage.opens();
    assert_eq!((stage.watch(9).await, stage.opens()), (CacheStatus::Hit, vec![]));
}

#[tokio::test]
async fn a_stuck_deletion_holds_up_whoever_purges_and_no_viewer() {
    let stage = Stage::new(Duration::from_millis(200));
    stage.watch(1).await;
    stage.cache.idle().await;
    stage.disk.stall(&[DiskOp::Unlink], usize::MAX);
    let cache = stage.cache.clone();
    // In force before anything is deleted.
    let purging = cache.begin_purge(&Scope::Media(id(1)), Running::Finish).await;
    assert_eq!(purging.so_far().media, 1);
    assert_eq!(cache.list(&Scope::Media(id(1)), None, 1).await.len(), 0);
    let purge = tokio::spawn(purging.done());
    stage.until(|stats| stats.purged == 1).await;
    stage.watch(1).await;
    stage.watch(2).await;
    assert!(!purge.is_finished(), "not done before it is");
    stage.disk.heal();
    assert_eq!(purge.await.unwrap().undeleted, 0);
}
