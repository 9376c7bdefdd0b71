//! Reads and writes files for people who wrote their paths on a command line.

use crate::error::CommandError;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CommandError> {
    fs::read(path).map_err(CommandError::file(path))
}

pub(crate) fn read_text(path: &Path) -> Result<String, CommandError> {
    fs::read_to_string(path).map_err(CommandError::file(path))
}

/// Files of a folder that end so, in order; none if there is no folder.
pub(crate) fn files(folder: &Path, end: &str) -> Result<Vec<PathBuf>, CommandError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CommandError::file(folder)(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(CommandError::file(folder))?.path();
        if path.extension().is_some_and(|found| found == end) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file of a new project, with the folders that lead to it.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<(), CommandError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(CommandError::file(folder))?;
    }
    create(path, 0o644, text.as_bytes())
}

/// A file that nobody else can read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), CommandError> {
    create(path, 0o600, text.as_bytes())
}

/// Never overwrites.
fn create(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), CommandError> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path).map_err(CommandError::file(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(CommandError::file(path))
}

/// True if the folder is not there, or has nothing in it.
pub(crate) fn is_free(folder: &Path) -> Result<bool, CommandError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(CommandError::file(folder)(error)),
    }
}

/// Puts a file in the place of another in one step: who looks meanwhile sees the old one or the new one.
pub(crate) fn place(path: &Path, bytes: &[u8]) -> Result<(), CommandError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(CommandError::file(folder))?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o644)
        .open(&beside)
        .map_err(CommandError::file(&beside))?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    written.map_err(CommandError::file(path))
}
