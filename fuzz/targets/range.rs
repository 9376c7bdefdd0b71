//! `Range` and `If-*` headers that strangers can write.
//!
//! Input: 8 bytes of size, one of how many ranges are allowed, then lines; the first byte of a line chooses the header.

#![no_main]

use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use slice::{Answer, Boundary, ETag, MediaMeta, Multipart, MultipartError, answer};

const NAMES: [HeaderName; 6] = [RANGE, IF_MATCH, IF_NONE_MATCH, IF_RANGE, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

fuzz_target!(|data: &[u8]| {
    let Some((size, rest)) = data.split_first_chunk() else { return };
    let Some((max, lines)) = rest.split_first() else { return };
    let max = usize::from(max % 32);
    let mut headers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(NAMES[usize::from(*name) % NAMES.len()].clone(), value);
        }
    }
    let meta = MediaMeta {
        etag: ETag::new("v1"),
        size: u64::from_le_bytes(*size),
        content_type: "video/mp4".to_owned(),
        last_modified: Some(1_700_000_000),
        file_name: None,
        spans: None,
    };
    let given = answer(&headers, &meta, max);
    inside(&given, &meta, max);
    other_headers(headers, &given, &meta, max);
});

/// Whatever is sent lies in the media, once, and is framed to the byte.
fn inside(given: &Answer, meta: &MediaMeta, max: usize) {
    let ranges = match given {
        Answer::Partial(range) => std::slice::from_ref(range),
        Answer::Multipart(ranges) => {
            assert!(ranges.len() > 1);
            ranges.as_slice()
        }
        _ => return,
    };
    assert!(ranges.len() <= max);
    assert!(ranges.iter().all(|range| range.start < range.end && range.end <= meta.size));
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| range.start);
    assert!(sorted.windows(2).all(|pair| pair[0].end < pair[1].start));
    match Multipart::new(Boundary::new([7; 16]), meta, ranges) {
        Ok(multipart) => {
            let parts = multipart.parts().iter().map(|part| part.head.len() as u64 + part.range.len());
            assert_eq!(multipart.content_length(), parts.sum::<u64>() + multipart.tail().len() as u64);
        }
        Err(error) => assert!(error == MultipartError::TooLong && meta.size > u64::MAX / 2),
    }
}

/// Known headers beside the unknown ones have the say that RFC 9110 gives them.
fn other_headers(mut headers: HeaderMap, given: &Answer, meta: &MediaMeta, max: usize) {
    headers.insert(IF_RANGE, HeaderValue::from_static("\"v2\""));
    let whole = answer(&headers, meta, max);
    assert!(!matches!(whole, Answer::Partial(_) | Answer::Multipart(_) | Answer::Unsatisfiable));
    headers.insert(IF_NONE_MATCH, HeaderValue::from_static("W/\"v1\", \"v2\""));
    let failed = *given == Answer::PreconditionFailed;
    assert_eq!(answer(&headers, meta, max), if failed { Answer::PreconditionFailed } else { Answer::NotModified });
    headers.insert(IF_MATCH, HeaderValue::from_static("W/\"v1\", \"v2\""));
    assert_eq!(answer(&headers, meta, max), Answer::PreconditionFailed);
}
