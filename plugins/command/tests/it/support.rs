//! Runs the command.
#![expect(clippy::disallowed_methods, reason = "tests write into temporary folders")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The variable that makes this program the command.
pub(crate) const AS_COMMAND: &str = "STREAMVAULT_TEST_PLUGIN_COMMAND";

/// What a command left behind.
pub(crate) struct Done {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Panics with all there is to know if the status is another.
    pub(crate) fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, status, "--- out\n{}--- err\n{}", self.out, self.err);
        self
    }
}

/// `gateway plugin ARGUMENTS...`
pub(crate) fn plugin<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Done {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments).env(AS_COMMAND, "1").env("CARGO_TARGET_DIR", target()).env_remove("RUST_LOG");
    Done::of(command.output().unwrap())
}

/// Where projects are compiled: where the plugins that ship are, so that what both need is compiled once.
pub(crate) fn target() -> PathBuf {
    shared().join("guests")
}

/// An empty folder that is always the same: cargo keeps apart what it compiles by path, and would keep all of it.
pub(crate) fn workbench(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-projects").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The workspace's target folder.
pub(crate) fn shared() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

/// The folder of plugins/.
pub(crate) fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) fn write(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A plugin that ships, as `scripts/guests` lays it out.
pub(crate) fn shipped(name: &str) -> PathBuf {
    let folder = shared().join("plugins").join(name);
    assert!(folder.join("plugin.toml").is_file(), "{} is not there: run scripts/guests", folder.display());
    folder
}

/// A copy of a folder's files, to be spoiled.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// Settings of a gateway with one tenant, and what else a test says.
pub(crate) fn settings(more: &str) -> String {
    format!(
        r#"
{more}

[hive]
token = "hive-token"

[[tenant]]
id = "films"
domains = ["films.example"]
channels = [-1001]
[tenant.link]
secrets = [{{ id = "main", secret = "link-secret" }}]
"#
    )
}
