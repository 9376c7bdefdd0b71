//! `multipart/byteranges`: several ranges in one body (RFC 9110 §14.6), with the length known ahead.

use crate::origin::{ByteRange, MediaMeta};
use bytes::Bytes;

/// The line that separates parts: 32 hexadecimal digits. Whoever makes it takes 16 random bytes, so that no media can
/// hold it but by a chance that never comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    /// A boundary out of random bytes.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(random)))
    }
}

/// The ranges can't be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MultipartError {
    /// A range is empty or ends past the media.
    #[error("a range is empty or ends past the media")]
    Outside,
    /// The body's length does not fit 64 bits.
    #[error("the multipart body is longer than 64 bits can say")]
    TooLong,
}

/// One part: its head, then the bytes of its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Boundary line and headers, to be sent as it is.
    pub head: Bytes,
    /// The bytes that follow.
    pub range: ByteRange,
}

/// A framed body: each part's head and range in order, then the tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    boundary: Boundary,
    parts: Vec<Part>,
    tail: Bytes,
    content_length: u64,
}

impl Multipart {
    /// Frames `ranges` of a media.
    ///
    /// # Errors
    /// [`MultipartError`] when a range lies outside the media or the length overflows; what
    /// [`answer`](crate::answer()) gives for a media below 2^63 bytes does neither.
    pub fn new(boundary: Boundary, meta: &MediaMeta, ranges: &[ByteRange]) -> Result<Self, MultipartError> {
        // The uploader chose the type: whatever could end the line would let them write headers.
        let media_type = Some(meta.content_type.as_str()).filter(|t| t.bytes().all(|b| (b' '..0x7f).contains(&b)));
        let media_type = media_type.filter(|t| !t.is_empty()).unwrap_or("application/octet-stream");
        let tail = Bytes::from(format!("\r\n--{}--\r\n", boundary.0));
        let mut content_length = tail.len() as u64;
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            if range.is_empty() || range.end > meta.size {
                return Err(MultipartError::Outside);
            }
            let head = Bytes::from(format!(
                "{}--{}\r\nContent-Type: {media_type}\r\nContent-Range: {}\r\n\r\n",
                if parts.is_empty() { "" } else { "\r\n" },
                boundary.0,
                content_range(*range, meta.size),
            ));
            let longer = content_length.checked_add(head.len() as u64).and_then(|n| n.checked_add(range.len()));
            content_length = longer.ok_or(MultipartError::TooLong)?;
            parts.push(Part { head, range: *range });
        }
        Ok(Self { boundary, parts, tail, content_length })
    }

    /// Value of the response's `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary.0)
    }

    /// Length of the whole body in bytes.
    #[must_use]
    pub fn content_length(&self) -> u64 {
        self.content_length
    }

    /// The parts in the order in which they go out.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What follows the last part.
    #[must_use]
    pub fn tail(&self) -> Bytes {
        self.tail.clone()
    }
}

/// `Content-Range` of a 206: `bytes first-last/size`.
#[must_use]
pub fn content_range(range: ByteRange, size: u64) -> String {
    // Written with each answer, and the formatter takes longer than all the rest of its head.
    let (mut first, mut last, mut all) = (itoa::Buffer::new(), itoa::Buffer::new(), itoa::Buffer::new());
    let parts =
        ["bytes ", first.format(range.start), "-", last.format(range.end.saturating_sub(1)), "/", all.format(size)];
    parts.concat()
}

/// `Content-Range` of a 416: `bytes */size`.
#[must_use]
pub fn unsatisfied_range(size: u64) -> String {
    format!("bytes */{size}")
}

#[cfg(test)]
mod tests {
    use super::{Boundary, Multipart, MultipartError};
    use crate::origin::{ByteRange, ETag, MediaMeta};

    fn meta(size: u64, content_type: &str) -> MediaMeta {
        MediaMeta {
            etag: ETag::new("v1"),
            size,
            content_type: content_type.to_owned(),
            last_modified: None,
            file_name: None,
            spans: None,
        }
    }

    fn range(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end }
    }

    #[test]
    fn frames_as_the_rfc_shows() {
        let media = b"0123456789";
        let boundary = Boundary::new([0xab; 16]);
        let multipart = Multipart::new(boundary, &meta(10, "text/plain"), &[range(8, 10), range(0, 2)]).unwrap();
        let mut body = Vec::new();
        for part in multipart.parts() {
            body.extend_from_slice(&part.head);
            let (start, end) = (usize::try_from(part.range.start).unwrap(), usize::try_from(part.range.end).unwrap());
            body.extend_from_slice(&media[start..end]);
        }
        body.extend_from_slice(&multipart.tail());
        let line = "ab".repeat(16);
        let expected = format!(
            "--{line}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n\
             --{line}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01\r\n--{line}--\r\n"
        );
        assert_eq!(String::from_utf8(body.clone()).unwrap(), expected);
        assert_eq!(multipart.content_length(), body.len() as u64);
        assert_eq!(multipart.content_type(), format!("multipart/byteranges; boundary={line}"));
    }

    #[test]
    fn hostile_types_and_sizes() {
        let boundary = || Boundary::new([0; 16]);
        let hostile = Multipart::new(boundary(), &meta(9, "a\r\nX: y"), &[range(0, 1)]).unwrap();
        assert!(
            str::from_utf8(&hostile.parts()[0].head).unwrap().contains("Content-Type: application/octet-stream\r\n")
        );
        for bad in [range(0, 10), range(3, 3), range(4, 3)] {
            assert_eq!(Multipart::new(boundary(), &meta(9, "a/b"), &[bad]), Err(MultipartError::Outside));
        }
        let huge = Multipart::new(boundary(), &meta(u64::MAX, "a/b"), &[range(0, u64::MAX)]);
        assert_eq!(huge, Err(MultipartError::TooLong));
    }
}
