//! `kill -9`, simulated at every kind of disk call: no wrong byte after it, nothing lost that was whole.

use crate::support::{FILM, FakeOrigin, SLICE, config, fetch, open, range, worlds};
use cache::{DiskFault, DiskHook, DiskOp, Running, Scope};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::tempdir;

/// Copies the folder right before some of the disk calls: what a process killed there leaves behind.
struct Camera {
    folder: PathBuf,
    album: PathBuf,
    state: Mutex<(StdRng, Vec<Shot>)>,
    /// Slices whose record was on disk before the call.
    whole: Mutex<u64>,
    odds: f64,
}

#[derive(Clone)]
struct Shot {
    folder: PathBuf,
    op: DiskOp,
    whole: u64,
}

impl DiskHook for Camera {
    fn before(&self, op: DiskOp, len: usize) -> Option<DiskFault> {
        let mut state = self.state.lock().unwrap();
        let mut whole = self.whole.lock().unwrap();
        let writes = !matches!(op, DiskOp::Read | DiskOp::ReadReady | DiskOp::Open | DiskOp::FreeSpace);
        if writes && state.0.random_bool(self.odds) {
            let folder = self.album.join(state.1.len().to_string());
            copy(&self.folder.join("v1"), &folder.join("v1"));
            if op == DiskOp::WriteData && state.0.random_bool(0.5) {
                // Killed inside of the write: some of its pages are there, and who knows what was in the others.
                scribble(&folder, &mut state.0, len);
            }
            state.1.push(Shot { folder, op, whole: *whole });
        }
        *whole += u64::from(op == DiskOp::WriteRecord);
        None
    }
}

/// Junk in the extent file where no sealed slice lies: after the last byte written.
fn scribble(folder: &Path, rng: &mut StdRng, len: usize) {
    use std::os::unix::fs::FileExt;
    let Some(path) = crate::support::files(folder, "data").pop() else { return };
    let sidecar = std::fs::read(path.with_extension("meta")).unwrap_or_default();
    let records = sidecar.get(4096..).unwrap_or_default();
    let Some(free) = records.chunks(16).position(|record| record.iter().all(|byte| *byte == 0)) else { return };
    let data = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let size = data.metadata().unwrap().len();
    let at = free as u64 * SLICE;
    let most = (size - at).min(SLICE).min(len as u64);
    let junk: Vec<u8> = (0..rng.random_range(0..=most)).map(|_| rng.random()).collect();
    data.write_all_at(&junk, at).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    let Ok(entries) = std::fs::read_dir(from) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

/// Opens a picture and reads all of the film from it.
async fn develop(shot: &Shot, origin: &Arc<FakeOrigin>, must_keep: u64) {
    let cache = open(config(&shot.folder), origin);
    let stats = cache.stats();
    assert!(stats.slices >= must_keep, "{:?}: {} slices kept of {must_keep}", shot.op, stats.slices);
    fetch(&cache, origin, range(0, origin.film(FILM).size)).await;
    cache.idle().await;
    assert_eq!(cache.stats().checksum_failures, 0, "{:?}: a seal was there before its bytes", shot.op);
}

fn camera(folder: &Path, album: &Path, seed: u64, odds: f64) -> Arc<Camera> {
    let state = Mutex::new((StdRng::seed_from_u64(seed), Vec::new()));
    Arc::new(Camera { folder: folder.into(), album: album.into(), state, whole: Mutex::new(0), odds })
}

async fn play_fill(seed: u64) {
    let (folder, album) = (tempdir().unwrap(), tempdir().unwrap());
    let origin = FakeOrigin::new(12 * SLICE + 4_000);
    let camera = camera(folder.path(), album.path(), seed, 0.3);
    let mut config = config(folder.path());
    // One run after the other, so that the count of sealed slices is exact.
    (config.first_run, config.max_run) = (64, 64);
    config.disk_hook = Some(camera.clone());
    let cache = open(config, &origin);
    fetch(&cache, &origin, range(0, 12 * SLICE + 4_000)).await;
    cache.idle().await;
    let shots = camera.state.lock().unwrap().1.clone();
    for shot in &shots {
        develop(shot, &origin, shot.whole).await;
    }
}

async fn play_churn(seed: u64) {
    let (folder, album) = (tempdir().unwrap(), tempdir().unwrap());
    let origin = FakeOrigin::new(20 * SLICE);
    let camera = camera(folder.path(), album.path(), seed, 0.05);
    let mut config = config(folder.path());
    config.max_size = 8 * SLICE;
    config.disk_hook = Some(camera.clone());
    let cache = open(config, &origin);
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..6 {
        let start = rng.random_range(0..16) * SLICE;
        fetch(&cache, &origin, range(start, start + 4 * SLICE)).await;
        if rng.random_bool(0.2) {
            cache.purge(&Scope::All, Running::Finish).await;
        }
    }
    cache.idle().await;
    let shots = camera.state.lock().unwrap().1.clone();
    for shot in &shots {
        develop(shot, &origin, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_killed_at_any_call_keeps_what_was_whole() {
    worlds(12, play_fill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evictions_and_purges_killed_at_any_call_leave_no_wrong_byte() {
    worlds(12, play_churn).await;
}
