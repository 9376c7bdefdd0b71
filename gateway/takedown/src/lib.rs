//! What must not be served: a list that outlives the process, and outranks everything else.
//!
//! What it does: says of a media, a chat, a document and a content whether it is taken down, by whom and why; merges what several
//! gateways know; keeps all of it in one file. What it refuses to do: HTTP, Redis, clocks, reading media, cutting responses. Who
//! calls it: `edge`. What stays true: merging is commutative and idempotent, so that gateways that heard the same records in any
//! order hold the same list; a list that was saved is read back whole or not at all; a file that is missing, torn or changed by hand
//! is an error and never an empty list.
//!
//! ```
//! use takedown::{List, Record, Target};
//!
//! let mut list = List::default();
//! let target: Target = "/stream/-1001700000001/45".parse()?;
//! let version = list.next_version();
//! list.merge(Record::new(target.clone(), version, true, 1_764_000_000, "alice", "Court order 7/26")?);
//! assert!(list.find(&target).is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod file;
mod list;
mod record;
mod target;

pub use file::{FileError, ListFile};
pub use list::List;
pub use record::{Record, RecordError};
pub use target::{Content, HEAD, Target, TargetError};
