//! A plugin as it is run: what its folder holds, checked against what the operator says.

use crate::hook::{FailPolicy, Isolation};
use crate::limits::LimitOverrides;
use crate::manifest::Manifest;
use crate::settings::Settings;
use crate::trust::Trust;
use config::Problem;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

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
    /// In the place of [`Manifest::canary`]: 0 to 1; 0 and 1 both mean all at once.
    pub canary: Option<f64>,
    /// In the place of those of [`Manifest::limits`].
    pub limits: LimitOverrides,
    /// The component's hash: no other is loaded.
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

/// Why a plugin is not loaded. Messages name the file and the key, and say what is wanted; none contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file that can't be read.
    #[error("{file}: can't be read: {source}", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that is not taken for what it is: too large, writable by everybody, no regular file, compiled code.
    #[error("{file}: {reason}", file = file.display())]
    Refused {
        /// The file.
        file: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The manifest doesn't hold: at least one problem, in the order of their lines.
    #[error("{}", lines(.0))]
    Manifest(Vec<Problem>),
    /// What the operator says doesn't fit the manifest; at least one.
    #[error("{}", lines(.0))]
    Spec(Vec<SpecProblem>),
    /// The component is another than the operator pinned.
    #[error("{file}: has sha256 {found}, but the settings pin {pinned}", file = file.display())]
    Pin {
        /// The component.
        file: PathBuf,
        /// Its hash in hexadecimal.
        found: String,
        /// The hash that was wanted.
        pinned: String,
    },
    /// No signature, though one is required.
    #[error("{file}: is not there, but only signed plugins are loaded", file = file.display())]
    Unsigned {
        /// Where the signature was looked for.
        file: PathBuf,
    },
    /// A signature that none of the trusted keys made over these very files.
    #[error("{file}: none of the trusted keys signed this plugin.toml with this component", file = file.display())]
    BadSignature {
        /// The signature.
        file: PathBuf,
    },
}

/// One thing that the operator says and that doesn't fit; prints as `plugin NAME: key: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecProblem {
    /// [`Spec::name`].
    pub plugin: String,
    /// Path of the key below `[[plugin]]`, such as `settings.tiers`.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for SpecProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {}: {}: {}", self.plugin, self.key, self.message)
    }
}

fn lines(problems: &[impl fmt::Display]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Package {
    /// Reads a plugin's folder, each file once, and checks all of it.
    ///
    /// # Errors
    /// A [`PackageError`] for the first kind of fault that was met.
    pub fn open(spec: &Spec, trust: &Trust) -> Result<Self, PackageError> {
        let _ = trust;
        let file: &Path = &spec.folder;
        Err(PackageError::Refused { file: file.to_owned(), reason: "nothing is loaded yet".to_owned() })
    }
}
