//! The stack's temporary folder.
#![expect(clippy::disallowed_methods, reason = "the harness owns its temporary folder")]

use crate::Failure;
use std::path::Path;

/// Writes a file, and the folders above it.
pub(crate) fn put(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(std::fs::write(file, bytes)?)
}

/// Removes a folder, if it is there.
pub(crate) fn remove(folder: &Path) -> Result<(), Failure> {
    if folder.exists() { Ok(std::fs::remove_dir_all(folder)?) } else { Ok(()) }
}

/// Copies the files of a folder.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)?.flatten().filter(|entry| entry.path().is_file()) {
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
