//! Rows of the session file, with their secrets sealed or plain, as the file is.

use crate::key::StoreKey;
use crate::schema::StoreError;
use crate::seal::{Cell, Seal};
use crate::store::{AccountInfo, DcRecord, Memory, PeerRecord};
use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

const SEALED: StoreError = StoreError::Damaged("an encrypted value that was changed or moved");

/// What the file's secrets are sealed with; nothing for a plain file.
pub(crate) fn seal_of(file: &Connection, key: Option<&StoreKey>) -> Result<Option<Seal>, StoreError> {
    let row = file
        .query_row("SELECT file, proof FROM seal", [], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    let Some((number, proof)) = row else { return Ok(None) };
    let seal = Seal::new(key.ok_or(StoreError::KeyNeeded)?, number);
    if seal.fits(&proof) { Ok(Some(seal)) } else { Err(StoreError::WrongKey) }
}

/// Seals every secret of the file with `key`, in one transaction: after a crash all of it was done, or nothing.
pub(crate) fn reseal(file: &mut Connection, old: Option<&StoreKey>, key: &StoreKey) -> Result<Seal, StoreError> {
    let transaction = file.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let old = seal_of(&transaction, old)?;
    let new = Seal::new(key, old.as_ref().map_or_else(rand::random, Seal::file));
    let memory = load(&transaction, old.as_ref(), "")?;
    let settings = settings(&transaction, old.as_ref())?;
    transaction.execute(
        "INSERT OR REPLACE INTO seal (one, file, proof, scrubbed) VALUES (1, ?1, ?2, 0)",
        params![new.file(), new.proof()],
    )?;
    for (id, record) in &memory.dcs {
        write_dc(&transaction, Some(&new), *id, record)?;
    }
    for (id, peer) in &memory.peers {
        write_peer(&transaction, Some(&new), *id, *peer)?;
    }
    for (name, value) in &settings {
        write_setting(&transaction, Some(&new), name, Some(value))?;
    }
    transaction.commit()?;
    Ok(new)
}

/// Overwrites what was in the file before it was sealed anew, unless that was done already.
pub(crate) fn scrub(file: &Connection) -> Result<(), StoreError> {
    if file.query_row("SELECT scrubbed FROM seal", [], |row| row.get::<_, bool>(0)).optional()?.unwrap_or(true) {
        return Ok(());
    }
    // The first writes every page anew, by way of the journal; the second copies them into the file and empties the journal.
    file.execute_batch("VACUUM")?;
    let busy: bool = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    // Somebody who looks at the file at this moment keeps the journal: then the next start does it again.
    if !busy {
        file.execute("UPDATE seal SET scrubbed = 1", [])?;
    }
    Ok(())
}

pub(crate) fn write_dc(file: &Connection, seal: Option<&Seal>, id: i32, record: &DcRecord) -> rusqlite::Result<()> {
    let key = record.auth_key.as_ref().map(|key| &key[..]);
    let (plain, sealed) = split(seal, Cell::Key(id), key, |key| key);
    file.execute(
        "INSERT INTO datacentre (id, ipv4, ipv6, auth_key, sealed_key, authorized) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO UPDATE SET ipv4 = ?2, ipv6 = ?3, auth_key = ?4, sealed_key = ?5, authorized = ?6",
        params![
            id,
            record.ipv4.map(|address| address.to_string()),
            record.ipv6.map(|address| address.to_string()),
            plain,
            sealed,
            record.authorized
        ],
    )
    .map(drop)
}

pub(crate) fn write_peer(file: &Connection, seal: Option<&Seal>, id: i64, peer: PeerRecord) -> rusqlite::Result<()> {
    let bytes = peer.access_hash.map(i64::to_be_bytes);
    let (plain, sealed) = split(seal, Cell::Hash(id), bytes.as_ref().map(|bytes| &bytes[..]), |_| peer.access_hash);
    file.execute(
        "INSERT OR REPLACE INTO peer (id, access_hash, sealed_hash, bot, is_self, channel_kind) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![id, plain.flatten(), sealed, peer.bot, peer.is_self, peer.channel_kind],
    )
    .map(drop)
}

pub(crate) fn write_setting(
    file: &Connection,
    seal: Option<&Seal>,
    name: &str,
    value: Option<&str>,
) -> rusqlite::Result<()> {
    let Some(value) = value else {
        return file.execute("DELETE FROM setting WHERE name = ?1", [name]).map(drop);
    };
    let (plain, sealed) = split(seal, Cell::Setting(name), Some(value.as_bytes()), |_| value);
    file.execute(
        "INSERT OR REPLACE INTO setting (name, value, sealed) VALUES (?1, ?2, ?3)",
        params![name, plain, sealed],
    )
    .map(drop)
}

pub(crate) fn read_setting(file: &Connection, seal: Option<&Seal>, name: &str) -> Result<Option<String>, StoreError> {
    Ok(settings(file, seal)?.remove(name))
}

fn settings(file: &Connection, seal: Option<&Seal>) -> Result<BTreeMap<String, String>, StoreError> {
    let mut statement = file.prepare("SELECT name, value, sealed FROM setting")?;
    let mut rows = statement.query([])?;
    let mut settings = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        let open = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let value = secret(seal, Cell::Setting(&name), row, (1, 2), open)?;
        settings.insert(name, value.ok_or(StoreError::Damaged("a setting without a value"))?);
    }
    Ok(settings)
}

