//! What a hook may ask about the request at hand.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

/// How far the viewer's token was believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// The request carries no token.
    #[default]
    Anonymous,
    /// It carries one that did not verify.
    Invalid,
    /// The token holds, and [`Request::claims`] are its claims.
    Verified,
}

/// The media that the path names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Media {
    /// The channel, as Telegram's bots write it (-100…).
    pub chat_id: i64,
    /// The message.
    pub message_id: u32,
}

/// The signed link that the request came with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Name of the secret that signed it.
    pub key_id: Arc<str>,
    /// Last second at which it is good, since 1970.
    pub expires: u64,
    /// That second has passed, the tenant's grace has not.
    pub expired: bool,
}

/// What a verified token says of its viewer.
pub trait Claims: Debug + Send + Sync {
    /// One claim: a string as it is, anything else as JSON.
    fn claim(&self, name: &str) -> Option<Cow<'_, str>>;
}

/// The facts of one request, built once and lent to every hook of every chain that is asked about it.
///
/// Nothing here is checked again: what must not reach a guest must not be in it. Headers and cookies are shown by the
/// manifest's `visible`, so the caller copies those of [`Chain::visible`](crate::Chain::visible) and no others.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Sixteen hexadecimal digits.
    pub id: String,
    /// The tenant's id.
    pub tenant: Arc<str>,
    /// `GET` or `HEAD`.
    pub method: &'static str,
    /// Lower case, without port.
    pub host: String,
    /// Decoded and normalised, as the link signs it.
    pub path: String,
    /// Scheme and authority as the viewer sees them, without a final slash: `https://films.example.com`.
    pub origin: String,
    /// Path and query as they were sent, the link's token included.
    pub target: String,
    /// Query parameters that carry the link's token (`md5`, `expires`): hidden from the guest's `query`.
    pub token_parameters: Arc<[String]>,
    /// Names in lower case, first value each, UTF-8 only.
    pub headers: Vec<(String, String)>,
    /// Names as they were sent.
    pub cookies: Vec<(String, String)>,
    /// Address of the viewer.
    pub remote_address: Option<String>,
    /// Whether the viewer's token was believed.
    pub identity: Identity,
    /// Verified claims; `None` unless [`Identity::Verified`].
    pub claims: Option<Arc<dyn Claims>>,
    /// Whom streams are counted under unless a policy says otherwise.
    pub viewer: String,
    /// The media.
    pub media: Media,
    /// The link.
    pub link: Link,
    /// The Range header as it was sent.
    pub range: Option<String>,
    found: OnceLock<Found>,
}

/// What is known of the media once it was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    size: u64,
    content_type: Option<String>,
}

impl Request {
    /// Tells size (bytes) and type of the media, before ads hooks are asked. Policy hooks run earlier and see none. The first
    /// call holds.
    pub fn set_found(&self, size: u64, content_type: Option<String>) {
        let _ = self.found.set(Found { size, content_type });
    }

    pub(crate) fn size(&self) -> Option<u64> {
        self.found.get().map(|found| found.size)
    }

    pub(crate) fn content_type(&self) -> Option<&str> {
        self.found.get().and_then(|found| found.content_type.as_deref())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
        self.claims.as_ref().filter(|_| self.identity == Identity::Verified)?.claim(name)
    }

    /// First value of a query parameter as it was sent; never one that carries the link's token. By the rule that the link's own
    /// parameters are found by: names ignore case, and a parameter without `=` is none.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        if self.token_parameters.iter().any(|hidden| hidden.eq_ignore_ascii_case(name)) {
            return None;
        }
        parameters(&self.target)
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The whole target without some of its parameters.
    pub(crate) fn url(&self, without: &[String]) -> String {
        let path = self.target.split('?').next().unwrap_or_default();
        let mut url = String::with_capacity(self.origin.len() + self.target.len());
        url.push_str(&self.origin);
        url.push_str(path);
        let mut mark = '?';
        let left = |pair: &&str| !without.iter().any(|name| name.eq_ignore_ascii_case(parameter_name(pair)));
        for pair in parameters(&self.target).filter(left) {
            url.push(mark);
            url.push_str(pair);
            mark = '&';
        }
        url
    }
}

fn parameters(target: &str) -> impl Iterator<Item = &str> {
    target.split_once('?').map_or("", |(_, query)| query).split('&').filter(|pair| !pair.is_empty())
}

fn parameter_name(pair: &str) -> &str {
    pair.split('=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Claims, Identity, Request};
    use std::borrow::Cow;
    use std::sync::Arc;

    #[derive(Debug)]
    struct Me;

    impl Claims for Me {
        fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
            (name == "sub").then_some(Cow::Borrowed("me"))
        }
    }

    fn request(target: &str) -> Request {
        Request {
            origin: "https://a.test".into(),
            target: target.into(),
            token_parameters: Arc::new(["md5".into(), "expires".into()]),
            ..Request::default()
        }
    }

    #[test]
    fn query_parameters() {
        let rows = [
            ("/s?tier=gold&md5=x", "tier", Some("gold")),
            ("/s?tier=gold&md5=x", "md5", None),
            ("/s?tier=gold&expires=9", "expires", None),
            ("/s?MD5=x", "MD5", None),
            ("/s?a=1&a=2", "a", Some("1")),
            ("/s", "a", None),
            // As the link finds its own (its crate has the same rows).
            ("/s?", "a", None),
            ("/s?a", "a", None),
            ("/s?a=", "a", Some("")),
            ("/s?a=b", "a", Some("b")),
            ("/s?A=a&a=b", "a", Some("a")),
            ("/s?a=1", "A", Some("1")),
            ("/s?a&a=b", "a", Some("b")),
            ("/s?xa=1", "a", None),
            ("/s?xa=a=1", "a", None),
            ("/s?x=a=1&a=c", "a", Some("c")),
            ("/s?&&a=1&", "a", Some("1")),
            ("/s?x=1;a=b", "a", None),
            ("/s?a=b=c;d%3D", "a", Some("b=c;d%3D")),
            ("/s?%61=b", "a", None),
            ("/s??a=b", "a", None),
        ];
        for (target, name, want) in rows {
            assert_eq!(request(target).query(name), want, "{target} {name}");
        }
    }

    #[test]
    fn urls_without_parameters() {
        let rows: [(&str, &[&str], &str); 5] = [
            ("/s/1?md5=x&gate=t&expires=9", &["gate"], "https://a.test/s/1?md5=x&expires=9"),
            ("/s/1?gate=t", &["gate"], "https://a.test/s/1"),
            ("/s/1", &["gate"], "https://a.test/s/1"),
            ("/s/1?gate&b=1&gate=2", &["gate"], "https://a.test/s/1?b=1"),
            ("/s/1?GATE=t&b=1", &["gate"], "https://a.test/s/1?b=1"),
        ];
        for (target, without, want) in rows {
            let without: Vec<String> = without.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(request(target).url(&without), want);
        }
    }

    #[test]
    fn claims_are_shown_only_if_verified() {
        let mut request = request("/");
        request.claims = Some(Arc::new(Me));
        for (identity, want) in
            [(Identity::Verified, Some("me")), (Identity::Invalid, None), (Identity::Anonymous, None)]
        {
            request.identity = identity;
            assert_eq!(request.claim("sub").as_deref(), want);
        }
    }

    #[test]
    fn what_was_found_first_holds() {
        let request = request("/");
        assert_eq!((request.size(), request.content_type()), (None, None));
        request.set_found(9, Some("video/mp4".into()));
        request.set_found(8, None);
        assert_eq!((request.size(), request.content_type()), (Some(9), Some("video/mp4")));
    }
}
