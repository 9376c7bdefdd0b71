//! A range set held against a size: which bytes to send.

use crate::origin::ByteRange;
use crate::range::{Spec, parse};

/// The bytes that a `Range` header selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of them: there is no `Range`, or it is to be ignored.
    Whole,
    /// One stretch.
    Single(ByteRange),
    /// Two or more stretches that neither overlap nor touch, in the order in which they were asked for.
    Multi(Vec<ByteRange>),
    /// A valid set of which no byte exists.
    Unsatisfiable,
}

/// Selects the bytes of a media of `size` bytes. `range` is the header's value; with more than `max_ranges` ranges it is
/// ignored, so 1 switches several ranges off and 0 ranges altogether.
///
/// Ranges that overlap or touch become one, in the place of the first of them (RFC 9110 §15.3.7.2), so that a media
/// never goes out more than once per request.
#[must_use]
pub fn select(range: Option<&[u8]>, size: u64, max_ranges: usize) -> Selection {
    let Some(specs) = range.and_then(|value| parse(value, max_ranges)) else {
        return Selection::Whole;
    };
    // What players ask for: there is nothing to join.
    if let [spec] = specs[..] {
        return resolve(spec, size).map_or(Selection::Unsatisfiable, Selection::Single);
    }
    let mut ranges = coalesce(specs.iter().filter_map(|spec| resolve(*spec, size)).collect());
    match ranges.len() {
        0 => Selection::Unsatisfiable,
        1 => ranges.pop().map_or(Selection::Unsatisfiable, Selection::Single),
        _ => Selection::Multi(ranges),
    }
}

/// `None` when no byte of the range exists.
fn resolve(spec: Spec, size: u64) -> Option<ByteRange> {
    let range = match spec {
        Spec::From { first, last } => {
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            ByteRange { start: first, end }
        }
        Spec::Suffix(length) => ByteRange { start: size.saturating_sub(length), end: size },
    };
    (!range.is_empty()).then_some(range)
}

fn coalesce(ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut placed: Vec<(usize, ByteRange)> = ranges.into_iter().enumerate().collect();
    placed.sort_by_key(|(_, range)| range.start);
    let mut merged: Vec<(usize, ByteRange)> = Vec::with_capacity(placed.len());
    for (place, range) in placed {
        match merged.last_mut() {
            Some((earliest, last)) if range.start <= last.end => {
                last.end = last.end.max(range.end);
                *earliest = place.min(*earliest);
            }
            _ => merged.push((place, range)),
        }
    }
    merged.sort_by_key(|(place, _)| *place);
    merged.into_iter().map(|(_, range)| range).collect()
}

#[cfg(test)]
mod tests {
    use super::{Selection, select};
    use crate::origin::ByteRange;

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end }
    }

    #[test]
    fn the_table() {
        let single = |start, end| Selection::Single(range(start, end));
        let cases: &[(&str, u64, Selection)] = &[
            ("bytes=0-0", 10, single(0, 1)),
            ("bytes=9-9", 10, single(9, 10)),
            ("bytes=3-", 10, single(3, 10)),
            ("bytes=3-99", 10, single(3, 10)),
            ("bytes=-3", 10, single(7, 10)),
            ("bytes=-99", 10, single(0, 10)),
            ("bytes=0-", 10, single(0, 10)),
            ("bytes=10-", 10, Selection::Unsatisfiable),
            ("bytes=10-20", 10, Selection::Unsatisfiable),
            ("bytes=-0", 10, Selection::Unsatisfiable),
            ("bytes=99999999999999999999-", 10, Selection::Unsatisfiable),
            ("bytes=0-18446744073709551615", u64::MAX, single(0, u64::MAX)),
            ("bytes=18446744073709551615-", u64::MAX, Selection::Unsatisfiable),
            ("bytes=5-4", 10, Selection::Whole),
            ("items=0-1", 10, Selection::Whole),
            ("bytes=0-0", 0, Selection::Unsatisfiable),
            ("bytes=-1", 0, Selection::Unsatisfiable),
            ("bytes=x", 0, Selection::Whole),
            ("bytes=8-9,0-1", 10, Selection::Multi(vec![range(8, 10), range(0, 2)])),
            ("bytes=0-1,99-,-0,5-5", 10, Selection::Multi(vec![range(0, 2), range(5, 6)])),
            ("bytes=99-,-0", 10, Selection::Unsatisfiable),
            ("bytes=0-3,2-5", 10, single(0, 6)),
            ("bytes=4-5,2-3", 10, single(2, 6)),
            ("bytes=8-8,0-0,7-7", 10, Selection::Multi(vec![range(7, 9), range(0, 1)])),
            ("bytes=0-9,1-1,3-3,5-5", 10, single(0, 10)),
            ("bytes=0-0,2-2,4-4,6-6,8-8", 10, Selection::Whole),
        ];
        for (value, size, selection) in cases {
            assert_eq!(select(Some(value.as_bytes()), *size, 4), *selection, "{value} of {size}");
        }
        assert_eq!(select(None, 10, 4), Selection::Whole);
        assert_eq!(select(Some(b"bytes=0-0"), 10, 0), Selection::Whole);
    }
}
