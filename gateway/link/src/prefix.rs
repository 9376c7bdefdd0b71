//! Tokens that open everything at and below a path: for playlists, whose players know no parameters of ours.
//!
//! A token is `EXPIRES.DEPTH.FLAGS.ID.MAC`. It stands in a query parameter, or is the first segment of the path, after a `~`: then what
//! a playlist names relative to itself carries it too. `DEPTH` says how many segments of the request's path the token is about, 1 to 16;
//! `FLAGS` is empty, or `a` for a token of one address; `ID` is empty, or what it can be revoked by. All of it has one spelling.
//!
//! `MAC` is HMAC-SHA-256 over these fields, the address, and the first `DEPTH` segments of the normal path: [`Uri`] has decoded and resolved
//! it before anything is cut, so that no `..`, `%2F` or `//` leads out of what was signed, and `/a/b` is no prefix of `/a/bc`. The
//! key is derived from the link's secret, HMAC-SHA-256 of [`LABEL`]: what the `hmac-sha256` scheme signs has a slash in it, the label has none.

use crate::rules::{LinkKey, Scheme};
use crate::secure_link::{Grant, InvalidLink, LinkRequest, Verifier, link_id, parse_expires};
use crate::sign::SignError;
use crate::token::{decode_sha256, encode};
use crate::uri::{TOKEN_MARK, Uri, encode_path};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use sha2::Sha256;
use std::fmt;
use std::sync::Arc;
use subtle::ConstantTimeEq;

const LABEL: &[u8] = b"streamvault path-prefix tokens 1";

/// Segments of the longest prefix.
const DEEPEST: usize = 16;

/// What to open.
#[derive(Clone, Copy, Debug)]
pub struct PrefixRequest<'a> {
    /// The decoded path, without a slash at its end: `/stream/-1001234567890` opens what is below it. 1 to 16 segments.
    pub prefix: &'a [u8],
    /// Last second in which the token is good, seconds since the Unix epoch, 1 or more.
    pub expires: i64,
    /// Key; the first of the rules when `None`.
    pub key_id: Option<&'a str>,
    /// The one address that it is for.
    pub remote_addr: Option<&'a str>,
    /// What it can be revoked by: 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub id: Option<&'a str>,
}

/// A link with the token as its first segment: `/~TOKEN/path`. `path` is decoded.
#[must_use]
pub fn in_path(token: &str, path: &[u8]) -> String {
    format!("/{TOKEN_MARK}{token}{}", encode_path(path))
}

/// The key of these tokens, made of a link's secret. Wiped on drop, never printed.
pub(crate) struct PrefixKey(Zeroizing<[u8; 32]>);

impl fmt::Debug for PrefixKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrefixKey")
    }
}

impl PrefixKey {
    pub(crate) fn new(key: &LinkKey) -> Self {
        Self(Zeroizing::new(hmac(key.secret.expose_secret().as_bytes(), &[LABEL])))
    }
}

/// HMAC takes a key of any length: the library's error can't be.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    Hmac::<Sha256>::new_from_slice(key).map_or([0; 32], |mut mac| {
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    })
}

/// A token taken apart. Only the MAC is not yet known to be right.
struct Fields<'t> {
    /// `EXPIRES.DEPTH.FLAGS.ID`, as it was written.
    text: &'t [u8],
    expires: i64,
    depth: usize,
    bound: bool,
    id: Option<Arc<str>>,
    mac: [u8; 32],
}

impl<'t> Fields<'t> {
    fn parse(token: &'t [u8]) -> Option<Self> {
        let mut parts = token.splitn(5, |byte| *byte == b'.');
        let mut next = || parts.next();
        let (expires, depth, flags, id, mac) = (next()?, next()?, next()?, next()?, next()?);
        let depth = canonical(depth).and_then(|depth| usize::try_from(depth).ok())?;
        let bound = match flags {
            b"" => false,
            b"a" => true,
            _ => return None,
        };
        let text = token.get(..token.len() - mac.len() - 1)?;
        Some(Self {
            text,
            expires: canonical(expires)?,
            depth: Some(depth).filter(|depth| (1..=DEEPEST).contains(depth))?,
            bound,
            id: if id.is_empty() { None } else { Some(link_id(id)?) },
            mac: decode_sha256(mac)?,
        })
    }
}

fn canonical(digits: &[u8]) -> Option<i64> {
    parse_expires(digits).filter(|_| digits.first() != Some(&b'0'))
}

/// Nothing before the path holds a line break, and the path is last: a text has one reading.
fn mac(key: &PrefixKey, text: &[u8], address: &str, prefix: &[u8]) -> [u8; 32] {
    hmac(&*key.0, &[text, b"\n", address.as_bytes(), b"\n", prefix])
}

