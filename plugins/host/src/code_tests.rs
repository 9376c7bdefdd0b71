//! Files in the code folder that are not what they should be are compiled again, never run.

use super::{CodeCache, MOST_FILES, name};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use wasmtime::{Config, Engine};

fn engine() -> Engine {
    let mut config = Config::new();
    config.wasm_component_model(true).concurrency_support(false);
    Engine::new(&config).unwrap()
}

fn component(number: u32) -> Vec<u8> {
    let text = format!(
        "(component (core module $m (func (export \"f\") (result i32) i32.const {number}))
           (core instance $i (instantiate $m)) (func (export \"f\") (result u32) (canon lift (core func $i \"f\"))))"
    );
    wat::parse_str(text).unwrap()
}

struct Rig {
    _folder: tempfile::TempDir,
    engine: Engine,
    cache: CodeCache,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(&folder.path().join("code")).unwrap();
        Self { _folder: folder, engine: engine(), cache }
    }

    fn file(&self, number: u32) -> PathBuf {
        self.cache.file(&name(&self.engine, &component(number)))
    }

    /// Loads it and says what came of it: hits, misses, files refused since the last time.
    fn load(&self, number: u32) -> (u64, u64, u64) {
        let counts = || {
            [&self.cache.counts.hits, &self.cache.counts.misses, &self.cache.counts.refused].map(|n| n.load(Relaxed))
        };
        let before = counts();
        self.cache.load(&self.engine, &component(number)).unwrap();
        let after = counts();
        (after[0] - before[0], after[1] - before[1], after[2] - before[2])
    }
}

#[test]
fn compiled_once() {
    let rig = Rig::new();
    assert_eq!(rig.load(1), (0, 1, 0));
    assert_eq!(rig.load(1), (1, 0, 0));
    assert_eq!(rig.load(2), (0, 1, 0));
    // Another process of the same installation finds it, one of another does not believe it.
    let folder = rig.file(1).parent().unwrap().to_owned();
    let again = CodeCache::open(&folder).unwrap();
    again.load(&rig.engine, &component(1)).unwrap();
    assert_eq!(again.counts.hits.load(Relaxed), 1);
    fs::remove_file(folder.join("key")).unwrap();
    let other = CodeCache::open(&folder).unwrap();
    other.load(&rig.engine, &component(1)).unwrap();
    assert_eq!((other.counts.hits.load(Relaxed), other.counts.refused.load(Relaxed)), (0, 1));
}

#[test]
fn what_was_tampered_with_is_compiled_again() {
    type Tamper = fn(&Rig);
    let flip = |rig: &Rig, at: usize| {
        let mut bytes = fs::read(rig.file(1)).unwrap();
        let at = at.min(bytes.len() - 1);
        bytes[at] ^= 1;
        fs::write(rig.file(1), bytes).unwrap();
    };
    let rows: [(&str, Tamper); 5] = [
        ("cut off", |rig| {
            let bytes = fs::read(rig.file(1)).unwrap();
            fs::write(rig.file(1), &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("emptied", |rig| fs::write(rig.file(1), b"").unwrap()),
        ("another component's", |rig| {
            rig.load(2);
            fs::copy(rig.file(2), rig.file(1)).unwrap();
        }),
        ("bare code without a code of ours", |rig| {
            let bytes = fs::read(rig.file(1)).unwrap();
            fs::write(rig.file(1), &bytes[super::MAC..]).unwrap();
        }),
        ("another code under our name", |rig| {
            let code = rig.engine.precompile_component(&component(9)).unwrap();
            fs::write(rig.file(1), [vec![0; super::MAC], code].concat()).unwrap();
        }),
    ];
    for (what, tamper) in rows {
        let rig = Rig::new();
        rig.load(1);
        tamper(&rig);
        assert_eq!(rig.load(1), (0, 1, 1), "{what}");
        assert_eq!(rig.load(1), (1, 0, 0), "{what}: put right");
    }
    for at in [0, 31, 32, 1_000, usize::MAX] {
        let rig = Rig::new();
        rig.load(1);
        flip(&rig, at);
        assert_eq!(rig.load(1), (0, 1, 1), "byte {at}");
    }
}

#[test]
fn the_oldest_go() {
    let rig = Rig::new();
    rig.load(1);
    let folder = rig.file(1).parent().unwrap().to_owned();
    for number in 0..MOST_FILES + 20 {
        fs::write(folder.join(format!("{number}.code")), b"x").unwrap();
    }
    rig.load(2);
    let left = fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().extension().is_some()).count();
    assert_eq!(left, MOST_FILES);
    assert!(rig.file(2).exists());
}

/// A key that was never written whole must not keep the gateway from starting.
#[test]
fn a_key_that_was_cut_off_is_replaced() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::new();
    rig.load(1);
    let folder = rig.file(1).parent().unwrap().to_owned();
    let key = folder.join("key");
    for length in [0, super::KEY - 1] {
        fs::write(&key, vec![7; length]).unwrap();
        let cache = CodeCache::open(&folder).unwrap();
        assert_eq!(fs::read(&key).unwrap(), cache.key, "{length} bytes");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        cache.load(&rig.engine, &component(1)).unwrap();
        assert_eq!(cache.counts.refused.load(Relaxed), 1, "code under the old key");
        assert_eq!(CodeCache::open(&folder).unwrap().key, cache.key);
    }
    let left = fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "tmp"));
    assert_eq!(left.count(), 0);
}
