//! An authorized session on its way into or out of a store.

use crate::rows::key_id;
use crate::store::PeerRecord;
use secrecy::zeroize::Zeroize;
use std::fmt;
use std::net::SocketAddr;

/// An authorized session. Holds everything that is needed to act as the account; its keys are wiped from memory when it is dropped.
pub struct SessionSeed {
    /// Name of the session, unique within a store.
    pub account: String,
    /// Telegram's id of the account; 0 if unknown until the first connection.
    pub user_id: i64,
    /// True for a bot; false if unknown until the first connection.
    pub bot: bool,
    /// True for a premium account; unknown until the first connection, unless a sign-in made the session.
    pub premium: Option<bool>,
    /// Data-centre that the account lives in.
    pub home_dc: i32,
    /// Application id that the session was made with.
    pub api_id: i32,
    pub(crate) dcs: Vec<(i32, SocketAddr)>,
    pub(crate) auth_keys: Vec<(i32, [u8; 256])>,
    /// Besides the home: where the key named above is signed in too.
    pub(crate) authorized_dcs: Vec<i32>,
    pub(crate) peers: Vec<(i64, PeerRecord)>,
}

/// The session is none that a store can hold.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// Not JSON of the format's shape. Line and column only: the text around is secret.
    #[error("not a session seed, at line {line} column {column}: {category}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What kind of trouble.
        category: &'static str,
    },
    /// A field whose value can't be.
    #[error("session seed: field `{field}` {problem}")]
    Field {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it; never the value.
        problem: &'static str,
    },
}

impl SessionSeed {
    /// What a sign-in gives: a name to be replaced, and the key of the account's home.
    pub(crate) fn signed_in(user_id: i64, bot: bool, home_dc: i32, api_id: i32, key: [u8; 256]) -> Self {
        let account = format!("{}-{user_id}", if bot { "bot" } else { "user" });
        let (dcs, authorized_dcs, peers) = (Vec::new(), Vec::new(), Vec::new());
        let auth_keys = vec![(home_dc, key)];
        Self { account, user_id, bot, premium: None, home_dc, api_id, dcs, auth_keys, authorized_dcs, peers }
    }

    /// A session that another client signed in: its home, the key there, and the application it was made with. Who the account is
    /// may be told by [`SessionSeed::with_identity`]; else it is learnt at the first connection.
    ///
    /// # Errors
    /// [`SeedError::Field`] for a name that can't be a file's (1 to 64 characters of `[0-9A-Za-z_-]`), or numbers that aren't positive.
    pub fn carried(account: &str, home_dc: i32, key: [u8; 256], api_id: i32) -> Result<Self, SeedError> {
        let mut seed = Self::signed_in(0, false, home_dc, api_id, key);
        account.clone_into(&mut seed.account);
        seed.check()
    }

    /// The same with who the account is.
    #[must_use]
    pub fn with_identity(mut self, user_id: i64, bot: bool) -> Self {
        (self.user_id, self.bot) = (user_id, bot);
        self
    }

    /// The same with where a data-centre is, instead of Telegram's own address.
    #[must_use]
    pub fn with_address(mut self, dc: i32, address: SocketAddr) -> Self {
        self.dcs.push((dc, address));
        self
    }

    /// The same with the access hash of a peer, by its bot-API id.
    #[must_use]
    pub fn with_peer(mut self, id: i64, access_hash: i64) -> Self {
        self.peers.push((id, PeerRecord { access_hash: Some(access_hash), ..PeerRecord::default() }));
        self
    }

    /// The home data-centre's key. Don't print it.
    #[must_use]
    pub fn home_key(&self) -> Option<&[u8; 256]> {
        self.auth_keys.iter().find(|(dc, _)| *dc == self.home_dc).map(|(_, key)| key)
    }

    /// Where the home data-centre is, if that isn't Telegram's own address; IPv4 first.
    #[must_use]
    pub fn home_address(&self) -> Option<SocketAddr> {
        let mut known: Vec<_> = self.dcs.iter().filter(|(dc, _)| *dc == self.home_dc).map(|(_, at)| *at).collect();
        known.sort_by_key(SocketAddr::is_ipv6);
        known.first().copied()
    }

    /// Peers with their access hashes, by bot-API id.
    pub fn peers(&self) -> impl Iterator<Item = (i64, i64)> + '_ {
        self.peers.iter().filter_map(|(id, peer)| Some((*id, peer.access_hash?)))
    }

    /// Telegram's number of the home data-centre's key, as in [`AccountInfo::key_id`](crate::AccountInfo::key_id).
    #[must_use]
    pub fn key_id(&self) -> i64 {
        self.home_key().map_or(0, key_id)
    }

    /// Checks what must hold of every session that comes in: its name, positive numbers, a key for its home.
    ///
    /// # Errors
    /// [`SeedError::Field`].
    pub fn check(self) -> Result<Self, SeedError> {
        let field = |field, problem| Err(SeedError::Field { field, problem });
        if !is_account_name(&self.account) {
            return field("account", "must be 1 to 64 characters of [0-9A-Za-z_-]");
        }
        if self.user_id < 0 {
            return field("user_id", "must be positive, or 0 if it is not known");
        }
        if self.api_id <= 0 {
            return field("api_id", "must be positive");
        }
        let mut named = self.dcs.iter().map(|dc| dc.0).chain(self.auth_keys.iter().map(|key| key.0));
        if self.home_dc <= 0 || named.any(|id| id <= 0) {
            return field("home_dc", "and every data-centre id must be positive");
        }
        if self.dcs.iter().any(|(_, address)| address.port() == 0) {
            return field("dcs", "has a port of 0");
        }
        if self.home_key().is_none() {
            return field("auth_keys", "lacks the key of the home data-centre");
        }
        if self.authorized_dcs.iter().any(|dc| !self.auth_keys.iter().any(|(known, _)| known == dc)) {
            return field("authorized_dcs", "names a data-centre without a key");
        }
        Ok(self)
    }
}

impl Drop for SessionSeed {
    fn drop(&mut self) {
        self.auth_keys.iter_mut().for_each(|(_, key)| key.zeroize());
    }
}

/// Leaves out the keys.
impl fmt::Debug for SessionSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionSeed")
            .field("account", &self.account)
            .field("user_id", &self.user_id)
            .field("bot", &self.bot)
            .field("home_dc", &self.home_dc)
            .finish_non_exhaustive()
    }
}

/// True for a name that may become a file name: 1 to 64 characters of `[0-9A-Za-z_-]`.
#[must_use]
pub fn is_account_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