/// The first segments of a normal path; `None` if it has fewer.
fn first_segments(path: &[u8], depth: usize) -> Option<&[u8]> {
    let mut slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let (last, end) = (slashes.nth(depth - 1)?, slashes.next().unwrap_or(path.len()));
    // Only the last segment of a normal path may be empty, and that is none.
    path.get(..end).filter(|_| end > last + 1)
}

impl Verifier {
    /// Whether a token opens the path of a request.
    pub(crate) fn below(&self, token: &[u8], request: &LinkRequest<'_>) -> Result<Grant, InvalidLink> {
        let fields = Fields::parse(token).ok_or(InvalidLink::BadToken)?;
        let address = match (fields.bound, request.remote_addr) {
            (true, Some(address)) => address,
            (true, None) => return Err(InvalidLink::Unbound),
            (false, _) => "",
        };
        let prefix = first_segments(request.uri.path(), fields.depth).ok_or(InvalidLink::Mismatch)?;
        let key = self.keys.iter().fold(None, |found, active| {
            let hit: bool = mac(&active.prefix, fields.text, address, prefix).ct_eq(&fields.mac).into();
            found.or_else(|| hit.then_some(active))
        });
        let key_id = Arc::clone(&key.ok_or(InvalidLink::Mismatch)?.id);
        Ok(Grant { key_id, scheme: Scheme::PathPrefix, expires: fields.expires, id: fields.id })
    }

    /// Makes a token for everything at and below a path. It goes into the rules' parameter, or into the path by [`in_path`].
    ///
    /// # Errors
    /// [`SignError`] whenever the token would open nothing.
    pub fn sign_prefix(&self, request: &PrefixRequest<'_>) -> Result<String, SignError> {
        if self.prefix_param.is_none() {
            return Err(SignError::PrefixOff);
        }
        let uri = Uri::parse(encode_path(request.prefix).as_bytes()).map_err(|_| SignError::Path)?;
        let depth = request.prefix.iter().filter(|byte| **byte == b'/').count();
        let whole = (1..=DEEPEST).contains(&depth) && first_segments(uri.path(), depth) == Some(request.prefix);
        if !whole || uri.path() != request.prefix {
            return Err(SignError::Path);
        }
        if request.expires < 1 {
            return Err(SignError::Expiry);
        }
        let id = request.id.unwrap_or_default();
        if !id.is_empty() && link_id(id.as_bytes()).is_none() {
            return Err(SignError::Id);
        }
        let flags = if request.remote_addr.is_some() { "a" } else { "" };
        let text = format!("{}.{depth}.{flags}.{id}", request.expires);
        let key = self.key(request.key_id)?;
        let address = request.remote_addr.unwrap_or_default();
        Ok(format!("{text}.{}", encode(&mac(&key.prefix, text.as_bytes(), address, request.prefix))))
    }
}

#[cfg(test)]
mod tests {
    use super::{PrefixRequest, in_path};
    use crate::rules::{LinkKey, LinkRules, Scheme, SchemeRules};
    use crate::secure_link::{InvalidLink, LinkRequest, Verdict, Verifier};
    use crate::sign::SignError;
    use crate::uri::Uri;

    const NOW: i64 = 1_700_000_000;

    fn verifier(secret: &str) -> Verifier {
        let rules = LinkRules::nginx(vec![LinkKey::new("a", secret)]);
        Verifier::new(LinkRules { prefix_param: Some("st".into()), ..rules }).unwrap()
    }

