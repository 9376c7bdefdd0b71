//! The request target, decoded and normalised to what nginx calls `$uri`.

use std::fmt;
use std::net::Ipv6Addr;

/// A request target taken apart. Bytes, not text: a path may hold any byte but NUL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Uri {
    path: Vec<u8>,
    query: Vec<u8>,
    authority: Option<String>,
    /// A path-prefix token that was the first segment, without its mark.
    token: Option<Vec<u8>>,
}

/// What the first segment of a path begins with if it is a path-prefix token.
pub(crate) const TOKEN_MARK: &str = "~";

/// Why a request target is no path. nginx answers 400 to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// A blank, a control character or DEL stands raw in the target.
    #[error("the request target holds a control character or a blank")]
    ControlByte,
    /// `%` without two hexadecimal digits after it.
    #[error("the request target holds a bad percent escape")]
    BadEscape,
    /// `%00`.
    #[error("the request target holds an escaped NUL")]
    Nul,
    /// `..` climbs above the root.
    #[error("the path climbs above the root")]
    AboveRoot,
    /// Neither `/path` nor `scheme://host/path` with a host that nginx takes.
    #[error("the request target is no path and no absolute URI")]
    Form,
}

impl Uri {
    /// Takes a raw request target apart: `/path?query` or `scheme://host[:port]/path?query`.
    ///
    /// A raw `#` ends the target, wherever it stands. Escapes in the path are decoded once (`%2F` is a slash, `%2e` a
    /// dot, `+` stays), then slashes are merged and `.` and `..` resolved. The query stays as it came.
    ///
    /// # Errors
    /// [`UriError`], in each case in which nginx answers 400.
    pub fn parse(target: &[u8]) -> Result<Self, UriError> {
        if target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
            return Err(UriError::ControlByte);
        }
        let (authority, rest) = match target.first() {
            Some(b'/') => (None, target),
            _ => split_absolute(target).map(|(authority, rest)| (Some(authority), rest)).ok_or(UriError::Form)?,
        };
        let rest = rest.split(|byte| *byte == b'#').next().unwrap_or_default();
        let (raw_path, query) = match rest.iter().position(|byte| *byte == b'?') {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &[][..]),
        };
        let path = if is_normal(raw_path) { raw_path.to_vec() } else { normalize(&decode(raw_path)?)? };
        Ok(Self { path, query: query.to_vec(), authority, token: None })
    }

    /// The decoded, normalised path; starts with `/` and holds no empty, `.` or `..` segment but perhaps an empty last one.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The query without its `?`, raw; empty when there is none.
    #[must_use]
    pub fn query(&self) -> &[u8] {
        &self.query
    }

    /// `host[:port]` of an absolute target as it was written. It outranks the `Host` header (RFC 9112 §3.2.2).
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Takes a first segment that begins with `~` off the normal path: it is a path-prefix token, and the path is what follows it.
    pub(crate) fn take_token(&mut self) {
        let Some(rest) = self.path.strip_prefix(b"/").and_then(|path| path.strip_prefix(TOKEN_MARK.as_bytes())) else {
            return;
        };
        let Some(slash) = rest.iter().position(|byte| *byte == b'/') else { return };
        self.token = Some(rest[..slash].to_vec());
        self.path = rest[slash..].to_vec();
    }

    /// The token that was taken off the path.
    pub(crate) fn token(&self) -> Option<&[u8]> {
        self.token.as_deref()
    }

    /// The path escaped, so that parsing it again gives the same path.
    #[must_use]
    pub fn to_encoded_path(&self) -> String {
        encode_path(&self.path)
    }
}

impl fmt::Debug for Uri {
    /// The query carries the token, which is a right to the media and no business of a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uri").field("path", &self.to_encoded_path()).finish_non_exhaustive()
    }
}

