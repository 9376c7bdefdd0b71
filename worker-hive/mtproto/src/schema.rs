//! The session file: one SQLite database per account, mode 0600.
//!
//! - `account`: one row. Who the session is and where it lives.
//! - `datacentre`: one row per known data-centre: address, auth key (256 bytes), and whether the account is authorized there.
//!   A foreign data-centre's key works only after an authorization was imported with it, which Telegram limits: hence the flag.
//! - `peer`: access hashes, which belong to this account alone. `id` is the bot-API form.
//! - `setting`: what the operator set for this session alone, by name.
//! - `update_state`, `channel_state`: where the account's updates stand.
//! - `seal`: one row in an encrypted file, none in a plain one: the file's own number, and a proof that a key is the right one. A secret
//!   stands in its plain column in a plain file (`auth_key`, `access_hash`, `value`), in its sealed one in an encrypted file.
//!   `scrubbed` is 0 until what was there before the encryption, in unused corners of the file too, is overwritten.
//!
//! Later versions only add tables and columns: a run of the release before, still going when a newer command looks, must not trip.
//!
//! `application_id` tells such a file from any other database; `user_version` is the schema's version.

use crate::route::RouteError;
use rusqlite::{Connection, TransactionBehavior};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// "svse" in ASCII.
const APPLICATION_ID: i32 = 0x7376_7365;
const VERSION: i32 = 2;

/// Version 1.
const TABLES: &str = "
    CREATE TABLE account (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        user_id INTEGER NOT NULL, bot INTEGER NOT NULL, premium INTEGER,
        api_id INTEGER NOT NULL, home_dc INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE datacentre (
        id INTEGER PRIMARY KEY, ipv4 TEXT, ipv6 TEXT,
        auth_key BLOB CHECK (auth_key IS NULL OR length(auth_key) = 256),
        authorized INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE peer (
        id INTEGER PRIMARY KEY, access_hash INTEGER, bot INTEGER, is_self INTEGER, channel_kind INTEGER
    ) STRICT;
    CREATE TABLE update_state (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        pts INTEGER NOT NULL, qts INTEGER NOT NULL, date INTEGER NOT NULL, seq INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE channel_state (id INTEGER PRIMARY KEY, pts INTEGER NOT NULL) STRICT;
    INSERT INTO update_state VALUES (1, 0, 0, 0, 0);
";

/// What version 2 added.
const SETTINGS_AND_SEAL: &str = "
    CREATE TABLE setting (
        name TEXT PRIMARY KEY, value TEXT, sealed BLOB, CHECK ((value IS NULL) <> (sealed IS NULL))
    ) STRICT;
    CREATE TABLE seal (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        file BLOB NOT NULL CHECK (length(file) = 16), proof BLOB NOT NULL, scrubbed INTEGER NOT NULL
    ) STRICT;
    ALTER TABLE datacentre ADD COLUMN sealed_key BLOB;
    ALTER TABLE peer ADD COLUMN sealed_hash BLOB;
";

/// The session file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file or its folder can't be read or written.
    #[error("session store: {0}")]
    Io(#[from] std::io::Error),
    /// SQLite refuses.
    #[error("session store: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A database, but none of ours.
    #[error("not a session file")]
    Foreign,
    /// Written by a newer release.
    #[error("session file of version {found}, this release reads up to {VERSION}")]
    Newer {
        /// Version found.
        found: i32,
    },
    /// There is a session of that name.
    #[error("there is a session named `{0}` already")]
    Exists(String),
    /// Another run uses the sessions of this folder.
    #[error("the sessions in {} are in use by another run", .0.display())]
    InUse(PathBuf),
    /// There is no session of that name.
    #[error("there is no session named `{0}`")]
    Missing(String),
    /// A run has the session open.
    #[error("the session is in use by a running hive")]
    Busy,
    /// The file is encrypted, and there is no key.
    #[error("the session file is encrypted, and no key is configured: set store.key_file, or STREAMVAULT_STORE_KEY")]
    KeyNeeded,
    /// The file is encrypted with another key.
    #[error("the session file is encrypted with another key than the one configured")]
    WrongKey,
    /// The content contradicts itself.
    #[error("session file is damaged: {0}")]
    Damaged(&'static str),
    /// Telegram presented another key for the home data-centre: accepting it would lose the login.
    #[error("the home data-centre's key must not be replaced")]
    KeyReplaced,
    /// The session's own route is none that this release can read.
    #[error("the session's route: {0}")]
    Route(RouteError),
    /// The write's task was cut off by the end of the process.
    #[error("session store: shutting down")]
    Closed,
}

/// Creates an empty session file that must not exist yet.
pub(crate) fn create(path: &Path) -> Result<Connection, StoreError> {
    // Made before SQLite opens it, so that at no moment anybody else may read it; SQLite gives its journal files the same mode.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut connection = connect(path)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(SETTINGS_AND_SEAL)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(connection)
}

/// Opens an existing session file, checks that it is one, and brings it to this release's version.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = connect(path)?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION_ID {
        return Err(StoreError::Foreign);
    }
    if version(&connection)? < VERSION {
        // Another process may be at it too: only one of them finds the old version inside its transaction.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if version(&transaction)? < VERSION {
            transaction.execute_batch(SETTINGS_AND_SEAL)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
    }
    match version(&connection)? {
        VERSION => Ok(connection),
        found => Err(StoreError::Newer { found }),
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE | rusqlite::OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // With WAL this survives a killed process; only a power cut may lose the last writes, which are learned again.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(connection)
}
