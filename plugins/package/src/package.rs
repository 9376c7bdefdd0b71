//! A plugin as it is run: what its folder holds, checked against what the operator says.

use crate::error::{PackageError, SpecProblem};
use crate::files::{Folder, refused};
use crate::hook::{FailPolicy, Hook, Isolation};
use crate::limits::LimitOverrides;
use crate::manifest::{Manifest, ORDER, check_fail};
use crate::names::{NAME, is_name};
use crate::settings::{Settings, settle};
use crate::trust::Trust;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "plugin.toml";
const LONGEST_MANIFEST: u64 = 256 << 10;
const LARGEST_WASM: u64 = 64 << 20;
const LONGEST_SIGNATURE: u64 = 4 << 10;

/// How a module and a component begin.
const WASM_MAGIC: &[u8] = b"\0asm";

/// Which tenants' requests a plugin is asked about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tenants {
    /// All of them.
    #[default]
    All,
    /// These, by id.
    Only(BTreeSet<String>),
}

impl Tenants {
    /// True if requests of this tenant are meant.
    #[must_use]
    pub fn include(&self, tenant: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(ids) => ids.contains(tenant),
        }
    }
}

/// What the operator says about one plugin: a `[[plugin]]` table of the gateway's settings. What is `None` is as the manifest
/// has it.
#[derive(Clone, PartialEq)]
pub struct Spec {
    /// The operator's name for it, in logs, metrics and store keys: 1 to 64 of a-z, 0-9, `-`, `_`. Need not be the manifest's, so
    /// that one plugin can be there twice.
    pub name: String,
    /// Folder with `plugin.toml` and the component.
    pub folder: PathBuf,
    /// Whose requests it is asked about.
    pub tenants: Tenants,
    /// In the place of [`Manifest::order`].
    pub order: Option<i32>,
    /// In the place of [`Manifest::fail`].
    pub fail: Option<FailPolicy>,
    /// In the place of [`Manifest::isolation`].
    pub isolation: Option<Isolation>,
    /// In the place of [`Manifest::canary`]: 0 to 1. 0 stages a new generation, which then gets no request until it is promoted;
    /// 1 means all at once.
    pub canary: Option<f64>,
    /// In the place of those of [`Manifest::limits`].
    pub limits: LimitOverrides,
    /// What the plugin is for: a manifest of another hook is refused. Whoever may write the folder could otherwise turn a guard into
    /// an observer.
    pub hook: Option<Hook>,
    /// The component's hash: no other is loaded. The manifest may still change; only a signature covers both.
    pub sha256: Option<[u8; 32]>,
    /// What the manifest's schema asks for. A secret is a text, `{ file = "/path" }` or `{ env = "NAME" }`.
    pub settings: toml::Table,
    /// False: known, but neither loaded nor asked.
    pub enabled: bool,
}

impl Spec {
    /// A folder as its author meant it: nothing overridden, no settings.
    #[must_use]
    pub fn new(name: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            folder: folder.into(),
            tenants: Tenants::All,
            order: None,
            fail: None,
            isolation: None,
            canary: None,
            limits: LimitOverrides::default(),
            hook: None,
            sha256: None,
            settings: toml::Table::new(),
            enabled: true,
        }
    }
}

impl fmt::Debug for Spec {
    /// Of the settings only the names: one of them may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("name", &self.name)
            .field("folder", &self.folder)
            .field("tenants", &self.tenants)
            .field("enabled", &self.enabled)
            .field("settings", &self.settings.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// A plugin that passed every check of this crate. What its component imports and exports is for the host to check.
#[derive(Clone, PartialEq)]
pub struct Package {
    /// The operator's name for it.
    pub name: String,
    /// What it says about itself, with the operator's overrides.
    pub manifest: Manifest,
    /// Every setting that the operator gave or that has a default.
    pub settings: Settings,
    /// A component or a core module, up to 64 MiB.
    pub wasm: Vec<u8>,
    /// Hash of `wasm`.
    pub sha256: [u8; 32],
    /// Id of the trusted key that signed manifest and component, if any did.
    pub signed_by: Option<String>,
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Package")
            .field("name", &self.name)
            .field("manifest", &self.manifest)
            .field("settings", &self.settings)
            .field("wasm", &format_args!("{} bytes", self.wasm.len()))
            .field("signed_by", &self.signed_by)
            .finish_non_exhaustive()
    }
}

impl Package {
    /// Reads a plugin's folder, each file once, and checks all of it against what the operator says.
    ///
    /// # Errors
    /// A [`PackageError`] for the first kind of fault that was met, with every problem of that kind.
    pub fn open(spec: &Spec, trust: &Trust) -> Result<Self, PackageError> {
        let Files { folder, manifest: text, parsed: mut manifest, wasm } = Files::read(&spec.folder)?;
        let file = folder.path(&manifest.wasm);
        let sha256: [u8; 32] = Sha256::digest(&wasm).into();
        if let Some(pinned) = spec.sha256.filter(|pinned| *pinned != sha256) {
            return Err(PackageError::Pin { file, found: hex(&sha256), pinned: hex(&pinned) });
        }
        let signed_by = signer(&folder, trust, &manifest, &text, &wasm)?;
        // Only now: the settings may name files to read, which an untrusted manifest has no say in.
        let settings = spec.settle(&mut manifest).map_err(PackageError::Spec)?;
        Ok(Self { name: spec.name.clone(), manifest, settings, wasm, sha256, signed_by })
    }
}

/// What the manifest of a folder says it is for, however little else of it holds. It is nobody's word until the whole is checked: enough
/// to choose whom the failing of a plugin that can't be loaded concerns. `None` if it can't be read or says nothing known.
///
/// Reads as [`Package::open`] does: no pipe, device or endless file holds the caller up.
#[must_use]
pub fn claimed_hook(folder: &Path) -> Option<Hook> {
    let manifest = Folder::open(folder).ok()?.read(MANIFEST, LONGEST_MANIFEST).ok()??;
    let manifest: toml::Table = str::from_utf8(&manifest).ok()?.parse().ok()?;
    manifest.get("hook")?.clone().try_into().ok()
}

impl Manifest {
    /// Reads and checks the manifest of a folder, and that there is a component beside it: all that can be said without an
    /// operator's settings.
    ///
    /// # Errors
    /// A [`PackageError`].
    pub fn read(folder: &Path) -> Result<Self, PackageError> {
        Files::read(folder).map(|files| files.parsed)
    }
}

/// What a folder holds.
pub(crate) struct Files {
    pub(crate) folder: Folder,
    /// `plugin.toml`, as it was read.
    pub(crate) manifest: Vec<u8>,
    pub(crate) parsed: Manifest,
    pub(crate) wasm: Vec<u8>,
}

impl Files {
    pub(crate) fn read(path: &Path) -> Result<Self, PackageError> {
        let folder = Folder::open(path)?;
        let file = folder.path(MANIFEST);
        let manifest = folder.read(MANIFEST, LONGEST_MANIFEST)?.ok_or_else(|| absent(&file))?;
        let text = str::from_utf8(&manifest).map_err(|_| refused(&file, "is not UTF-8 text"))?;
        let parsed = Manifest::parse(text, &file)?;
        let file = folder.path(&parsed.wasm);
        let wasm = folder.read(&parsed.wasm, LARGEST_WASM)?.ok_or_else(|| absent(&file))?;
        if wasm.starts_with(b"\x7fELF") {
            return Err(refused(&file, "is compiled code (.cwasm), which is not accepted, whatever its name"));
        }
        if !wasm.starts_with(WASM_MAGIC) {
            return Err(refused(&file, "is no WebAssembly: it doesn't begin with \"\\0asm\""));
        }
        Ok(Self { folder, manifest, parsed, wasm })
    }

