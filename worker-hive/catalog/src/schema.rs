//! The catalog's file: one SQLite database, mode 0600.
//!
//! - `file`: one row per virtual file. `etag` is kept as it was made, so that a release that makes tags otherwise does not drop what
//!   gateways have cached.
//! - `part`: its parts, by number from 0.
//!
//! `application_id` tells the file from any other database; `user_version` says how many of [`STEPS`] it has been through.

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// "svca" in ASCII.
const APPLICATION_ID: i32 = 0x7376_6361;

/// Each brings a file from the version of its place to the next. Append only.
const STEPS: &[&str] = &["
    CREATE TABLE file (
        slug TEXT PRIMARY KEY,
        name TEXT NOT NULL, content_type TEXT NOT NULL, etag TEXT NOT NULL,
        size INTEGER NOT NULL, parts INTEGER NOT NULL,
        created INTEGER NOT NULL, changed INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE part (
        slug TEXT NOT NULL REFERENCES file (slug) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        chat_id INTEGER NOT NULL, message_id INTEGER NOT NULL,
        size INTEGER NOT NULL, identity TEXT NOT NULL,
        PRIMARY KEY (slug, number)
    ) STRICT, WITHOUT ROWID;
"];

/// The catalog can't be used, or won't do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The file can't be made.
    #[error("catalog: {0}")]
    Io(#[from] std::io::Error),
    /// SQLite refuses.
    #[error("catalog: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A database, but none of ours.
    #[error("not a catalog")]
    Foreign,
    /// Written by a newer release.
    #[error("catalog of version {found}, this release reads up to {}", STEPS.len())]
    Newer {
        /// Version found.
        found: i64,
    },
    /// The content contradicts itself.
    #[error("catalog is damaged: {0}")]
    Damaged(&'static str),
    /// What is there is not what the asker said must be there. Nothing was changed.
    #[error("the slug has another manifest than expected, or none")]
    Unexpected,
    /// Every slug tried was taken: out of dice, or out of slugs.
    #[error("no free slug was found")]
    NoSlug,
    /// The catalog was closed.
    #[error("catalog: closed")]
    Closed,
}

/// Opens the file, making it or bringing it up to date.
pub(crate) fn open(path: &Path) -> Result<Connection, CatalogError> {
    // Made before SQLite opens it, so that at no moment anybody else may read it; SQLite gives its journal files the same mode.
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    // Before anything is written: a foreign database is left as it is.
    if !is_new(&connection)? && application(&connection)? != APPLICATION_ID {
        return Err(CatalogError::Foreign);
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Whoever was told that a manifest is kept does not put it again: it must outlive a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut connection, STEPS)?;
    Ok(connection)
}

fn application(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    let things: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(things == 0 && application(connection)? == 0)
}

/// Takes the steps that are missing, all or none.
fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), CatalogError> {
    // Immediate: of two processes that find an old file, one waits and then finds it new.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(found).ok().filter(|done| *done <= steps.len()).ok_or(CatalogError::Newer { found })?;
    if done < steps.len() {
        for step in steps.iter().skip(done) {
            transaction.execute_batch(step)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", i64::try_from(steps.len()).unwrap_or(i64::MAX))?;
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::{CatalogError, STEPS, migrate, open};
    use rusqlite::Connection;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_made_once_for_its_owner_alone_and_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog");
        drop(open(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(open(&path).unwrap());
    }

    #[test]
    fn what_is_not_ours_or_not_of_our_time_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let foreign = folder.path().join("foreign");
        Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
        let before = std::fs::read(&foreign).unwrap();
        assert!(matches!(open(&foreign), Err(CatalogError::Foreign)));
        assert_eq!(std::fs::read(&foreign).unwrap(), before);
        let newer = folder.path().join("newer");
        open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(open(&newer), Err(CatalogError::Newer { found: 99 })));
    }

    #[test]
    fn old_files_take_the_steps_they_lack_and_a_failing_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open(&folder.path().join("catalog")).unwrap();
        let broken = [STEPS[0], "CREATE TABLE later (a) STRICT", "ALTER TABLE later ADD COLUMN b INTEGER"];
        assert!(migrate(&mut connection, &broken).is_err());
        let version = |c: &Connection| c.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(version(&connection), 1);
        let sound = [STEPS[0], "CREATE TABLE later (a INTEGER) STRICT", "ALTER TABLE later ADD COLUMN b INTEGER"];
        migrate(&mut connection, &sound).unwrap();
        connection.execute("INSERT INTO later (a, b) VALUES (1, 2)", []).unwrap();
        assert_eq!(version(&connection), 3);
    }
}
