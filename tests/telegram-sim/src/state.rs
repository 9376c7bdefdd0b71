//! What a running simulation knows: keys and who they belong to, exported authorizations, uploads, and the live world.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use grammers_tl_types::{Serializable, enums, types};
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use crate::clock::{MessageIds, unix_now};
use crate::counters::Counters;
use crate::crypto::AuthKey;
use crate::derive;
use crate::faults::Faults;
use crate::live::Live;
use crate::logins::Logins;
use crate::message::Outgoing;
use crate::shape::{Budget, Pipe, Shape};
use crate::srp::Challenge;
use crate::usage::Usage;
use crate::world::World;

/// How many salts a key has at a time, and how long each is the newest.
pub(crate) const SALTS: i64 = 64;
const SALT_SECONDS: i32 = 1800;

/// Sessions remembered per key; more than any client keeps alive.
const SESSIONS: usize = 256;

/// A key that some data-centre knows, and who it belongs to.
pub(crate) struct KeyEntry {
    pub(crate) key: AuthKey,
    state: Mutex<KeyState>,
}

#[derive(Default)]
struct KeyState {
    account: Option<usize>,
    imported: bool,
    /// Whose code was right and whose password is still to come.
    pending: Option<usize>,
    challenge: Option<Challenge>,
    wrong_passwords: u32,
    layer: i32,
    /// Salts below this index have gone bad.
    first_salt: i64,
    /// The salt that both sides know from the key exchange; good until salts are spoilt.
    agreed_salt: Option<i64>,
    sessions: VecDeque<i64>,
}

impl KeyEntry {
    fn new(bytes: [u8; 256], account: Option<usize>) -> Arc<Self> {
        let state = Mutex::new(KeyState { account, ..KeyState::default() });
        Arc::new(Self { key: AuthKey::new(bytes), state })
    }

    /// Who is signed in with this key, and whether by an imported authorization.
    pub(crate) fn account(&self) -> Option<(usize, bool)> {
        let state = self.state.lock();
        state.account.map(|account| (account, state.imported))
    }

    /// Signs an account in, or whoever is signed in out.
    pub(crate) fn sign_in(&self, account: Option<usize>, imported: bool) {
        let mut state = self.state.lock();
        state.account = account;
        state.imported = imported;
        state.pending = None;
        state.challenge = None;
        state.wrong_passwords = 0;
    }

    /// Half signs an account in: its password is still to come.
    pub(crate) fn hold(&self, account: usize) {
        self.state.lock().pending = Some(account);
    }

    /// Who is half signed in.
    pub(crate) fn pending(&self) -> Option<usize> {
        self.state.lock().pending
    }

    /// Keeps what the client was asked; an earlier question is void.
    pub(crate) fn ask(&self, challenge: Option<Challenge>) {
        self.state.lock().challenge = challenge;
    }

    /// Takes what the client was asked.
    pub(crate) fn asked(&self) -> Option<Challenge> {
        self.state.lock().challenge.take()
    }

    /// Counts a wrong password.
    pub(crate) fn wrong_password(&self) {
        self.state.lock().wrong_passwords += 1;
    }

    /// Wrong passwords in a row.
    pub(crate) fn wrong_passwords(&self) -> u32 {
        self.state.lock().wrong_passwords
    }

    /// Remembers the layer a client said it speaks. All clients tried so far take the objects of the newest one.
    pub(crate) fn set_layer(&self, layer: i32) {
        self.state.lock().layer = layer;
    }

    /// `true` the first time a session shows up.
    pub(crate) fn is_new_session(&self, session: i64) -> bool {
        let sessions = &mut self.state.lock().sessions;
        if sessions.contains(&session) {
            return false;
        }
        if sessions.len() == SESSIONS {
            sessions.pop_front();
        }
        sessions.push_back(session);
        true
    }

