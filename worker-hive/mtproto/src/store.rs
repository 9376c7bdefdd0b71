//! One account's memory: read whole at the start, written through to its file as it changes.

use crate::key::StoreKey;
use crate::rows::{self, load, write_dc, write_peer};
use crate::schema::{self, StoreError};
use crate::seal::Seal;
use crate::seed::SessionSeed;
use crate::setting::Setting;
use parking_lot::Mutex;
use rusqlite::{Connection, TransactionBehavior, params};
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
    /// Telegram's id of the account; 0 while it is unknown, before the first connection of a session whose origin didn't say.
    pub user_id: i64,
    /// True for a bot; false while it is unknown.
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
    /// The operator took the session out of service, as the file said when it was opened.
    pub disabled: bool,
    /// The file's secrets are encrypted.
    pub encrypted: bool,
    /// Telegram's number of the home data-centre's key, which is no secret. What must not be in use in two places at once is this key.
    pub key_id: i64,
}

/// What the file holds, but for its settings.
pub(crate) struct Memory {
    pub(crate) info: AccountInfo,
    pub(crate) dcs: BTreeMap<i32, DcRecord>,
    pub(crate) peers: HashMap<i64, PeerRecord>,
}

/// One account's session file. Reads come from memory; a write returns once SQLite has it.
pub(crate) struct AccountStore {
    memory: Arc<Mutex<Memory>>,
    file: Arc<Mutex<Option<Connection>>>,
    seal: Arc<Option<Seal>>,
    settings: BTreeMap<&'static str, String>,
}

impl AccountStore {
    pub(crate) fn create(path: &Path, seed: &SessionSeed, key: Option<&StoreKey>) -> Result<(), StoreError> {
        let mut connection = schema::create(path)?;
        let transaction = connection.transaction()?;
        transaction.execute(
            "INSERT INTO account (one, user_id, bot, premium, api_id, home_dc) VALUES (1, ?1, ?2, ?3, ?4, ?5)",
            params![seed.user_id, seed.bot, seed.premium, seed.api_id, seed.home_dc],
        )?;
        let seal = key.map(|key| Seal::new(key, rand::random()));
        if let Some(seal) = &seal {
            transaction.execute(
                "INSERT INTO seal (one, file, proof, scrubbed) VALUES (1, ?1, ?2, 1)",
                params![seal.file(), seal.proof()],
            )?;
        }
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
        for id in seed.authorized_dcs.iter().chain([&seed.home_dc]) {
            dcs.entry(*id).or_default().authorized = true;
        }
        for (id, record) in &dcs {
            write_dc(&transaction, seal.as_ref(), *id, record)?;
        }
        for (id, peer) in &seed.peers {
            write_peer(&transaction, seal.as_ref(), *id, *peer)?;
        }
        transaction.commit()?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(())
    }

    /// Opens a session to run it. With a key, a plain file is encrypted first: so nobody else may be running the session.
    pub(crate) fn open(path: &Path, account: &str, key: Option<&StoreKey>) -> Result<Self, StoreError> {
        let mut connection = schema::open(path)?;
        let seal = match (rows::seal_of(&connection, key)?, key) {
            (None, Some(key)) => Some(rows::reseal(&mut connection, None, key)?),
            (seal, _) => seal,
        };
        if let Err(error) = rows::scrub(&connection) {
            // Done again at the next opening; the session itself is fine.
            tracing::warn!(account, %error, "can't overwrite what was in the session file before its encryption");
        }
        Self::read(connection, account, seal)
    }

    /// Opens a session to look at it, as it is: somebody else may be running it.
    pub(crate) fn peek(path: &Path, account: &str, key: Option<&StoreKey>) -> Result<Self, StoreError> {
        let connection = schema::open(path)?;
        let seal = rows::seal_of(&connection, key)?;
        Self::read(connection, account, seal)
    }

    fn read(connection: Connection, account: &str, seal: Option<Seal>) -> Result<Self, StoreError> {
        let memory = load(&connection, seal.as_ref(), account)?;
        let mut settings = BTreeMap::new();
        for setting in Setting::ALL {
            if let Some(value) = rows::read_setting(&connection, seal.as_ref(), setting.name())? {
                settings.insert(setting.name(), value);
            }
        }
        Ok(Self {
            memory: Arc::new(Mutex::new(memory)),
            file: Arc::new(Mutex::new(Some(connection))),
            seal: Arc::new(seal),
            settings,
        })
    }

