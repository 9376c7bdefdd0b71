//! The one byte range of a request, and `Content-Range` of its answer (RFC 9110 §14).
//!
//! The gateway has resolved the viewer's range already, so this side of the wire knows one form only:
//! `bytes=first-last`, both ends given.

use std::fmt;

/// `Range: bytes=first-last`, both ends inclusive, `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRange {
    /// First byte wanted.
    pub first: u64,
    /// Last byte wanted.
    pub last: u64,
}

/// `Content-Range: bytes first-last/size` of a 206.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// First byte sent.
    pub first: u64,
    /// Last byte sent, below `size`.
    pub last: u64,
    /// Whole size of the media in bytes.
    pub size: u64,
}

/// The header holds no range of the contract's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a byte range of the form the gateway and the hive agreed on")]
pub struct RangeParseError;

impl RequestRange {
    /// Parses the header's value.
    ///
    /// # Errors
    /// [`RangeParseError`] for open ends, suffixes, several ranges, signs, blanks, overflow or `last < first`.
    pub fn parse(value: &str) -> Result<Self, RangeParseError> {
        let (first, last) = ends(value.strip_prefix("bytes=").ok_or(RangeParseError)?)?;
        Ok(Self { first, last })
    }
}

impl fmt::Display for RequestRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes={}-{}", self.first, self.last)
    }
}

impl ContentRange {
    /// Parses the header's value.
    ///
    /// # Errors
    /// [`RangeParseError`] for an unknown size (`*`), an unsatisfied range, or ends that don't lie inside the size.
    pub fn parse(value: &str) -> Result<Self, RangeParseError> {
        let (range, size) =
            value.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).ok_or(RangeParseError)?;
        let (first, last) = ends(range)?;
        let size = number(size)?;
        if last >= size {
            return Err(RangeParseError);
        }
        Ok(Self { first, last, size })
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/{}", self.first, self.last, self.size)
    }
}

fn ends(text: &str) -> Result<(u64, u64), RangeParseError> {
    let (first, last) = text.split_once('-').ok_or(RangeParseError)?;
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(RangeParseError);
    }
    Ok((first, last))
}

/// Digits only: `u64::from_str` alone would take a leading `+`.
fn number(digits: &str) -> Result<u64, RangeParseError> {
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RangeParseError);
    }
    digits.parse().map_err(|_| RangeParseError)
}

#[cfg(test)]
mod tests {
    use super::{ContentRange, RangeParseError, RequestRange};

    #[test]
    fn round_trips() {
        let range = RequestRange { first: 5, last: u64::MAX };
        assert_eq!(RequestRange::parse(&range.to_string()), Ok(range));
        let content = ContentRange { first: 0, last: 9, size: 10 };
        assert_eq!(ContentRange::parse(&content.to_string()), Ok(content));
    }

    #[test]
    fn refuses_what_is_not_in_the_contract() {
        for value in [
            "",
            "bytes=",
            "bytes=-5",
            "bytes=5-",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "bytes=2-1",
            "bytes= 1-2",
            "items=1-2",
            "bytes=1-18446744073709551616",
        ] {
            assert_eq!(RequestRange::parse(value), Err(RangeParseError), "{value}");
        }
        for value in
            ["", "bytes */5", "bytes 0-1/*", "bytes 0-5/5", "bytes 3-2/9", "bytes 0-1", "bytes=0-1/5", "bytes 0-1/ 5"]
        {
            assert_eq!(ContentRange::parse(value), Err(RangeParseError), "{value}");
        }
    }
}
