//! The contract between the gateway and the worker hive: everything both processes must agree on, and nothing else.
//!
//! What it does: builds and parses the media paths, the one `Range`, `Content-Range`, entity headers, the chats
//! of a virtual file, and the closed table of faults; reads a request as whoever answers it must. What it refuses to do: I/O, retries, policy. Who calls it: `hive-client` on the gateway's side and
//! `hive-server` on the hive's; and `peers`, for gateways ask each other as they ask a hive. What stays true: every value that one side writes, the other side parses back equal
//! (property-tested), and bytes that are no such value give an error, never a panic.

mod entity;
mod fault;
mod media;
mod range;
mod request;
mod slug;
mod spans;

pub use entity::{Entity, EntityError};
pub use fault::{FAULT_HEADER, Fault, FaultBody, FaultParseError, RetryClass};
pub use media::{
    HEADER_CHAT_ID, HEADER_MESSAGE_ID, HOP_HEADER, MediaPath, MediaPathError, REQUEST_ID_HEADER, SESSIONS_PATH,
};
pub use range::{ContentRange, RangeParseError, RequestRange};
pub use request::{IfMatch, MediaRequest, is_authorized, read_tags, request_id};
pub use slug::{Slug, SlugError};
pub use spans::Spans;