    /// What the operator set, as of the opening; [`SessionFolder::setting`](crate::SessionFolder::setting) tells what was set since.
    pub(crate) fn setting(&self, setting: Setting) -> Option<String> {
        self.settings.get(setting.name()).cloned()
    }

    /// Everything that makes the session, to be taken elsewhere.
    pub(crate) fn seed(&self) -> SessionSeed {
        let memory = self.memory.lock();
        let info = &memory.info;
        let mut seed = SessionSeed::signed_in(info.user_id, info.bot, info.home_dc, info.api_id, [0; 256]);
        seed.account.clone_from(&info.account);
        seed.auth_keys = memory.dcs.iter().filter_map(|(id, dc)| Some((*id, dc.auth_key?))).collect();
        seed.authorized_dcs = memory.dcs.iter().filter(|(_, dc)| dc.authorized).map(|(id, _)| *id).collect();
        seed.authorized_dcs.retain(|id| *id != info.home_dc);
        for (id, dc) in &memory.dcs {
            let addresses = dc.ipv4.map(SocketAddr::V4).into_iter().chain(dc.ipv6.map(SocketAddr::V6));
            seed.dcs.extend(addresses.map(|address| (*id, address)));
        }
        seed.peers = memory.peers.iter().map(|(id, peer)| (*id, *peer)).collect();
        seed.peers.sort_by_key(|(id, _)| *id);
        seed
    }

    pub(crate) fn info(&self) -> AccountInfo {
        let memory = self.memory.lock();
        let mut info = memory.info.clone();
        info.authorized_dcs = memory.dcs.iter().filter(|(_, dc)| dc.authorized).map(|(id, _)| *id).collect();
        info.peers = memory.peers.values().filter(|peer| peer.access_hash.is_some()).count();
        info
    }

    pub(crate) fn is_bot(&self) -> bool {
        self.memory.lock().info.bot
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

    /// Keeps another key for a data-centre abroad, or none: in either case it is not authorized.
    pub(crate) async fn replace_key(&self, id: i32, auth_key: Option<[u8; 256]>) -> Result<(), StoreError> {
        {
            let mut memory = self.memory.lock();
            let home = memory.info.home_dc == id;
            let record = memory.dcs.entry(id).or_default();
            if home && record.auth_key.is_some() {
                return Err(StoreError::KeyReplaced);
            }
            (record.auth_key, record.authorized) = (auth_key, home);
        }
        self.persist_dc(id).await
    }

    /// Writes what memory holds at the time of writing, so that two writers can't leave the older state on disk.
    async fn persist_dc(&self, id: i32) -> Result<(), StoreError> {
        let (memory, seal) = (Arc::clone(&self.memory), Arc::clone(&self.seal));
        self.write(move |file| {
            let record = memory.lock().dcs.get(&id).cloned().unwrap_or_default();
            write_dc(file, seal.as_ref().as_ref(), id, &record)
        })
        .await
    }

    pub(crate) async fn set_authorized(&self, id: i32, authorized: bool) -> Result<(), StoreError> {
        self.memory.lock().dcs.entry(id).or_default().authorized = authorized;
        self.persist_dc(id).await
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
        let seal = Arc::clone(&self.seal);
        self.write(move |file| {
            file.execute_batch("BEGIN")?;
            let write = |(id, peer): &(i64, PeerRecord)| write_peer(file, seal.as_ref().as_ref(), *id, *peer);
            let written = changed.iter().try_for_each(write);
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

/// Reads who a session is.
pub(crate) fn describe(path: &Path, account: &str, key: Option<&StoreKey>) -> Result<AccountInfo, StoreError> {
    let connection = schema::open(path)?;
    let seal = rows::seal_of(&connection, key)?;
    rows::info(&connection, seal.as_ref(), account)
}

/// Reads or writes one setting, with nothing of the session in memory.
pub(crate) fn with_settings<T>(
    path: &Path,
    key: Option<&StoreKey>,
    work: impl FnOnce(&Connection, Option<&Seal>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut connection = schema::open(path)?;
    // Whether the file is encrypted must not change in between.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let seal = rows::seal_of(&transaction, key)?;
    let done = work(&transaction, seal.as_ref())?;
    transaction.commit()?;
    Ok(done)
}
