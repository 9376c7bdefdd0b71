//! The verdict on a link: signature first, expiry second, as nginx does it.

use crate::args::arg;
use crate::expression::{Expression, Values};
use crate::prefix::PrefixKey;
use crate::rules::{LinkKey, LinkRules, RulesError, Scheme};
use crate::token::{decode_md5, decode_sha256};
use crate::uri::{Uri, host_name};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use secrecy::ExposeSecret;
use sha2::Sha256;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Characters of the longest id.
const LONGEST_ID: usize = 64;

/// What of a request a link's signature may cover.
#[derive(Clone, Copy, Debug)]
pub struct LinkRequest<'a> {
    /// The request target.
    pub uri: &'a Uri,
    /// The `Host` header or `:authority`; the authority of an absolute target outranks it.
    pub host: Option<&'a str>,
    /// The viewer's address without port, as nginx's `$remote_addr` prints it.
    pub remote_addr: Option<&'a str>,
    /// Seconds since the Unix epoch.
    pub now: i64,
}

/// What a good signature tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which key made the link.
    pub key_id: Arc<str>,
    /// How it was made.
    pub scheme: Scheme,
    /// Last second in which the link is good, seconds since the Unix epoch, 1 or more.
    pub expires: i64,
    /// What the link can be revoked by: 1 to 64 of `A-Z a-z 0-9 _ -`.
    pub id: Option<Arc<str>>,
}

/// Why a link counts as not signed by us. nginx set-ups answer 403 to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidLink {
    /// No parameter of an active scheme.
    #[error("the link carries no token")]
    NoToken,
    /// The token is not base64url text of the right length.
    #[error("the token has the wrong form")]
    BadToken,
    /// No expiry parameter.
    #[error("the link carries no expiry")]
    NoExpiry,
    /// The expiry is no positive decimal number that fits 63 bits.
    #[error("the expiry has the wrong form")]
    BadExpiry,
    /// The signature covers the viewer's address or the host, and the request came without.
    #[error("the link is bound to an address or host that the request doesn't tell")]
    Unbound,
    /// No active key gives this token.
    #[error("the signature is wrong")]
    Mismatch,
    /// The id is not 1 to 64 characters of its alphabet.
    #[error("the link's id has the wrong form")]
    BadId,
}

/// The verdict on a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Signed by an active key and not expired.
    Valid(Grant),
    /// Signed by an active key, but its time is over.
    Expired(Grant),
    /// Not signed by an active key, expired or not.
    Invalid(InvalidLink),
}

/// Checks and signs links under one set of rules. Cheap to share behind an `Arc`; has no state.
#[derive(Debug)]
pub struct Verifier {
    pub(crate) keys: Vec<ActiveKey>,
    pub(crate) schemes: Vec<ActiveScheme>,
    pub(crate) expires_param: String,
    pub(crate) id_param: Option<String>,
    pub(crate) prefix_param: Option<String>,
    strict: bool,
}

#[derive(Debug)]
pub(crate) struct ActiveKey {
    pub(crate) id: Arc<str>,
    pub(crate) key: LinkKey,
    /// What path-prefix tokens are made with.
    pub(crate) prefix: PrefixKey,
}

#[derive(Debug)]
pub(crate) struct ActiveScheme {
    pub(crate) scheme: Scheme,
    pub(crate) param: String,
    pub(crate) expression: Expression,
}

impl Verifier {
    /// Takes the rules.
    ///
    /// # Errors
    /// [`RulesError`] for rules that contradict themselves, or under which anybody could make links.
    pub fn new(rules: LinkRules) -> Result<Self, RulesError> {
        let expressions = rules.validate()?;
        let schemes = rules.schemes.into_iter().zip(expressions);
        Ok(Self {
            keys: rules.keys.into_iter().map(ActiveKey::new).collect(),
            schemes: schemes
                .map(|(rules, expression)| ActiveScheme { scheme: rules.scheme, param: rules.param, expression })
                .collect(),
            expires_param: rules.expires_param,
            id_param: rules.id_param,
            prefix_param: rules.prefix_param,
            strict: rules.strict,
        })
    }

    /// The id of the key that signs.
    #[must_use]
    pub fn signs_with(&self) -> Arc<str> {
        self.keys.first().map_or_else(|| Arc::from(""), |key| Arc::clone(&key.id))
    }

    /// Whether links that the first key signs are bound to an address.
    #[must_use]
    pub fn binds_address(&self) -> bool {
        let signs = |active: &&ActiveScheme| self.keys.first().is_some_and(|key| key.key.is_for(active.scheme));
        self.schemes.iter().find(signs).is_some_and(|active| active.expression.uses_remote_addr())
    }

