use super::{host::Call, store::MOST_OPERATIONS};
use crate::{Identity, Link, Media};
use std::{collections::BTreeMap, sync::Arc};

/// What the gateway knows of a request.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    id: String,
    tenant: String,
    method: String,
    host: String,
    path: String,
    query: Vec<(String, String)>,
    headers: BTreeMap<String, String>,
    cookies: BTreeMap<String, String>,
    remote_address: Option<String>,
    identity: Identity,
    claims: BTreeMap<String, String>,
    media: Media,
    link: Link,
    range: Option<String>,
    size: Option<u64>,
    content_type: Option<String>,
    /// The call that it was made for, if it was.
    _call: Option<Arc<Call>>,
}

impl Facts {
    pub(crate) fn id(&self) -> String {
        self.id.clone()
    }

    pub(crate) fn tenant(&self) -> String {
        self.tenant.clone()
    }

    pub(crate) fn method(&self) -> String {
        self.method.clone()
    }

    pub(crate) fn host(&self) -> String {
        self.host.clone()
    }

    pub(crate) fn path(&self) -> String {
        self.path.clone()
    }

    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    pub(crate) fn url(&self, without: &[String]) -> String {
        let mut url = format!("https://{}{}?md5=token&expires={}", self.host, self.path, self.link.expires);
        for (name, value) in self.query.iter().filter(|(name, _)| !without.contains(name)) {
            url.push_str(&format!("&{name}={value}"));
        }
        url
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers.get(&name.to_lowercase()).cloned()
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.get(name).cloned()
    }

    pub(crate) fn remote_address(&self) -> Option<String> {
        self.remote_address.clone()
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn claim(&self, name: &str) -> Option<String> {
        if self.identity == Identity::Verified { self.claims.get(name).cloned() } else { None }
    }

    pub(crate) fn viewer(&self) -> String {
        self.claim("sub").or_else(|| self.remote_address()).unwrap_or_default()
    }

    pub(crate) fn media(&self) -> Media {
        self.media
    }

    pub(crate) fn link(&self) -> Link {
        self.link.clone()
    }

    pub(crate) fn range(&self) -> Option<String> {
        self.range.clone()
    }

    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    pub(crate) fn content_type(&self) -> Option<String> {
        self.content_type.clone()
    }
}

/// Makes a request: `GET https://films.example/stream/-1001/7/film.mkv`, of tenant `films`, from 192.0.2.1, anonymous, with a
/// link that holds until 1,900,000,000, unless told otherwise. Everything set is visible, as if the manifest named it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Request(Facts);

impl Default for Request {
    fn default() -> Self {
        Self::new()
    }
}

impl Request {
    /// The request described above.
    pub fn new() -> Self {
        Self(Facts {
            id: "00000000000000a1".into(),
            tenant: "films".into(),
            method: "GET".into(),
            host: "films.example".into(),
            path: "/stream/-1001/7/film.mkv".into(),
            query: Vec::new(),
            headers: BTreeMap::new(),
            cookies: BTreeMap::new(),
            remote_address: Some("192.0.2.1".into()),
            identity: Identity::Anonymous,
            claims: BTreeMap::new(),
            media: Media { chat_id: -1001, message_id: 7 },
            link: Link { key_id: "main".into(), expires: 1_900_000_000, expired: false },
            range: None,
            size: None,
            content_type: None,
            _call: None,
        })
    }

    /// Its tenant.
    pub fn tenant(self, tenant: &str) -> Self {
        self.with(|facts| facts.tenant = tenant.into())
    }

    /// `GET` or `HEAD`.
    pub fn method(self, method: &str) -> Self {
        self.with(|facts| facts.method = method.into())
    }

    /// Lower case, without port.
    pub fn host(self, host: &str) -> Self {
        self.with(|facts| facts.host = host.into())
    }

    /// Decoded and normalised. Doesn't change the media.
    pub fn path(self, path: &str) -> Self {
        self.with(|facts| facts.path = path.into())
    }

    /// Adds a query parameter.
    pub fn query(self, name: &str, value: &str) -> Self {
        self.with(|facts| facts.query.push((name.into(), value.into())))
    }

    /// Sets a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.with(|facts| {
            facts.headers.insert(name.to_lowercase(), value.into());
        })
    }

    /// Sets a cookie.
    pub fn cookie(self, name: &str, value: &str) -> Self {
        self.with(|facts| {
            facts.cookies.insert(name.into(), value.into());
        })
    }

    /// Address of the viewer; `None` is a viewer behind a unix socket.
    pub fn remote_address(self, address: Option<&str>) -> Self {
        self.with(|facts| facts.remote_address = address.map(String::from))
    }

    /// Carries a token that did not verify.
    pub fn invalid_token(self) -> Self {
        self.with(|facts| facts.identity = Identity::Invalid)
    }

    /// Carries a verified token with this claim (a string as it is, anything else as JSON).
    pub fn claim(self, name: &str, value: &str) -> Self {
        self.with(|facts| {
            facts.identity = Identity::Verified;
            facts.claims.insert(name.into(), value.into());
        })
    }

    /// The media.
    pub fn media(self, chat_id: i64, message_id: u32) -> Self {
        self.with(|facts| facts.media = Media { chat_id, message_id })
    }

    /// The link.
    pub fn link(self, link: Link) -> Self {
        self.with(|facts| facts.link = link)
    }

    /// The Range header.
    pub fn range(self, range: &str) -> Self {
        self.with(|facts| facts.range = Some(range.into()))
    }

    /// Size and type of the media, as ads hooks know them.
    pub fn file(self, size: u64, content_type: &str) -> Self {
        self.with(|facts| {
            facts.size = Some(size);
            facts.content_type = Some(content_type.into());
        })
    }

    /// What the plugin gets. With it a call begins, which lasts as long as it does: like the gateway it ends in a panic if it asks the
    /// store for more than 64 operations.
    #[must_use]
    pub fn build(&self) -> crate::Request {
        crate::Request(Facts { _call: Some(Arc::new(Call::begin(MOST_OPERATIONS))), ..self.0.clone() })
    }

    fn with(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(&mut self.0);
        self
    }
}
