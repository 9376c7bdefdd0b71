//! Preconditions of a GET or HEAD (RFC 9110 §13).

use crate::origin::MediaMeta;
use http::HeaderMap;
use http::header::{
    AsHeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
};
use std::time::UNIX_EPOCH;

/// What the `If-*` headers demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Send the media.
    Proceed {
        /// False when `If-Range` names another version: then `Range` is to be ignored.
        range_allowed: bool,
    },
    /// The viewer has this version.
    NotModified,
    /// The viewer wants another version than there is.
    Failed,
}

/// Holds the `If-*` headers of a GET or HEAD against the media, in the order of RFC 9110 §13.2.2.
///
/// Dates that can't be read, or come twice, or that the media has nothing to hold against, count as not sent. In a list
/// of tags what stands before something unreadable counts.
#[must_use]
pub fn precondition(headers: &HeaderMap, meta: &MediaMeta) -> Precondition {
    let since = |name| date(headers, name).zip(meta.last_modified);
    if headers.contains_key(IF_MATCH) {
        if !names(headers, IF_MATCH, meta, Comparison::Strong) {
            return Precondition::Failed;
        }
    } else if since(IF_UNMODIFIED_SINCE).is_some_and(|(date, modified)| modified > date) {
        return Precondition::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if names(headers, IF_NONE_MATCH, meta, Comparison::Weak) {
            return Precondition::NotModified;
        }
    } else if since(IF_MODIFIED_SINCE).is_some_and(|(date, modified)| modified <= date) {
        return Precondition::NotModified;
    }
    Precondition::Proceed { range_allowed: if_range(headers, meta) }
}

/// How tags compare (RFC 9110 §8.8.3.2). Ours are all strong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn if_range(headers: &HeaderMap, meta: &MediaMeta) -> bool {
    if !headers.contains_key(IF_RANGE) {
        return true;
    }
    let Some(value) = only(headers, IF_RANGE) else {
        return false;
    };
    match tag(value.as_bytes()) {
        Some((tag, [])) => tag.matches(meta, Comparison::Strong),
        Some(_) => false,
        None => date(headers, IF_RANGE).is_some_and(|date| Some(date) == meta.last_modified),
    }
}

