//! Status and headers of an answer with media. Refusals are [`crate::refusal`]'s.

use crate::fields::{AnswerHead, Fields};
use crate::labels::{Labels, value};
use crate::refusal::Refusal;
use cache::CacheStatus;
use http::StatusCode;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, LAST_MODIFIED, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use plugin_host::Cookie;
use slice::{Answer, MediaMeta, Multipart, content_range, unsatisfied_range};

const X_CACHE_STATUS: HeaderName = HeaderName::from_static("x-cache-status");

/// The head for an answer; of a HEAD as of a GET.
pub(crate) fn head(
    answer: &Answer,
    meta: &MediaMeta,
    labels: &Labels,
    multipart: Option<&Multipart>,
) -> Result<AnswerHead, Refusal> {
    let status = match answer {
        Answer::Full => StatusCode::OK,
        Answer::Partial(_) | Answer::Multipart(_) => StatusCode::PARTIAL_CONTENT,
        Answer::NotModified => StatusCode::NOT_MODIFIED,
        Answer::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        Answer::Unsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
    };
    let mut head = AnswerHead::new(status);
    let headers = &mut head.fields;
    headers.append(ETAG, labels.etag.clone());
    if let Some(date) = &labels.last_modified {
        headers.append(LAST_MODIFIED, date.clone());
    }
    headers.append(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // A shared cache in front would serve the film past the link's expiry.
    headers.append(CACHE_CONTROL, HeaderValue::from_static("private"));
    let own = || labels.content_type.clone();
    match (answer, multipart) {
        (Answer::Full, _) => body_headers(headers, labels, own(), meta.size),
        (Answer::Partial(range), _) => {
            body_headers(headers, labels, own(), range.len());
            headers.append(CONTENT_RANGE, value(&content_range(*range, meta.size))?);
        }
        (Answer::Multipart(_), Some(parts)) => {
            body_headers(headers, labels, value(&parts.content_type())?, parts.content_length());
        }
        (Answer::Multipart(_), None) => return Err(Refusal::Internal("several ranges without their framing")),
        (Answer::NotModified, _) => {}
        (Answer::PreconditionFailed, _) => headers.append(CONTENT_LENGTH, HeaderValue::from(0)),
        (Answer::Unsatisfiable, _) => {
            headers.append(CONTENT_LENGTH, HeaderValue::from(0));
            headers.append(CONTENT_RANGE, value(&unsatisfied_range(meta.size))?);
        }
    }
    Ok(head)
}

/// The head of a playlist that plugins rewrote: a text of its own, made for this viewer.
pub(crate) fn rewritten(
    length: usize,
    labels: &Labels,
    cookies: &[Cookie],
    secure: bool,
) -> Result<AnswerHead, Refusal> {
    let mut head = AnswerHead::new(StatusCode::OK);
    let headers = &mut head.fields;
    body_headers(headers, labels, labels.content_type.clone(), length as u64);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    set_cookies(headers, cookies, secure)?;
    Ok(head)
}

/// Cookies of plugins: theirs are name, value and age, the rest is ours (RFC 6265 §4.1).
pub(crate) fn set_cookies(headers: &mut Fields, cookies: &[Cookie], secure: bool) -> Result<(), Refusal> {
    for Cookie { name, value, max_age } in cookies {
        let secure = if secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Max-Age={max_age}; Path=/; HttpOnly; SameSite=Lax{secure}");
        let value = HeaderValue::try_from(text).map_err(|_| Refusal::Internal("a cookie can't be written"))?;
        headers.append(SET_COOKIE, value);
    }
    Ok(())
}

/// `X-Cache-Status`, as nginx set-ups name it.
pub(crate) fn cache_status(head: &mut AnswerHead, status: CacheStatus) {
    head.fields.append(X_CACHE_STATUS, HeaderValue::from_static(status.as_str()));
}

fn body_headers(headers: &mut Fields, labels: &Labels, content_type: HeaderValue, length: u64) {
    headers.append(CONTENT_TYPE, content_type);
    headers.append(CONTENT_LENGTH, HeaderValue::from(length));
    headers.append(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.append(CONTENT_DISPOSITION, labels.disposition.clone());
}

#[cfg(test)]
mod tests {
    use super::head;
    use crate::labels::Labels;
    use crate::labels::tests::meta;
    use slice::{Answer, ByteRange};

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
            let meta = meta();
            let head = head(&answer, &meta, &Labels::new(&meta).unwrap(), None).unwrap();
            assert_eq!(head.status.as_u16(), status);
            for (name, value) in headers {
                assert_eq!(head.fields.of(name).next(), *value, "{answer:?} {name}");
            }
        }
    }
}
