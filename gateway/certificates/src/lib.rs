//! TLS certificates by server name.
//!
//! What it does: [`Table`] holds what handshakes are answered with: certificates of files ([`Files`]), which are read again when they change, and
//! certificates of an ACME server (RFC 8555), which [`Keeper`] orders, keeps in a [`Store`] and renews ahead of their end. Challenges are
//! answered out of the same table: HTTP-01 (RFC 8555 §8.3) through [`Table::key_authorization`], TLS-ALPN-01 (RFC 8737) by the handshake itself.
//!
//! What it refuses to do: decide who may have a certificate. [`Vouch`] is asked before every order, and whoever makes up names costs a question and never
//! an order. It listens nowhere and shakes no hands. Who calls it: the edge's handshakes, its answers to challenges, and its background. What stays
//! true: what files have is never ordered; orders in an hour stay within [`Budget`]; a certificate is in service before it is kept, and one that
//! can't be used never takes the place of one that can.

mod acme;
mod budget;
mod chain;
mod files;
mod folder_store;
mod keeper;
mod name;
mod redis_store;
mod store;
mod table;

pub use acme::{AcmeConfig, ChallengeKind, ExternalAccount, IssueError};
pub use budget::{Budget, Limits, Refused};
pub use chain::{Chain, ChainError};
pub use files::{Files, FilesError, Pair};
pub use folder_store::FolderStore;
pub use keeper::{Event, Keeper, KeeperConfig, Now, Obtained, Vouch};
pub use name::{NotAName, ServerName};
pub use redis_store::RedisStore;
pub use store::{Bundle, Claim, Store, StoreError};
pub use table::{ACME_ALPN, Table};
