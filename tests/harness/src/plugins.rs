//! Plugins of a stack: a private copy of each one's folder, to be changed, broken and signed.

use crate::Failure;
use crate::disk::{copy, put, remove};
use crate::guest::{self, Fixed};
use crate::process::{ProcessError, target_folder};
use crate::settings::{Toml, inline};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Signs the plugins of stacks that want signatures.
const TRUSTED: [u8; 32] = [7; 32];
/// Signs what is wrongly signed.
const STRANGER: [u8; 32] = [8; 32];
/// What every plugin's signature is made over begins with this.
const DOMAIN: &[u8] = b"streamvault plugin signature v1\0";
/// An Ed25519 public key's DER up to the key itself (RFC 8410 §4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Where a plugin's files come from.
#[derive(Clone, Debug)]
pub enum Guest {
    /// From `scripts/guests`, by name.
    Built(String),
    /// From the harness itself.
    Fixed(Fixed),
}

/// One plugin in the gateway's settings.
#[derive(Clone, Debug)]
pub struct PluginSettings {
    /// The operator's name for it.
    pub name: String,
    /// What it is.
    pub guest: Guest,
    /// Keys of its table and their values as TOML.
    pub keys: Toml,
}

impl PluginSettings {
    /// A plugin under its own name.
    #[must_use]
    pub fn new(guest: &str) -> Self {
        Self { name: guest.to_owned(), guest: Guest::Built(guest.to_owned()), keys: Toml::new() }
    }

    /// A policy that decides every request alike.
    #[must_use]
    pub fn fixed(name: &str, verdict: Fixed) -> Self {
        Self { name: name.to_owned(), guest: Guest::Fixed(verdict), keys: Toml::new() }
    }

    /// Sets one key of its table.
    #[must_use]
    pub fn set(mut self, key: &str, toml: &str) -> Self {
        self.keys.insert(key.to_owned(), toml.to_owned());
        self
    }

    /// Its table. `stack` is the stack's folder.
    pub(crate) fn toml(&self, stack: &Path) -> String {
        let mut keys: Toml = [
            ("name", format!("{:?}", self.name)),
            ("folder", format!("\"{}\"", self.folder(stack).display())),
            // A busy machine must not look like a plugin that hangs.
            ("limits.time", "\"5s\"".to_owned()),
            ("limits.wall", "\"20s\"".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        keys.extend(self.keys.clone());
        inline(&keys)
    }

    fn folder(&self, stack: &Path) -> PathBuf {
        stack.join("plugins").join(&self.name)
    }

    /// Puts a fresh copy in its place.
    pub(crate) fn place(&self, stack: &Path, signed: bool) -> Result<(), Failure> {
        let folder = self.folder(stack);
        remove(&folder)?;
        match &self.guest {
            Guest::Built(name) => copy(&built(name)?, &folder)?,
            Guest::Fixed(verdict) => {
                let (manifest, module) = verdict.files()?;
                put(&folder.join("plugin.toml"), manifest.as_bytes())?;
                put(&folder.join("fixed.wasm"), &module)?;
            }
        }
        if signed { sign(&folder, TRUSTED) } else { Ok(()) }
    }

    /// Breaks the copy, as disks, slips and attackers do.
    pub(crate) fn spoil(&self, stack: &Path, how: &str, signed: bool) -> Result<(), Failure> {
        let folder = self.folder(stack);
        let manifest = folder.join("plugin.toml");
        let wasm = component(&folder)?;
        let bytes = std::fs::read(&wasm)?;
        match how {
            // As an update is put in place: another file under the old name.
            "trap" => replace(&wasm, &guest::trapping(&std::fs::read_to_string(&manifest)?)?)?,
            "delete" => remove(&folder)?,
            "truncate" => replace(&wasm, bytes.get(..bytes.len() / 2).unwrap_or_default())?,
            "garbage" => replace(&wasm, &bytes.iter().map(|byte| byte ^ 0x5a).collect::<Vec<_>>())?,
            "cwasm" => replace(&wasm, &compiled(stack)?)?,
            "unsign" => std::fs::remove_file(signature(&wasm))?,
            "sign-otherwise" => sign(&folder, STRANGER)?,
            "manifest" => {
                let text = std::fs::read_to_string(&manifest)?;
                replace(&manifest, format!("{text}\n# changed\n").as_bytes())?;
            }
            "newer" => replace(&wasm, &guest::newer(bytes))?,
            _ => return Err(format!("no such way to break a plugin: {how}").into()),
        }
        // Code of the author's own: rightly signed, and bad.
        if signed && matches!(how, "trap" | "truncate" | "garbage" | "cwasm" | "newer") {
            sign(&folder, TRUSTED)?;
        }
        Ok(())
    }
}

/// The public key of those who may sign, as PEM.
pub(crate) fn public_pem() -> String {
    let key = SigningKey::from_bytes(&TRUSTED).verifying_key();
    let der = [SPKI.as_slice(), key.as_bytes()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

fn sign(folder: &Path, seed: [u8; 32]) -> Result<(), Failure> {
    let wasm = component(folder)?;
    let manifest = Sha256::digest(std::fs::read(folder.join("plugin.toml"))?);
    let message = [DOMAIN, &manifest, &Sha256::digest(std::fs::read(&wasm)?)].concat();
    let signed = SigningKey::from_bytes(&seed).sign(&message);
    put(&signature(&wasm), format!("{}\n", STANDARD.encode(signed.to_bytes())).as_bytes())
}

fn signature(wasm: &Path) -> PathBuf {
    let mut name = wasm.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// The one component of a plugin's folder.
fn component(folder: &Path) -> Result<PathBuf, Failure> {
    let files = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut wasm = files.filter(|file| file.extension().is_some_and(|extension| extension == "wasm"));
    wasm.next().ok_or_else(|| format!("{} has no component", folder.display()).into())
}

fn replace(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let beside = file.with_extension("new");
    put(&beside, bytes)?;
    Ok(std::fs::rename(beside, file)?)
}

/// What the gateway itself compiled, from its own folder.
fn compiled(stack: &Path) -> Result<Vec<u8>, Failure> {
    let mut largest = Vec::new();
    for entry in std::fs::read_dir(stack.join("code"))?.flatten() {
        let bytes = std::fs::read(entry.path()).unwrap_or_default();
        if bytes.len() > largest.len() {
            largest = bytes;
        }
    }
    // Some caches put a head of their own before the object file.
    let elf = largest.windows(4).position(|window| window == b"\x7fELF").ok_or("there is no compiled code")?;
    Ok(largest.split_off(elf))
}

/// Where `scripts/guests` has laid a plugin out.
fn built(guest: &str) -> Result<PathBuf, ProcessError> {
    let folder = target_folder().join("plugins").join(guest);
    if folder.join("plugin.toml").is_file() { Ok(folder) } else { Err(ProcessError::NoPlugin(folder)) }
}
