//! First step: what the client sent, taken apart and bounded.

use crate::flow::Incoming;
use crate::refusal::Refusal;
use crate::remote::Remote;
use http::header::HOST;
use http::request::Parts;
use link::Uri;

/// The methods that the edge answers; media by the first two only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Post,
    Options,
}

/// A request that can be thought about: method known, target normalised, host present.
pub(crate) struct Accepted<'a> {
    pub(crate) head: &'a Parts,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    /// Lower case, without port and final dot.
    pub(crate) host: String,
    pub(crate) remote: Option<&'a Remote>,
    /// Over TLS.
    pub(crate) secure: bool,
    /// The answer can be sent out of files.
    pub(crate) sends_stretches: bool,
}

/// Takes a request apart. `target` is the raw request target: `Parts::uri` may have been tidied up by the HTTP layer, and
/// the signature is over what the viewer sent.
pub(crate) fn accept<'a>(incoming: &Incoming<'a>) -> Result<Accepted<'a>, Refusal> {
    let Incoming { head, target, remote, secure, sends_stretches, .. } = *incoming;
    let method = match head.method {
        http::Method::GET => Method::Get,
        http::Method::HEAD => Method::Head,
        http::Method::POST => Method::Post,
        http::Method::OPTIONS => Method::Options,
        _ => return Err(Refusal::BadMethod),
    };
    let uri = Uri::parse(target).map_err(|_| Refusal::BadTarget)?;
    let host = host_name(authority(head, &uri)?).ok_or(Refusal::BadHost)?;
    Ok(Accepted { head, method, uri, host, remote, secure, sends_stretches })
}

impl Accepted<'_> {
    /// Host and port as they were sent.
    pub(crate) fn authority(&self) -> &str {
        // There is one: the host is out of it.
        authority(self.head, &self.uri).unwrap_or_default()
    }
}

/// HTTP/2 has `:authority`, which the HTTP layer puts into the URI. An absolute target outranks `Host` (RFC 9112 §3.2.2); where
/// they differ the HTTP layer has refused the request before.
fn authority<'a>(head: &'a Parts, uri: &'a Uri) -> Result<&'a str, Refusal> {
    let mut headers = head.headers.get_all(HOST).iter();
    let header = headers.next();
    if headers.next().is_some() {
        return Err(Refusal::BadHost);
    }
    let authority = uri.authority().or(head.uri.authority().map(http::uri::Authority::as_str));
    match (authority, header) {
        (Some(authority), _) => Ok(authority),
        (None, Some(header)) => header.to_str().map_err(|_| Refusal::BadHost),
        (None, None) => Err(Refusal::BadHost),
    }
}

/// `host[:port]` → host, lower case; an IPv6 address loses its brackets.
fn host_name(text: &str) -> Option<String> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port)
        }
        None => text.find(':').map_or((text, ""), |colon| text.split_at(colon)),
    };
    let port_ok = port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.is_empty() || p.parse::<u16>().is_ok());
    let name = name.strip_suffix('.').unwrap_or(name);
    let name_ok = (1..=253).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'));
    (port_ok && name_ok).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{accept, host_name};
    use crate::flow::Incoming;
    use crate::refusal::Refusal;
    use http::Request;

    fn check(method: &str, target: &str, hosts: &[&str]) -> Result<String, Refusal> {
        let mut request = Request::builder().method(method).uri("/");
        for host in hosts {
            request = request.header("host", *host);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let incoming = Incoming { head: &parts, target: target.as_bytes(), ..Incoming::of_test(&parts) };
        accept(&incoming).map(|accepted| accepted.host)
    }

    #[test]
    fn hosts_are_brought_to_one_spelling() {
        for (text, name) in [
            ("Films.Example.COM", "films.example.com"),
            ("films.example.com.:8080", "films.example.com"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "::1"),
            ("a_b", "a_b"),
        ] {
            assert_eq!(host_name(text).as_deref(), Some(name));
        }
        for text in ["", ".", "a b", "a/b", "a:99999", "a:x", "[::1", "[x]", "é", "a@b", &"x".repeat(254)] {
            assert_eq!(host_name(text), None, "{text}");
        }
    }

    #[test]
    fn requests_are_bounded() {
        assert_eq!(check("GET", "/stream/1/2", &["a"]), Ok("a".into()));
        assert_eq!(check("HEAD", "http://a:80/stream/1/2", &["a"]), Ok("a".into()));
        assert_eq!(check("DELETE", "/", &["a"]), Err(Refusal::BadMethod));
        assert_eq!(check("GET", "/%00", &["a"]), Err(Refusal::BadTarget));
        assert_eq!(check("GET", "/../x", &["a"]), Err(Refusal::BadTarget));
        assert_eq!(check("GET", "/", &[]), Err(Refusal::BadHost));
        assert_eq!(check("GET", "/", &["a", "a"]), Err(Refusal::BadHost));
    }
}