    /// Whether links can have ids.
    #[must_use]
    pub fn has_ids(&self) -> bool {
        self.id_param.is_some()
    }

    /// The parameter of path-prefix tokens, if they are on.
    #[must_use]
    pub fn prefix_param(&self) -> Option<&str> {
        self.prefix_param.as_deref()
    }

    /// Takes a path-prefix token off a path that begins with one, if these rules know such tokens. From then on the path is what
    /// follows the token. To be called before anything is read out of the path.
    pub fn take_token(&self, uri: &mut Uri) {
        if self.prefix_param.is_some() {
            uri.take_token();
        }
    }

    /// Judges a link. Hashes once per active key, however early one matches.
    #[must_use]
    pub fn check(&self, request: &LinkRequest<'_>) -> Verdict {
        match self.signed_by(request) {
            Ok(grant) if grant.expires < request.now => Verdict::Expired(grant),
            Ok(grant) => Verdict::Valid(grant),
            Err(reason) => Verdict::Invalid(reason),
        }
    }

    fn signed_by(&self, request: &LinkRequest<'_>) -> Result<Grant, InvalidLink> {
        let query = request.uri.query();
        if let Some(param) = &self.prefix_param
            && let Some(token) = request.uri.token().or_else(|| arg(query, param.as_bytes()))
        {
            return self.below(token, request);
        }
        let carried = |active: &ActiveScheme| arg(query, active.param.as_bytes()).is_some();
        let active = self.schemes.iter().find(|active| carried(active)).ok_or(InvalidLink::NoToken)?;
        let token = arg(query, active.param.as_bytes()).ok_or(InvalidLink::NoToken)?;
        let expires_text = arg(query, self.expires_param.as_bytes()).ok_or(InvalidLink::NoExpiry)?;
        let expires = parse_expires(expires_text).ok_or(InvalidLink::BadExpiry)?;
        let id = self.id_param.as_ref().and_then(|param| arg(query, param.as_bytes())).map(link_id);
        let id = id.map(|id| id.ok_or(InvalidLink::BadId)).transpose()?;
        let uses_host = active.expression.uses_host();
        let host = request.uri.authority().or(request.host).filter(|_| uses_host).map(host_name);
        let unknown_host = uses_host && host.is_none();
        if unknown_host || (active.expression.uses_remote_addr() && request.remote_addr.is_none()) {
            return Err(InvalidLink::Unbound);
        }
        let values = Values {
            expires: expires_text,
            uri: request.uri.path(),
            query,
            host: host.as_deref().unwrap_or_default().as_bytes(),
            remote_addr: request.remote_addr.unwrap_or_default().as_bytes(),
        };
        let key = match active.scheme {
            Scheme::NginxMd5 => {
                let token = decode_md5(token, self.strict).ok_or(InvalidLink::BadToken)?;
                self.find_key(active.scheme, |key| active.md5(key, values).ct_eq(&token).into())
            }
            Scheme::HmacSha256 => {
                let token = decode_sha256(token).ok_or(InvalidLink::BadToken)?;
                let same = |hash: [u8; 32]| hash.ct_eq(&token).into();
                self.find_key(active.scheme, |key| active.hmac(key, values).is_some_and(same))
            }
            Scheme::PathPrefix => None,
        };
        let key = key.ok_or(InvalidLink::Mismatch)?;
        Ok(Grant { key_id: Arc::clone(&key.id), scheme: active.scheme, expires, id })
    }

    /// Tries every key of the scheme even after a match: the time taken tells nothing about which key is in use.
    fn find_key(&self, scheme: Scheme, matches: impl Fn(&LinkKey) -> bool) -> Option<&ActiveKey> {
        self.keys.iter().filter(|active| active.key.is_for(scheme)).fold(None, |found, active| {
            let hit = matches(&active.key);
            found.or_else(|| hit.then_some(active))
        })
    }
}

impl ActiveKey {
    fn new(key: LinkKey) -> Self {
        Self { id: Arc::from(key.id.as_str()), prefix: PrefixKey::new(&key), key }
    }
}

impl ActiveScheme {
    pub(crate) fn md5(&self, key: &LinkKey, values: Values<'_>) -> [u8; 16] {
        let mut hash = Md5::new();
        self.expression.feed(values, key.secret.expose_secret().as_bytes(), |piece| hash.update(piece));
        hash.finalize().into()
    }

