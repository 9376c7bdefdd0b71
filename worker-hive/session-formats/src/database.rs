//! SQLite session files of Telethon and of the Pyrogram family.

use crate::centres;
use crate::error::FormatError;
use crate::fold::{fold, page_size};
use crate::session::{AuthKey, Format, Peer, PortableSession};
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};
use secrecy::zeroize::Zeroizing;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Before this version of its files Telethon kept access hashes that it threw away later as wrong.
const TELETHON_GOOD_HASHES: i64 = 6;
/// The same of Pyrogram.
const PYROGRAM_GOOD_HASHES: i64 = 2;

/// True when the file's beginning is that of an SQLite database.
#[must_use]
pub fn is_database(bytes: &[u8]) -> bool {
    bytes.starts_with(b"SQLite format 3\0")
}

/// Reads a session file out of its bytes.
///
/// `journal` are the bytes of the file beside it whose name ends in `-wal`, `rollback` those of the one in `-journal`; empty if
/// they aren't there.
///
/// # Errors
/// [`FormatError`].
pub fn read_database(file: Vec<u8>, journal: &[u8], rollback: &[u8]) -> Result<PortableSession, FormatError> {
    if !is_database(&file) {
        return Err(FormatError::UnknownDatabase);
    }
    // Emptied or overwritten with zeros it is one that was done with.
    if rollback.iter().take(512).any(|byte| *byte != 0) {
        return Err(FormatError::Unfinished);
    }
    // SQLite itself would take what is missing of the last page for zeros.
    if page_size(&file).is_none_or(|size| size == 0 || !file.len().is_multiple_of(size)) {
        return Err(FormatError::Unreadable);
    }
    let connection = open(&fold(file, journal))?;
    let columns = columns(&connection, "sessions")?;
    let has = |column: &str| columns.iter().any(|name| name == column);
    if has("user_id") && has("is_bot") && has("auth_key") {
        pyrogram(&connection, has("api_id"), has("server_address") && has("port"))
    } else if has("server_address") && has("port") && has("auth_key") {
        telethon(&connection)
    } else {
        Err(FormatError::UnknownDatabase)
    }
}

fn open(image: &[u8]) -> Result<Connection, FormatError> {
    let unreadable = |_: rusqlite::Error| FormatError::Unreadable;
    let mut connection = Connection::open_in_memory().map_err(unreadable)?;
    connection.deserialize_read_exact("main", image, image.len(), true).map_err(unreadable)?;
    // The file comes from elsewhere: its schema must not run anything.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(unreadable)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false).map_err(unreadable)?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(unreadable)?;
    if verdict == "ok" { Ok(connection) } else { Err(FormatError::Unreadable) }
}

fn columns(connection: &Connection, table: &str) -> Result<Vec<String>, FormatError> {
    // A view of that name would be somebody's trick.
    let sql = "SELECT c.name FROM sqlite_schema s, pragma_table_info(s.name) c WHERE s.type = 'table' AND s.name = ?1";
    let mut statement = connection.prepare(sql).map_err(|_| FormatError::Unreadable)?;
    let rows = statement.query_map([table], |row| row.get(0)).map_err(|_| FormatError::Unreadable)?;
    rows.collect::<Result<_, _>>().map_err(|_| FormatError::Unreadable)
}

fn telethon(connection: &Connection) -> Result<PortableSession, FormatError> {
    let format = Format::TelethonFile;
    let sql = "SELECT dc_id, auth_key, server_address, port FROM sessions WHERE length(auth_key) > 0";
    let row = connection.query_row(sql, [], |row| Ok((row.get(0)?, secret(row.get(1)?), row.get(2)?, row.get(3)?)));
    let (dc, key, ip, port) = row.optional().map_err(|_| damaged(format))?.ok_or(FormatError::NotSignedIn(format))?;
    let address = address(format, ip, port)?;
    let mut session = session(format, dc, &key)?;
    session.address = address;
    session.test_mode = address.as_ref().is_some_and(centres::is_test);
    let mut peers = BTreeMap::new();
    if version(connection, "version")? >= TELETHON_GOOD_HASHES {
        peers = self::peers(connection, "entities", "hash")?;
    }
    // Telethon keeps the account's own id as the hash of a peer numbered 0.
    session.user_id = peers.remove(&0).filter(|id| *id > 0);
    session.peers = list(peers);
    Ok(session)
}

