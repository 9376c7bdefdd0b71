//! Headers and media in, what to send out.

use crate::conditions::{Precondition, precondition};
use crate::origin::{ByteRange, MediaMeta};
use crate::select::{Selection, select};
use http::HeaderMap;
use http::header::RANGE;

/// What a GET is to be answered with. A HEAD gets the same headers and no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The whole media.
    Full,
    /// One range of it.
    Partial(ByteRange),
    /// Two or more ranges that neither overlap nor touch, in this order, framed by [`crate::Multipart`].
    Multipart(Vec<ByteRange>),
    /// The viewer has this version.
    NotModified,
    /// The viewer wants another version than there is.
    PreconditionFailed,
    /// The range names no byte of the media.
    Unsatisfiable,
}

/// Answers the `Range` and `If-*` headers of a GET or HEAD. More than `max_ranges` ranges are ignored, as is a `Range`
/// that comes twice: it is no list, and joining the lines would give a range that nobody asked for. A malformed `Range`
/// is ignored too (RFC 9110 §14.2), where nginx sends 416.
#[must_use]
pub fn answer(headers: &HeaderMap, meta: &MediaMeta, max_ranges: usize) -> Answer {
    let range_allowed = match precondition(headers, meta) {
        Precondition::Proceed { range_allowed } => range_allowed,
        Precondition::NotModified => return Answer::NotModified,
        Precondition::Failed => return Answer::PreconditionFailed,
    };
    let mut lines = headers.get_all(RANGE).iter();
    let range = lines.next().filter(|_| range_allowed && lines.next().is_none());
    match select(range.map(|value| value.as_bytes()), meta.size, max_ranges) {
        Selection::Whole => Answer::Full,
        Selection::Single(range) => Answer::Partial(range),
        Selection::Multi(ranges) => Answer::Multipart(ranges),
        Selection::Unsatisfiable => Answer::Unsatisfiable,
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, answer};
    use crate::origin::{ByteRange, ETag, MediaMeta};
    use http::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn conditions_come_before_ranges() {
        let part = Answer::Partial(ByteRange { start: 2, end: 4 });
        let cases: &[(&[(&str, &str)], Answer)] = &[
            (&[], Answer::Full),
            (&[("range", "bytes=2-3")], part.clone()),
            (&[("range", "bytes=2-3"), ("range", "bytes=5-6")], Answer::Full),
            (&[("range", "bytes=10-")], Answer::Unsatisfiable),
            (&[("range", "bytes=10-"), ("if-range", "\"old\"")], Answer::Full),
            (&[("range", "bytes=2-3"), ("if-range", "\"v1\"")], part.clone()),
            (&[("range", "bytes=10-"), ("if-none-match", "\"v1\"")], Answer::NotModified),
            (&[("range", "bytes=10-"), ("if-match", "\"old\"")], Answer::PreconditionFailed),
            (&[("range", "bytes=2-3"), ("if-match", "\"v1\"")], part),
        ];
        let meta = MediaMeta {
            etag: ETag::new("v1"),
            size: 10,
            content_type: "video/mp4".into(),
            last_modified: None,
            file_name: None,
            spans: None,
        };
        for (headers, expected) in cases {
            let mut map = HeaderMap::new();
            for (name, value) in *headers {
                map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(answer(&map, &meta, 4), *expected, "{headers:?}");
        }
    }
}
