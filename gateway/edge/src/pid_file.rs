//! The number of the process that serves, for scripts that ask for it.

use std::io;
use std::path::Path;

/// Replaces the file as a whole: who reads it meets the old number or the new one.
#[expect(clippy::disallowed_methods, reason = "this file owns its own small file")]
pub(crate) fn write(path: &Path) -> io::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, format!("{}\n", std::process::id()))?;
    std::fs::rename(&new, path)
}
