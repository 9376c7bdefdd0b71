//! One account's memory: read whole at the start, written through to its file as it changes.

use crate::schema::{self, StoreError};
use crate::seed::SessionSeed;
use parking_lot::Mutex;
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::path::Path;
use std::sync::Arc;

/// What is known of a data-centre.
#[derive(Clone, Default)]
pub(crate) struct DcRecord {
    pub(crate) ipv4: Option<SocketAddrV4>,
    pub(crate) ipv6: Option<SocketAddrV6>,
    pub(crate) auth_key: Option<[u8; 256]>,
    pub(crate) authorized: bool,
}

/// What is known of a peer, by its bot-API id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerRecord {
    pub(crate) access_hash: Option<i64>,
    pub(crate) bot: Option<bool>,
    pub(crate) is_self: Option<bool>,
    pub(crate) channel_kind: Option<u8>,
}

/// Who a session is. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountInfo {
    /// The session's name in its store.
    pub account: String,
    /// Telegram's id of the account.
    pub user_id: i64,
    /// True for a bot.
    pub bot: bool,
    /// As Telegram last said; unknown before the first connection.
    pub premium: Option<bool>,
    /// Application id that the session was made with.
    pub api_id: i32,
    /// Data-centre that the account lives in.
    pub home_dc: i32,
    /// Data-centres that the account may use without another export of its authorization.
    pub authorized_dcs: Vec<i32>,
    /// Peers whose access hash is known.
    pub peers: usize,
}

struct Memory {
    info: AccountInfo,
    dcs: BTreeMap<i32, DcRecord>,
    peers: HashMap<i64, PeerRecord>,
}

/// One account's session file. Reads come from memory; a write returns once SQLite has it.
pub(crate) struct AccountStore {
    memory: Arc<Mutex<Memory>>,
    file: Arc<Mutex<Option<Connection>>>,
}

impl AccountStore {
    pub(crate) fn create(path: &Path, seed: &SessionSeed) -> Result<(), StoreError> {
        let mut connection = schema::create(path)?;
        let transaction = connection.transaction()?;
        transaction.execute(
            "INSERT INTO account (one, user_id, bot, api_id, home_dc) VALUES (1, ?1, ?2, ?3, ?4)",
            params![seed.user_id, seed.bot, seed.api_id, seed.home_dc],
        )?;
        let mut dcs: BTreeMap<i32, DcRecord> = BTreeMap::new();
        for (id, address) in &seed.dcs {
            let record = dcs.entry(*id).or_default();
            match address {
                SocketAddr::V4(v4) => record.ipv4 = Some(*v4),
                SocketAddr::V6(v6) => record.ipv6 = Some(*v6),
            }
        }
        for (id, key) in &seed.auth_keys {
            dcs.entry(*id).or_default().auth_key = Some(*key);
        }
        dcs.entry(seed.home_dc).or_default().authorized = true;
        for (id, record) in &dcs {
            write_dc(&transaction, *id, record)?;
        }
        transaction.commit()?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(())
    }

    pub(crate) fn open(path: &Path, account: &str) -> Result<Self, StoreError> {
        let connection = schema::open(path)?;
        let memory = load(&connection, account)?;
        Ok(Self { memory: Arc::new(Mutex::new(memory)), file: Arc::new(Mutex::new(Some(connection))) })
    }

    pub(crate) fn info(&self) -> AccountInfo {
        let memory = self.memory.lock();
        let mut info = memory.info.clone();
        info.authorized_dcs = memory.dcs.iter().filter(|(_, dc)| dc.authorized).map(|(id, _)| *id).collect();
        info.peers = memory.peers.values().filter(|peer| peer.access_hash.is_some()).count();
        info
    }

    pub(crate) fn is_premium(&self) -> bool {
        self.memory.lock().info.premium == Some(true)
    }

    pub(crate) fn home_dc(&self) -> i32 {
        self.memory.lock().info.home_dc
    }