    /// `None` only if the library refused the key's length, which HMAC never does.
    pub(crate) fn hmac(&self, key: &LinkKey, values: Values<'_>) -> Option<[u8; 32]> {
        let secret = key.secret.expose_secret().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        self.expression.feed(values, secret, |piece| mac.update(piece));
        Some(mac.finalize().into_bytes().into())
    }
}

/// An id in its one form.
pub(crate) fn link_id(text: &[u8]) -> Option<Arc<str>> {
    let plain = text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    str::from_utf8(text).ok().filter(|_| plain && (1..=LONGEST_ID).contains(&text.len())).map(Arc::from)
}

/// Digits only, leading zeros allowed, above zero.
pub(crate) fn parse_expires(text: &[u8]) -> Option<i64> {
    let digits = str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|expires| *expires > 0)
}

#[cfg(test)]
mod tests {
    use super::{InvalidLink, LinkRequest, Verdict, Verifier, parse_expires};
    use crate::rules::{LinkKey, LinkRules, Scheme, SchemeRules};
    use crate::sign::SignRequest;
    use crate::uri::Uri;

    const NOW: i64 = 1_700_000_000;

    fn rules() -> LinkRules {
        LinkRules::nginx(vec![LinkKey::new("new", "s3cret"), LinkKey::new("old", "0ld")])
    }

    fn check(verifier: &Verifier, target: &str) -> Verdict {
        let uri = Uri::parse(target.as_bytes()).unwrap();
        verifier.check(&LinkRequest { uri: &uri, host: None, remote_addr: None, now: NOW })
    }

    #[test]
    fn known_token_of_nginx_documentation_form() {
        // printf '2147483647/s/link s3cret' | openssl md5 -binary | openssl base64 | tr +/ -_ | tr -d =
        let verifier = Verifier::new(rules()).unwrap();
        let target = "/s/link?md5=3ERMb2H9Nzm4ESPx9u_tTg&expires=2147483647";
        assert!(matches!(check(&verifier, target), Verdict::Valid(grant) if &*grant.key_id == "new"));
    }

    #[test]
    fn signature_comes_before_expiry_and_equal_is_good() {
        let verifier = Verifier::new(rules()).unwrap();
        let sign = |expires| verifier.sign(&SignRequest::new("/stream/1/2", expires)).unwrap();
        assert!(matches!(check(&verifier, &sign(NOW)), Verdict::Valid(_)));
        let late = sign(NOW - 1);
        assert!(matches!(check(&verifier, &late), Verdict::Expired(grant) if grant.expires == NOW - 1));
        assert_eq!(check(&verifier, &late.replace("/2?", "/3?")), Verdict::Invalid(InvalidLink::Mismatch));
    }

    #[test]
    fn every_active_key_opens_and_a_retired_one_does_not() {
        let verifier = Verifier::new(rules()).unwrap();
        let old = verifier.sign(&SignRequest { key_id: Some("old"), ..SignRequest::new("/a", NOW) }).unwrap();
        assert!(matches!(check(&verifier, &old), Verdict::Valid(grant) if &*grant.key_id == "old"));
        let rotated = Verifier::new(LinkRules::nginx(vec![LinkKey::new("new", "s3cret")])).unwrap();
        assert_eq!(check(&rotated, &old), Verdict::Invalid(InvalidLink::Mismatch));
    }

    #[test]
    fn the_first_scheme_carried_decides_alone() {
        let hmac_first = LinkRules { schemes: vec![SchemeRules::hmac_sha256(), SchemeRules::nginx_md5()], ..rules() };
        let verifier = Verifier::new(hmac_first).unwrap();
        let hmac = verifier.sign(&SignRequest::new("/a", NOW)).unwrap();
        let md5 =
            verifier.sign(&SignRequest { scheme: Some(Scheme::NginxMd5), ..SignRequest::new("/a", NOW) }).unwrap();
        assert!(matches!(check(&verifier, &hmac), Verdict::Valid(grant) if grant.scheme == Scheme::HmacSha256));
        assert!(matches!(check(&verifier, &md5), Verdict::Valid(grant) if grant.scheme == Scheme::NginxMd5));
        assert_eq!(check(&verifier, &format!("{md5}&sig=x")), Verdict::Invalid(InvalidLink::BadToken));
        let md5_only = Verifier::new(rules()).unwrap();
        assert_eq!(check(&md5_only, &hmac), Verdict::Invalid(InvalidLink::NoToken));
    }

    #[test]
    fn hmac_matches_openssl() {
        // printf '2147483647/s/link' | openssl dgst -sha256 -hmac s3cret -binary | openssl base64 | tr +/ -_ | tr -d =
        let hmac = LinkRules { schemes: vec![SchemeRules::hmac_sha256()], ..rules() };
        let target = "/s/link?sig=VRNUAiwRwCCszYCySeDad7u7oxDO8pdnhxefPECDvgs&expires=2147483647";
        assert!(matches!(check(&Verifier::new(hmac).unwrap(), target), Verdict::Valid(_)));
    }