fn pyrogram(connection: &Connection, api_id: bool, address: bool) -> Result<PortableSession, FormatError> {
    let format = Format::PyrogramFile;
    let sql = format!(
        "SELECT dc_id, auth_key, user_id, is_bot, test_mode, {}, {} FROM sessions WHERE length(auth_key) > 0",
        if api_id { "api_id" } else { "NULL" },
        if address { "server_address, port" } else { "NULL, NULL" },
    );
    let row = connection.query_row(&sql, [], |row| {
        let bot: Option<bool> = row.get(3)?;
        let test_mode: Option<bool> = row.get(4)?;
        let place = (row.get(6)?, row.get(7)?);
        Ok((
            row.get(0)?,
            secret(row.get(1)?),
            row.get::<_, Option<i64>>(2)?,
            bot,
            test_mode,
            row.get::<_, Option<i32>>(5)?,
            place,
        ))
    });
    let not_signed_in = FormatError::NotSignedIn(format);
    let (dc, key, user_id, bot, test_mode, api_id, (ip, port)) =
        row.optional().map_err(|_| damaged(format))?.ok_or(not_signed_in)?;
    let mut session = session(format, dc, &key)?;
    // A key alone comes with the first connection, the account with the sign-in.
    session.user_id = Some(user_id.filter(|id| *id > 0).ok_or(not_signed_in)?);
    session.bot = bot;
    session.api_id = api_id.filter(|id| *id > 0);
    session.test_mode = test_mode.unwrap_or(false);
    session.address = self::address(format, ip, port)?;
    if version(connection, "number")? >= PYROGRAM_GOOD_HASHES {
        session.peers = list(peers(connection, "peers", "access_hash")?);
    }
    Ok(session)
}

fn secret(value: Value) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match value {
        Value::Blob(bytes) => bytes,
        _ => Vec::new(),
    })
}

fn session(format: Format, dc: i64, key: &[u8]) -> Result<PortableSession, FormatError> {
    let home_dc = u8::try_from(dc).ok().filter(|dc| *dc > 0);
    let home_dc = home_dc.ok_or(FormatError::Damaged { format, what: "its data-centre" })?;
    if key.len() != 256 {
        return Err(FormatError::Damaged { format, what: "its key is not of 256 bytes" });
    }
    let key = AuthKey::new(key).ok_or(FormatError::NotSignedIn(format))?;
    Ok(PortableSession { format: Some(format), ..PortableSession::new(home_dc, key) })
}

/// Nothing where the file names none: then the data-centre is where everybody knows it is.
fn address(format: Format, ip: Option<String>, port: Option<i64>) -> Result<Option<SocketAddr>, FormatError> {
    let (Some(ip), Some(port)) = (ip.filter(|ip| !ip.is_empty()), port) else { return Ok(None) };
    let wrong = FormatError::Damaged { format, what: "the data-centre's address" };
    let ip: IpAddr = ip.parse().map_err(|_| wrong)?;
    let port = u16::try_from(port).ok().filter(|port| *port > 0).ok_or(wrong)?;
    Ok(Some(SocketAddr::new(ip, port)))
}

fn version(connection: &Connection, column: &str) -> Result<i64, FormatError> {
    if !columns(connection, "version")?.iter().any(|name| name == column) {
        return Err(FormatError::UnknownDatabase);
    }
    let newest =
        connection.query_row(&format!("SELECT max({column}) FROM version"), [], |row| row.get::<_, Option<i64>>(0));
    Ok(newest.map_err(|_| FormatError::Unreadable)?.unwrap_or(0))
}

/// Access hashes by id. A file without that table has none; a row of another kind is skipped: a peer is learned again, a
/// session is not.
fn peers(connection: &Connection, table: &str, hash: &str) -> Result<BTreeMap<i64, i64>, FormatError> {
    let columns = columns(connection, table)?;
    if !["id", hash].iter().all(|column| columns.iter().any(|name| name == column)) {
        return Ok(BTreeMap::new());
    }
    let unreadable = |_: rusqlite::Error| FormatError::Unreadable;
    let mut statement = connection.prepare(&format!("SELECT id, {hash} FROM {table}")).map_err(unreadable)?;
    let mut rows = statement.query([]).map_err(unreadable)?;
    let mut peers = BTreeMap::new();
    while let Some(row) = rows.next().map_err(unreadable)? {
        if let (Ok(id), Ok(hash)) = (row.get::<_, i64>(0), row.get::<_, i64>(1)) {
            peers.insert(id, hash);
        }
    }
    Ok(peers)
}

/// Without basic groups, which have no access hash.
fn list(peers: BTreeMap<i64, i64>) -> Vec<Peer> {
    let known = peers.into_iter().filter(|(id, hash)| *id != 0 && *hash != 0);
    known.map(|(id, access_hash)| Peer { id, access_hash }).collect()
}

fn damaged(format: Format) -> FormatError {
    FormatError::Damaged { format, what: "a column of another kind" }
}