    fn request(prefix: &str) -> PrefixRequest<'_> {
        PrefixRequest { prefix: prefix.as_bytes(), expires: NOW, key_id: None, remote_addr: None, id: None }
    }

    fn check(verifier: &Verifier, target: &str, remote_addr: Option<&str>) -> (Verdict, String) {
        let mut uri = Uri::parse(target.as_bytes()).unwrap();
        verifier.take_token(&mut uri);
        let verdict = verifier.check(&LinkRequest { uri: &uri, host: None, remote_addr, now: NOW });
        (verdict, String::from_utf8_lossy(uri.path()).into_owned())
    }

    #[test]
    fn a_token_opens_what_is_at_and_below_its_path() {
        let verifier = verifier("s");
        let token = verifier.sign_prefix(&request("/stream/-100")).unwrap();
        let opens = |path: &str| {
            let inside = check(&verifier, &format!("/~{token}{path}"), None);
            let beside = check(&verifier, &format!("{path}?st={token}"), None);
            assert_eq!(matches!(inside.0, Verdict::Valid(_)), matches!(beside.0, Verdict::Valid(_)), "{path}");
            (matches!(inside.0, Verdict::Valid(_)), inside.1)
        };
        for (path, seen) in [
            ("/stream/-100/5", "/stream/-100/5"),
            ("/stream/-100/5/a%20b.m3u8", "/stream/-100/5/a b.m3u8"),
            ("/stream/-100", "/stream/-100"),
            ("/stream/-100/", "/stream/-100/"),
            ("//x/../stream/%2D100/../-100/5", "/stream/-100/5"),
        ] {
            assert_eq!(opens(path), (true, seen.to_owned()), "{path}");
        }
        for path in [
            "/stream/-1001/5",
            "/stream/-10/5",
            "/stream/-100%2F..%2F-200/5",
            "/stream/-100/../-200/5",
            "/stream/-100%00/5".replace("%00", "%01").as_str(),
            "/stream",
            "/",
            "/v/stream/-100",
        ] {
            assert!(!opens(path).0, "{path}");
        }
        // What climbs out of the token's own segment has lost it.
        let (verdict, _) = check(&verifier, &format!("/~{token}/../stream/-100/5"), None);
        assert_eq!(verdict, Verdict::Invalid(InvalidLink::NoToken));
        assert_eq!(check(&verifier, &in_path(&token, b"/stream/-100/a b"), None).1, "/stream/-100/a b");
    }

    #[test]
    fn every_field_is_signed() {
        let one = verifier("s");
        let with = PrefixRequest { id: Some("id-1"), remote_addr: Some("::1"), ..request("/stream/-100") };
        let token = one.sign_prefix(&with).unwrap();
        let verdict = |token: &str, address| check(&one, &format!("/~{token}/stream/-100/5"), address).0;
        let right = verdict(&token, Some("::1"));
        let Verdict::Valid(grant) = right else { panic!("{right:?}") };
        assert_eq!((grant.scheme, grant.id.as_deref()), (Scheme::PathPrefix, Some("id-1")));
        assert_eq!(verdict(&token, Some("::2")), Verdict::Invalid(InvalidLink::Mismatch));
        assert_eq!(verdict(&token, None), Verdict::Invalid(InvalidLink::Unbound));
        let changes = [("id-1", "id-2"), ("id-1", ""), (".2.", ".1."), (".2.", ".3."), (".a.", ".."), ("17", "27")];
        for (from, to) in changes {
            let changed = token.replacen(from, to, 1);
            assert_eq!(verdict(&changed, Some("::1")), Verdict::Invalid(InvalidLink::Mismatch), "{changed}");
        }
        for (from, to) in
            [("17", "017"), ("17", "+17"), (".2.", ".02."), (".2.", ".0."), (".a.", ".b."), ("id-1", "i d")]
        {
            let changed = token.replacen(from, to, 1);
            let wrong = Verdict::Invalid(InvalidLink::BadToken);
            assert_eq!(verdict(&changed.replace(' ', "%20"), Some("::1")), wrong, "{changed}");
        }
        let stranger = check(&verifier("t"), &format!("/~{token}/stream/-100/5"), Some("::1")).0;
        assert_eq!(stranger, Verdict::Invalid(InvalidLink::Mismatch));
    }

    #[test]
    fn expired_off_and_not_signed() {
        let verifier = verifier("s");
        let old = PrefixRequest { expires: NOW - 1, ..request("/a") };
        let token = verifier.sign_prefix(&old).unwrap();
        assert!(matches!(check(&verifier, &format!("/a?st={token}"), None).0, Verdict::Expired(_)));
        for prefix in ["", "/", "a", "/a/", "/a//b", "/a/../b", &"/x".repeat(17)] {
            assert_eq!(verifier.sign_prefix(&request(prefix)), Err(SignError::Path), "{prefix}");
        }
        assert_eq!(verifier.sign_prefix(&PrefixRequest { id: Some("a b"), ..request("/a") }), Err(SignError::Id));
        let off = Verifier::new(LinkRules::nginx(vec![LinkKey::new("a", "s")])).unwrap();
        assert_eq!(off.sign_prefix(&request("/a")), Err(SignError::PrefixOff));
        let (verdict, path) = check(&off, &format!("/~{token}/a?st={token}"), None);
        assert_eq!((verdict, path), (Verdict::Invalid(InvalidLink::NoToken), format!("/~{token}/a")));
    }

    /// The key of these tokens is what the other scheme would sign if it signed the label alone, which it can't.
    #[test]
    fn no_link_of_another_scheme_is_a_token() {
        let rules =
            LinkRules { schemes: vec![SchemeRules::hmac_sha256()], ..LinkRules::nginx(vec![LinkKey::new("a", "s")]) };
        let verifier = Verifier::new(LinkRules { prefix_param: Some("st".into()), ..rules }).unwrap();
        let link = verifier.sign(&crate::SignRequest::new("/a", NOW)).unwrap();
        let mac = link.split_once("sig=").unwrap().1.split('&').next().unwrap();
        let verdict = check(&verifier, &format!("/a?st={NOW}.1...{mac}"), None).0;
        assert_eq!(verdict, Verdict::Invalid(InvalidLink::Mismatch));
        assert!(!super::LABEL.contains(&b'/'));
    }
}
