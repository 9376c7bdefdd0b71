//! Byte ranges, preconditions, slice plans and the origin that slices come from.
//!
//! What it does: turns a viewer's `Range` and `If-*` headers and a media's size into what to send, and that into
//! slices. What it refuses to do: I/O, clocks, statuses of its own accord. Who calls it: `edge` (plan, ranges), `cache`
//! (keys, slices) and `hive-client` (as an origin). What stays true: a plan never names a byte outside the media.

mod origin;

pub use origin::{ByteRange, ETag, MediaId, MediaMeta, Opened, OriginBody, OriginError, SliceOrigin};
