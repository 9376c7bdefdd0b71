//! Compiled code on disk, so that a restart or a reload compiles nothing twice.
//!
//! A file is `NAME.code`: a 32-byte HMAC-SHA256 and then the engine's own format. `NAME` is SHA-256 over the component and
//! what the engine says code depends on (its version, its settings, the processor), in hexadecimal. The MAC is over name and
//! code, under a key of this installation (`key`, 32 random bytes) in the same folder: a damaged file, one written for another
//! component, or one brought from another machine is not believed, and compiled again. Whoever can write to the folder *and* read
//! the key can run code as the gateway, which is why a folder that others can write to is refused.
#![allow(unsafe_code, reason = "loading compiled code is unsafe by nature; the one call says why it holds")]
#![allow(clippy::disallowed_methods, reason = "owns the code folder")]

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::Rng as _;
use sha2::{Digest as _, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash as _, Hasher};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Length of the MAC in front of the code.
const MAC: usize = 32;
/// Length of the key, all that its file holds.
const KEY: usize = 32;
/// Files kept: enough for a few generations of many plugins.
const MOST_FILES: usize = 128;

#[derive(Debug)]
pub(crate) struct CodeCache {
    folder: PathBuf,
    key: [u8; KEY],
    pub(crate) counts: CodeCounts,
}

/// What became of lookups.
#[derive(Debug, Default)]
pub(crate) struct CodeCounts {
    pub(crate) hits: AtomicU64,
    pub(crate) misses: AtomicU64,
    /// Files that were there and not believed.
    pub(crate) refused: AtomicU64,
}

impl CodeCache {
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| format!("can't be made: {error}"))?;
        let found = fs::symlink_metadata(folder).map_err(|error| format!("can't be looked at: {error}"))?;
        if !found.is_dir() {
            return Err("is not a folder (links are not followed)".to_owned());
        }
        if found.mode() & 0o022 != 0 {
            return Err("others can write to it, and what it holds is run: chmod 700 it".to_owned());
        }
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err("belongs to another user, and what it holds is run".to_owned());
        }
        let key = key(&folder.join("key")).map_err(|error| format!("its key can't be read or made: {error}"))?;
        Ok(Self { folder: folder.to_owned(), key, counts: CodeCounts::default() })
    }

    /// The component, out of the folder or compiled. Takes its time: not for a thread that serves requests.
    pub(crate) fn load(&self, engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Component> {
        let name = name(engine, wasm);
        if let Some(code) = self.read(&name) {
            match deserialize(engine, &code) {
                Ok(component) => {
                    self.counts.hits.fetch_add(1, Relaxed);
                    return Ok(component);
                }
                Err(error) => tracing::warn!(%error, name, "cached plugin code doesn't load: compiling it again"),
            }
        }
        self.counts.misses.fetch_add(1, Relaxed);
        let code = engine.precompile_component(wasm)?;
        if let Err(error) = self.write(&name, &code) {
            // Costs time at the next start, nothing else.
            tracing::warn!(%error, folder = %self.folder.display(), "compiled plugin code can't be kept");
        }
        deserialize(engine, &code)
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.file(name)).ok()?.read_to_end(&mut bytes).ok()?;
        let sound = bytes
            .split_at_checked(MAC)
            .is_some_and(|(mac, code)| self.mac(name, code).is_some_and(|expected| expected.verify_slice(mac).is_ok()));
        if !sound {
            self.counts.refused.fetch_add(1, Relaxed);
            tracing::warn!(name, "cached plugin code is damaged or not ours: compiling it again");
            return None;
        }
        bytes.drain(..MAC);
        Some(bytes)
    }

    /// Through a file of its own and a rename, so that a reader never sees half of it.
    fn write(&self, name: &str, code: &[u8]) -> std::io::Result<()> {
        let Some(mac) = self.mac(name, code) else { return Ok(()) };
        let unfinished = self.folder.join(format!("{name}.{:016x}.tmp", rand::rng().next_u64()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        let written = file.write_all(&mac.finalize().into_bytes()).and_then(|()| file.write_all(code));
        let kept = written.and_then(|()| fs::rename(&unfinished, self.file(name)));
        if kept.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        self.prune();
        kept
    }

    fn mac(&self, name: &str, code: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(name.as_bytes());
        mac.update(code);
        Some(mac)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.code"))
    }

    /// Lets the oldest files go.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let dated = |entry: fs::DirEntry| {
            let path = entry.path();
            let ours = path.extension().is_some_and(|end| end == "code" || end == "tmp");
            let written = entry.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            ours.then_some((written, path))
        };
        let mut files: Vec<_> = entries.flatten().filter_map(dated).collect();
        files.sort_unstable();
        let surplus = files.len().saturating_sub(MOST_FILES);
        for (_, path) in files.into_iter().take(surplus) {
            let _ = fs::remove_file(path);
        }
    }
}

/// The only way in for compiled code.
fn deserialize(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` was made by this engine's compiler: either just now in `load`, or earlier and then covered by a MAC whose
    // key only this user can read (`read`). It is in our own memory, so that it can't change after the check.
    unsafe { Component::deserialize(engine, code) }
}

/// The key of this installation: the one in the file, or a new one. What a process left unfinished that died, or a full disk, is
/// replaced; all that it costs is compiling again.
fn key(file: &Path) -> std::io::Result<[u8; KEY]> {
    let mut key = [0; KEY];
    match File::open(file) {
        Ok(mut opened) => {
            if opened.metadata()?.mode() & 0o077 != 0 {
                return Err(std::io::Error::other("others can read it: delete the folder, it is filled again"));
            }
            if opened.read_exact(&mut key).is_ok() {
                return Ok(key);
            }
            tracing::warn!(file = %file.display(), "the key of the folder for compiled plugin code is cut off: making another");
            fs::remove_file(file)?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    rand::rng().fill_bytes(&mut key);
    // Whole before it has its name. The name is given by a link, as another process may have been first: then its key is ours.
    let unfinished = file.with_extension(format!("{:016x}.tmp", rand::rng().next_u64()));
    let mut made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let written = made.write_all(&key).and_then(|()| made.sync_all()).and_then(|()| fs::hard_link(&unfinished, file));
    let _ = fs::remove_file(&unfinished);
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            File::open(file)?.read_exact(&mut key)?;
            Ok(key)
        }
        written => written.map(|()| key),
    }
}

fn name(engine: &Engine, wasm: &[u8]) -> String {
    struct Into(Sha256);
    impl Hasher for Into {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = Into(Sha256::new());
    hasher.0.update(Sha256::digest(wasm));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "code_tests.rs"]
mod tests;
