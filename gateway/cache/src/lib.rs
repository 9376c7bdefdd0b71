//! The on-disk slice cache with streaming, single-flight fills.
//!
//! What it does: keeps aligned slices of media versions in one sparse file per version, answers byte ranges from them, and
//! fetches what is missing in runs, each slice once, while every reader gets bytes as they arrive. What it refuses to do:
//! rights, HTTP, retries against the hive, judging whose request it is. Who calls it: `edge`; it meets its origin only as
//! [`slice::SliceOrigin`]. What stays true: a reader yields exactly its range's bytes of one version, or an error; a slice
//! counts as present only once all of its bytes are on disk; a slice under a reader is never evicted; a whole slice's bytes that come from the
//! device are checked against its checksum first (`format` has the two exceptions); no disk fault fails
//! a read that the origin could serve.
//!
//! From the inside out: `geometry`, `bits`, `format`, `evict`, `breaker`, `trust`, `absent`, `uses` and `claims` are pure. `device` is what a disk does, `disk` makes every
//! call to it, `store` names files, `scan` finds them at the start, `pool` has the threads that wait for the disk and `patience` says for how long. `map` knows the
//! media, `scope` says which of them, `purge`, `list`, `verify` and `tend` walk over them. `version` is one media version, `keeper` the room on disk, `sync` brings
//! it to the device, `open` the open files, `fill` and `run` fetch, `reader` and `direct`
//! deliver, `validate` asks which version is the present one, `cache` is the face.

mod absent;
mod bits;
mod breaker;
mod buffers;
mod cache;
mod claims;
mod config;
mod device;
mod direct;
mod disk;
mod evict;
mod fill;
mod format;
mod geometry;
mod handover;
mod keeper;
mod list;
mod map;
mod open;
mod patience;
mod piece;
mod places;
mod pool;
mod purge;
mod reader;
mod run;
mod scan;
mod scope;
mod shared;
mod stats;
mod status;
mod store;
mod sync;
mod tend;
mod trust;
mod uses;
mod validate;
mod verify;
mod version;

pub use cache::{Cache, Media};
pub use config::CacheConfig;
pub use device::Device;
pub use disk::{DiskFault, DiskHook, DiskOp};
pub use list::Listed;
pub use piece::{Piece, Stretch};
pub use purge::{Purged, Purging, Running};
pub use reader::Reader;
pub use scope::{PathPrefix, PrefixError, Scope};
pub use stats::CacheStats;
pub use status::{CacheStatus, OpenError, ReadError};
pub use verify::Verified;
