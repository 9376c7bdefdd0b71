//! The contract between the gateway and the worker hive: everything both processes must agree on, and nothing else.
//!
//! What it does: builds and parses the media paths, the one `Range`, `Content-Range`, entity headers, the chats
//! of a virtual file, and the closed table of faults. What it refuses to do: I/O, retries, policy. Who calls it: `hive-client` on the gateway's side and
//! `hive-server` on the hive's. What stays true: every value that one side writes, the other side parses back equal
//! (property-tested), and bytes that are no such value give an error, never a panic.

mod entity;
mod fault;
mod media;
mod range;
mod slug;
mod spans;

pub use entity::{Entity, EntityError};
pub use fault::{FAULT_HEADER, Fault, FaultBody, FaultParseError, RetryClass};
pub use media::{HEADER_CHAT_ID, HEADER_MESSAGE_ID, MediaPath, MediaPathError, REQUEST_ID_HEADER};
pub use range::{ContentRange, RangeParseError, RequestRange};
pub use slug::{Slug, SlugError};
pub use spans::Spans;
