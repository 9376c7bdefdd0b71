//! The import format: one JSON file that carries an authorized session from one place to another.
//!
//! ```json
//! { "account": "bot-1", "user_id": 7001, "bot": true, "home_dc": 2, "api_id": 1,
//!   "dcs": [ { "id": 2, "ip": "127.0.0.1", "port": 4432 } ],
//!   "auth_keys": { "2": "<512 hexadecimal digits>" } }
//! ```
//! `account` names the session's file: 1 to 64 characters of `[0-9A-Za-z_-]`. `dcs` and further keys are optional: an unnamed
//! data-centre has Telegram's own address, an unnamed key is made when it is needed. The home data-centre's key must be there. Keys
//! that aren't named here are ignored. A file may hold an array of such objects.

use crate::store::PeerRecord;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// An authorized session, read from its import format.
pub struct SessionSeed {
    /// Name of the session, unique within a store.
    pub account: String,
    /// Telegram's id of the account.
    pub user_id: i64,
    /// True for a bot.
    pub bot: bool,
    /// Data-centre that the account lives in.
    pub home_dc: i32,
    /// Application id that the session was made with.
    pub api_id: i32,
    pub(crate) dcs: Vec<(i32, SocketAddr)>,
    pub(crate) auth_keys: Vec<(i32, [u8; 256])>,
    pub(crate) peers: Vec<(i64, PeerRecord)>,
}

/// The text is no session in the import format.
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

#[derive(Deserialize)]
struct Raw {
    account: String,
    user_id: i64,
    #[serde(default)]
    bot: bool,
    home_dc: i32,
    api_id: i32,
    #[serde(default)]
    dcs: Vec<RawDc>,
    auth_keys: BTreeMap<i32, String>,
}

#[derive(Deserialize)]
struct RawDc {
    id: i32,
    ip: IpAddr,
    port: u16,
}

impl SessionSeed {
    /// Reads the JSON text of one session.
    ///
    /// # Errors
    /// [`SeedError`], which never quotes the text.
    pub fn parse(text: &str) -> Result<Self, SeedError> {
        serde_json::from_str(text).map_err(|error| json_error(&error)).and_then(Self::check)
    }

    /// Reads the JSON text of one session, or of an array of sessions.
    ///
    /// # Errors
    /// [`SeedError`], which never quotes the text.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, SeedError> {
        if !text.trim_start().starts_with('[') {
            return Self::parse(text).map(|seed| vec![seed]);
        }
        let raw: Vec<Raw> = serde_json::from_str(text).map_err(|error| json_error(&error))?;
        raw.into_iter().map(Self::check).collect()
    }

    fn check(raw: Raw) -> Result<Self, SeedError> {
        if !is_account_name(&raw.account) {
            return Err(field("account", "must be 1 to 64 characters of [0-9A-Za-z_-]"));
        }
        if raw.user_id <= 0 {
            return Err(field("user_id", "must be positive"));
        }
        if raw.home_dc <= 0 || raw.dcs.iter().any(|dc| dc.id <= 0) || raw.auth_keys.keys().any(|id| *id <= 0) {
            return Err(field("home_dc", "and every data-centre id must be positive"));
        }
        if raw.dcs.iter().any(|dc| dc.port == 0) {
            return Err(field("dcs", "has a port of 0"));
        }
        let auth_keys = raw
            .auth_keys
            .iter()
            .map(|(id, hex)| Ok((*id, key(hex).ok_or(field("auth_keys", "must hold 512 hexadecimal digits each"))?)))
            .collect::<Result<Vec<_>, SeedError>>()?;
        if !raw.auth_keys.contains_key(&raw.home_dc) {
            return Err(field("auth_keys", "lacks the key of the home data-centre"));
        }
        Ok(Self {
            account: raw.account,
            user_id: raw.user_id,
            bot: raw.bot,
            home_dc: raw.home_dc,
            api_id: raw.api_id,
            dcs: raw.dcs.iter().map(|dc| (dc.id, SocketAddr::new(dc.ip, dc.port))).collect(),
            auth_keys,
            peers: Vec::new(),
        })
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

fn json_error(error: &serde_json::Error) -> SeedError {
    SeedError::Json {
        line: error.line(),
        column: error.column(),
        category: match error.classify() {
            serde_json::error::Category::Data => "a field is missing or of the wrong kind",
            serde_json::error::Category::Eof => "it ends too early",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => "it is not JSON",
        },
    }
}

/// True for a name that may become a file name.
pub(crate) fn is_account_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn field(field: &'static str, problem: &'static str) -> SeedError {
    SeedError::Field { field, problem }
}

fn key(hex: &str) -> Option<[u8; 256]> {
    let digits = hex.as_bytes();
    if digits.len() != 512 {
        return None;
    }
    let mut key = [0; 256];
    for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::SessionSeed;

    fn seed(account: &str, home: i32, hex: &str) -> String {
        format!(
            r#"{{"account":"{account}","user_id":7,"bot":true,"home_dc":{home},"api_id":1,"extra":0,
                "dcs":[{{"id":2,"ip":"127.0.0.1","port":443}}],"auth_keys":{{"2":"{hex}"}}}}"#
        )
    }

    #[test]
    fn reads_the_documented_format() {
        let seed = SessionSeed::parse(&seed("bot-1", 2, &"0f".repeat(256))).unwrap();
        assert_eq!(
            (seed.account.as_str(), seed.user_id, seed.bot, seed.home_dc, seed.api_id),
            ("bot-1", 7, true, 2, 1)
        );
        assert_eq!(seed.auth_keys, vec![(2, [0x0f; 256])]);
        assert_eq!(seed.dcs, vec![(2, "127.0.0.1:443".parse().unwrap())]);
    }

    #[test]
    fn refuses_what_can_not_be_and_never_quotes_a_key() {
        let secret = "ab".repeat(255);
        for text in [
            seed("../x", 2, &"00".repeat(256)),
            seed("a", 3, &"00".repeat(256)),
            seed("a", 2, &secret),
            seed("a", 2, &"zz".repeat(256)),
            seed("a", -2, &"00".repeat(256)),
            format!("{{\"auth_keys\":\"{secret}\"}}"),
            "{".to_owned(),
        ] {
            let error = SessionSeed::parse(&text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("abab"), "{error}");
        }
    }

    #[test]
    fn a_file_may_hold_several() {
        let one = seed("a", 2, &"00".repeat(256));
        assert_eq!(SessionSeed::parse_all(&one).unwrap().len(), 1);
        assert_eq!(SessionSeed::parse_all(&format!(" [{one},{one}]")).unwrap().len(), 2);
        assert!(SessionSeed::parse_all(&format!("[{one}")).is_err());
    }
}
