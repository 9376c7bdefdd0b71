//! What the client must be told.

use crate::route::Route;
use crate::rsa::RsaKeys;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Settings of the connections, the same for every account of a hive.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Addresses that win over Telegram's own, by data-centre: test data-centres, relays, a simulator.
    pub addresses: Arc<HashMap<i32, SocketAddr>>,
    /// RSA keys by which data-centres prove what they are. Telegram's own, unless the addresses are of others.
    pub rsa_keys: RsaKeys,
    /// The application's id, instead of the one that each session was made with.
    pub api_id: Option<i32>,
    /// Connections per account and data-centre that are opened before anybody needs them, at least 1.
    pub connections_min: usize,
    /// Most connections per account and data-centre. Telegram's speed limit is per connection; above some 20 it closes them. Between
    /// the least and the most they are opened one at a time, while chunks wait and each brings more. Up to four chunks for each are
    /// under way, fewer when answers come late.
    pub connections: usize,
    /// A connection that isn't warm after this long is given up and tried again.
    pub connect_timeout: Duration,
    /// A call without an answer for this long has failed. Waiting for its turn among an account's chunks doesn't count.
    pub call_timeout: Duration,
    /// Pause after the first failed connect; doubles up to `reconnect_last`. A lost connection is made again within ten times this.
    pub reconnect_first: Duration,
    /// Longest pause between two connects.
    pub reconnect_last: Duration,
    /// How Telegram is reached, unless a session has a route of its own.
    pub route: Route,
    /// A connection is pinged this often. One that answers nothing within `call_timeout` after a ping is given up.
    pub keep_alive: Duration,
    /// Connections to a data-centre that were not needed for this long, as one was enough, are closed; one stays.
    pub idle: Duration,
    /// What Telegram shows in the account's list of devices.
    pub device_model: String,
    /// As above, the operating system.
    pub system_version: String,
    /// As above, the application.
    pub app_version: String,
    /// Two-letter language code.
    pub lang_code: String,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            addresses: Arc::default(),
            rsa_keys: RsaKeys::telegram(),
            api_id: None,
            connections_min: 4,
            connections: 8,
            connect_timeout: Duration::from_secs(8),
            call_timeout: Duration::from_secs(10),
            reconnect_first: Duration::from_millis(100),
            reconnect_last: Duration::from_secs(15),
            route: Route::direct(),
            keep_alive: Duration::from_secs(30),
            idle: Duration::from_secs(600),
            device_model: "Server".to_owned(),
            system_version: "Linux".to_owned(),
            app_version: env!("CARGO_PKG_VERSION").to_owned(),
            lang_code: "en".to_owned(),
        }
    }
}