    #[test]
    fn address_binding_fails_closed() {
        let mut bound = rules();
        bound.schemes[0].expression = "$secure_link_expires$uri$remote_addr $host $secret".into();
        let verifier = Verifier::new(bound).unwrap();
        let request = SignRequest { host: Some("h:8080"), remote_addr: Some("::1"), ..SignRequest::new("/a", NOW) };
        let target = verifier.sign(&request).unwrap();
        let uri = Uri::parse(target.as_bytes()).unwrap();
        let from = |host, remote_addr| verifier.check(&LinkRequest { uri: &uri, host, remote_addr, now: NOW });
        assert!(matches!(from(Some("H"), Some("::1")), Verdict::Valid(_)));
        assert_eq!(from(Some("h"), Some("::2")), Verdict::Invalid(InvalidLink::Mismatch));
        assert_eq!(from(Some("h"), None), Verdict::Invalid(InvalidLink::Unbound));
        assert_eq!(from(None, Some("::1")), Verdict::Invalid(InvalidLink::Unbound));
    }

    #[test]
    fn a_key_for_one_scheme_opens_by_no_other() {
        let keys =
            vec![LinkKey::new("new", "n").only(Scheme::HmacSha256), LinkKey::new("old", "o").only(Scheme::NginxMd5)];
        let schemes = vec![SchemeRules::nginx_md5(), SchemeRules::hmac_sha256()];
        let moving = Verifier::new(LinkRules { schemes: schemes.clone(), ..LinkRules::nginx(keys) }).unwrap();
        let any = |secret| {
            Verifier::new(LinkRules { schemes: schemes.clone(), ..LinkRules::nginx(vec![LinkKey::new("x", secret)]) })
        };
        for (secret, scheme, opens) in [
            ("n", Scheme::HmacSha256, true),
            ("n", Scheme::NginxMd5, false),
            ("o", Scheme::NginxMd5, true),
            ("o", Scheme::HmacSha256, false),
        ] {
            let request = SignRequest { scheme: Some(scheme), ..SignRequest::new("/a", NOW) };
            let link = any(secret).unwrap().sign(&request).unwrap();
            assert_eq!(matches!(check(&moving, &link), Verdict::Valid(_)), opens, "{secret} {scheme}");
        }
        let own = moving.sign(&SignRequest::new("/a", NOW)).unwrap();
        assert!(own.contains("?sig="), "the first key signs by the scheme that it is for: {own}");
        let old = moving.sign(&SignRequest { key_id: Some("old"), ..SignRequest::new("/a", NOW) }).unwrap();
        assert!(old.contains("?md5="), "{old}");
    }

    #[test]
    fn ids_are_signed() {
        let mut rules = rules();
        rules.id_param = Some("id".into());
        rules.schemes[0].expression = "$arg_id $secure_link_expires$uri $secret".into();
        let verifier = Verifier::new(rules).unwrap();
        let link = verifier.sign(&SignRequest { id: Some("a-1"), ..SignRequest::new("/stream/1/2", NOW) }).unwrap();
        assert!(matches!(check(&verifier, &link), Verdict::Valid(grant) if grant.id.as_deref() == Some("a-1")));
        for other in [link.replace("id=a-1", "id=a-2"), link.replace("id=a-1&", "")] {
            assert_eq!(check(&verifier, &other), Verdict::Invalid(InvalidLink::Mismatch), "{other}");
        }
        for bad in ["", "a%2D1", "a.b", &"x".repeat(65)] {
            let other = link.replace("id=a-1", &format!("id={bad}"));
            assert_eq!(check(&verifier, &other), Verdict::Invalid(InvalidLink::BadId), "{other}");
        }
        let without = verifier.sign(&SignRequest::new("/stream/1/2", NOW)).unwrap();
        assert!(matches!(check(&verifier, &without), Verdict::Valid(grant) if grant.id.is_none()));
        assert_eq!(check(&verifier, &format!("{without}&id=x")), Verdict::Invalid(InvalidLink::Mismatch));
    }

    #[test]
    fn expiries_are_digits_above_zero() {
        for (text, value) in [
            ("1", Some(1)),
            ("0000000000000000000000000000017", Some(17)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("", None),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("1x", None),
            (" 1", None),
            ("%31", None),
        ] {
            assert_eq!(parse_expires(text.as_bytes()), value, "{text}");
        }
    }
}
