//! Reads a request of the contract out of HTTP. Pure.

use crate::fault::Fault;
use crate::media::{HEADER_CHAT_ID, HEADER_MESSAGE_ID, MediaPath, REQUEST_ID_HEADER};
use crate::range::RequestRange;
use http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderName, IF_MATCH, RANGE};
use http::{HeaderMap, Method};
use subtle::ConstantTimeEq;

const REQUEST_ID_LONGEST: usize = 64;

/// What a gateway asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRequest {
    /// What the path names.
    pub media: MediaPath,
    /// True for HEAD.
    pub head: bool,
    /// None for the whole media.
    pub range: Option<RequestRange>,
    /// Which versions it takes.
    pub if_match: IfMatch,
    /// The asker wants Telegram to be asked anew.
    pub no_cache: bool,
}

/// Which versions the asker takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Any: no header, or `*`.
    Any,
    /// One of these tags. Weak ones are left out already, because they match nothing.
    Tags(Vec<String>),
}

impl IfMatch {
    /// True if this version is one of them.
    #[must_use]
    pub fn allows(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

impl MediaRequest {
    /// Anything outside the contract is a fault, never a guess.
    ///
    /// # Errors
    /// [`Fault::BadRequest`], or [`Fault::BadRange`] for a range of another form.
    pub fn read(method: &Method, path: &str, headers: &HeaderMap) -> Result<Self, Fault> {
        let head = match *method {
            Method::GET => false,
            Method::HEAD => true,
            _ => return Err(Fault::BadRequest),
        };
        let media = MediaPath::parse(path).map_err(|_| Fault::BadRequest)?;
        let names = match media {
            MediaPath::Message { chat_id, message_id } => {
                vec![(HEADER_CHAT_ID, chat_id), (HEADER_MESSAGE_ID, i64::from(message_id))]
            }
            // Its path says nothing of messages that a header could contradict.
            MediaPath::Virtual(_) => Vec::new(),
        };
        for (name, expected) in names {
            // A hand-over header may repeat the path; one that contradicts it means that something in between is confused.
            if headers.get_all(name).iter().any(|value| value.to_str().ok() != Some(expected.to_string().as_str())) {
                return Err(Fault::BadRequest);
            }
        }
        Ok(Self {
            media,
            head,
            // RFC 9110 gives Range a meaning for GET alone.
            range: if head { None } else { read_range(headers)? },
            if_match: read_if_match(headers)?,
            no_cache: is_no_cache(headers),
        })
    }
}

/// True when the one Authorization header carries the token. Takes the same time wherever a wrong token differs.
#[must_use]
pub fn is_authorized(headers: &HeaderMap, token: &str) -> bool {
    let Ok(Some(value)) = single(headers, &AUTHORIZATION) else { return false };
    let Some((scheme, given)) = value.as_bytes().split_at_checked("bearer ".len()) else { return false };
    scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(given.ct_eq(token.as_bytes()))
}

/// The asker's id for the request, if it is of the contract's form.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(REQUEST_ID_HEADER)?.to_str().ok()?;
    let fits = (1..=REQUEST_ID_LONGEST).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some(id)
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a http::HeaderValue>, Fault> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() { Err(Fault::BadRequest) } else { Ok(first) }
}

fn read_range(headers: &HeaderMap) -> Result<Option<RequestRange>, Fault> {
    let Some(value) = single(headers, &RANGE)? else { return Ok(None) };
    let text = value.to_str().map_err(|_| Fault::BadRange)?;
    RequestRange::parse(text).map(Some).map_err(|_| Fault::BadRange)
}

fn read_if_match(headers: &HeaderMap) -> Result<IfMatch, Fault> {
    Ok(read_tags(headers, &IF_MATCH)?.unwrap_or(IfMatch::Any))
}

/// The tags of the one header of this name (`If-Match` and its like), `None` if it is not there.
///
/// # Errors
/// [`Fault::BadRequest`] when it is there twice, or is no list of tags.
pub fn read_tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<IfMatch>, Fault> {
    let Some(value) = single(headers, name)? else { return Ok(None) };
    let text = value.to_str().map_err(|_| Fault::BadRequest)?.trim();
    if text == "*" {
        return Ok(Some(IfMatch::Any));
    }
    let mut tags = Vec::new();
    for item in text.split(',').map(str::trim) {
        let (weak, quoted) = item.strip_prefix("W/").map_or((false, item), |rest| (true, rest));
        let tag = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(Fault::BadRequest)?;
        if tag.contains('"') {
            return Err(Fault::BadRequest);
        }
        if !weak {
            tags.push(tag.to_owned());
        }
    }
    Ok(Some(IfMatch::Tags(tags)))
}

fn is_no_cache(headers: &HeaderMap) -> bool {
    headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(',')).any(
        |item| {
            let item = item.trim();
            item.eq_ignore_ascii_case("no-cache") || item.eq_ignore_ascii_case("max-age=0")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::{IfMatch, MediaRequest, is_authorized, request_id};
    use crate::fault::Fault;
    use crate::media::MediaPath;
    use crate::range::RequestRange;
    use http::{HeaderMap, HeaderName, HeaderValue, Method};

    const PATH: &str = "/v1/media/-1001/7";

    type Refused<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], Fault);

