//! Tenants that the admin API makes: what they are, how their secrets change, and where both are kept.
//!
//! What it does: keeps one file for each tenant and its link secrets in files beside, each written as a whole or not at all; changes a tenant by pure steps
//! (made, changed, a new secret, an old one dropped, deleted); merges what several gateways know of a tenant, the later change standing; seals a tenant with its secrets, for a
//! place that others can read.
//! What it refuses to do: judge domains of different tenants, serve, talk to Redis, make up secrets (randomness and time are handed in). Who calls it: `edge`.
//! What stays true: a secret stands in no tenant's own file, no message and no `Debug`; whoever dies while saving leaves the old tenant or the new one; a file
//! that can't be read costs its own tenant and no other.

mod entry;
mod folder;
mod record;
mod seal;

pub use entry::Entry;
pub use folder::{Folder, Opened, StoreError};
pub use record::{LinkSettings, Record, SecretNote, TenantSettings};
pub use seal::{Sealer, Unsealed};