    /// Forgets a session; `false` when it was unknown.
    pub(crate) fn forget_session(&self, session: i64) -> bool {
        let sessions = &mut self.state.lock().sessions;
        let before = sessions.len();
        sessions.retain(|known| *known != session);
        sessions.len() != before
    }

    fn salt_at(&self, seed: u64, index: i64) -> i64 {
        derive::number(seed, "salt", &[self.key.id(), index])
    }

    /// The salt to use now.
    pub(crate) fn salt(&self, seed: u64) -> i64 {
        let first = self.state.lock().first_salt;
        self.salt_at(seed, first)
    }

    /// The salts to use from now on, each with the unix second from which on it's the newest.
    pub(crate) fn salts(&self, seed: u64, count: i64) -> Vec<(i32, i32, i64)> {
        let first = self.state.lock().first_salt;
        let now = unix_now();
        let one = |n: i64| {
            let since = now + SALT_SECONDS * n as i32;
            (since, since + 2 * SALT_SECONDS, self.salt_at(seed, first + n))
        };
        (0..count.clamp(2, SALTS)).map(one).collect()
    }

    /// Whether a client may use this salt.
    pub(crate) fn salt_is_good(&self, seed: u64, salt: i64) -> bool {
        let (first, agreed) = {
            let state = self.state.lock();
            (state.first_salt, state.agreed_salt)
        };
        agreed == Some(salt) || (first..first + SALTS).any(|index| self.salt_at(seed, index) == salt)
    }

    /// Makes every salt handed out so far bad.
    pub(crate) fn spoil_salts(&self) {
        let mut state = self.state.lock();
        state.first_salt += SALTS;
        state.agreed_salt = None;
    }
}

/// An authorization on its way to another data-centre.
pub(crate) struct Export {
    pub(crate) account: usize,
    pub(crate) dc: i32,
}

/// A file being uploaded.
#[derive(Default)]
pub(crate) struct Upload {
    pub(crate) parts: BTreeMap<i32, Vec<u8>>,
}

/// State that all connections of a simulation share.
///
/// Locks are held for a few lines each and never across an await. Where two are held, the live world's comes first.
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) live: RwLock<Live>,
    pub(crate) faults: Faults,
    pub(crate) counters: Counters,
    pub(crate) shape: RwLock<Shape>,
    pub(crate) message_ids: MessageIds,
    pub(crate) exports: Mutex<HashMap<Vec<u8>, Export>>,
    pub(crate) logins: Mutex<Logins>,
    pub(crate) uploads: Mutex<HashMap<(usize, i64), Upload>>,
    pub(crate) banned: RwLock<HashMap<usize, String>>,
    pub(crate) addresses: OnceLock<BTreeMap<i32, SocketAddr>>,
    pub(crate) addresses_v6: OnceLock<BTreeMap<i32, SocketAddr>>,
    pub(crate) start: Instant,
    pub(crate) usage: Usage,
    pub(crate) connections: AtomicU64,
    keys: RwLock<HashMap<(i32, i64), Arc<KeyEntry>>>,
    pipes: Mutex<HashMap<usize, Pipe>>,
    budgets: Mutex<HashMap<usize, Budget>>,
}

impl Shared {
    pub(crate) fn new(world: World, shape: Shape) -> Self {
        let mut keys = HashMap::new();
        for (index, account) in world.accounts.iter().enumerate() {
            for &dc in &world.data_centres {
                let at_home = dc == account.home_dc || account.authorized_dcs.contains(&dc);
                let bytes = derive::auth_key(world.seed, account.user_id, dc);
                let entry = KeyEntry::new(bytes, at_home.then_some(index));
                keys.insert((dc, entry.key.id()), entry);
            }
        }
        Self {
            seed: world.seed,
            live: RwLock::new(Live::new(world)),
            faults: Faults::default(),
            counters: Counters::default(),
            shape: RwLock::new(shape),
            message_ids: MessageIds::default(),
            exports: Mutex::default(),
            logins: Mutex::default(),
            uploads: Mutex::default(),
            banned: RwLock::default(),
            addresses: OnceLock::new(),
            addresses_v6: OnceLock::new(),
            start: Instant::now(),
            usage: Usage::default(),
            connections: AtomicU64::new(0),
            keys: RwLock::new(keys),
            pipes: Mutex::default(),
            budgets: Mutex::default(),
        }
    }

