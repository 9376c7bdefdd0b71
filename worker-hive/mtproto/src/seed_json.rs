//! The import format: one JSON file that carries an authorized session from one place to another.
//!
//! ```json
//! { "account": "bot-1", "user_id": 7001, "bot": true, "home_dc": 2, "api_id": 1,
//!   "dcs": [ { "id": 2, "ip": "127.0.0.1", "port": 4432 } ],
//!   "auth_keys": { "2": "<512 hexadecimal digits>" },
//!   "authorized_dcs": [ 4 ], "peers": [ { "id": -1001234567890, "access_hash": 5 } ] }
//! ```
//! `account` names the session's file: 1 to 64 characters of `[0-9A-Za-z_-]`. `user_id` 0 stands for one that isn't known yet. `dcs`
//! and further keys are optional: an unnamed data-centre has Telegram's own address, an unnamed key is made when it is needed. The
//! home data-centre's key must be there. `authorized_dcs` are those whose key is signed in too, so that no export of the
//! authorization is needed. Fields that aren't named here are ignored. A file may hold an array of such objects.

use crate::seed::{SeedError, SessionSeed};
use crate::store::PeerRecord;
use secrecy::SecretString;
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

#[derive(Deserialize)]
struct Raw {
    account: String,
    #[serde(default)]
    user_id: i64,
    #[serde(default)]
    bot: bool,
    home_dc: i32,
    api_id: i32,
    #[serde(default)]
    dcs: Vec<RawDc>,
    auth_keys: BTreeMap<i32, String>,
    #[serde(default)]
    authorized_dcs: Vec<i32>,
    #[serde(default)]
    peers: Vec<RawPeer>,
}

#[derive(Deserialize, Serialize)]
struct RawDc {
    id: i32,
    ip: IpAddr,
    port: u16,
}

#[derive(Deserialize, Serialize)]
struct RawPeer {
    id: i64,
    access_hash: i64,
}

#[derive(Serialize)]
struct Written<'a> {
    account: &'a str,
    user_id: i64,
    bot: bool,
    home_dc: i32,
    api_id: i32,
    dcs: Vec<RawDc>,
    auth_keys: BTreeMap<i32, Hex<'a>>,
    authorized_dcs: &'a [i32],
    peers: Vec<RawPeer>,
}

/// Written digit by digit: no copy of a key is left behind in memory.
struct Hex<'a>(&'a [u8; 256]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl SessionSeed {
    /// Reads the JSON text of one session.
    ///
    /// # Errors
    /// [`SeedError`], which never quotes the text.
    pub fn parse(text: &str) -> Result<Self, SeedError> {
        serde_json::from_str(text).map_err(|error| json_error(&error)).and_then(seed)
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
        raw.into_iter().map(seed).collect()
    }

    /// Writes the text that [`SessionSeed::parse`] reads, with everything that the session is.
    #[must_use]
    pub fn to_json(&self) -> SecretString {
        let written = Written {
            account: &self.account,
            user_id: self.user_id,
            bot: self.bot,
            home_dc: self.home_dc,
            api_id: self.api_id,
            dcs: self.dcs.iter().map(|(id, at)| RawDc { id: *id, ip: at.ip(), port: at.port() }).collect(),
            auth_keys: self.auth_keys.iter().map(|(id, key)| (*id, Hex(key))).collect(),
            authorized_dcs: &self.authorized_dcs,
            peers: self.peers().map(|(id, access_hash)| RawPeer { id, access_hash }).collect(),
        };
        // Numbers and plain text alone: there is nothing that JSON can't say.
        SecretString::from(serde_json::to_string_pretty(&written).unwrap_or_default())
    }
}

fn seed(raw: Raw) -> Result<SessionSeed, SeedError> {
    let wrong = SeedError::Field { field: "auth_keys", problem: "must hold 512 hexadecimal digits each" };
    let auth_keys = raw.auth_keys.iter().map(|(id, hex)| Some((*id, key(hex)?)));
    let hashed = |peer: RawPeer| (peer.id, PeerRecord { access_hash: Some(peer.access_hash), ..PeerRecord::default() });
    SessionSeed {
        account: raw.account,
        user_id: raw.user_id,
        bot: raw.bot,
        premium: None,
        home_dc: raw.home_dc,
        api_id: raw.api_id,
        dcs: raw.dcs.iter().map(|dc| (dc.id, SocketAddr::new(dc.ip, dc.port))).collect(),
        auth_keys: auth_keys.collect::<Option<_>>().ok_or(wrong)?,
        authorized_dcs: raw.authorized_dcs,
        peers: raw.peers.into_iter().map(hashed).collect(),
    }
    .check()
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
    use crate::seed::SessionSeed;
    use secrecy::ExposeSecret;

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
    fn what_is_written_is_read_again() {
        let text = r#"{"account":"u","home_dc":2,"api_id":1,"authorized_dcs":[4],"peers":[{"id":-1009,"access_hash":-5}],
            "dcs":[{"id":2,"ip":"::1","port":443}],"auth_keys":{"2":"K2","4":"K4"}}"#;
        let text = text.replace("K2", &"5a".repeat(256)).replace("K4", &"a5".repeat(256));
        let seed = SessionSeed::parse(&text).unwrap();
        assert_eq!((seed.user_id, seed.home_key().unwrap()[0]), (0, 0x5a));
        assert_eq!(seed.home_address(), Some("[::1]:443".parse().unwrap()));
        let again = SessionSeed::parse(seed.to_json().expose_secret()).unwrap();
        assert_eq!((&again.account, &again.dcs, &again.auth_keys), (&seed.account, &seed.dcs, &seed.auth_keys));
        assert_eq!((&again.authorized_dcs, &again.peers), (&vec![4], &seed.peers));
        assert_eq!(again.peers().collect::<Vec<_>>(), [(-1009, -5)]);
        assert!(!format!("{again:?} {:?}", again.to_json()).contains("5a5a"));
        for (from, to) in [("[4]", "[5]"), ("\"api_id\":1", "\"api_id\":0"), ("\"u\"", "\"u\",\"user_id\":-1")] {
            assert!(SessionSeed::parse(&text.replace(from, to)).is_err(), "{to}");
        }
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
