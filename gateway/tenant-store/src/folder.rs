//! The folder: `ID.toml` is a tenant, `ID/NAME` one of its secrets.
//!
//! A tenant is saved secrets first: until its own file names them, they are nobody's. What no file names is deleted when the tenant is saved again, or by
//! the next start; the secrets of a tenant that has no file at all by a start that finds them an hour old, since the process before may be about to write it.

use crate::entry::Entry;
use crate::record::Record;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest file in bytes that is read: a tenant with thousands of domains has less.
const LONGEST: u64 = 1 << 20;
/// What a tenant without a file leaves behind is deleted if it is so old.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);
const FIRST_LINE: &str = "# A tenant. Written by the gateway: change it by \"gateway admin tenants\" only.\n";

/// Where tenants are kept.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Opened {
    /// Tenants, deleted ones too.
    pub entries: Vec<Entry>,
    /// Ids of tenants that can't be read, and why. No secret stands in there.
    pub broken: BTreeMap<String, String>,
}

/// The folder can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct StoreError {
    path: PathBuf,
    source: io::Error,
}

impl Folder {
    /// Makes the folder if its parent exists, and reads all that is there. Blocks.
    ///
    /// # Errors
    /// It can't be made or listed.
    pub fn open(path: &Path) -> Result<(Self, Opened), StoreError> {
        let failed = |source| StoreError { path: path.to_owned(), source };
        make(path).map_err(failed)?;
        let folder = Self { path: path.to_owned() };
        let mut opened = Opened::default();
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(path).map_err(failed)?.flatten().map(|found| found.path()).collect();
        files.sort();
        for file in files {
            let Some(name) = file.file_name().and_then(|name| name.to_str()) else { continue };
            let Some(id) = name.strip_suffix(".toml").filter(|id| is_name(id)) else {
                folder.tidy_orphans(name);
                continue;
            };
            match folder.read(id) {
                Ok(entry) => {
                    folder.tidy(&entry);
                    opened.entries.push(entry);
                }
                Err(error) => drop(opened.broken.insert(id.to_owned(), error.to_string())),
            }
        }
        Ok((folder, opened))
    }

    /// Puts a tenant in the place of what was there. It is on the disk when this returns. Blocks.
    ///
    /// # Errors
    /// It is as it was before, or new if only that it is on the disk could not be made sure.
    pub fn save(&self, entry: &Entry) -> Result<(), StoreError> {
        self.write(entry).map_err(|source| StoreError { path: self.file(&entry.id), source })?;
        self.tidy(entry);
        Ok(())
    }

    fn write(&self, entry: &Entry) -> io::Result<()> {
        if !is_name(&entry.id) || entry.secrets.keys().any(|name| !is_name(name)) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let text = toml::to_string(&entry.record).map_err(io::Error::other)?;
        let secrets = self.path.join(&entry.id);
        if !entry.secrets.is_empty() {
            make(&secrets)?;
            for (name, secret) in &entry.secrets {
                replace(&secrets.join(name), secret.expose_secret().as_bytes())?;
            }
        }
        replace(&self.file(&entry.id), format!("{FIRST_LINE}{text}").as_bytes())
    }

    fn read(&self, id: &str) -> io::Result<Entry> {
        let text = read(&self.file(id))?;
        // The parser's own error would quote the file, in which nothing is secret.
        let record: Record = toml::from_str(&text).map_err(io::Error::other)?;
        let mut secrets = BTreeMap::new();
        for note in &record.secrets {
            if !is_name(&note.id) {
                return Err(io::Error::other("a secret has no good name"));
            }
            secrets.insert(note.id.clone(), SecretString::from(read(&self.path.join(id).join(&note.id))?));
        }
        Ok(Entry { id: id.to_owned(), record, secrets })
    }

    /// Deletes secrets that are the tenant's no more. What can't be deleted is deleted the next time.
    fn tidy(&self, entry: &Entry) {
        let folder = self.path.join(&entry.id);
        for found in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let known = found.file_name().to_str().is_some_and(|name| entry.secrets.contains_key(name));
            if !known && let Err(error) = std::fs::remove_file(found.path()) {
                tracing::warn!(%error, tenant = entry.id, "an old secret could not be deleted");
            }
        }
        if entry.secrets.is_empty() {
            let _ = std::fs::remove_dir(&folder);
        }
    }

    /// Deletes secrets whose tenant was never written, and the half of a tenant's file.
    fn tidy_orphans(&self, name: &str) {
        let path = self.path.join(name);
        let is_half = name.strip_suffix(".toml.new").is_some_and(is_name);
        let is_orphan = is_name(name) && path.is_dir() && !self.file(name).exists();
        let modified = std::fs::symlink_metadata(&path).and_then(|found| found.modified());
        let is_old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age >= LEFT_BEHIND));
        if is_half && is_old {
            let _ = std::fs::remove_file(&path);
        }
        if is_orphan && is_old {
            for found in std::fs::read_dir(&path).into_iter().flatten().flatten() {
                let is_secret = found.file_name().to_str().is_some_and(|name| is_name(name.trim_end_matches(".new")));
                if is_secret && let Err(error) = std::fs::remove_file(found.path()) {
                    tracing::warn!(%error, tenant = name, "an old secret could not be deleted");
                }
            }
            let _ = std::fs::remove_dir(&path);
        }
    }

    fn file(&self, id: &str) -> PathBuf {
        self.path.join(format!("{id}.toml"))
    }
}

