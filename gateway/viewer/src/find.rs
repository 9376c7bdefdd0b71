//! Where in a request the token is.

use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, COOKIE},
};

/// The viewer's token: in `header` (after `Bearer` if that is `Authorization`, else bare), or else in the cookie of that name.
///
/// The first value that is not empty counts. Cookies are taken out of any number of Cookie headers, which may hold bytes
/// beyond ASCII in other cookies; quotes around the value are dropped. What is found is unchecked text.
#[must_use]
pub fn find_token<'a>(headers: &'a HeaderMap, header: Option<&HeaderName>, cookie: Option<&str>) -> Option<&'a str> {
    header.and_then(|name| in_header(headers, name)).or_else(|| cookie.and_then(|name| in_cookies(headers, name)))
}

fn in_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get_all(name).iter().find_map(|value| {
        let value = value.to_str().ok()?.trim_ascii();
        let token = if *name == AUTHORIZATION { after_bearer(value)? } else { value };
        (!token.is_empty()).then_some(token)
    })
}

/// RFC 9110 §11.1: the scheme's case doesn't matter, one or more blanks follow.
fn after_bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim_ascii())
}

fn in_cookies<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';')).find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (found, value) = pair.split_at(equals);
        if found.trim_ascii() != name.as_bytes() {
            return None;
        }
        let value = str::from_utf8(value.get(1..)?).ok()?.trim_ascii();
        let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        (!bare.is_empty()).then_some(bare)
    })
}
