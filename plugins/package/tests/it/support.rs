//! A plugin's folder to spoil.

use plugin_package::{Package, PackageError, Spec, Trust};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(crate) const WASM: &[u8] = b"\0asm\x0d\0\x01\0";

pub(crate) const MANIFEST: &str = "name = \"p\"\nversion = \"1.0.0\"\nhook = \"policy\"\n";

/// A folder that is good, in a temporary one that goes with it.
pub(crate) struct Folder {
    home: tempfile::TempDir,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self { home: tempfile::tempdir().unwrap() };
        fs::create_dir(folder.path()).unwrap();
        chmod(&folder.path(), 0o755);
        folder.write("plugin.toml", MANIFEST.as_bytes());
        folder.write("plugin.wasm", WASM);
        folder
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().join("plugin")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Paths relative to the plugin's folder; `..` leads out of it.
    #[expect(clippy::disallowed_methods, reason = "a test's own temporary folder")]
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.file(name), bytes).unwrap();
        chmod(&self.file(name), 0o644);
    }

    pub(crate) fn spec(&self) -> Spec {
        Spec::new("slot", self.path())
    }

    pub(crate) fn open(&self) -> Result<Package, PackageError> {
        Package::open(&self.spec(), &Trust::default())
    }

    /// What an operator reads, without the temporary folder's name.
    pub(crate) fn message(&self, opened: Result<Package, PackageError>) -> String {
        let folder = format!("{}/", self.path().display());
        opened.expect_err("must be refused").to_string().replace(&folder, "").replace(folder.trim_end_matches('/'), ".")
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