/// A decoded path as it stands in a link. Escapes all but unreserved characters, `/` and the marks that mean nothing inside a path.
#[must_use]
pub fn encode_path(path: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

/// nginx's `$host`: the name without port, lower case, without a last dot. An IPv6 address has brackets; one that lost
/// them on its way here gets them back.
pub(crate) fn host_name(authority: &str) -> String {
    if authority.parse::<Ipv6Addr>().is_ok() {
        return format!("[{}]", authority.to_ascii_lowercase());
    }
    let end = match authority.find(']') {
        Some(at) if authority.starts_with('[') => at + 1,
        _ => authority.find(':').unwrap_or(authority.len()),
    };
    let name = authority.get(..end).unwrap_or(authority);
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// Splits `scheme://authority` off. What follows starts with `/` or `?`, or is empty.
fn split_absolute(target: &[u8]) -> Option<(String, &[u8])> {
    let colon = target.iter().position(|byte| *byte == b':')?;
    let (first, others) = target[..colon].split_first()?;
    let scheme = first.is_ascii_alphabetic() && others.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b));
    let rest = target[colon..].strip_prefix(b"://").filter(|_| scheme)?;
    let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    let authority = str::from_utf8(&rest[..end]).ok().filter(|text| is_authority(text))?;
    Some((authority.to_owned(), &rest[end..]))
}

/// A name or an IP literal, then perhaps a port. nginx takes neither user info nor `..` nor a name without letters left.
fn is_authority(authority: &str) -> bool {
    let (name, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((literal, port)) => {
            let marks = b":-._~!$&'()*+,;=";
            if !literal.bytes().all(|b| b.is_ascii_alphanumeric() || marks.contains(&b)) {
                return false;
            }
            (literal, port)
        }
        None => {
            let (name, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
            if !plain || matches!(name, "" | ".") {
                return false;
            }
            (name, port)
        }
    };
    let port = port.is_empty() || port.strip_prefix(':').is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()));
    port && !name.contains("..")
}

/// A path with nothing in it to decode, merge or resolve: what nearly all links have.
fn is_normal(raw: &[u8]) -> bool {
    let mut before = 0;
    let plain = raw.iter().all(|byte| {
        let odd = *byte == b'%' || (before == b'/' && matches!(byte, b'/' | b'.'));
        before = *byte;
        !odd
    });
    plain && raw.first() == Some(&b'/')
}

fn decode(raw: &[u8]) -> Result<Vec<u8>, UriError> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(*b).to_digit(16)).ok_or(UriError::BadEscape);
        let value = digit()? * 16 + digit()?;
        match u8::try_from(value) {
            Ok(0) => return Err(UriError::Nul),
            Ok(value) => out.push(value),
            Err(_) => return Err(UriError::BadEscape),
        }
    }
    Ok(out)
}

