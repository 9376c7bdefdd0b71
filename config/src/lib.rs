//! Typed, validated settings of both binaries.
//!
//! What it does: reads one TOML file, refuses what it does not know, reads the secrets that the file points to, checks
//! every value, and hands out plain structs. It also writes the example files, out of the same doc comments and
//! defaults. What it refuses to do: look anything up on the network, create folders, guess at a misspelt key, print a
//! secret. Who calls it: the `gateway` and `worker-hive` commands at start, and the test harness. What stays true: a
//! settings struct from [`load`] or [`parse`] has passed every check, so nothing after it checks ranges again; an error
//! names file, line and key; a secret is in memory only, wiped on drop, and no output of this crate contains one.

mod address;
mod admin;
mod certificate_rules;
mod certificates;
mod connections;
mod daily;
mod document;
mod domain;
mod error;
mod example;
mod flat;
pub mod gateway;
mod gateway_rules;
mod hive_rules;
mod identity;
mod identity_rules;
mod load;
mod peers;
mod plugins;
mod rates;
mod redis_section;
mod report;
mod schema;
mod secret;
mod tenant;
mod tenant_rules;
mod text;
mod traces;
mod units;
pub mod worker_hive;

pub use address::{ListenAddress, PeerAddress};
pub use error::{ConfigError, Problem, Warning};
pub use example::example;
pub use flat::{Difference, Flat};
pub use gateway::GatewaySettings;
pub use load::{Loaded, Settings, load, parse};
pub use secret::{Secret, SecretError};
pub use tenant_rules::tenant_problems;
pub use traces::Traces;
pub use units::{ByteSize, TimeSpan};
pub use worker_hive::HiveSettings;
