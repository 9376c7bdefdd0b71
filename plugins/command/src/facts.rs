//! From a recorded request to the one that the host lends to plugins.

use crate::recorded::{Facts, Finished, Identity, Media, Method};
use http::Uri;
use percent_encoding::percent_decode_str;
use plugin_host::{Claims, Request};
use plugin_package::Visible;
use std::borrow::Cow;
use std::sync::Arc;
use toml::{Table, Value};

/// Whose requests they are unless a step says otherwise.
pub(crate) const TENANT: &str = "films";
const URL: &str = "https://films.example/stream/-1001/7/film.mkv?md5=token&expires=1900000000";
const ORDINARY: Media = Media { chat_id: -1001, message_id: 7 };
const EXPIRES: u64 = 1_900_000_000;

/// Claims as a file has them.
#[derive(Debug)]
struct Said(Table);

impl Claims for Said {
    fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
        Some(match self.0.get(name)? {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            other => Cow::Owned(serde_json::to_string(other).ok()?),
        })
    }
}

/// The request, or why it can't be one.
pub(crate) fn request(facts: &Facts, tenant: &str, number: usize) -> Result<Arc<Request>, String> {
    let url: Uri = facts.url.as_deref().unwrap_or(URL).parse().map_err(|error| format!("url: {error}"))?;
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err("url: must have a scheme and a host, such as https://films.example/stream/-1001/7".to_owned());
    };
    let path = percent_decode_str(url.path()).decode_utf8_lossy().into_owned();
    let media = facts.media.or_else(|| media(&path)).unwrap_or(ORDINARY);
    let identity =
        facts.identity.unwrap_or(if facts.claims.is_empty() { Identity::Anonymous } else { Identity::Verified });
    let verified = matches!(identity, Identity::Verified);
    let remote = facts.remote_address.clone().unwrap_or_else(|| "192.0.2.1".to_owned());
    let subject = facts.claims.get("sub").and_then(Value::as_str).filter(|_| verified);
    let link = facts.link.as_ref();
    // The size comes in later, by its own call, so that no literal can make a request.
    let mut request = Request::default();
    request.id = facts.id.clone().unwrap_or_else(|| format!("{number:016x}"));
    request.tenant = Arc::from(tenant);
    request.method = match facts.method {
        Some(Method::Head) => "HEAD",
        Some(Method::Get) | None => "GET",
    };
    request.host = authority.host().to_ascii_lowercase();
    request.origin = format!("{scheme}://{authority}");
    request.target = url.path_and_query().map(ToString::to_string).unwrap_or_default();
    request.token_parameters = Arc::new(["md5".to_owned(), "expires".to_owned()]);
    request.headers = facts.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    request.cookies = facts.cookies.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    request.viewer = facts.viewer.clone().or(subject.map(str::to_owned)).unwrap_or_else(|| remote.clone());
    request.remote_address = Some(remote).filter(|address| !address.is_empty());
    request.identity = match identity {
        Identity::Anonymous => plugin_host::Identity::Anonymous,
        Identity::Invalid => plugin_host::Identity::Invalid,
        Identity::Verified => plugin_host::Identity::Verified,
    };
    request.claims = verified.then(|| Arc::new(Said(facts.claims.clone())) as Arc<dyn Claims>);
    request.media = plugin_host::Media { chat_id: media.chat_id, message_id: media.message_id };
    request.link = plugin_host::Link {
        key_id: Arc::from(link.and_then(|link| link.key_id.as_deref()).unwrap_or("main")),
        expires: link.and_then(|link| link.expires).or_else(|| expires(&url)).unwrap_or(EXPIRES),
        expired: link.is_some_and(|link| link.expired),
    };
    request.range = facts.range.clone();
    request.path = path;
    if let Some(size) = facts.size {
        request.set_found(size, facts.content_type.clone().or_else(|| Some("video/mp4".to_owned())));
    }
    Ok(Arc::new(request))
}

