//! A world made out of a folder: every file is one message of one channel.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::derive;
use crate::world::{Account, Channel, Document, World};

/// Which files of a folder lie on the foreign data-centre.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// None: all lie on the home data-centre, 2.
    #[default]
    Home,
    /// Every second one lies on data-centre 4.
    Alternate,
    /// All lie on data-centre 4.
    Foreign,
}

/// How a folder becomes a world.
#[derive(Clone, Debug)]
pub struct FolderOptions {
    /// All keys and hashes follow from this.
    pub seed: u64,
    /// Where the files lie.
    pub placement: Placement,
    /// Bots to make, named `bot-1`, `bot-2` and so on.
    pub bots: u32,
    /// Premium users to make, named `user-1`, `user-2` and so on.
    pub users: u32,
}

impl Default for FolderOptions {
    fn default() -> Self {
        Self { seed: 1, placement: Placement::Home, bots: 2, users: 1 }
    }
}

/// The channel that a folder becomes.
const CHANNEL: i64 = 1_700_000_001;
const HOME: i32 = 2;
const FOREIGN: i32 = 4;

impl World {
    /// Reads a folder, and the folders in it, in the order of their names; what begins with a dot is left out. Message
    /// ids count from 2, as the first message of a channel is always its creation. Document ids follow from path, size
    /// and time of change, so that a changed file is another document even in the next run.
    ///
    /// # Errors
    /// Whatever reading the folder or opening a file says, with its path.
    pub fn from_folder(folder: &Path, options: &FolderOptions) -> io::Result<Self> {
        let mut world = Self::new(options.seed);
        for number in 1..=options.bots {
            world.accounts.push(Account::bot(&format!("bot-{number}"), 7_000_000_000 + i64::from(number)));
        }
        for number in 1..=options.users {
            world.accounts.push(Account::user(&format!("user-{number}"), 5_000_000_000 + i64::from(number)).premium());
        }
        let title = folder.file_name().map_or_else(|| "Library".to_owned(), |name| name.to_string_lossy().into_owned());
        let mut channel = Channel::new(CHANNEL, &title);
        for (index, path) in files(folder)?.iter().enumerate() {
            let dc = match options.placement {
                Placement::Home => HOME,
                Placement::Alternate if index % 2 == 0 => HOME,
                Placement::Alternate | Placement::Foreign => FOREIGN,
            };
            let document = document(path, folder, dc, options.seed).map_err(|error| at(path, &error))?;
            channel = channel.with_document(index as i32 + 2, document);
        }
        world.channels.push(channel);
        Ok(world)
    }
}

fn document(path: &Path, folder: &Path, dc: i32, seed: u64) -> io::Result<Document> {
    let mut document = Document::from_file(path, dc)?;
    let metadata = fs::metadata(path)?;
    let name = derive::number(0, &path.strip_prefix(folder).unwrap_or(path).to_string_lossy(), &[]);
    let parts = [name, document.size as i64, metadata.mtime(), metadata.mtime_nsec()];
    document.id = (derive::number(seed, "file", &parts) & (i64::MAX >> 1)) | (1 << 60);
    document.date = i32::try_from(metadata.mtime()).unwrap_or(document.date).max(1);
    Ok(document)
}

fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| at(&folder, &error))? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            let metadata = fs::metadata(&path).map_err(|error| at(&path, &error))?;
            if metadata.is_file() {
                found.push(path);
            } else if metadata.is_dir() && !path.is_symlink() {
                // Links to folders are left out: they could lead back up.
                waiting.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_path_size_and_time_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000);
        for name in ["a", "b"] {
            fs::create_dir(at(name)).unwrap();
            let file = fs::File::create(at(name).join("same.txt")).unwrap();
            file.set_len(3).unwrap();
            file.set_modified(time).unwrap();
        }
        let options = FolderOptions { placement: Placement::Alternate, ..FolderOptions::default() };
        let documents = || {
            let world = World::from_folder(folder.path(), &options).unwrap();
            assert_eq!(world.check(), Ok(()));
            let messages = world.channels[0].messages.iter();
            messages.map(|message| message.document.clone().unwrap()).collect::<Vec<_>>()
        };
        let ids = || documents().iter().map(|document| document.id).collect::<Vec<_>>();
        let first = documents();
        assert_eq!((first[0].dc, first[1].dc), (2, 4));
        assert_eq!((first[0].date, first[0].size), (1_600_000_000, 3));
        let before = ids();
        assert_eq!(ids(), before);
        let file = fs::File::options().write(true).open(at("b").join("same.txt")).unwrap();
        file.set_modified(time + std::time::Duration::from_nanos(1_000_000)).unwrap();
        let after = ids();
        assert_eq!(after[0], before[0]);
        assert_ne!(after[1], before[1]);
        assert!(World::from_folder(&at("nothing"), &options).unwrap_err().to_string().contains("nothing"));
    }
}
