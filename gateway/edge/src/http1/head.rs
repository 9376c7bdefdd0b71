//! Request heads of HTTP/1, read and judged. Pure.
//!
//! Stricter than RFC 9112 asks where leniency is how requests are smuggled: no folded lines, no blanks before a colon, one length.
//! `httparse` sees to the first two.

use crate::fields::AnswerHead;
use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use std::mem::MaybeUninit;

/// Most header fields of a request.
const MOST_FIELDS: usize = 128;
/// Bytes of the longest head, request line included.
pub(crate) const LONGEST_HEAD: usize = 64 << 10;

/// A request's head.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) parts: Parts,
    /// The request target as it was sent.
    pub(crate) target: Bytes,
    /// Another request may follow on this connection, as far as the client is concerned.
    pub(crate) keeps_alive: bool,
    /// Of the body that follows.
    pub(crate) body: Length,
}

/// How long a body is. It is read where [`crate::service`] has a use for it; else neither it nor anything after it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// None follows.
    None,
    /// So many bytes follow, at least one.
    Bytes(u64),
    /// It says itself where it ends (RFC 9112 §7.1).
    Chunked,
}

/// The bytes are no request, or not one that is safe to answer as if there were no doubt. The connection ends with 400 (RFC 9112 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHead {
    #[error("the head is longer than {LONGEST_HEAD} bytes or has more than {MOST_FIELDS} fields")]
    TooLarge,
    #[error("the head did not come in time")]
    Late,
    #[error("the head is no HTTP/1 request: {0}")]
    Garbled(httparse::Error),
    #[error("the method is none")]
    Method,
    #[error("lengths of the body contradict each other")]
    Framing,
    #[error("target and Host name different hosts")]
    TwoHosts,
}

impl Head {
    /// The client waits for a word before it sends its body (RFC 9110 §10.1.1).
    pub(crate) fn waits(&self) -> bool {
        let expects =
            self.parts.headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        expects && self.parts.version != Version::HTTP_10
    }
}

/// Takes the first head off `buffer`. `None`: its end has not come yet.
pub(crate) fn take(buffer: &mut BytesMut) -> Result<Option<Head>, BadHead> {
    // RFC 9112 §2.2: blank lines before a request are passed over.
    let blank = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    buffer.advance(blank);
    // Not written before it is used: that would be 4 KiB for each request.
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(buffer, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length <= LONGEST_HEAD => length,
        Ok(httparse::Status::Partial) if buffer.len() < LONGEST_HEAD => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(BadHead::TooLarge),
        Err(error) => return Err(BadHead::Garbled(error)),
    };
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = Method::from_bytes(request.method.unwrap_or_default().as_bytes()).map_err(|_| BadHead::Method)?;
    parts.version = if request.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let start = buffer.as_ptr() as usize;
    let place = |bytes: &[u8]| {
        let at = bytes.as_ptr() as usize - start;
        at..at + bytes.len()
    };
    let target = place(request.path.unwrap_or_default().as_bytes());
    let fields = request.headers.iter().map(|field| (place(field.name.as_bytes()), place(field.value)));
    let places: Vec<_> = fields.collect();
    let bytes = buffer.split_to(length).freeze();
    parts.headers.reserve(places.len());
    for (name, value) in places {
        let name = HeaderName::from_bytes(&bytes[name]).map_err(|_| BadHead::Garbled(httparse::Error::HeaderName))?;
        let value = HeaderValue::from_maybe_shared(bytes.slice(value))
            .map_err(|_| BadHead::Garbled(httparse::Error::HeaderValue))?;
        parts.headers.append(name, value);
    }
    let target = bytes.slice(target);
    let body = body(&parts.headers, parts.version)?;
    if target.first() != Some(&b'/') {
        one_host(&target, &parts.headers)?;
    }
    Ok(Some(Head { keeps_alive: keeps_alive(&parts), parts, target, body }))
}

/// RFC 9112 §6.3, stricter: nobody may disagree.
fn body(headers: &HeaderMap, version: Version) -> Result<Length, BadHead> {
    let coded = headers.contains_key(TRANSFER_ENCODING);
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        let digits = value.to_str().ok().filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        let number: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or(BadHead::Framing)?;
        if length.replace(number).is_some_and(|other| other != number) {
            return Err(BadHead::Framing);
        }
    }
    if coded && (length.is_some() || version == Version::HTTP_10) {
        return Err(BadHead::Framing);
    }
    Ok(match length {
        _ if coded => Length::Chunked,
        None | Some(0) => Length::None,
        Some(length) => Length::Bytes(length),
    })
}

/// An absolute target must name the host that `Host` names: two hosts in one request are how caches and filters are led astray.
fn one_host(target: &[u8], headers: &HeaderMap) -> Result<(), BadHead> {
    let Ok(target) = std::str::from_utf8(target) else { return Ok(()) };
    let Some((_, rest)) = target.split_once("://") else { return Ok(()) };
    let named = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let other = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(named.as_bytes());
    if headers.get_all(HOST).iter().any(other) { Err(BadHead::TwoHosts) } else { Ok(()) }
}