/// A request that ended, as observe hooks hear of it.
pub(crate) fn finished(finished: &Finished, number: usize) -> plugin_host::Finished {
    let media = finished.media.unwrap_or(ORDINARY);
    plugin_host::Finished {
        request_id: finished.request_id.clone().unwrap_or_else(|| format!("{number:016x}")),
        time: finished.time.unwrap_or(EXPIRES * 1_000),
        media: plugin_host::Media { chat_id: media.chat_id, message_id: media.message_id },
        viewer: finished.viewer.clone().unwrap_or_else(|| "192.0.2.1".to_owned()),
        status: finished.status.unwrap_or(206),
        outcome: finished.outcome.clone().unwrap_or_else(|| "served".to_owned()),
        cache: finished.cache.clone().unwrap_or_else(|| "HIT".to_owned()),
        bytes: finished.bytes,
        milliseconds: finished.milliseconds.unwrap_or(10),
    }
}

/// What a recorded request has and the plugin will not see: an author's mistake as a rule.
pub(crate) fn hidden(facts: &Facts, visible: &Visible) -> Vec<String> {
    let headers = facts.headers.keys().filter(|name| !visible.headers.contains(&name.to_ascii_lowercase()));
    let cookies = facts.cookies.keys().filter(|name| !visible.cookies.contains(name));
    let headers = headers.map(|name| format!("header {name}: not in the manifest's visible.headers"));
    headers.chain(cookies.map(|name| format!("cookie {name}: not in the manifest's visible.cookies"))).collect()
}

/// `/stream/CHAT/MESSAGE...`
fn media(path: &str) -> Option<Media> {
    let mut parts = path.strip_prefix("/stream/")?.split('/');
    Some(Media { chat_id: parts.next()?.parse().ok()?, message_id: parts.next()?.parse().ok()? })
}

fn expires(url: &Uri) -> Option<u64> {
    url.query()?.split('&').find_map(|pair| pair.strip_prefix("expires=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::{hidden, request};
    use crate::recorded::Facts;
    use plugin_host::{Identity, Media};
    use plugin_package::Visible;

    fn facts(text: &str) -> Facts {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn an_url_says_most() {
        let text = "url = \"https://A.Example:8443/stream/-1005/9/a%20b.mkv?x=1&md5=t&expires=77\"";
        let request = request(&facts(text), "films", 3).unwrap();
        assert_eq!((request.host.as_str(), request.origin.as_str()), ("a.example", "https://A.Example:8443"));
        assert_eq!(request.path, "/stream/-1005/9/a b.mkv");
        assert_eq!(request.target, "/stream/-1005/9/a%20b.mkv?x=1&md5=t&expires=77");
        assert_eq!(request.media, Media { chat_id: -1005, message_id: 9 });
        assert_eq!((request.link.expires, request.id.as_str()), (77, "0000000000000003"));
        assert!(super::request(&facts("url = \"/stream/1/2\""), "films", 0).is_err());
    }

    #[test]
    fn claims_make_a_verified_viewer() {
        let verified =
            request(&facts("claims = { sub = \"anna\", roles = [\"a\", \"b\"], age = 7 }"), "films", 0).unwrap();
        assert_eq!((verified.identity, verified.viewer.as_str()), (Identity::Verified, "anna"));
        let claim = |name| verified.claims.as_ref().and_then(|claims| claims.claim(name).map(|text| text.into_owned()));
        assert_eq!((claim("roles"), claim("age")), (Some("[\"a\",\"b\"]".to_owned()), Some("7".to_owned())));
        let invalid = request(&facts("identity = \"invalid\"\nclaims = { sub = \"anna\" }"), "films", 0).unwrap();
        assert_eq!(
            (invalid.identity, invalid.viewer.as_str(), invalid.claims.is_none()),
            (Identity::Invalid, "192.0.2.1", true)
        );
    }

    #[test]
    fn what_stays_hidden_is_told() {
        let visible = Visible { headers: vec!["referer".into()], cookies: vec!["seen".into()] };
        let facts = facts("headers = { Referer = \"x\", origin = \"y\" }\ncookies = { seen = \"1\", Seen = \"2\" }");
        assert_eq!(
            hidden(&facts, &visible),
            [
                "header origin: not in the manifest's visible.headers",
                "cookie Seen: not in the manifest's visible.cookies"
            ]
        );
    }
}