    /// Name of the signature's file.
    pub(crate) fn signature(manifest: &Manifest) -> String {
        format!("{}.sig", manifest.wasm)
    }
}

/// Who signed, if anybody did whom we know.
fn signer(
    folder: &Folder,
    trust: &Trust,
    manifest: &Manifest,
    text: &[u8],
    wasm: &[u8],
) -> Result<Option<String>, PackageError> {
    let name = Files::signature(manifest);
    let file = folder.path(&name);
    if trust.keys.is_empty() && !trust.require_signature {
        return Ok(None);
    }
    match folder.read(&name, LONGEST_SIGNATURE)? {
        Some(signature) => match trust.signer(&signature, text, wasm) {
            Some(id) => Ok(Some(id.to_owned())),
            None => Err(PackageError::BadSignature { file }),
        },
        None if trust.require_signature => Err(PackageError::Unsigned { file }),
        None => Ok(None),
    }
}

impl Spec {
    /// Puts what the operator says in the place of what the manifest said, and checks the settings.
    fn settle(&self, manifest: &mut Manifest) -> Result<Settings, Vec<SpecProblem>> {
        let mut wrong: Vec<(String, String)> = Vec::new();
        let mut check = |good: bool, key: &str, message: &str| {
            if !good {
                wrong.push((key.to_owned(), message.to_owned()));
            }
        };
        check(is_name(&self.name), "name", NAME);
        if let Some(hook) = self.hook {
            let message = format!("the settings say {hook}, but the plugin is for {}", manifest.hook);
            check(hook == manifest.hook, "hook", &message);
        }
        if let Tenants::Only(ids) = &self.tenants {
            check(manifest.hook != Hook::Tenant, "tenants", "a tenant plugin is asked before there is a tenant");
            check(!ids.is_empty(), "tenants", "must name a tenant; leave it out for all, or disable the plugin");
        }
        if let Some(order) = self.order {
            let message = format!("must lie between {} and {}", ORDER.start(), ORDER.end());
            check(ORDER.contains(&order), "order", &message);
            manifest.order = order;
        }
        if let Some(fail) = self.fail {
            let fits = check_fail(manifest.hook, fail);
            check(fits.is_ok(), "fail", fits.err().unwrap_or_default());
            manifest.fail = fail;
        }
        if let Some(share) = self.canary {
            check((0.0..=1.0).contains(&share), "canary", "must be a share from 0.0 to 1.0");
            manifest.canary = Some(share).filter(|share| *share < 1.0);
        }
        manifest.isolation = self.isolation.unwrap_or(manifest.isolation);
        let limits = manifest.limits.apply(&self.limits);
        wrong.extend(limits.into_iter().map(|wrong| (format!("limits.{}", wrong.key), wrong.message)));
        let settings = settle(&manifest.schema, &self.settings).unwrap_or_else(|problems| {
            wrong.extend(problems.into_iter().map(|(name, message)| (format!("settings.{name}"), message)));
            Settings::new()
        });
        if wrong.is_empty() {
            return Ok(settings);
        }
        let problem = |(key, message)| SpecProblem { plugin: self.name.clone(), key, message };
        Err(wrong.into_iter().map(problem).collect())
    }
}

fn absent(file: &Path) -> PackageError {
    refused(file, "is not there")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
