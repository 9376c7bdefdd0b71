//! Byte ranges, preconditions, multipart framing and the origin that bytes come from.
//!
//! What it does: turns a viewer's `Range` and `If-*` headers and a media's size into what to send ([`answer`]), frames several
//! ranges ([`Multipart`]), and says what an origin of a media's bytes is ([`SliceOrigin`]). What it refuses to do: I/O,
//! clocks, random numbers, statuses, how ranges are cut and kept. Who calls it: `edge` (answers, multipart), `cache` (of an
//! origin) and `hive-client` (as one). What stays true: an answer never names a byte outside the media, and its ranges
//! never overlap.
//!
//! ```
//! use http::{HeaderMap, HeaderValue, header::RANGE};
//! use slice::{Answer, ByteRange, ETag, MediaMeta, answer};
//!
//! let meta = MediaMeta {
//!     etag: ETag::new("42-10485760"),
//!     size: 10 << 20,
//!     content_type: "video/mp4".to_owned(),
//!     last_modified: None,
//!     file_name: None,
//!     spans: None,
//! };
//! let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=1048570-1048579"))]);
//! let range = ByteRange { start: 1_048_570, end: 1_048_580 };
//! assert_eq!(answer(&headers, &meta, 16), Answer::Partial(range));
//! ```

mod answer;
mod conditions;
mod multipart;
mod origin;
mod range;
mod select;
mod window;

pub use answer::{Answer, answer};
pub use conditions::{Precondition, precondition};
pub use multipart::{Boundary, Multipart, MultipartError, Part, content_range, unsatisfied_range};
pub use origin::{ByteRange, ETag, MediaId, MediaMeta, Opened, OriginBody, OriginError, SliceOrigin, Spans};
pub use select::{Selection, select};
pub use window::restrict;
pub use wire::{Slug, SlugError};
