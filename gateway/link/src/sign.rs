//! Making links.

use crate::args::arg;
use crate::expression::Values;
use crate::rules::Scheme;
use crate::secure_link::{ActiveKey, Verifier, link_id};
use crate::token::encode;
use crate::uri::{Uri, encode_path, host_name};

/// What to sign.
#[derive(Clone, Copy, Debug)]
pub struct SignRequest<'a> {
    /// The decoded path, as the viewer's file system would write it: `/stream/5/7/A film.mp4`.
    pub path: &'a [u8],
    /// Last second in which the link is good, seconds since the Unix epoch, 1 or more.
    pub expires: i64,
    /// Scheme; the first of the rules that the key is for when `None`.
    pub scheme: Option<Scheme>,
    /// Key; the first of the rules when `None`.
    pub key_id: Option<&'a str>,
    /// Host that the viewer will ask, needed when the template has `$host`.
    pub host: Option<&'a str>,
    /// Address that the viewer will come from, needed when the template has `$remote_addr`.
    pub remote_addr: Option<&'a str>,
    /// What the link can be revoked by: 1 to 64 of `A-Z a-z 0-9 _ -`. Needs rules with a parameter for it.
    pub id: Option<&'a str>,
    /// More arguments, escaped already, without `?`. They come first in the link and are what `$arg_NAME` sees.
    pub query: &'a str,
}

impl<'a> SignRequest<'a> {
    /// A link to `path` that is good up to `expires`, in the first scheme with the first key.
    #[must_use]
    pub fn new(path: &'a (impl AsRef<[u8]> + ?Sized), expires: i64) -> Self {
        let path = path.as_ref();
        Self { path, expires, scheme: None, key_id: None, host: None, remote_addr: None, id: None, query: "" }
    }
}

/// No link that would open could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The path is not in its normal form, so that the gateway would see another one.
    #[error("the path must start with / and have no empty, . or .. segment and no NUL")]
    Path,
    /// The expiry is zero or negative.
    #[error("the expiry must be a time after 1970")]
    Expiry,
    /// The further arguments can't stand in a link, or name one that the signature uses.
    #[error("the further arguments are not escaped, or contain the token's or the expiry's name")]
    Query,
    /// The rules know no such key.
    #[error("there is no such link key")]
    UnknownKey,
    /// The scheme is not on.
    #[error("this link scheme is not on")]
    SchemeOff,
    /// The rules have no parameter for ids, or this is none.
    #[error("links have no ids here, or this is none: 1 to 64 of A-Z a-z 0-9 _ -")]
    Id,
    /// The path-prefix tokens of [`crate::PrefixRequest`] are not on.
    #[error("path-prefix tokens are not on")]
    PrefixOff,
    /// The template binds links to an address or host, and none was given.
    #[error("the template needs the viewer's address or the host")]
    Unbound,
}

