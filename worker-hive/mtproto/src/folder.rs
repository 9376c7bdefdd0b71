//! The folder that holds the session files.

use crate::key::StoreKey;
use crate::rows;
use crate::schema::{self, StoreError};
use crate::seed::{SessionSeed, is_account_name};
use crate::setting::Setting;
use crate::store::{self, AccountInfo, AccountStore};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXTENSION: &str = "session";
/// How long somebody who merely looks at a session may keep it from being removed.
const LOOK: Duration = Duration::from_millis(500);
/// Lies in the folder for good: a file that is deleted and made again can be locked twice.
const LOCK: &str = "lock";

/// A folder of session files, one per account: `{account}.session`, mode 0600 in a folder of mode 0700.
#[derive(Clone, Debug)]
pub struct SessionFolder {
    path: PathBuf,
    key: Option<StoreKey>,
}

/// Keeps other runs off a [`SessionFolder`] as long as it lives.
#[derive(Debug)]
#[must_use = "the folder is free again once this is dropped"]
pub struct FolderLock {
    _file: File,
}

/// Keeps other runs off one session as long as it lives.
#[derive(Debug)]
#[must_use = "the session is free again once this is dropped"]
pub struct AccountLock {
    _file: File,
}

impl SessionFolder {
    /// Opens the folder, making it if it is not there.
    ///
    /// # Errors
    /// [`StoreError::Io`] when it can't be made or is no folder.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self { path: path.to_owned(), key: None })
    }

    /// The same folder with the key that its files are encrypted with. New files are encrypted from the start, plain ones when
    /// they are first run; without a key (`None`) plain ones stay plain.
    #[must_use]
    pub fn with_key(self, key: Option<StoreKey>) -> Self {
        Self { key, ..self }
    }

    /// Takes the folder for a run, until the guard is dropped or the process ends, however it ends.
    ///
    /// Two runs with the same sessions would each think that they know what Telegram allows an account, and undo each other's
    /// keys. Reading ([`SessionFolder::accounts`], [`SessionFolder::describe`]) and [`SessionFolder::import`] need no lock.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another run has it, in this process or another; [`StoreError::Io`] when the lock file can't be made.
    pub fn lock(&self) -> Result<FolderLock, StoreError> {
        Ok(FolderLock { _file: self.lock_file(LOCK, File::try_lock)? })
    }

    /// Takes the folder together with other runs that share it, which must agree otherwise on who runs what.
    ///
    /// # Errors
    /// As [`SessionFolder::lock`], when another run has it alone.
    pub fn lock_shared(&self) -> Result<FolderLock, StoreError> {
        Ok(FolderLock { _file: self.lock_file(LOCK, File::try_lock_shared)? })
    }

    /// Takes one session of a folder that is shared, so that two processes of one machine never have it open together.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Io`].
    pub fn lock_account(&self, account: &str) -> Result<AccountLock, StoreError> {
        self.existing(account)?;
        Ok(AccountLock { _file: self.lock_file(&format!("{account}.{LOCK}"), File::try_lock)? })
    }

    fn lock_file(&self, name: &str, lock: fn(&File) -> Result<(), TryLockError>) -> Result<File, StoreError> {
        let path = self.path.join(name);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        match lock(&file) {
            Ok(()) => Ok(file),
            // The folder is what the operator knows; a lock file of one session says which.
            Err(TryLockError::WouldBlock) if name == LOCK => Err(StoreError::InUse(self.path.clone())),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path)),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Names of the sessions, sorted.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the folder can't be read.
    pub fn accounts(&self) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION)
                && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
                && is_account_name(name)
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Sees whether this folder's key is the one of the sessions in it, but for `but`, which is to be replaced. Plain sessions fit any
    /// key; what can't be read for another reason has no say.
    ///
    /// # Errors
    /// Name of the first session that doesn't fit, and [`StoreError::KeyNeeded`] or [`StoreError::WrongKey`]; an empty name and
    /// [`StoreError::Io`] when the folder can't be read.
    pub fn check_key(&self, but: Option<&str>) -> Result<(), (String, StoreError)> {
        let accounts = self.accounts().map_err(|error| (String::new(), error))?;
        for account in accounts.into_iter().filter(|account| Some(account.as_str()) != but) {
            if let Err(error @ (StoreError::KeyNeeded | StoreError::WrongKey)) = self.describe(&account) {
                return Err((account, error));
            }
        }
        Ok(())
    }

    /// Writes a new session file.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when the name is taken, which leaves the old file as it is; [`StoreError::KeyNeeded`] or
    /// [`StoreError::WrongKey`] when other sessions of the folder are encrypted and not with this folder's key; else whatever the disk
    /// says.
    pub fn import(&self, seed: &SessionSeed) -> Result<(), StoreError> {
        let path = self.file(&seed.account);
        if path.exists() {
            return Err(StoreError::Exists(seed.account.clone()));
        }
        // Whoever encrypted the store must not find secrets in plain in it, nor a run two keys.
        self.check_key(None).map_err(|(_, error)| error)?;
        let partial = self.write_partial(seed)?;
        self.remove_journal(&seed.account)?;
        match fs::hard_link(&partial, &path) {
            Ok(()) => Ok(fs::remove_file(&partial)?),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                fs::remove_file(&partial)?;
                Err(StoreError::Exists(seed.account.clone()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a session file over the one of the same name, if there is one. The lock keeps everybody off who might be using that.
    ///
    /// # Errors
    /// As [`SessionFolder::import`], but for the name.
    pub fn replace(&self, seed: &SessionSeed, _lock: &FolderLock) -> Result<(), StoreError> {
        self.check_key(Some(&seed.account)).map_err(|(_, error)| error)?;
        let partial = self.write_partial(seed)?;
        self.remove_journal(&seed.account)?;
        Ok(fs::rename(partial, self.file(&seed.account))?)
    }

    /// Removes the journal of a session file that goes, or went by other hands than ours, before another takes the name: SQLite would
    /// take it for that one's, and write the old session over the new.
    fn remove_journal(&self, account: &str) -> Result<(), StoreError> {
        for suffix in ["-wal", "-shm"] {
            remove(&self.path.join(format!("{account}.{EXTENSION}{suffix}")))?;
        }
        Ok(())
    }

    /// Writes a session under another name first, so that a crash leaves no half session that `run` would trip over.
    fn write_partial(&self, seed: &SessionSeed) -> Result<PathBuf, StoreError> {
        let partial = self.path.join(format!("{}.partial", seed.account));
        for suffix in ["", "-wal", "-shm"] {
            remove(&self.path.join(format!("{}.partial{suffix}", seed.account)))?;
        }
        AccountStore::create(&partial, seed, self.key.as_ref())?;
        Ok(partial)
    }

    /// Reads who a session is.
    ///
    /// # Errors
    /// [`StoreError`] when the file is missing, foreign or damaged.
    pub fn describe(&self, account: &str) -> Result<AccountInfo, StoreError> {
        store::describe(&self.existing(account)?, account, self.key.as_ref())
    }

    /// Reads everything that a session is, to take it elsewhere. It is as good as a password: Telegram revokes a key that is used
    /// in two places at once.
    ///
    /// # Errors
    /// As [`SessionFolder::describe`].
    pub fn export(&self, account: &str) -> Result<SessionSeed, StoreError> {
        Ok(AccountStore::peek(&self.existing(account)?, account, self.key.as_ref())?.seed())
    }

    /// Reads what the operator set for a session; nothing where the hive's own settings hold.
    ///
    /// # Errors
    /// [`StoreError`] when the file is missing, foreign, damaged, or encrypted with another key.
    pub fn setting(&self, account: &str, setting: Setting) -> Result<Option<String>, StoreError> {
        store::with_settings(&self.existing(account)?, self.key.as_ref(), |file, seal| {
            rows::read_setting(file, seal, setting.name())
        })
    }

    /// Sets something for a session, or takes it back. A hive that runs the session sees it by [`SessionFolder::setting`].
    ///
    /// # Errors
    /// As [`SessionFolder::setting`].
    pub fn set_setting(&self, account: &str, setting: Setting, value: Option<&str>) -> Result<(), StoreError> {
        store::with_settings(&self.existing(account)?, self.key.as_ref(), |file, seal| {
            Ok(rows::write_setting(file, seal, setting.name(), value)?)
        })
    }

    /// Encrypts every session with `key` from now on, whether it was plain, encrypted with this folder's key, or with `key`
    /// already: so it can be begun again after a crash. Returns the sessions that changed.
    ///
    /// # Errors
    /// [`StoreError`] of the first session that can't be changed, by its name.
    pub fn change_key(&self, _lock: &FolderLock, key: &StoreKey) -> Result<Vec<String>, (String, StoreError)> {
        let mut changed = Vec::new();
        for account in self.accounts().map_err(|error| (String::new(), error))? {
            match self.change_one(&account, key) {
                Ok(true) => changed.push(account),
                Ok(false) => {}
                Err(error) => return Err((account, error)),
            }
        }
        Ok(changed)
    }

    fn change_one(&self, account: &str, key: &StoreKey) -> Result<bool, StoreError> {
        let mut file = schema::open(&self.existing(account)?)?;
        let done = match rows::seal_of(&file, Some(key)) {
            Ok(seal) => seal.is_some(),
            Err(StoreError::WrongKey) => false,
            Err(error) => return Err(error),
        };
        if !done {
            rows::reseal(&mut file, self.key.as_ref(), key)?;
        }
        rows::scrub(&file)?;
        Ok(!done)
    }

    /// Deletes a session's file.
    ///
    /// # Errors
    /// [`StoreError::Busy`] while a hive runs the session, after a moment's wait; [`StoreError`] when it is missing.
    pub fn remove(&self, account: &str) -> Result<(), StoreError> {
        let path = self.existing(account)?;
        let file = schema::open(&path)?;
        file.busy_timeout(LOOK)?;
        // SQLite leaves the journal mode alone as long as anybody else has the file open, and takes the journal away otherwise.
        match file.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0)) {
            Ok(mode) if mode == "delete" => {}
            Ok(_) => return Err(StoreError::Busy),
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                return Err(StoreError::Busy);
            }
            Err(error) => return Err(error.into()),
        }
        drop(file);
        Ok(fs::remove_file(path)?)
    }

    pub(crate) fn open_store(&self, account: &str) -> Result<AccountStore, StoreError> {
        AccountStore::open(&self.existing(account)?, account, self.key.as_ref())
    }

    fn existing(&self, account: &str) -> Result<PathBuf, StoreError> {
        let path = self.file(account);
        // Also of a name that would lead out of the folder.
        if is_account_name(account) && path.exists() { Ok(path) } else { Err(StoreError::Missing(account.to_owned())) }
    }

    fn file(&self, account: &str) -> PathBuf {
        self.path.join(format!("{account}.{EXTENSION}"))
    }
}

