//! Telegram words stay here: session files, supervised connections, from message to location, from location to bytes.
//!
//! What it does: keeps one SQLite file per account, its secrets encrypted if there is a key; keeps several warm connections per account and data-centre, each rebuilt when
//! it breaks and reached by the [`Route`] that the operator chose and no other; carries an account's authorization to other
//! data-centres; finds a message's document; fetches a chunk of it. What it refuses to do: retry a chunk, choose between
//! accounts, wait out a flood: each fault is typed and the `pool` decides. Who calls it: `pool` through [`Account`],
//! `hive-server` for [`SessionFolder`] and [`SessionSeed`]. What stays true: once its turn came, a call ends within its deadline,
//! and turns come as long as anything is answered; a dead data-centre blocks no other; an authorization is exported once per
//! account and data-centre as long as its key lives; an account that was told to wait asks nothing; [`SessionFolder::lock`] keeps
//! two runs off the same sessions; no error, log line or `Debug` text holds a key, an access hash or a file reference.

mod account;
#[cfg(test)]
mod against_sim;
mod ask;
#[cfg(test)]
mod at_rest;
mod authorize;
mod backoff;
mod calls;
mod channels;
mod climb;
mod clock;
mod config;
mod conversation;
mod datacentre;
mod dial;
mod endpoint;
mod exchange;
mod factor;
mod fault;
mod folder;
mod frames;
mod growth;
mod handshake;
mod http_connect;
mod key;
#[cfg(test)]
mod keys_against_sim;
mod link;
mod locate;
mod login;
#[cfg(test)]
mod login_against_sim;
mod login_fault;
mod login_line;
mod login_password;
mod login_token;
mod media;
mod permission;
mod proxy_secret;
mod raw;
mod rest;
mod revoked;
mod route;
mod route_text;
mod rows;
mod rsa;
mod schema;
mod seal;
mod seed;
mod seed_json;
mod setting;
#[cfg(test)]
mod sim_rig;
mod slots;
mod socks;
mod store;
mod supervise;
mod talk;
mod tally;

pub use account::{Account, MAX_CHUNK, Reach};
pub use ask::Ask;
pub use channels::Channel;
pub use climb::Climb;
pub use config::ClientConfig;
pub use datacentre::DatacentreReport;
pub use fault::{CallFault, LocateFault};
pub use folder::{AccountLock, FolderLock, SessionFolder};
pub use key::{KeyError, StoreKey};
pub use login::{Application, CodeSent, CodeWay, FIRST_DC, Login, Progress, SignedIn};
pub use login_fault::LoginFault;
pub use login_token::{LoginToken, TokenStep};
pub use media::{Identity, Location, MessageRef};
pub use permission::Permission;
pub use route::{IpVersions, Route, RouteError};
pub use rsa::{RsaKeyError, RsaKeys};
pub use schema::StoreError;
pub use seed::{SeedError, SessionSeed, is_account_name};
pub use setting::Setting;
pub use store::AccountInfo;
pub use tally::Connections;
