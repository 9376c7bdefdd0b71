//! `kill -9` of a real process, hundreds of times, in the middle of fills, evictions, purges, syncs and version changes: no wrong
//! byte after any, nothing lost that was whole, nothing back that was purged.

use crate::owed::{Ledger, Owed, slices};
use crate::support::{Film, SLICE, config, open, range, worlds};
use cache::{CacheConfig, DiskFault, DiskHook, DiskOp, Running, Scope};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::tempdir;

/// Where and how a child works: `folder`, and seed, disk calls until its end, room in slices, films as `seed-size`.
const FOLDER: &str = "STREAMVAULT_TEST_KILLED_FOLDER";
const LIFE: &str = "STREAMVAULT_TEST_KILLED_LIFE";
const LIVES: usize = 10;

/// Kills its own process right before a disk call.
struct Last(AtomicU64);

impl DiskHook for Last {
    fn before(&self, op: DiskOp, _len: usize) -> Option<DiskFault> {
        let changes = !matches!(op, DiskOp::Read | DiskOp::ReadReady | DiskOp::Open | DiskOp::FreeSpace);
        if changes && self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            // The signal is on its way: this thread does nothing more.
            loop {
                std::thread::park();
            }
        }
        None
    }
}

fn settings(folder: &Path, room: u64) -> CacheConfig {
    let mut config = config(folder);
    config.meta_ttl = Duration::ZERO;
    if room > 0 {
        config.max_size = room * SLICE;
    }
    config
}

fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nchild {line}").unwrap();
    out.flush().unwrap();
}

/// Not a test of its own: what the next one kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_works_until_it_is_killed() {
    let (Ok(folder), Ok(life)) = (std::env::var(FOLDER), std::env::var(LIFE)) else { return };
    let mut words = life.split(' ');
    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
    let (seed, calls, room) = (number(), number(), number());
    let films: Vec<_> = (0..3).map(|_| Film { seed: number(), size: number() }).collect();
    let (mut rng, mut ledger) = (StdRng::seed_from_u64(seed), Ledger::new(&films));
    let mut config = settings(Path::new(&folder), room);
    config.sync_interval = Duration::from_millis(3);
    config.disk_hook = Some(Arc::new(Last(AtomicU64::new(calls))));
    let cache = open(config, &ledger.origin);
    say(format_args!("ready"));
    loop {
        let at = rng.random_range(0..3);
        let size = ledger.film(at).size;
        match rng.random_range(0..10) {
            0 => {
                say(format_args!("purging {at}"));
                cache.purge(&Scope::Media(ledger.films[at].0), Running::Finish).await;
                say(format_args!("purged {at}"));
            }
            1 => {
                let film = Film { size: rng.random_range(1..7 * SLICE), seed: rng.random() };
                say(format_args!("change {at} {} {}", film.seed, film.size));
                ledger.change(at, film);
            }
            _ => {
                let start = rng.random_range(0..size);
                let wanted = range(start, rng.random_range(start + 1..=size));
                say(format_args!("fetching {at}"));
                ledger.fetch(&cache, at, wanted).await;
                say(format_args!("whole {at} {} {}", wanted.start, wanted.end));
            }
        }
    }
}

/// Takes in what a child said. False: it was no word of it.
fn hear(ledger: &mut Ledger, line: &str, roomy: bool) -> bool {
    let Some(line) = line.strip_prefix("child ") else { return false };
    let mut words = line.split(' ');
    let word = words.next().unwrap();
    let numbers: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
    match (word, numbers.as_slice()) {
        ("ready", []) => {}
        ("purging", [at]) => ledger.films[*at as usize].1 = Owed::default(),
        ("purged", [at]) => ledger.films[*at as usize].1.gone = true,
        ("change", [at, seed, size]) => ledger.change(*at as usize, Film { seed: *seed, size: *size }),
        ("fetching", [at]) => ledger.films[*at as usize].1.gone = false,
        ("whole", [at, start, end]) if roomy => {
            ledger.films[*at as usize].1.kept.extend(slices(range(*start, *end)));
        }
        ("whole", [_, _, _]) => {}
        _ => panic!("{line}"),
    }
    true
}

async fn play(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempdir().unwrap();
    let room = if rng.random_bool(0.6) { 0 } else { 7 };
    let mut film = || Film { size: rng.random_range(1..7 * SLICE), seed: rng.random() };
    let mut ledger = Ledger::new(&[film(), film(), film()]);
    for life in 0..LIVES {
        // Half of them end at a certain call, the others in the middle of whatever they do when a certain word arrives.
        let (calls, said) =
            if rng.random_bool(0.5) { (rng.random_range(1..250), u64::MAX) } else { (0, rng.random_range(0..40)) };
        let films: Vec<_> =
            (0..3).map(|at| ledger.film(at)).map(|film| format!(" {} {}", film.seed, film.size)).collect();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::child_works_until_it_is_killed", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .env(LIFE, format!("{} {calls} {room}{}", rng.random::<u64>(), films.concat()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut words, mut killed) = (0, false);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            words += u64::from(hear(&mut ledger, &line.unwrap(), room == 0));
            if words > said && !killed {
                killed = true;
                child.kill().unwrap();
            }
        }
        let ended = child.wait().unwrap();
        assert!(!ended.success() && ended.code().is_none(), "life {life}: the child ended by itself: {ended}");
        let cache = open(settings(folder.path(), room), &ledger.origin);
        ledger.settle(&cache).await;
        if room == 0 {
            assert_eq!(cache.stats().checksum_failures, 0, "life {life}: a seal was there before its bytes");
            for at in 0..3 {
                ledger.films[at].1.kept = slices(range(0, ledger.film(at).size)).collect();
            }
        }
        cache.idle().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_kills_cost_nothing_that_was_whole() {
    // Two at a time: each waits for its child half of the time.
    futures_util::future::join(worlds(16, play), worlds(16, play)).await;
}

#[tokio::test]
#[ignore = "some ten minutes; make soak runs it"]
async fn soak_kills() {
    worlds(1_000, play).await;
}
