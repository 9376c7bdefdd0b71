//! Virtual files: which messages' documents, joined in which order, are one file.
//!
//! What it does: keeps manifests in one SQLite file, under slugs that it makes ([`Catalog::add`]) or is given ([`Catalog::put`]); names a
//! manifest's bytes by a strong ETag; tells from file names which files are parts of one, and in which order ([`join`]). What it
//! refuses to do: ask Telegram (`hive-server` locates parts before it hands them over), read a clock, serve anything. Who calls it:
//! `hive-server`. What stays true: a slug names one manifest and is never made twice; a manifest is whole or absent, whatever
//! happens to the process; other parts give another ETag; what was acknowledged outlives a power cut.
//!
//! Pure: `manifest`, `names` and `slugs`. [`Catalog`] blocks on the disk: call it off the event loop.

mod catalog;
mod manifest;
mod names;
mod schema;
mod slugs;

pub use catalog::{Catalog, Expect, Put, Summary};
pub use manifest::{Draft, DraftError, MOST_PARTS, Manifest, Part};
pub use names::{Joined, NamesError, content_type_of, join};
pub use schema::CatalogError;
