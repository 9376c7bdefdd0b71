//! A folder of files, one gateway's own: `{name}.pem` with key and certificates, `account-{hash}.json`. All are readable by their owner only.

use crate::store::{Bundle, Claim, Store, StoreError};
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SUFFIX: &str = ".pem";

/// A folder.
#[derive(Clone, Debug)]
pub struct FolderStore {
    folder: PathBuf,
}

impl FolderStore {
    /// Makes the folder if its parent exists.
    ///
    /// # Errors
    /// The folder can't be made.
    pub fn open(folder: PathBuf) -> Result<Self, StoreError> {
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed(&folder, error)),
            _ => Ok(Self { folder }),
        }
    }

    /// Names are DNS names ([`crate::ServerName`]): they hold no slash and begin with no dot.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{SUFFIX}"))
    }

    fn account_path(&self, authority: &str) -> PathBuf {
        // An address is no file's name.
        let name: String = Sha256::digest(authority).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(format!("account-{name}.json"))
    }
}

fn failed(path: &Path, error: io::Error) -> StoreError {
    StoreError::File(path.display().to_string(), error)
}

/// Runs what blocks beside the event loop.
async fn aside<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let named = path.clone();
    let done = tokio::task::spawn_blocking(move || work(&path)).await;
    done.map_err(io::Error::other).flatten().map_err(|error| failed(&named, error))
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Whole or not at all: under another name first, synced, then renamed.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}

#[async_trait]
impl Store for FolderStore {
    async fn load(&self, name: &str) -> Result<Option<Bundle>, StoreError> {
        Ok(aside(self.path(name), read).await?.map(Bundle::new))
    }

    async fn save(&self, name: &str, bundle: &Bundle) -> Result<(), StoreError> {
        let bundle = bundle.clone();
        aside(self.path(name), move |path| write(path, bundle.expose())).await
    }

    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let remove = |path: &Path| match std::fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        aside(self.path(name), remove).await
    }

    async fn kept(&self) -> Result<Vec<(String, String)>, StoreError> {
        let list = |folder: &Path| {
            let mut kept = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                if let Some(name) = entry.file_name().to_str().and_then(|name| name.strip_suffix(SUFFIX)) {
                    kept.push((name.to_owned(), format!("{:?}", entry.metadata()?.modified()?)));
                }
            }
            Ok(kept)
        };
        aside(self.folder.clone(), list).await
    }

    async fn account(&self, authority: &str) -> Result<Option<SecretString>, StoreError> {
        Ok(aside(self.account_path(authority), read).await?.map(SecretString::from))
    }

    async fn save_account(&self, authority: &str, account: &SecretString) -> Result<(), StoreError> {
        let account = account.clone();
        aside(self.account_path(authority), move |path| write(path, account.expose_secret())).await
    }

    async fn claim(&self, name: &str, _time: Duration) -> Result<Option<Claim>, StoreError> {
        Ok(Some(Claim { name: name.to_owned(), value: 0 }))
    }

    async fn release(&self, _claim: Claim) {}

    async fn post_challenge(&self, _token: &str, _authorization: &str, _time: Duration) -> Result<(), StoreError> {
        Ok(())
    }

    async fn challenge(&self, _token: &str) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    fn is_shared(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::FolderStore;
    use crate::chain::tests::pem;
    use crate::store::{Bundle, Store};
    use secrecy::{ExposeSecret, SecretString};
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn what_is_kept_is_found_again_and_by_its_owner_only() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("certificates");
        let store = FolderStore::open(folder.clone()).unwrap();
        assert!(store.load("a.example.com").await.unwrap().is_none());
        let (certificate, key) = pem(&["a.example.com"]);
        store.save("a.example.com", &Bundle::of(&certificate, &key)).await.unwrap();
        let again = FolderStore::open(folder.clone()).unwrap();
        let chain = again.load("a.example.com").await.unwrap().unwrap().chain().unwrap();
        assert_eq!(chain.names(), ["a.example.com"]);
        store.save_account("https://one", &SecretString::from("{}")).await.unwrap();
        assert_eq!(again.account("https://one").await.unwrap().unwrap().expose_secret(), "{}");
        assert!(again.account("https://other").await.unwrap().is_none());
        let kept = again.kept().await.unwrap();
        assert_eq!(kept.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a.example.com"]);
        for entry in std::fs::read_dir(&folder).unwrap() {
            assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
        for _ in 0..2 {
            store.remove("a.example.com").await.unwrap();
            assert!(again.kept().await.unwrap().is_empty());
        }
    }
}
