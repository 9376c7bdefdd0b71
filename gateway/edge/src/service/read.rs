//! What routes read out of bodies and queries.

use super::{Body, Denial};
use crate::flow::Incoming;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

/// Bytes of the longest path that a viewer is sent to.
const LONGEST_NEXT: usize = 512;

/// The body, if it is of this type.
pub(super) fn body<'a>(incoming: &Incoming<'a>, content_type: &str) -> Result<&'a [u8], Denial> {
    let Body::Whole(bytes) = incoming.body else {
        return Err(if *incoming.body == Body::None { Denial::Malformed("no body") } else { Denial::Body });
    };
    let sent = incoming.head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let sent = sent.map(|sent| sent.split(';').next().unwrap_or(sent).trim());
    if sent.is_some_and(|sent| sent.eq_ignore_ascii_case(content_type)) { Ok(bytes) } else { Err(Denial::Type) }
}

/// The object that was sent. A form of another site can't send this type without being asked beforehand (Fetch §2.2.2).
pub(super) fn json<T: DeserializeOwned>(incoming: &Incoming<'_>) -> Result<T, Denial> {
    let bytes = body(incoming, "application/json")?;
    serde_json::from_slice(bytes).map_err(|_| Denial::Malformed("JSON of another form"))
}

/// A field of a form, or of a query: the first of that name (URL §5.1).
pub(super) fn field(form: &[u8], name: &str) -> Option<String> {
    let text = str::from_utf8(form).ok()?;
    let value = text.split('&').find_map(|pair| pair.split_once('=').filter(|(found, _)| *found == name))?.1;
    percent_decode_str(&value.replace('+', " ")).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A path on the tenant's own host. What a browser would take for another host's is none.
pub(super) fn next(path: Option<String>) -> String {
    let own = |path: &String| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path.len() <= LONGEST_NEXT
            && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    path.filter(own).unwrap_or_else(|| "/".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{field, next};

    #[test]
    fn fields_of_forms() {
        for (form, value) in [
            ("token=a.b-c_d", Some("a.b-c_d")),
            ("x=1&token=a&token=b", Some("a")),
            ("token=%2Fa+b", Some("/a b")),
            ("xtoken=a", None),
            ("token", None),
            ("token=%ff", None),
        ] {
            assert_eq!(field(form.as_bytes(), "token").as_deref(), value, "{form}");
        }
    }

    #[test]
    fn nobody_is_sent_to_another_host() {
        for (path, to) in [
            ("/films?a=1", "/films?a=1"),
            ("//evil.test", "/"),
            ("/\\evil.test", "/"),
            ("https://evil.test", "/"),
            ("javascript:alert(1)", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
            ("", "/"),
        ] {
            assert_eq!(next(Some(path.to_owned())), to, "{path}");
        }
        assert_eq!(next(Some(format!("/{}", "a".repeat(600)))), "/");
        assert_eq!(next(None), "/");
    }
}