/// HTTP/1.0 clients read to the end of the connection, unless they say that they don't (RFC 9112 §9.3).
fn keeps_alive(parts: &Parts) -> bool {
    let says = |word: &str| {
        let values = parts.headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    !says("close") && (parts.version != Version::HTTP_10 || says("keep-alive"))
}

/// An answer's head as it goes over the wire. `closes` tells the client that no other answer follows it.
pub(crate) fn write(head: &AnswerHead, asked: Version, closes: bool, into: &mut Vec<u8>) {
    into.extend_from_slice(b"HTTP/1.1 ");
    into.extend_from_slice(head.status.as_str().as_bytes());
    into.push(b' ');
    into.extend_from_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    into.extend_from_slice(b"\r\n");
    for (name, value) in head.fields.iter() {
        into.extend_from_slice(name.as_str().as_bytes());
        into.extend_from_slice(b": ");
        into.extend_from_slice(value.as_bytes());
        into.extend_from_slice(b"\r\n");
    }
    match (closes, asked) {
        (true, _) => into.extend_from_slice(b"connection: close\r\n"),
        (false, Version::HTTP_10) => into.extend_from_slice(b"connection: keep-alive\r\n"),
        (false, _) => {}
    }
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::{BadHead, Head, LONGEST_HEAD, Length, take, write};
    use crate::fields::AnswerHead;
    use bytes::BytesMut;
    use http::header::ETAG;
    use http::{HeaderValue, Version};

    fn head(text: &str) -> Result<Option<Head>, BadHead> {
        take(&mut BytesMut::from(text))
    }

    #[test]
    fn heads_are_taken_one_by_one() {
        let two = "\r\n\r\nGET /a?b HTTP/1.1\r\nHost: x\r\nRange:  bytes=0-1 \r\n\r\nHEAD http://x/c HTTP/1.0\nHost: X\n\nrest";
        let mut buffer = BytesMut::from(two);
        let first = take(&mut buffer).unwrap().unwrap();
        assert_eq!((&first.target[..], first.parts.method.as_str()), (&b"/a?b"[..], "GET"));
        assert_eq!(first.parts.headers["range"], "bytes=0-1");
        assert!(first.keeps_alive && first.body == Length::None);
        let second = take(&mut buffer).unwrap().unwrap();
        assert_eq!((&second.target[..], second.parts.version), (&b"http://x/c"[..], Version::HTTP_10));
        assert!(!second.keeps_alive);
        assert_eq!(&buffer[..], b"rest");
        assert!(take(&mut buffer).unwrap().is_none(), "not whole yet");
    }

    #[test]
    fn every_prefix_of_a_head_is_waited_for() {
        let whole = "GET /a HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\n\r\n";
        for end in 0..whole.len() {
            assert!(matches!(head(&whole[..end]), Ok(None)), "{end}");
        }
    }

    #[test]
    fn connections_end_when_clients_say_so() {
        for (line, fields, kept) in [
            ("HTTP/1.1", "", true),
            ("HTTP/1.1", "Connection: Close\r\n", false),
            ("HTTP/1.1", "Connection: te, close\r\n", false),
            ("HTTP/1.0", "", false),
            ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
            ("HTTP/1.0", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ] {
            let head = head(&format!("GET / {line}\r\n{fields}\r\n")).unwrap().unwrap();
            assert_eq!(head.keeps_alive, kept, "{line} {fields}");
        }
    }

    #[test]
    fn doubt_is_refused() {
        type Judge = fn(BadHead) -> bool;
        let garbled: Judge = |error| matches!(error, BadHead::Garbled(_));
        let framing: Judge = |error| error == BadHead::Framing;
        for (text, expected) in [
            ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", framing),
            ("GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", framing),
            ("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", framing),
            ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", framing),
            ("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", framing),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", framing),
            ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", garbled),
            ("GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", garbled),
            ("GET / HTTP/9.9\r\n\r\n", garbled),
            ("GET\r\n\r\n", garbled),
            ("GET /\0 HTTP/1.1\r\n\r\n", garbled),
            ("\x16\x03\x01\x02", garbled),
            ("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", |error| error == BadHead::TwoHosts),
        ] {
            assert!(head(text).is_err_and(expected), "{text:?}");
        }
        for text in [
            "GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 7\r\ncontent-length: 7\r\n\r\n",
        ] {
            assert!(head(text).is_ok(), "{text:?}");
        }
        for (fields, length) in [
            ("Content-Length: 0", Length::None),
            ("Content-Length: 7", Length::Bytes(7)),
            ("Transfer-Encoding: chunked", Length::Chunked),
        ] {
            assert_eq!(
                head(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n")).unwrap().unwrap().body,
                length,
                "{fields}"
            );
        }
    }

    #[test]
    fn heads_are_bounded() {
        let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(LONGEST_HEAD));
        assert_eq!(head(&long).map(drop), Err(BadHead::TooLarge));
        assert_eq!(head(&long[..LONGEST_HEAD]).map(drop), Err(BadHead::TooLarge));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(129));
        assert_eq!(head(&many).map(drop), Err(BadHead::TooLarge));
    }

    #[test]
    fn an_answer_says_whether_it_is_the_last() {
        let mut answer = AnswerHead::new(http::StatusCode::PARTIAL_CONTENT);
        answer.fields.insert(ETAG, HeaderValue::from_static("\"v\""));
        for (version, closes, last) in [
            (Version::HTTP_11, false, ""),
            (Version::HTTP_11, true, "connection: close\r\n"),
            (Version::HTTP_10, false, "connection: keep-alive\r\n"),
        ] {
            let mut text = Vec::new();
            write(&answer, version, closes, &mut text);
            let expected = format!("HTTP/1.1 206 Partial Content\r\netag: \"v\"\r\n{last}\r\n");
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
    }
}
