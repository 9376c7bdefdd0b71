//! The headers that describe one media object, on every 200, 206 and HEAD answer of the hive.

use http::HeaderMap;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LAST_MODIFIED};
use std::time::{Duration, UNIX_EPOCH};

/// Whole size in bytes; set on every answer, because `Content-Length` of a 206 is the part's.
const SIZE_HEADER: HeaderName = HeaderName::from_static("x-media-size");

/// What both sides know of a media object before any byte of it flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Strong validator without its quotes: 1 to 64 characters of `[0-9A-Za-z_-]`. The same bytes from whichever session.
    pub etag: String,
    /// Whole size in bytes.
    pub size: u64,
    /// Media type, visible ASCII, at most 255 characters.
    pub content_type: String,
    /// Date of the message, seconds since the Unix epoch.
    pub last_modified: Option<u64>,
    /// The file's own name as the uploader gave it: any text without control characters, at most 255 bytes.
    pub file_name: Option<String>,
}

/// The headers don't describe a media object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntityError {
    /// A header that must be there is missing.
    #[error("header {0} is missing")]
    Missing(&'static str),
    /// A header is there but its value is not of the contract's form.
    #[error("header {0} has a value outside the contract")]
    Invalid(&'static str),
}

impl Entity {
    /// True for `type/subtype`, perhaps with parameters, in visible ASCII of at most 255 characters and without a comma: what stays as
    /// it is on the wire.
    #[must_use]
    pub fn is_content_type(text: &str) -> bool {
        is_content_type(text)
    }

    /// Writes the headers. Values outside the documented bounds are cleaned (content type) or left out (name), so that what comes
    /// from Telegram can never break the wire.
    ///
    /// # Errors
    /// [`EntityError::Invalid`] when the ETag is outside its alphabet: that is a bug of the caller, not of Telegram.
    pub fn write(&self, headers: &mut HeaderMap) -> Result<(), EntityError> {
        if !is_etag(&self.etag) {
            return Err(EntityError::Invalid("etag"));
        }
        let etag = HeaderValue::try_from(format!("\"{}\"", self.etag)).map_err(|_| EntityError::Invalid("etag"))?;
        headers.insert(ETAG, etag);
        headers.insert(SIZE_HEADER, HeaderValue::from(self.size));
        let content_type =
            if is_content_type(&self.content_type) { &self.content_type } else { "application/octet-stream" };
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::try_from(content_type).map_err(|_| EntityError::Invalid("content-type"))?,
        );
        if let Some(seconds) = self.last_modified
            && let Ok(value) =
                HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(MAX_DATE))))
        {
            headers.insert(LAST_MODIFIED, value);
        }
        if let Some(name) = self.file_name.as_deref().filter(|name| is_file_name(name))
            && let Ok(value) = HeaderValue::try_from(format!("attachment; filename*=UTF-8''{}", percent_encode(name)))
        {
            headers.insert(CONTENT_DISPOSITION, value);
        }
        Ok(())
    }

    /// Reads what [`Entity::write`] wrote. Unknown or odd optional headers are left out, required ones are checked.
    ///
    /// # Errors
    /// [`EntityError`] when the ETag, the size or the content type is missing or not of the contract's form.
    pub fn read(headers: &HeaderMap) -> Result<Self, EntityError> {
        let etag = text(headers, &ETAG, "etag")?;
        let etag = etag.strip_prefix('"').and_then(|e| e.strip_suffix('"')).filter(|e| is_etag(e));
        let etag = etag.ok_or(EntityError::Invalid("etag"))?.to_owned();
        let size = text(headers, &SIZE_HEADER, "x-media-size")?;
        let digits = size.bytes().all(|b| b.is_ascii_digit());
        let size = size.parse().ok().filter(|_| digits).ok_or(EntityError::Invalid("x-media-size"))?;
        let content_type = text(headers, &CONTENT_TYPE, "content-type")?;
        if !is_content_type(content_type) {
            return Err(EntityError::Invalid("content-type"));
        }
        let last_modified = headers
            .get(LAST_MODIFIED)
            .and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok())
            .and_then(|date| Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs()));
        let file_name = headers
            .get(CONTENT_DISPOSITION)
            .and_then(|value| percent_decode(value.to_str().ok()?.strip_prefix("attachment; filename*=UTF-8''")?))
            .filter(|name| is_file_name(name));
        Ok(Self { etag, size, content_type: content_type.to_owned(), last_modified, file_name })
    }
}

/// 9999-12-31T23:59:59Z, the last date that IMF-fixdate can say.
const MAX_DATE: u64 = 253_402_300_799;

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName, label: &'static str) -> Result<&'a str, EntityError> {
    headers.get(name).ok_or(EntityError::Missing(label))?.to_str().map_err(|_| EntityError::Invalid(label))
}

fn is_etag(etag: &str) -> bool {
    (1..=64).contains(&etag.len()) && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// `type/subtype` and perhaps parameters (RFC 9110 §8.3.1). A comma is refused wherever it stands: browsers take the last
/// element of a list, so `video/mp4,text/html` would run as a page.
fn is_content_type(value: &str) -> bool {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let essence = value.split(';').next().unwrap_or_default().trim_end();
    (1..=255).contains(&value.len())
        && value.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b',')
        && essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

fn is_file_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// RFC 8187 `ext-value`: everything but `attr-char` is escaped.
fn percent_encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::{Entity, EntityError};
    use http::HeaderMap;

    fn entity() -> Entity {
        Entity {
            etag: "5b1-a0".into(),
            size: 42,
            content_type: "video/mp4".into(),
            last_modified: Some(1_700_000_000),
            file_name: Some("Фильм 100% \"b\".mkv".into()),
        }
    }

    #[test]
    fn round_trips() {
        let mut headers = HeaderMap::new();
        entity().write(&mut headers).unwrap();
        assert_eq!(Entity::read(&headers), Ok(entity()));
    }

    #[test]
    fn hostile_text_cannot_break_the_wire() {
        let mut headers = HeaderMap::new();
        let hostile = Entity { content_type: "text/html\r\nX: y".into(), file_name: Some("a\r\nb".into()), ..entity() };
        hostile.write(&mut headers).unwrap();
        let read = Entity::read(&headers).unwrap();
        assert_eq!(read.content_type, "application/octet-stream");
        assert_eq!(read.file_name, None);
    }

    #[test]
    fn only_one_media_type_is_a_media_type() {
        for (given, sent) in [
            ("text/html; charset=utf-8", "text/html; charset=utf-8"),
            ("video/mp4,text/html", "application/octet-stream"),
            ("video/mp4; ,text/html", "application/octet-stream"),
            ("video", "application/octet-stream"),
            ("video/", "application/octet-stream"),
            ("vid eo/mp4", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            let mut headers = HeaderMap::new();
            Entity { content_type: given.into(), ..entity() }.write(&mut headers).unwrap();
            assert_eq!(headers["content-type"], sent, "{given}");
        }
        let mut headers = HeaderMap::new();
        entity().write(&mut headers).unwrap();
        headers.insert("content-type", "video/mp4,text/html".parse().unwrap());
        assert_eq!(Entity::read(&headers), Err(EntityError::Invalid("content-type")));
    }

    #[test]
    fn missing_and_bad_headers_are_told_apart() {
        assert_eq!(Entity::read(&HeaderMap::new()), Err(EntityError::Missing("etag")));
        let mut headers = HeaderMap::new();
        entity().write(&mut headers).unwrap();
        headers.insert("etag", "W/\"weak\"".parse().unwrap());
        assert_eq!(Entity::read(&headers), Err(EntityError::Invalid("etag")));
    }
}