/// The plain column's value and the sealed column's: one of them, at most.
fn split<'a, T>(
    seal: Option<&Seal>,
    cell: Cell<'_>,
    bytes: Option<&'a [u8]>,
    plain: impl FnOnce(&'a [u8]) -> T,
) -> (Option<T>, Option<Vec<u8>>) {
    match (bytes, seal) {
        (None, _) => (None, None),
        (Some(bytes), None) => (Some(plain(bytes)), None),
        (Some(bytes), Some(seal)) => (None, Some(seal.seal(cell, bytes))),
    }
}

/// What stands in a secret's two columns, plain and sealed.
fn secret<T: FromSql>(
    seal: Option<&Seal>,
    cell: Cell<'_>,
    row: &Row<'_>,
    (plain, sealed): (usize, usize),
    read: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<Option<T>, StoreError> {
    let (plain, sealed): (Option<T>, Option<Vec<u8>>) = (row.get(plain)?, row.get(sealed)?);
    match (plain, sealed, seal) {
        (None, None, _) => Ok(None),
        (plain @ Some(_), None, None) => Ok(plain),
        (None, Some(sealed), Some(seal)) => {
            let open = seal.open(cell, &sealed).ok_or(SEALED)?;
            read(&open).ok_or(SEALED).map(Some)
        }
        _ => Err(StoreError::Damaged("plain and encrypted values side by side")),
    }
}

pub(crate) fn load(file: &Connection, seal: Option<&Seal>, account: &str) -> Result<Memory, StoreError> {
    Ok(Memory { info: info(file, seal, account)?, dcs: datacentres(file, seal)?, peers: peers(file, seal)? })
}

/// Who the session is, without a look at the secrets of its peers: this is read every few seconds of every session.
pub(crate) fn info(file: &Connection, seal: Option<&Seal>, account: &str) -> Result<AccountInfo, StoreError> {
    let mut info = file.query_row("SELECT user_id, bot, premium, api_id, home_dc FROM account", [], |row| {
        Ok(AccountInfo {
            account: account.to_owned(),
            user_id: row.get(0)?,
            bot: row.get(1)?,
            premium: row.get(2)?,
            api_id: row.get(3)?,
            home_dc: row.get(4)?,
            authorized_dcs: Vec::new(),
            peers: 0,
            disabled: false,
            encrypted: seal.is_some(),
            key_id: 0,
        })
    })?;
    info.disabled = file.prepare("SELECT 1 FROM setting WHERE name = 'disabled'")?.exists([])?;
    let mut authorized = file.prepare("SELECT id FROM datacentre WHERE authorized <> 0 ORDER BY id")?;
    info.authorized_dcs = authorized.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let known = "SELECT count(*) FROM peer WHERE access_hash IS NOT NULL OR sealed_hash IS NOT NULL";
    let peers: i64 = file.query_row(known, [], |row| row.get(0))?;
    info.peers = usize::try_from(peers).unwrap_or(0);
    let mut home = file.prepare("SELECT auth_key, sealed_key FROM datacentre WHERE id = ?1")?;
    if let Some(row) = home.query([info.home_dc])?.next()? {
        info.key_id = auth_key(seal, info.home_dc, row, (0, 1))?.as_ref().map_or(0, key_id);
    }
    Ok(info)
}

fn auth_key(
    seal: Option<&Seal>,
    dc: i32,
    row: &Row<'_>,
    columns: (usize, usize),
) -> Result<Option<[u8; 256]>, StoreError> {
    let key: Option<Vec<u8>> = secret(seal, Cell::Key(dc), row, columns, |bytes| Some(bytes.to_vec()))?;
    key.map(|key| key.try_into().map_err(|_| StoreError::Damaged("a key's length"))).transpose()
}

fn datacentres(file: &Connection, seal: Option<&Seal>) -> Result<BTreeMap<i32, DcRecord>, StoreError> {
    let mut dcs = BTreeMap::new();
    let mut statement = file.prepare("SELECT id, ipv4, ipv6, auth_key, sealed_key, authorized FROM datacentre")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let address = |column| -> Result<Option<SocketAddr>, StoreError> {
            let text: Option<String> = row.get(column)?;
            text.map(|text| text.parse().map_err(|_| StoreError::Damaged("an address"))).transpose()
        };
        let ipv4 = address(1)?.and_then(|a| if let SocketAddr::V4(a) = a { Some(a) } else { None });
        let ipv6 = address(2)?.and_then(|a| if let SocketAddr::V6(a) = a { Some(a) } else { None });
        let auth_key = auth_key(seal, id, row, (3, 4))?;
        dcs.insert(id, DcRecord { ipv4, ipv6, auth_key, authorized: row.get(5)? });
    }
    Ok(dcs)
}

fn peers(file: &Connection, seal: Option<&Seal>) -> Result<HashMap<i64, PeerRecord>, StoreError> {
    let mut peers = HashMap::new();
    let mut statement = file.prepare("SELECT id, access_hash, sealed_hash, bot, is_self, channel_kind FROM peer")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        let number = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_be_bytes);
        let access_hash = secret(seal, Cell::Hash(id), row, (1, 2), number)?;
        let peer = PeerRecord { access_hash, bot: row.get(3)?, is_self: row.get(4)?, channel_kind: row.get(5)? };
        peers.insert(id, peer);
    }
    Ok(peers)
}

/// The number by which Telegram knows a key: it stands unencrypted in front of every message.
pub(crate) fn key_id(key: &[u8; 256]) -> i64 {
    let digest: [u8; 20] = Sha1::digest(key).into();
    let [.., a, b, c, d, e, f, g, h] = digest;
    i64::from_le_bytes([a, b, c, d, e, f, g, h])
}