/// As `config` has it for ids; and no path leads out of the folder.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
}

fn make(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made,
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST).read_to_string(&mut text)?;
    Ok(text)
}

fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    // The name, too, must survive.
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Folder;
    use crate::entry::Entry;
    use crate::entry::tests::settings;
    use std::os::unix::fs::PermissionsExt;

    fn signers(entry: &Entry) -> Vec<String> {
        entry.tenant(0).unwrap().link.secrets.iter().map(|secret| secret.secret.expose().to_owned()).collect()
    }

    #[test]
    fn what_is_saved_is_found_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("tenants");
        let (folder, opened) = Folder::open(&path).unwrap();
        assert!(opened.entries.is_empty());
        let made = Entry::new("a", settings("a.example"), "first secret".into(), ("ops", 100), None);
        folder.save(&made).unwrap();
        let rotated = made.rotated("second secret".into(), 500, ("ops", 200));
        folder.save(&rotated).unwrap();
        for file in ["a.toml", "a/s1", "a/s2"] {
            let mode = std::fs::metadata(path.join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        assert_eq!(std::fs::metadata(path.join("a")).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!std::fs::read_to_string(path.join("a.toml")).unwrap().contains("second secret"));
        // Left behind by one that died before it was done.
        std::fs::copy(path.join("a/s1"), path.join("a/s3")).unwrap();
        let (folder, opened) = Folder::open(&path).unwrap();
        let [found] = opened.entries.as_slice() else { panic!("{opened:?}") };
        assert_eq!(
            (&found.record, signers(found)),
            (&rotated.record, vec!["second secret".into(), "first secret".into()])
        );
        assert!(!path.join("a/s3").exists());
        folder.save(&found.pruned(500).unwrap()).unwrap();
        assert!(!path.join("a/s1").exists() && path.join("a/s2").exists());
        folder.save(&found.deleted(("ops", 600))).unwrap();
        assert!(!path.join("a").exists());
        let (_, opened) = Folder::open(&path).unwrap();
        assert!(opened.entries[0].record.deleted);
    }

    #[test]
    fn secrets_of_a_tenant_that_was_never_written_go_once_they_are_old() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path();
        let (folder, _) = Folder::open(path).unwrap();
        for id in ["old", "new", "kept"] {
            folder.save(&Entry::new(id, settings("a.example"), "secret".into(), ("ops", 1), None)).unwrap();
        }
        for id in ["old", "new"] {
            std::fs::rename(path.join(format!("{id}.toml")), path.join(format!("{id}.toml.new"))).unwrap();
        }
        std::fs::create_dir(path.join("Not ours")).unwrap();
        for name in ["old", "old.toml.new", "kept", "Not ours"] {
            let file = std::fs::File::open(path.join(name)).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }
        Folder::open(path).unwrap();
        for (name, there) in [
            ("old", false),
            ("old.toml.new", false),
            ("new/s1", true),
            ("new.toml.new", true),
            ("kept/s1", true),
            ("Not ours", true),
        ] {
            assert_eq!(path.join(name).exists(), there, "{name}");
        }
    }

    #[test]
    fn one_that_is_damaged_costs_itself_alone() {
        let home = tempfile::tempdir().unwrap();
        let (folder, _) = Folder::open(home.path()).unwrap();
        for id in ["a", "b", "c"] {
            folder.save(&Entry::new(id, settings("a.example"), "secret".into(), ("ops", 1), None)).unwrap();
        }
        std::fs::copy(home.path().join("a/s1"), home.path().join("a.toml")).unwrap();
        std::fs::remove_file(home.path().join("b/s1")).unwrap();
        let (_, opened) = Folder::open(home.path()).unwrap();
        assert_eq!(opened.entries.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), ["c"]);
        assert_eq!(opened.broken.keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn no_path_leads_out() {
        let home = tempfile::tempdir().unwrap();
        let (folder, _) = Folder::open(home.path()).unwrap();
        for id in ["", "../x", "a/b", ".", "A"] {
            let entry = Entry::new(id, settings("a.example"), "secret".into(), ("ops", 1), None);
            assert!(folder.save(&entry).is_err(), "{id:?}");
        }
    }
}