    pub(crate) fn dc(&self, id: i32) -> Option<DcRecord> {
        self.memory.lock().dcs.get(&id).cloned()
    }

    /// True when the account's authorization was carried to that data-centre, or lives there.
    pub(crate) fn is_authorized(&self, id: i32) -> bool {
        self.memory.lock().dcs.get(&id).is_some_and(|dc| dc.authorized)
    }

    pub(crate) fn peer(&self, id: i64) -> Option<PeerRecord> {
        self.memory.lock().peers.get(&id).copied()
    }

    /// Keeps addresses and key. Another key for the home data-centre is refused; another key elsewhere is not authorized.
    pub(crate) async fn save_dc(
        &self,
        id: i32,
        ipv4: Option<SocketAddrV4>,
        ipv6: Option<SocketAddrV6>,
        auth_key: Option<[u8; 256]>,
    ) -> Result<(), StoreError> {
        {
            let mut memory = self.memory.lock();
            let home = memory.info.home_dc == id;
            let record = memory.dcs.entry(id).or_default();
            let mut next = DcRecord { ipv4, ipv6, ..record.clone() };
            if auth_key.is_some() && auth_key != record.auth_key {
                if home && record.auth_key.is_some() {
                    return Err(StoreError::KeyReplaced);
                }
                next.auth_key = auth_key;
                next.authorized = home;
            }
            let same = next.ipv4 == record.ipv4
                && next.ipv6 == record.ipv6
                && next.auth_key == record.auth_key
                && next.authorized == record.authorized;
            if same {
                return Ok(());
            }
            *record = next;
        }
        self.persist_dc(id).await
    }

    /// Writes what memory holds at the time of writing, so that two writers can't leave the older state on disk.
    async fn persist_dc(&self, id: i32) -> Result<(), StoreError> {
        let memory = Arc::clone(&self.memory);
        self.write(move |file| {
            let record = memory.lock().dcs.get(&id).cloned().unwrap_or_default();
            write_dc(file, id, &record)
        })
        .await
    }

    pub(crate) async fn set_authorized(&self, id: i32, authorized: bool) -> Result<(), StoreError> {
        self.memory.lock().dcs.entry(id).or_default().authorized = authorized;
        self.persist_dc(id).await
    }

    pub(crate) async fn set_home_dc(&self, id: i32) -> Result<(), StoreError> {
        self.memory.lock().info.home_dc = id;
        self.write(move |file| file.execute("UPDATE account SET home_dc = ?1", [id]).map(drop)).await
    }

    pub(crate) async fn set_identity(&self, user_id: i64, bot: bool, premium: bool) -> Result<(), StoreError> {
        {
            let info = &mut self.memory.lock().info;
            if (info.user_id, info.bot, info.premium) == (user_id, bot, Some(premium)) {
                return Ok(());
            }
            (info.user_id, info.bot, info.premium) = (user_id, bot, Some(premium));
        }
        self.write(move |file| {
            file.execute("UPDATE account SET user_id = ?1, bot = ?2, premium = ?3", params![user_id, bot, premium])
                .map(drop)
        })
        .await
    }

