//! The list on disk: one file that people can read and that is replaced as a whole.
//!
//! A first line that says what it is; a line for each record, and at its end a checksum of it; a last line with the number of records and a
//! checksum of all before it. So a changed line is found by its own checksum, and a lost one, or an end that is cut off, by the last line's.
//!
//! To save is to write a second file, have it on the disk, and give it the first one's name: whoever dies at any point of it leaves the old
//! list or the new one. Nothing is ever appended or mended: a file that is not whole was damaged from outside, and what it lacks is
//! something that must not be served.

use crate::list::List;
use crate::record::Record;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const FIRST_LINE: &str = "streamvault takedowns 1: change it by \"gateway takedown\" only";

/// The file with the list. Held by one process at a time.
#[derive(Debug)]
pub struct ListFile {
    path: PathBuf,
    _lock: File,
}

/// Why there is no list to go by.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Nothing is there.
    #[error(
        "{path} is missing: it holds what must not be served. Put it back (a volume that is not mounted?), or, if nothing was ever taken down here, \
         make an empty one: gateway takedown init",
        path = .0.display()
    )]
    Missing(PathBuf),
    /// It is there already.
    #[error("{path} is there already", path = .0.display())]
    Exists(PathBuf),
    /// It is not as it was written.
    #[error("{path}, line {line}: {what}. It holds what must not be served: put a good copy in its place", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// Another process holds it.
    #[error("{path} is in use by another process", path = .0.display())]
    InUse(PathBuf),
    /// The disk failed.
    #[error("{path}: {source}", path = .path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ListFile {
    /// Makes a file with an empty list, and its folder if that one's parent exists.
    ///
    /// # Errors
    /// [`FileError::Exists`], [`FileError::InUse`], [`FileError::Disk`].
    pub fn create(path: &Path) -> Result<(), FileError> {
        let failed = |source| FileError::Disk { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            match std::fs::create_dir(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
                _ => {}
            }
        }
        let file = Self::lock(path)?;
        if path.try_exists().map_err(failed)? {
            return Err(FileError::Exists(path.to_owned()));
        }
        file.save(&List::default())
    }

    /// Takes hold of the file and reads the list.
    ///
    /// # Errors
    /// Every [`FileError`] but [`FileError::Exists`].
    pub fn open(path: &Path) -> Result<(Self, List), FileError> {
        let file = Self::lock(path)?;
        let list = Self::read(path)?;
        Ok((file, list))
    }

    /// Reads the list, whoever holds the file.
    ///
    /// # Errors
    /// [`FileError::Missing`], [`FileError::Damaged`], [`FileError::Disk`].
    pub fn read(path: &Path) -> Result<List, FileError> {
        let mut text = Vec::new();
        match File::open(path).and_then(|mut file| file.read_to_end(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(FileError::Missing(path.to_owned())),
            Err(source) => return Err(FileError::Disk { path: path.to_owned(), source }),
        }
        read_list(&text).map_err(|(line, what)| FileError::Damaged { path: path.to_owned(), line, what })
    }

    /// Puts a list in the place of the one before. It is on the disk when this returns. Blocks.
    ///
    /// # Errors
    /// [`FileError::Disk`]: the file is as it was before, or holds the new list if only that it is on the disk could not be made sure.
    pub fn save(&self, list: &List) -> Result<(), FileError> {
        self.replace(write_list(list).as_bytes()).map_err(|source| FileError::Disk { path: self.path.clone(), source })
    }

    fn replace(&self, text: &[u8]) -> io::Result<()> {
        let new = beside(&self.path, "new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        // The name, too, must survive.
        match self.path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Two processes that save the same file would each lose what the other wrote.
    fn lock(path: &Path) -> Result<Self, FileError> {
        let failed = |source| FileError::Disk { path: path.to_owned(), source };
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside(path, "lock"));
        let lock = match lock {
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(FileError::Missing(path.to_owned())),
            lock => lock.map_err(failed)?,
        };
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(FileError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

/// The path with another ending after its own.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

fn write_list(list: &List) -> String {
    let mut text = format!("{FIRST_LINE}\n");
    let records = list.records();
    for record in &records {
        let line = record.to_string();
        text.push_str(&format!("{line}\t{:016x}\n", xxh3_64(line.as_bytes())));
    }
    let checksum = xxh3_64(text.as_bytes());
    text.push_str(&format!("end\t{}\t{checksum:016x}\n", records.len()));
    text
}

/// The list, or the line where it stops to be one.
fn read_list(bytes: &[u8]) -> Result<List, (usize, &'static str)> {
    let text = std::str::from_utf8(bytes).map_err(|_| (1, "it is no text"))?;
    let mut list = List::default();
    let mut records = 0;
    let mut before = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let whole = line.strip_suffix('\n').ok_or((number, "its end is missing"))?;
        if number == 1 {
            if whole != FIRST_LINE {
                return Err((1, "it is no list of takedowns that this release can read"));
            }
        } else if let Some(rest) = whole.strip_prefix("end\t") {
            let checksum = xxh3_64(text.get(..before).unwrap_or_default().as_bytes());
            let right = rest == format!("{records}\t{checksum:016x}");
            let last = before + line.len() == text.len();
            return match (right, last) {
                (true, true) => Ok(list),
                (false, _) => Err((number, "lines before it are missing or were changed")),
                (true, false) => Err((number + 1, "something stands after the end")),
            };
        } else {
            let (record, checksum) = whole.rsplit_once('\t').ok_or((number, "it is cut off"))?;
            if checksum != format!("{:016x}", xxh3_64(record.as_bytes())) {
                return Err((number, "its checksum is wrong"));
            }
            list.merge(record.parse::<Record>().map_err(|_| (number, "it can't be read"))?);
            records += 1;
        }
        before += line.len();
    }
    Err((text.lines().count() + 1, "the end is missing"))
}
