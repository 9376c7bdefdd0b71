//! Status and headers of an answer with media. Refusals are [`crate::refusal`]'s.

use crate::refusal::Refusal;
use cache::CacheStatus;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, LAST_MODIFIED, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use plugin_host::Cookie;
use slice::{Answer, MediaMeta, Multipart, content_range, unsatisfied_range};
use std::time::{Duration, UNIX_EPOCH};

const X_CACHE_STATUS: HeaderName = HeaderName::from_static("x-cache-status");

/// RFC 8187 `attr-char`: what may stand unescaped in `filename*`.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// 9999-12-31T23:59:59Z, the last date that IMF-fixdate can say.
const MAX_DATE: u64 = 253_402_300_799;

/// The head for an answer; of a HEAD as of a GET.
pub(crate) fn head(answer: &Answer, meta: &MediaMeta, multipart: Option<&Multipart>) -> Result<Response<()>, Refusal> {
    let mut response = Response::new(());
    let status = match answer {
        Answer::Full => StatusCode::OK,
        Answer::Partial(_) | Answer::Multipart(_) => StatusCode::PARTIAL_CONTENT,
        Answer::NotModified => StatusCode::NOT_MODIFIED,
        Answer::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Answer::Unsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    set(headers, ETAG, &format!("\"{}\"", meta.etag.as_str()))?;
    if let Some(seconds) = meta.last_modified {
        set(headers, LAST_MODIFIED, &httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds.min(MAX_DATE))))?;
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // A shared cache in front would serve the film past the link's expiry.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private"));
    match (answer, multipart) {
        (Answer::Full, _) => body_headers(headers, meta, &meta.content_type, meta.size)?,
        (Answer::Partial(range), _) => {
            body_headers(headers, meta, &meta.content_type, range.len())?;
            set(headers, CONTENT_RANGE, &content_range(*range, meta.size))?;
        }
        (Answer::Multipart(_), Some(parts)) => {
            body_headers(headers, meta, &parts.content_type(), parts.content_length())?;
        }
        (Answer::Multipart(_), None) => return Err(Refusal::Internal("several ranges without their framing")),
        (Answer::NotModified, _) => {}
        (Answer::PreconditionFailed, _) => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from(0))),
        (Answer::Unsatisfiable, _) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
            set(headers, CONTENT_RANGE, &unsatisfied_range(meta.size))?;
        }
    }
    Ok(response)
}

/// The head of a playlist that plugins rewrote: a text of its own, made for this viewer.
pub(crate) fn rewritten(
    length: usize,
    meta: &MediaMeta,
    cookies: &[Cookie],
    secure: bool,
) -> Result<Response<()>, Refusal> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    body_headers(headers, meta, &meta.content_type, length as u64)?;
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    set_cookies(headers, cookies, secure)?;
    Ok(response)
}

/// Cookies of plugins: theirs are name, value and age, the rest is ours (RFC 6265 §4.1).
pub(crate) fn set_cookies(headers: &mut HeaderMap, cookies: &[Cookie], secure: bool) -> Result<(), Refusal> {
    for Cookie { name, value, max_age } in cookies {
        let secure = if secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Max-Age={max_age}; Path=/; HttpOnly; SameSite=Lax{secure}");
        let value = HeaderValue::try_from(text).map_err(|_| Refusal::Internal("a cookie can't be written"))?;
        headers.append(SET_COOKIE, value);
    }
    Ok(())
}

/// `X-Cache-Status`, as nginx set-ups name it.
pub(crate) fn cache_status(head: &mut Response<()>, status: CacheStatus) {
    head.headers_mut().insert(X_CACHE_STATUS, HeaderValue::from_static(status.as_str()));
}

fn body_headers(headers: &mut HeaderMap, meta: &MediaMeta, content_type: &str, length: u64) -> Result<(), Refusal> {
    set(headers, CONTENT_TYPE, content_type)?;
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let disposition = if plays_inline(&meta.content_type) { "inline" } else { "attachment" };
    match &meta.file_name {
        Some(name) => {
            let name = utf8_percent_encode(name, ATTR_CHAR);
            set(headers, CONTENT_DISPOSITION, &format!("{disposition}; filename*=UTF-8''{name}"))
        }
        None => set(headers, CONTENT_DISPOSITION, disposition),
    }
}

/// Whoever uploads a file chooses its type. A page or a script must not run under a tenant's domain, so only what plays
/// or shows is shown in place.
fn plays_inline(content_type: &str) -> bool {
    // Browsers take the last element of a list.
    if content_type.contains(',') {
        return false;
    }
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.split_once('/') {
        Some(("video" | "audio", _)) => true,
        Some(("image", kind)) => !kind.contains("svg") && !kind.contains("xml"),
        _ => matches!(essence.as_str(), "text/plain" | "text/vtt" | "application/x-subrip" | "application/pdf"),
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), Refusal> {
    let value =
        HeaderValue::try_from(value).map_err(|_| Refusal::Internal("a header of the media can't be written"))?;
    headers.insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{head, plays_inline};
    use slice::{Answer, ByteRange, ETag, MediaMeta};

    fn meta() -> MediaMeta {
        MediaMeta {
            etag: ETag::new("v1"),
            size: 10,
            content_type: "video/mp4".into(),
            last_modified: Some(0),
            file_name: Some("Ö 1.mp4".into()),
            spans: None,
        }
    }

    #[test]
    fn heads_follow_the_answer() {
        let partial = Answer::Partial(ByteRange { start: 2, end: 5 });
        type Headers = &'static [(&'static str, Option<&'static str>)];
        let cases: [(Answer, u16, Headers); 5] = [
            (Answer::Full, 200, &[("content-length", Some("10")), ("content-range", None), ("etag", Some("\"v1\""))]),
            (partial, 206, &[("content-length", Some("3")), ("content-range", Some("bytes 2-4/10"))]),
            (Answer::NotModified, 304, &[("content-length", None), ("etag", Some("\"v1\"")), ("content-type", None)]),
            (Answer::PreconditionFailed, 412, &[("content-length", Some("0"))]),
            (Answer::Unsatisfiable, 416, &[("content-length", Some("0")), ("content-range", Some("bytes */10"))]),
        ];
        for (answer, status, headers) in cases {
            let head = head(&answer, &meta(), None).unwrap();
            assert_eq!(head.status().as_u16(), status);
            for (name, value) in headers {
                assert_eq!(head.headers().get(*name).map(|v| v.to_str().unwrap()), *value, "{answer:?} {name}");
            }
        }
    }

    #[test]
    fn what_could_run_is_downloaded() {
        for good in ["video/mp4", "Audio/mpeg", "image/png", "text/vtt; charset=utf-8"] {
            assert!(plays_inline(good), "{good}");
        }
        for bad in [
            "text/html",
            "image/svg+xml",
            "application/javascript",
            "application/octet-stream",
            "",
            "video",
            "video/mp4,text/html",
        ] {
            assert!(!plays_inline(bad), "{bad}");
        }
        let page = MediaMeta { content_type: "text/html".into(), ..meta() };
        let head = head(&Answer::Full, &page, None).unwrap();
        assert_eq!(head.headers()["content-disposition"], "attachment; filename*=UTF-8''%C3%96%201.mp4");
    }
}