/// Merges slashes and resolves dot segments. Decoding comes first, because nginx lets `%2e` and `%2F` act as what they are.
fn normalize(decoded: &[u8]) -> Result<Vec<u8>, UriError> {
    let mut out = Vec::with_capacity(decoded.len().max(1));
    let mut open = true;
    for segment in decoded.split(|byte| *byte == b'/').skip(1) {
        open = matches!(segment, b"" | b"." | b"..");
        match segment {
            b"" | b"." => {}
            b".." => {
                let parent = out.iter().rposition(|byte| *byte == b'/').ok_or(UriError::AboveRoot)?;
                out.truncate(parent);
            }
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
            }
        }
    }
    if open {
        out.push(b'/');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{Uri, UriError, decode, host_name, is_normal, normalize};

    #[test]
    fn paths_have_one_form() {
        let cases: &[(&str, &str)] = &[
            ("/", "/"),
            ("//", "/"),
            ("/a//b", "/a/b"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a%2F%2fb", "/a/b"),
            ("/a+b%20c%2B", "/a+b c+"),
            ("/a%3Fb%23c%25", "/a?b#c%"),
            ("/...", "/..."),
            ("/..a/.b/..", "/..a/"),
            ("/a/.%25", "/a/.%"),
            ("/%252e%252e/b", "/%2e%2e/b"),
            ("/a#/../..", "/a"),
            ("/a?/../../..", "/a"),
            ("/%D1%84", "/ф"),
            ("http://h", "/"),
            ("http://h?x", "/"),
            ("HTTPS://h:8080//a/../b", "/b"),
            ("x+-.1://[::1]:/b", "/b"),
        ];
        for (target, path) in cases {
            let uri = Uri::parse(target.as_bytes()).unwrap();
            assert_eq!(uri.path(), path.as_bytes(), "{target}");
            assert_eq!(Uri::parse(uri.to_encoded_path().as_bytes()).unwrap().path(), path.as_bytes(), "{target}");
        }
    }

    #[test]
    fn what_is_normal_stays_as_it_is() {
        let mut paths = vec![Vec::new()];
        let mut normal = 0;
        for _ in 0..7 {
            paths = paths
                .iter()
                .flat_map(|path| b"/.a%2e".iter().map(move |b| [path.as_slice(), &[*b]].concat()))
                .collect();
            for path in paths.iter().filter(|path| is_normal(path)) {
                normal += 1;
                assert_eq!(
                    decode(path).and_then(|path| normalize(&path)).as_ref(),
                    Ok(path),
                    "{}",
                    path.escape_ascii()
                );
            }
        }
        assert!(normal > 1000, "{normal}");
        for path in ["/", "/a/b.c/"] {
            assert!(is_normal(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn bad_targets_say_why() {
        let cases: &[(&[u8], UriError)] = &[
            (b"", UriError::Form),
            (b"*", UriError::Form),
            (b"a/b", UriError::Form),
            (b"?x", UriError::Form),
            (b"host:443", UriError::Form),
            (b"http:/a", UriError::Form),
            (b"http:///a", UriError::Form),
            (b"http://./a", UriError::Form),
            (b"http://a..b/", UriError::Form),
            (b"http://u@h/", UriError::Form),
            (b"http://h:8x/", UriError::Form),
            (b"http://h#x", UriError::Form),
            (b"1http://h/", UriError::Form),
            (b"/a b", UriError::ControlByte),
            (b"/a?b\x7f", UriError::ControlByte),
            (b"/a\0", UriError::ControlByte),
            (b"/%", UriError::BadEscape),
            (b"/%4", UriError::BadEscape),
            (b"/%4?", UriError::BadEscape),
            (b"/%g0", UriError::BadEscape),
            (b"/%+1", UriError::BadEscape),
            (b"/a%00b", UriError::Nul),
            (b"/..", UriError::AboveRoot),
            (b"/a/../..", UriError::AboveRoot),
            (b"/a/%2e%2e%2f..", UriError::AboveRoot),
        ];
        for (target, error) in cases {
            assert_eq!(Uri::parse(target), Err(*error), "{}", target.escape_ascii());
        }
    }

    #[test]
    fn query_stays_raw_and_ends_at_the_fragment() {
        let uri = Uri::parse(b"/a?x=%00%zz+?y#z?w").unwrap();
        assert_eq!(uri.query(), b"x=%00%zz+?y");
        assert_eq!(Uri::parse(b"/a#x?y").unwrap().query(), b"");
    }

    #[test]
    fn authority_is_kept_and_debug_hides_the_query() {
        let uri = Uri::parse(b"http://A.example.:80/x?md5=secret").unwrap();
        assert_eq!(uri.authority(), Some("A.example.:80"));
        assert_eq!(host_name("A.example.:80"), "a.example");
        assert_eq!(host_name("[2001:DB8::1]:80"), "[2001:db8::1]");
        assert_eq!(host_name("2001:DB8::1"), "[2001:db8::1]");
        assert!(!format!("{uri:?}").contains("secret"));
    }
}
