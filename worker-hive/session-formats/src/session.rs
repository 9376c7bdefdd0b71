//! What a session is, whoever keeps it.

use secrecy::zeroize::Zeroizing;
use std::fmt;
use std::net::SocketAddr;

/// Where a session was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// A string of Pyrogram before 2.0, with an account id of 32 bits and no application id.
    PyrogramString32,
    /// The same with an account id of 64 bits.
    PyrogramString64,
    /// A string of Pyrogram 2, Pyrofork or Kurigram.
    PyrogramString,
    /// A string of Telethon.
    TelethonString,
    /// An SQLite file of Pyrogram, Pyrofork or Kurigram.
    PyrogramFile,
    /// An SQLite file of Telethon.
    TelethonFile,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PyrogramString32 | Self::PyrogramString64 => "an old Pyrogram session string",
            Self::PyrogramString => "a Pyrogram session string",
            Self::TelethonString => "a Telethon session string",
            Self::PyrogramFile => "a Pyrogram session file",
            Self::TelethonFile => "a Telethon session file",
        })
    }
}

/// The key that an account is signed in with: 256 bytes, wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthKey(Box<Zeroizing<[u8; 256]>>);

impl AuthKey {
    /// Takes 256 bytes that aren't all zero, which is how clients say that there is no key.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 256] = bytes.try_into().ok()?;
        (bytes != [0; 256]).then(|| Self(Box::new(Zeroizing::new(bytes))))
    }

    /// The key itself. Don't print it.
    #[must_use]
    pub fn expose(&self) -> &[u8; 256] {
        &self.0
    }
}

/// Shows that there is one.
impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthKey")
    }
}

/// A chat or person that the account may address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The bot-API form: users positive, channels from -1000000000000 downwards, basic groups between.
    pub id: i64,
    /// Secret: valid for this account alone.
    pub access_hash: i64,
}

/// Leaves out the access hash.
impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A signed-in session between two clients. What its origin doesn't say is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortableSession {
    /// What it was read from, or `None` if it was put together.
    pub format: Option<Format>,
    /// Data-centre that the account lives in, 1 to 255 in all formats.
    pub home_dc: u8,
    /// Where that data-centre is.
    pub address: Option<SocketAddr>,
    /// True when the data-centres are Telegram's test servers.
    pub test_mode: bool,
    /// The home data-centre's key.
    pub auth_key: AuthKey,
    /// Application id that the session was made with; positive.
    pub api_id: Option<i32>,
    /// Telegram's id of the account; positive.
    pub user_id: Option<i64>,
    /// True for a bot.
    pub bot: Option<bool>,
    /// What it knows of others, without doubles.
    pub peers: Vec<Peer>,
}

impl PortableSession {
    /// A session of which no more is known than what every format says.
    #[must_use]
    pub fn new(home_dc: u8, auth_key: AuthKey) -> Self {
        Self {
            format: None,
            home_dc,
            address: None,
            test_mode: false,
            auth_key,
            api_id: None,
            user_id: None,
            bot: None,
            peers: Vec::new(),
        }
    }

    /// The same with where the home data-centre is; whether that is a test server follows.
    #[must_use]
    pub fn at(mut self, address: Option<SocketAddr>) -> Self {
        self.test_mode = address.as_ref().is_some_and(crate::centres::is_test);
        self.address = address;
        self
    }

    /// Where the data-centres are that a session in test mode must find, by number: they aren't those that everybody knows.
    /// Empty for others, but for the home data-centre's own address if the origin said it.
    #[must_use]
    pub fn addresses(&self) -> Vec<(i32, SocketAddr)> {
        let mut known = if self.test_mode { crate::centres::test() } else { Vec::new() };
        if let Some(address) = self.address {
            known.retain(|(dc, _)| *dc != i32::from(self.home_dc));
            known.push((i32::from(self.home_dc), address));
        }
        known
    }
}
