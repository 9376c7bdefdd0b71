//! Byte ranges, preconditions, slice plans and the origin that slices come from.
//!
//! What it does: turns a viewer's `Range` and `If-*` headers and a media's size into what to send ([`answer`]), that into
//! slices ([`SliceSize::split`]), and frames several ranges ([`Multipart`]). What it refuses to do: I/O, clocks, random
//! numbers, statuses. Who calls it: `edge` (answers, multipart), `cache` (slices) and `hive-client` (as an origin).
//! What stays true: an answer never names a byte outside the media, its ranges never overlap, and the slices of a range
//! cover exactly the range, in order.
//!
//! ```
//! use http::{HeaderMap, HeaderValue, header::RANGE};
//! use slice::{Answer, ByteRange, ETag, MediaMeta, SliceSize, answer};
//!
//! let meta = MediaMeta {
//!     etag: ETag::new("42-10485760"),
//!     size: 10 << 20,
//!     content_type: "video/mp4".to_owned(),
//!     last_modified: None,
//!     file_name: None,
//! };
//! let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static("bytes=1048570-1048579"))]);
//! let range = ByteRange { start: 1_048_570, end: 1_048_580 };
//! assert_eq!(answer(&headers, &meta, 16), Answer::Partial(range));
//! let slices: Vec<_> = SliceSize::default().split(range).map(|part| (part.index, part.skip, part.len)).collect();
//! assert_eq!(slices, [(0, 1_048_570, 6), (1, 0, 4)]);
//! ```

mod answer;
mod conditions;
mod multipart;
mod origin;
mod plan;
mod range;
mod select;

pub use answer::{Answer, answer};
pub use conditions::{Precondition, precondition};
pub use multipart::{Boundary, Multipart, MultipartError, Part, content_range, unsatisfied_range};
pub use origin::{ByteRange, ETag, MediaId, MediaMeta, Opened, OriginBody, OriginError, SliceOrigin};
pub use plan::{SlicePart, SliceSize, SliceSizeError, Slices};
pub use select::{Selection, select};