/// Removes a file that need not be there.
fn remove(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::SessionFolder;
    use crate::schema::StoreError;
    use crate::seed::SessionSeed;
    use crate::setting::Setting;
    use crate::store::PeerRecord;
    use std::os::unix::fs::PermissionsExt;

    fn seed() -> SessionSeed {
        let key = "5a".repeat(256);
        SessionSeed::parse(&format!(
            r#"{{"account":"one","user_id":7,"home_dc":2,"api_id":1,"dcs":[{{"id":2,"ip":"127.0.0.1","port":443}}],
                "auth_keys":{{"2":"{key}","4":"{key}"}}}}"#
        ))
        .unwrap()
    }

    #[tokio::test]
    async fn what_was_learned_survives_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = SessionFolder::open(&folder.path().join("sessions")).unwrap();
        sessions.import(&seed()).unwrap();
        assert!(matches!(sessions.import(&seed()), Err(StoreError::Exists(_))));
        let store = sessions.open_store("one").unwrap();
        let peer = PeerRecord { access_hash: Some(-9), ..PeerRecord::default() };
        store.save_peers(vec![(-1_000_000_000_005, peer)]).await.unwrap();
        store.set_authorized(4, true).await.unwrap();
        store.set_identity(8, true, true).await.unwrap();
        for entry in std::fs::read_dir(folder.path().join("sessions")).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        }
        // Not closed: what a killed process leaves behind must be enough.
        drop(store);
        let store = sessions.open_store("one").unwrap();
        assert_eq!(store.peer(-1_000_000_000_005), Some(peer));
        let info = store.info();
        assert_eq!((info.user_id, info.bot, info.premium, info.home_dc), (8, true, Some(true), 2));
        assert_eq!((info.authorized_dcs, info.peers), (vec![2, 4], 1));
        assert_eq!(store.dc(4).unwrap().auth_key, Some([0x5a; 256]));
        store.close().await.unwrap();
        assert!(matches!(store.set_authorized(4, false).await, Err(StoreError::Closed)));
        assert_eq!(sessions.accounts().unwrap(), vec!["one".to_owned()]);
        assert!(!folder.path().join("sessions/one.session-wal").exists());
    }

    #[test]
    fn settings_are_kept_whoever_has_the_file_open() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = SessionFolder::open(folder.path()).unwrap();
        sessions.import(&seed()).unwrap();
        let store = sessions.open_store("one").unwrap();
        assert_eq!(sessions.setting("one", Setting::Route).unwrap(), None);
        sessions.set_setting("one", Setting::Route, Some("socks5://127.0.0.1:1080")).unwrap();
        sessions.set_setting("one", Setting::Disabled, Some("1")).unwrap();
        assert_eq!(sessions.setting("one", Setting::Route).unwrap().unwrap(), "socks5://127.0.0.1:1080");
        assert!(sessions.describe("one").unwrap().disabled && store.setting(Setting::Disabled).is_none());
        sessions.set_setting("one", Setting::Disabled, None).unwrap();
        assert!(!sessions.describe("one").unwrap().disabled);
        assert!(matches!(sessions.set_setting("two", Setting::Route, None), Err(StoreError::Missing(_))));
        assert!(matches!(sessions.setting("../one", Setting::Route), Err(StoreError::Missing(_))));
    }

    #[tokio::test]
    async fn a_login_is_not_lost_to_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = SessionFolder::open(folder.path()).unwrap();
        sessions.import(&seed()).unwrap();
        let store = sessions.open_store("one").unwrap();
        assert!(matches!(store.save_dc(2, None, None, Some([1; 256])).await, Err(StoreError::KeyReplaced)));
        store.set_authorized(4, true).await.unwrap();
        store.save_dc(4, None, None, Some([1; 256])).await.unwrap();
        assert!(!store.dc(4).unwrap().authorized, "a new key has no authorization");
    }

    #[test]
    fn runs_that_share_the_folder_have_each_session_once() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = SessionFolder::open(folder.path()).unwrap();
        sessions.import(&seed()).unwrap();
        let (first, second) = (sessions.lock_shared().unwrap(), sessions.lock_shared().unwrap());
        assert!(matches!(sessions.lock(), Err(StoreError::InUse(_))));
        let one = sessions.lock_account("one").unwrap();
        assert!(matches!(sessions.lock_account("one"), Err(StoreError::InUse(_))));
        assert!(matches!(sessions.lock_account("../one"), Err(StoreError::Missing(_))));
        drop(one);
        drop(sessions.lock_account("one").unwrap());
        assert_eq!(sessions.accounts().unwrap(), vec!["one".to_owned()]);
        drop((first, second));
        let alone = sessions.lock().unwrap();
        assert!(matches!(sessions.lock_shared(), Err(StoreError::InUse(_))));
        drop(alone);
    }

    #[test]
    fn one_run_has_the_folder_and_others_may_still_look() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = SessionFolder::open(folder.path()).unwrap();
        let lock = sessions.lock().unwrap();
        let other = SessionFolder::open(folder.path()).unwrap();
        assert!(matches!(other.lock(), Err(StoreError::InUse(path)) if path == folder.path()));
        other.import(&seed()).unwrap();
        assert_eq!(other.accounts().unwrap(), vec!["one".to_owned()]);
        assert_eq!(other.describe("one").unwrap().home_dc, 2);
        drop(lock);
        drop(other.lock().unwrap());
    }

    #[test]
    fn other_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = SessionFolder::open(folder.path()).unwrap();
        let other = rusqlite::Connection::open(folder.path().join("other.session")).unwrap();
        other.execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(sessions.describe("other"), Err(StoreError::Foreign)));
        assert!(matches!(sessions.describe("missing"), Err(StoreError::Missing(_))));
    }
}
