//! The `Range` header as it was written (RFC 9110 §14.1.1, §14.2).

/// One element of a range set, not yet held against a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    /// `first-last`, both inclusive, or `first-` when `last` is `None`.
    From {
        /// First byte wanted.
        first: u64,
        /// Last byte wanted.
        last: Option<u64>,
    },
    /// `-length`: the last bytes.
    Suffix(u64),
}

/// Parses the header. `None` stands for whatever RFC 9110 wants ignored: another unit, no valid set, `last` before
/// `first`, or more than `max` elements, which no player sends and only costs.
///
/// Numbers above 2^64−1 become 2^64−1: no media is that long, so a first position stays past the end and a last one
/// stays clipped. Empty list elements and blanks around elements are allowed, blanks inside are not.
pub(crate) fn parse(value: &[u8], max: usize) -> Option<Vec<Spec>> {
    let (unit, set) = value.split_at_checked(b"bytes=".len())?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut specs = Vec::new();
    for element in set.split(|byte| *byte == b',').map(trim) {
        if element.is_empty() {
            continue;
        }
        if specs.len() == max {
            return None;
        }
        specs.push(spec(element)?);
    }
    (!specs.is_empty()).then_some(specs)
}

fn spec(element: &[u8]) -> Option<Spec> {
    let dash = element.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (digits(&element[..dash])?, digits(&element[dash + 1..])?);
    match (first, last) {
        ([], []) => None,
        ([], length) => Some(Spec::Suffix(saturate(length))),
        (first, []) => Some(Spec::From { first: saturate(first), last: None }),
        (first, last) if precedes(last, first) => None,
        (first, last) => Some(Spec::From { first: saturate(first), last: Some(saturate(last)) }),
    }
}

/// The number without leading zeros (zero itself keeps one), or nothing if there was nothing.
fn digits(text: &[u8]) -> Option<&[u8]> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let zeros = text.iter().take_while(|byte| **byte == b'0').count();
    text.get(zeros.min(text.len().saturating_sub(1))..)
}

/// Compares numbers of any length; both are without leading zeros.
fn precedes(a: &[u8], b: &[u8]) -> bool {
    (a.len(), a) < (b.len(), b)
}

fn saturate(digits: &[u8]) -> u64 {
    digits.iter().fold(0_u64, |value, byte| value.saturating_mul(10).saturating_add(u64::from(byte - b'0')))
}

fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Spec, parse};

    const fn from(first: u64, last: u64) -> Spec {
        Spec::From { first, last: Some(last) }
    }

    #[test]
    fn reads_valid_sets() {
        let cases: &[(&str, &[Spec])] = &[
            ("bytes=0-0", &[from(0, 0)]),
            ("BYTES=007-010", &[from(7, 10)]),
            ("bytes=5-", &[Spec::From { first: 5, last: None }]),
            ("bytes=-0", &[Spec::Suffix(0)]),
            ("bytes=-00012", &[Spec::Suffix(12)]),
            ("bytes= 1-2 ,\t-3,, 4-,", &[from(1, 2), Spec::Suffix(3), Spec::From { first: 4, last: None }]),
            ("bytes=18446744073709551615-18446744073709551616", &[from(u64::MAX, u64::MAX)]),
            ("bytes=99999999999999999999999-", &[Spec::From { first: u64::MAX, last: None }]),
            ("bytes=-99999999999999999999999", &[Spec::Suffix(u64::MAX)]),
        ];
        for (value, specs) in cases {
            assert_eq!(parse(value.as_bytes(), 3).as_deref(), Some(*specs), "{value}");
        }
    }

    #[test]
    fn ignores_the_rest() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=--1",
            "bytes=1",
            "bytes=a-b",
            "bytes=1-2x",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=2-1",
            "bytes=18446744073709551616-18446744073709551615",
            "bytes=0-1,2",
            "bytes =0-1",
            " bytes=0-1",
            "items=0-1",
            "bytes=0-1;2-3",
            "bytes=0-1,2-3,4-5,6-7",
            "bytes=\u{661}-2",
        ] {
            assert_eq!(parse(value.as_bytes(), 3), None, "{value}");
        }
    }
}