impl Verifier {
    /// Makes a link: escaped path, further arguments, token, expiry. [`Verifier::check`] on the same rules accepts it.
    ///
    /// # Errors
    /// [`SignError`] whenever the link would not open.
    pub fn sign(&self, request: &SignRequest<'_>) -> Result<String, SignError> {
        let path = encode_path(request.path);
        if Uri::parse(path.as_bytes()).map_err(|_| SignError::Path)?.path() != request.path {
            return Err(SignError::Path);
        }
        if request.expires < 1 {
            return Err(SignError::Expiry);
        }
        let query = request.query.as_bytes();
        let own = self.schemes.iter().map(|active| &active.param).chain([&self.expires_param]);
        let own = own.chain(&self.id_param).chain(&self.prefix_param);
        let clash = own.into_iter().any(|name| arg(query, name.as_bytes()).is_some());
        if clash || query.iter().any(|byte| !byte.is_ascii_graphic() || *byte == b'#') {
            return Err(SignError::Query);
        }
        let key = &self.key(request.key_id)?.key;
        let mut schemes = self.schemes.iter().filter(|active| key.is_for(active.scheme));
        let active = match request.scheme {
            Some(scheme) => schemes.find(|active| active.scheme == scheme),
            None => schemes.next(),
        };
        let active = active.ok_or(SignError::SchemeOff)?;
        let with_id = match (request.id, &self.id_param) {
            (None, _) => None,
            (Some(id), Some(param)) if link_id(id.as_bytes()).is_some() => {
                Some(format!("{}{}{param}={id}", request.query, if request.query.is_empty() { "" } else { "&" }))
            }
            (Some(_), _) => return Err(SignError::Id),
        };
        let query = with_id.as_deref().unwrap_or(request.query);
        let host = request.host.map(host_name);
        let unknown_host = active.expression.uses_host() && host.is_none();
        if unknown_host || (active.expression.uses_remote_addr() && request.remote_addr.is_none()) {
            return Err(SignError::Unbound);
        }
        let expires = request.expires.to_string();
        // `$arg_expires` in a template must see what the link will carry.
        let seen = [query.as_bytes(), b"&", self.expires_param.as_bytes(), b"=", expires.as_bytes()].concat();
        let values = Values {
            expires: expires.as_bytes(),
            uri: request.path,
            query: &seen,
            host: host.as_deref().unwrap_or_default().as_bytes(),
            remote_addr: request.remote_addr.unwrap_or_default().as_bytes(),
        };
        let token = match active.scheme {
            Scheme::NginxMd5 => encode(&active.md5(key, values)),
            Scheme::HmacSha256 => encode(&active.hmac(key, values).ok_or(SignError::UnknownKey)?),
            Scheme::PathPrefix => return Err(SignError::SchemeOff),
        };
        let joint = if query.is_empty() { "" } else { "&" };
        let (param, expires_param) = (&active.param, &self.expires_param);
        Ok(format!("{path}?{query}{joint}{param}={token}&{expires_param}={expires}"))
    }

    /// The key of that id, or the first one.
    pub(crate) fn key(&self, id: Option<&str>) -> Result<&ActiveKey, SignError> {
        let key = match id {
            Some(id) => self.keys.iter().find(|key| &*key.id == id),
            None => self.keys.first(),
        };
        key.ok_or(SignError::UnknownKey)
    }
}

#[cfg(test)]
mod tests {
    use super::{SignError, SignRequest};
    use crate::rules::{LinkKey, LinkRules, Scheme};
    use crate::secure_link::{LinkRequest, Verdict, Verifier};
    use crate::uri::Uri;

    #[test]
    fn refuses_what_would_not_open() {
        let verifier = Verifier::new(LinkRules::nginx(vec![LinkKey::new("a", "s")])).unwrap();
        let good = SignRequest::new("/a b/ü", 5);
        assert!(verifier.sign(&good).unwrap().starts_with("/a%20b/%C3%BC?md5="));
        for path in ["", "a", "/a//b", "/a/./b", "/a/..", "/a\0"] {
            assert_eq!(verifier.sign(&SignRequest::new(path, 5)), Err(SignError::Path), "{path:?}");
        }
        let cases = [
            (SignRequest { expires: 0, ..good }, SignError::Expiry),
            (SignRequest { query: "MD5=x", ..good }, SignError::Query),
            (SignRequest { query: "a b", ..good }, SignError::Query),
            (SignRequest { query: "a#", ..good }, SignError::Query),
            (SignRequest { key_id: Some("b"), ..good }, SignError::UnknownKey),
            (SignRequest { scheme: Some(Scheme::HmacSha256), ..good }, SignError::SchemeOff),
            (SignRequest { id: Some("a"), ..good }, SignError::Id),
        ];
        for (request, error) in cases {
            assert_eq!(verifier.sign(&request), Err(error));
        }
    }

    #[test]
    fn further_arguments_are_signed_when_the_template_names_them() {
        let mut rules = LinkRules::nginx(vec![LinkKey::new("a", "s")]);
        rules.schemes[0].expression = "$arg_expires$uri|$arg_user|$secret".into();
        let verifier = Verifier::new(rules).unwrap();
        let link = verifier.sign(&SignRequest { query: "user=%41", ..SignRequest::new("/a", 5) }).unwrap();
        let verdict = |target: &str| {
            let uri = Uri::parse(target.as_bytes()).unwrap();
            verifier.check(&LinkRequest { uri: &uri, host: None, remote_addr: None, now: 5 })
        };
        assert!(matches!(verdict(&link), Verdict::Valid(_)), "{link}");
        assert!(matches!(verdict(&link.replace("%41", "A")), Verdict::Invalid(_)));
    }
}