    fn headers(list: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        headers
    }

    #[test]
    fn reads_what_the_contract_says() {
        let list = [
            ("range", "bytes=5-9"),
            ("if-match", "W/\"c\", \"a-1\" , \"b\""),
            ("cache-control", "private, No-Cache"),
            ("x-location-chat-id", "-1001"),
        ];
        let request = MediaRequest::read(&Method::GET, PATH, &headers(&list)).unwrap();
        let expected = MediaRequest {
            media: MediaPath::Message { chat_id: -1001, message_id: 7 },
            head: false,
            range: Some(RequestRange { first: 5, last: 9 }),
            if_match: IfMatch::Tags(vec!["a-1".into(), "b".into()]),
            no_cache: true,
        };
        assert_eq!(request, expected);
        assert!(request.if_match.allows("b") && !request.if_match.allows("c") && !request.if_match.allows(""));
        let head =
            MediaRequest::read(&Method::HEAD, PATH, &headers(&[("range", "nonsense"), ("if-match", "*")])).unwrap();
        assert_eq!((head.head, head.range, head.if_match, head.no_cache), (true, None, IfMatch::Any, false));
    }

    #[test]
    fn refuses_everything_else() {
        let refused: &[Refused<'_>] = &[
            (Method::POST, PATH, &[], Fault::BadRequest),
            (Method::GET, "/v1/media/-1001/07", &[], Fault::BadRequest),
            (Method::GET, "/v1/media/-1001/7/", &[], Fault::BadRequest),
            (Method::GET, "/", &[], Fault::BadRequest),
            (Method::GET, PATH, &[("range", "bytes=0-")], Fault::BadRange),
            (Method::GET, PATH, &[("range", "bytes=0-1,3-4")], Fault::BadRange),
            (Method::GET, PATH, &[("range", "bytes=0-18446744073709551616")], Fault::BadRange),
            (Method::GET, PATH, &[("range", "bytes=0-1"), ("range", "bytes=0-1")], Fault::BadRequest),
            (Method::GET, PATH, &[("if-match", "a")], Fault::BadRequest),
            (Method::GET, PATH, &[("if-match", "\"a\"\"b\"")], Fault::BadRequest),
            (Method::GET, PATH, &[("if-match", "\"")], Fault::BadRequest),
            (Method::GET, PATH, &[("x-location-chat-id", "-1002")], Fault::BadRequest),
            (Method::GET, PATH, &[("x-location-msg-id", "x")], Fault::BadRequest),
        ];
        for (method, path, list, fault) in refused {
            assert_eq!(MediaRequest::read(method, path, &headers(list)), Err(*fault), "{method} {path} {list:?}");
        }
    }

    #[test]
    fn only_the_whole_token_opens() {
        for (value, opens) in [
            ("Bearer secret", true),
            ("bearer secret", true),
            ("Bearer secre", false),
            ("Bearer secretx", false),
            ("Bearer  secret", false),
            ("Basic secret", false),
            ("Bearer", false),
            ("", false),
        ] {
            assert_eq!(is_authorized(&headers(&[("authorization", value)]), "secret"), opens, "{value}");
        }
        let twice = [("authorization", "Bearer secret"), ("authorization", "Bearer secret")];
        assert!(!is_authorized(&headers(&twice), "secret"));
        assert!(!is_authorized(&HeaderMap::new(), "secret"));
    }

    #[test]
    fn ids_that_could_spoil_a_log_are_not_taken() {
        let long = "x".repeat(65);
        for (id, taken) in [("abc-1", true), ("a b", false), ("", false), (long.as_str(), false)] {
            assert_eq!(request_id(&headers(&[("x-request-id", id)])).is_some(), taken, "{id}");
        }
    }
}
