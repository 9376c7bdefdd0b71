//! One request, as a step's options describe it.

use super::saved::Saved;
use crate::sign::{SECRET, link_secret, path_escape, token, viewer_key, viewer_token};
use crate::stack::{Stack, unix_now};
use crate::{Answer, Failure};
use http::Method;
use std::net::IpAddr;

/// A request that can be sent.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) from: Option<IpAddr>,
    /// Jar whose cookies it carries, and that takes the answer's.
    pub(super) jar: Option<String>,
}

/// What options say, before it is signed and put together.
struct Options<'a> {
    path: Option<String>,
    expires: i64,
    secret: Option<String>,
    bend: &'a str,
    md5: &'a str,
    more: Vec<&'a str>,
    tenant: Option<&'a str>,
    host: Option<&'a str>,
    from: Option<IpAddr>,
    jar: Option<&'a str>,
    claims: Option<&'a str>,
    claims_expire: i64,
    claims_key: Option<String>,
    claims_cookie: Option<&'a str>,
    headers: Vec<(String, String)>,
}

impl<'a> Options<'a> {
    fn read(stack: &Stack, options: &[&'a str]) -> Result<Self, Failure> {
        let now = unix_now();
        let mut read = Self {
            path: None,
            expires: stack.links_until,
            secret: None,
            bend: "",
            md5: "{md5}",
            more: Vec::new(),
            tenant: None,
            host: None,
            from: None,
            jar: None,
            claims: None,
            claims_expire: stack.links_until,
            claims_key: None,
            claims_cookie: None,
            headers: Vec::new(),
        };
        for option in options {
            match option.split_once('=') {
                Some(("bytes", _)) => read.headers.push(("range".into(), (*option).to_owned())),
                Some(("path", other)) => read.path = Some(other.to_owned()),
                Some(("expires", second)) => read.expires = second.parse()?,
                Some(("expires-in", seconds)) => read.expires = now + seconds.parse::<i64>()?,
                Some(("secret", other)) => read.secret = Some(other.to_owned()),
                Some(("secret-of", tenant)) => read.secret = Some(link_secret(tenant)),
                Some(("link", how)) => read.bend = how,
                Some(("md5", text)) => read.md5 = text,
                Some(("query", more)) => read.more.push(more),
                Some(("tenant", id)) => read.tenant = Some(id),
                Some(("host", host)) => read.host = Some(host),
                Some(("from", address)) => read.from = Some(address.parse()?),
                Some(("cookie-jar", name)) => read.jar = Some(name),
                Some(("jwt", claims)) => read.claims = Some(claims),
                Some(("jwt-expires-in", seconds)) => read.claims_expire = now + seconds.parse::<i64>()?,
                Some(("jwt-secret", key)) => read.claims_key = Some(key.to_owned()),
                Some(("jwt-of", tenant)) => read.claims_key = Some(viewer_key(tenant)),
                Some(("jwt-cookie", name)) => read.claims_cookie = Some(name),
                _ => {
                    let (name, value) = option.split_once(": ").ok_or_else(|| format!("no such option: {option}"))?;
                    read.headers.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        Ok(read)
    }

    fn target(&self, path: &str) -> Result<String, Failure> {
        let secret = match (&self.secret, self.tenant) {
            (Some(secret), _) => secret.clone(),
            (None, Some(tenant)) => link_secret(tenant),
            (None, None) => SECRET.to_owned(),
        };
        let expires = self.expires;
        let token = self.md5.replace("{md5}", &token(path, expires, &secret));
        let escaped = path_escape(path);
        let mut target = match self.bend {
            "" => format!("{escaped}?md5={token}&expires={expires}"),
            "none" => escaped,
            "padded" => format!("{escaped}?md5={token}==&expires={expires}"),
            "later" => format!("{escaped}?md5={token}&expires={}", expires + 1),
            "other-spelling" => {
                format!("{}?md5={token}&expires={expires}", escaped.replacen("/stream/", "//x/../%73tream/", 1))
            }
            other => return Err(format!("no such link: {other}").into()),
        };
        for more in &self.more {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(more);
        }
        Ok(target)
    }

    fn finish(self, method: Method, target: String, host: Option<&str>, saved: &Saved) -> Result<Asked, Failure> {
        let mut headers = self.headers;
        if let Some(host) = host {
            headers.push(("host".into(), host.to_owned()));
        }
        if let Some(claims) = self.claims {
            let mut claims: serde_json::Map<String, serde_json::Value> = serde_json::from_str(claims)?;
            claims.entry("exp").or_insert_with(|| self.claims_expire.into());
            let key =
                self.claims_key.or_else(|| self.tenant.map(viewer_key)).ok_or("jwt= needs tenant= or jwt-secret=")?;
            let token = viewer_token(&serde_json::to_string(&claims)?, &key);
            headers.push(match self.claims_cookie {
                Some(name) => ("cookie".into(), format!("{name}={token}")),
                None => ("authorization".into(), format!("Bearer {token}")),
            });
        }
        if let Some(cookies) = self.jar.and_then(|jar| saved.cookies(jar)) {
            headers.push(("cookie".into(), cookies));
        }
        Ok(Asked { method, target, headers, from: self.from, jar: self.jar.map(str::to_owned) })
    }
}

/// `get NAME [OPTION…]` and its like; NAME may be `-` where `path=` says what is asked for.
pub(super) fn film(
    stack: &Stack,
    saved: &Saved,
    method: Method,
    name: &str,
    options: &[&str],
) -> Result<Asked, Failure> {
    let mut read = Options::read(stack, options)?;
    let first = stack.tenants().next().map(str::to_owned);
    read.tenant = read.tenant.or(first.as_deref());
    let path = match (&read.path, name) {
        (Some(path), _) => path.clone(),
        (None, "-") => String::new(),
        (None, name) => stack.path(stack.film(name)?),
    };
    let target = read.target(&path)?;
    let host = read.host.map(str::to_owned).or_else(|| read.tenant.map(|tenant| format!("{tenant}.test")));
    read.finish(method, target, host.as_deref(), saved)
}

/// `url URL [OPTION…]`: the URL as it is, to our gateway whatever its host.
pub(super) fn url(stack: &Stack, saved: &Saved, url: &str, options: &[&str]) -> Result<Asked, Failure> {
    let mut read = Options::read(stack, options)?;
    let first = stack.tenants().next().map(str::to_owned);
    read.tenant = read.tenant.or(first.as_deref());
    let rest = url.split_once("://").ok_or_else(|| format!("{url} is no URL"))?.1;
    let (host, target) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let host = read.host.unwrap_or(host).to_owned();
    read.finish(Method::GET, target.to_owned(), Some(&host), saved)
}

impl Asked {
    fn borrowed(&self) -> Vec<(&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// Sends it and reads the whole answer.
    pub(super) async fn send(&self, client: crate::Client) -> Result<Answer, Failure> {
        client.ask_from(self.from, self.method.clone(), &self.target, &self.borrowed()).await
    }

    /// Sends it and leaves the body where it is.
    pub(super) async fn open(&self, client: crate::Client) -> Result<(Answer, hyper::body::Incoming), Failure> {
        let (status, headers, body) =
            client.open_from(self.from, self.method.clone(), &self.target, &self.borrowed()).await?;
        Ok((Answer::begun(status, headers), body))
    }
}