    /// Keeps what is new of each peer; unknown fields of a record leave the known ones alone.
    pub(crate) async fn save_peers(&self, peers: Vec<(i64, PeerRecord)>) -> Result<(), StoreError> {
        let changed: Vec<(i64, PeerRecord)> = {
            let mut memory = self.memory.lock();
            peers
                .into_iter()
                .filter_map(|(id, new)| {
                    let known = memory.peers.entry(id).or_default();
                    let merged = PeerRecord {
                        access_hash: new.access_hash.or(known.access_hash),
                        bot: new.bot.or(known.bot),
                        is_self: new.is_self.or(known.is_self),
                        channel_kind: new.channel_kind.or(known.channel_kind),
                    };
                    (merged != *known).then(|| {
                        *known = merged;
                        (id, merged)
                    })
                })
                .collect()
        };
        if changed.is_empty() {
            return Ok(());
        }
        self.write(move |file| {
            file.execute_batch("BEGIN")?;
            let written = changed.iter().try_for_each(|(id, peer)| write_peer(file, *id, *peer));
            file.execute_batch(if written.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
            written
        })
        .await
    }

    /// Runs a write on the blocking pool: a disk that stalls must not stall the connections.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || match file.lock().as_ref() {
            Some(connection) => work(connection).map_err(StoreError::from),
            None => Err(StoreError::Closed),
        })
        .await
        .map_err(|_| StoreError::Closed)?
    }

    /// Folds the journal into the file and closes it. Later writes fail with [`StoreError::Closed`].
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        let file = Arc::clone(&self.file);
        tokio::task::spawn_blocking(move || match file.lock().take() {
            Some(connection) => {
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
                connection.close().map_err(|(_, error)| StoreError::from(error))
            }
            None => Ok(()),
        })
        .await
        .map_err(|_| StoreError::Closed)?
    }
}

fn write_dc(file: &Connection, id: i32, record: &DcRecord) -> rusqlite::Result<()> {
    file.execute(
        "INSERT INTO datacentre (id, ipv4, ipv6, auth_key, authorized) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO UPDATE SET ipv4 = ?2, ipv6 = ?3, auth_key = ?4, authorized = ?5",
        params![
            id,
            record.ipv4.map(|address| address.to_string()),
            record.ipv6.map(|address| address.to_string()),
            record.auth_key.as_ref().map(|key| &key[..]),
            record.authorized
        ],
    )
    .map(drop)
}

fn write_peer(file: &Connection, id: i64, peer: PeerRecord) -> rusqlite::Result<()> {
    file.execute(
        "INSERT OR REPLACE INTO peer (id, access_hash, bot, is_self, channel_kind) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![id, peer.access_hash, peer.bot, peer.is_self, peer.channel_kind],
    )
    .map(drop)
}

fn load(file: &Connection, account: &str) -> Result<Memory, StoreError> {
    let info = file.query_row("SELECT user_id, bot, premium, api_id, home_dc FROM account", [], |row| {
        Ok(AccountInfo {
            account: account.to_owned(),
            user_id: row.get(0)?,
            bot: row.get(1)?,
            premium: row.get(2)?,
            api_id: row.get(3)?,
            home_dc: row.get(4)?,
            authorized_dcs: Vec::new(),
            peers: 0,
        })
    })?;
    let mut dcs = BTreeMap::new();
    let mut statement = file.prepare("SELECT id, ipv4, ipv6, auth_key, authorized FROM datacentre")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let address = |column| -> Result<Option<SocketAddr>, StoreError> {
            let text: Option<String> = row.get(column)?;
            text.map(|text| text.parse().map_err(|_| StoreError::Damaged("an address"))).transpose()
        };
        let ipv4 = address(1)?.and_then(|a| if let SocketAddr::V4(a) = a { Some(a) } else { None });
        let ipv6 = address(2)?.and_then(|a| if let SocketAddr::V6(a) = a { Some(a) } else { None });
        let key: Option<Vec<u8>> = row.get(3)?;
        let auth_key = key.map(|key| key.try_into().map_err(|_| StoreError::Damaged("a key's length"))).transpose()?;
        dcs.insert(row.get(0)?, DcRecord { ipv4, ipv6, auth_key, authorized: row.get(4)? });
    }
    let mut peers = HashMap::new();
    let mut statement = file.prepare("SELECT id, access_hash, bot, is_self, channel_kind FROM peer")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let peer =
            PeerRecord { access_hash: row.get(1)?, bot: row.get(2)?, is_self: row.get(3)?, channel_kind: row.get(4)? };
        peers.insert(row.get(0)?, peer);
    }
    Ok(Memory { info, dcs, peers })
}