/// True when a line of the header is `*` or lists the media's tag.
fn names(headers: &HeaderMap, name: impl AsHeaderName, meta: &MediaMeta, comparison: Comparison) -> bool {
    headers.get_all(name).iter().any(|line| {
        let mut rest = line.as_bytes();
        if rest.trim_ascii() == b"*" {
            return true;
        }
        loop {
            // Blanks and empty elements between tags carry nothing.
            while let Some((b' ' | b'\t' | b',', after)) = rest.split_first() {
                rest = after;
            }
            match tag(rest) {
                Some((tag, _)) if tag.matches(meta, comparison) => return true,
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
    })
}

/// An entity tag as it was written.
struct Tag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

impl Tag<'_> {
    fn matches(&self, meta: &MediaMeta, comparison: Comparison) -> bool {
        (comparison == Comparison::Weak || !self.weak) && self.opaque == meta.etag.as_str().as_bytes()
    }
}

/// Reads one tag and gives what follows it. Tags may hold commas and backslashes, so a list can't just be split.
fn tag(text: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let (weak, quoted) = match text.strip_prefix(b"W/") {
        Some(quoted) => (true, quoted),
        None => (false, text),
    };
    let quoted = quoted.strip_prefix(b"\"")?;
    let end = quoted.iter().position(|byte| *byte == b'"')?;
    let (opaque, rest) = (quoted.get(..end)?, quoted.get(end + 1..)?);
    let plain = opaque.iter().all(|byte| *byte > b' ' && *byte != 0x7f);
    plain.then_some((Tag { weak, opaque }, rest))
}

/// Seconds since the epoch of a header that holds one date.
fn date(headers: &HeaderMap, name: impl AsHeaderName) -> Option<u64> {
    let date = httpdate::parse_http_date(only(headers, name)?.to_str().ok()?).ok()?;
    date.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The value of a header that came once.
fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    lines.next().filter(|_| lines.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::{Precondition, precondition};
    use crate::origin::{ETag, MediaMeta};
    use http::{HeaderMap, HeaderName, HeaderValue};

    const GO: Precondition = Precondition::Proceed { range_allowed: true };
    const WHOLE: Precondition = Precondition::Proceed { range_allowed: false };
    const NOT_MODIFIED: Precondition = Precondition::NotModified;
    const FAILED: Precondition = Precondition::Failed;
    const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
    const EXACT: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const AFTER: &str = "Tue, 14 Nov 2023 22:13:21 GMT";

    fn judge(headers: &[(&str, &str)], last_modified: Option<u64>) -> Precondition {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let meta = MediaMeta {
            etag: ETag::new("a,b"),
            size: 10,
            content_type: "video/mp4".into(),
            last_modified,
            file_name: None,
            spans: None,
        };
        precondition(&map, &meta)
    }

    #[test]
    fn the_table() {
        let cases: &[(&[(&str, &str)], Precondition)] = &[
            (&[], GO),
            (&[("if-none-match", "*")], NOT_MODIFIED),
            (&[("if-none-match", "\"a,b\"")], NOT_MODIFIED),
            (&[("if-none-match", "W/\"a,b\"")], NOT_MODIFIED),
            (&[("if-none-match", "\"x\", ,\tW/\"a,b\"")], NOT_MODIFIED),
            (&[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")], NOT_MODIFIED),
            (&[("if-none-match", "\"a,b\" junk")], NOT_MODIFIED),
            (&[("if-none-match", "junk \"a,b\"")], GO),
            (&[("if-none-match", "a,b")], GO),
            (&[("if-none-match", "\"a\", \"b\"")], GO),
            (&[("if-none-match", "\"a,b")], GO),
            (&[("if-none-match", "w/\"a,b\"")], GO),
            (&[("if-none-match", "")], GO),
            (&[("if-modified-since", EXACT)], NOT_MODIFIED),
            (&[("if-modified-since", AFTER)], NOT_MODIFIED),
            (&[("if-modified-since", BEFORE)], GO),
            (&[("if-modified-since", "Tuesday, 14-Nov-23 22:13:20 GMT")], NOT_MODIFIED),
            (&[("if-modified-since", "Tue Nov 14 22:13:20 2023")], NOT_MODIFIED),
            (&[("if-modified-since", "1700000000")], GO),
            (&[("if-modified-since", EXACT), ("if-modified-since", EXACT)], GO),
            (&[("if-none-match", "\"x\""), ("if-modified-since", EXACT)], GO),
            (&[("if-match", "\"a,b\"")], GO),
            (&[("if-match", "*")], GO),
            (&[("if-match", "W/\"a,b\"")], FAILED),
            (&[("if-match", "\"x\"")], FAILED),
            (&[("if-match", "junk")], FAILED),
            (&[("if-match", "\"x\""), ("if-none-match", "\"a,b\"")], FAILED),
            (&[("if-match", "\"a,b\""), ("if-none-match", "\"a,b\"")], NOT_MODIFIED),
            (&[("if-match", "\"a,b\""), ("if-unmodified-since", BEFORE)], GO),
            (&[("if-unmodified-since", BEFORE)], FAILED),
            (&[("if-unmodified-since", EXACT)], GO),
            (&[("if-unmodified-since", "never")], GO),
            (&[("if-range", "\"a,b\"")], GO),
            (&[("if-range", "W/\"a,b\"")], WHOLE),
            (&[("if-range", "\"x\"")], WHOLE),
            (&[("if-range", "\"a,b\" x")], WHOLE),
            (&[("if-range", "\"a,b\""), ("if-range", "\"a,b\"")], WHOLE),
            (&[("if-range", EXACT)], GO),
            (&[("if-range", BEFORE)], WHOLE),
            (&[("if-range", AFTER)], WHOLE),
            (&[("if-range", "*")], WHOLE),
            (&[("if-none-match", "*"), ("if-range", "\"x\"")], NOT_MODIFIED),
        ];
        for (headers, verdict) in cases {
            assert_eq!(judge(headers, Some(1_700_000_000)), *verdict, "{headers:?}");
        }
    }

    #[test]
    fn without_a_date_dates_count_as_not_sent() {
        for (name, verdict) in [("if-modified-since", GO), ("if-unmodified-since", GO), ("if-range", WHOLE)] {
            assert_eq!(judge(&[(name, EXACT)], None), verdict, "{name}");
        }
    }
}