    /// Takes note that a connection used a key, and of what it says of itself.
    pub(crate) fn used(&self, dc: i32, entry: &KeyEntry, connection: u64, client: Option<&str>) {
        self.usage.used(entry.key.id(), connection, client, Instant::now(), || {
            let account =
                entry.account().and_then(|(index, _)| Some(self.live.read().accounts.get(index)?.name.clone()));
            (account.unwrap_or_default(), dc)
        });
    }

    /// The key of this id on this data-centre.
    pub(crate) fn key(&self, dc: i32, id: i64) -> Option<Arc<KeyEntry>> {
        self.keys.read().get(&(dc, id)).cloned()
    }

    /// Takes in a key that was agreed on by exchange, along with the first salt.
    pub(crate) fn add_key(&self, dc: i32, bytes: [u8; 256], salt: i64) {
        let entry = KeyEntry::new(bytes, None);
        entry.state.lock().agreed_salt = Some(salt);
        self.keys.write().insert((dc, entry.key.id()), entry);
    }

    /// Forgets a key; later messages with it get 404.
    pub(crate) fn remove_key(&self, dc: i32, id: i64) {
        self.keys.write().remove(&(dc, id));
    }

    /// Makes the salts of all keys bad.
    pub(crate) fn spoil_salts(&self) {
        self.keys.read().values().for_each(|entry| entry.spoil_salts());
    }

    /// How many keys an account is signed in with.
    pub(crate) fn signed_in_keys(&self, account: usize) -> usize {
        self.keys.read().values().filter(|entry| entry.account().is_some_and(|(index, _)| index == account)).count()
    }

    /// Accepts a login token in an account's name, and tells the connection that shows it.
    pub(crate) fn accept_login_token(&self, token: &[u8], account: usize) -> Result<(), &'static str> {
        let (dc, key, session, wire) = {
            let mut logins = self.logins.lock();
            let token = logins.accept(token, account, self.elapsed())?;
            (token.dc, token.key, token.session, token.wire.clone())
        };
        let Some(entry) = self.key(dc, key) else { return Ok(()) };
        let update = enums::Update::LoginToken;
        let short = types::UpdateShort { update, date: unix_now() };
        let salt = entry.salt(self.seed);
        let mut out = Outgoing::begin(salt, session, self.message_ids.next(false), true, 32);
        enums::Updates::UpdateShort(short).serialize(out.body());
        wire.tell(out.seal(&entry.key));
        Ok(())
    }

    /// Time since the simulation began.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.start.elapsed()
    }

    /// Puts bytes through an account's pipe; returns when (since the start) the last of them is out.
    pub(crate) fn through_account_pipe(&self, account: usize, bytes: usize) -> std::time::Duration {
        let rate = self.shape.read().account_bytes_per_second;
        let now = self.elapsed();
        if rate == 0 {
            return now;
        }
        self.pipes.lock().entry(account).or_default().push(now, bytes, rate)
    }

    /// Takes file bytes from an account's budget; the seconds to wait when it's spent.
    pub(crate) fn spend(&self, account: usize, premium: bool, bytes: u64) -> Result<(), (u32, bool)> {
        let Some(flood) = self.shape.read().flood else { return Ok(()) };
        if flood.premium && premium {
            return Ok(());
        }
        let now = self.elapsed();
        let mut budgets = self.budgets.lock();
        budgets.entry(account).or_default().take(&flood, now, bytes).map_err(|seconds| (seconds, flood.premium))
    }
}
