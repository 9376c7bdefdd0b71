//! What plugins may know of a request.

use crate::accept::Method;
use crate::authorize::Authorized;
use crate::flow::Incoming;
use crate::identify::Identity;
use http::HeaderMap;
use http::header::{COOKIE, RANGE};
use plugin_host::{Chain, Claims, Link, Media, Request};
use std::borrow::Cow;
use std::sync::Arc;
use viewer::Viewer;

/// Copies the facts, and of headers and cookies only those that some plugin of the chains may see.
pub(crate) fn request(authorized: &Authorized<'_>, chains: [Option<&Chain>; 2], incoming: &Incoming<'_>) -> Request {
    let identified = &authorized.identified;
    let accepted = &identified.accepted;
    let headers = &accepted.head.headers;
    let mut request = Request::default();
    request.id = incoming.request_id.to_owned();
    request.tenant = identified.tenant.id.clone();
    request.method = match accepted.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
    };
    request.host = accepted.host.clone();
    request.path = String::from_utf8_lossy(accepted.uri.path()).into_owned();
    request.origin = origin(incoming, &accepted.authority);
    request.target = String::from_utf8_lossy(incoming.target).into_owned();
    request.token_parameters = identified.tenant.link_parameters.clone();
    request.remote_address = accepted.remote.map(|address| address.to_string());
    request.viewer = identified.viewer();
    request.media = Media { chat_id: authorized.media.chat_id, message_id: message_id(authorized.media.message_id) };
    request.link = Link {
        key_id: authorized.grant.key_id.clone(),
        expires: u64::try_from(authorized.grant.expires).unwrap_or(0),
        expired: authorized.expired,
    };
    request.range = text(headers, RANGE.as_str()).map(str::to_owned);
    match &identified.identity {
        Identity::Anonymous => {}
        Identity::Invalid => request.identity = plugin_host::Identity::Invalid,
        Identity::Verified(viewer) => {
            request.identity = plugin_host::Identity::Verified;
            request.claims = Some(Arc::new(ViewerClaims(viewer.clone())));
        }
    }
    for chain in chains.into_iter().flatten() {
        let visible = chain.visible();
        for name in &visible.headers {
            if let Some(value) = text(headers, name)
                && !request.headers.iter().any(|(known, _)| known == name)
            {
                request.headers.push((name.clone(), value.to_owned()));
            }
        }
        if !visible.cookies.is_empty() {
            copy_cookies(headers, &visible.cookies, &mut request.cookies);
        }
    }
    request
}

/// What a viewer's token says, as the host asks for it.
#[derive(Debug)]
struct ViewerClaims(Arc<Viewer>);

impl Claims for ViewerClaims {
    fn claim(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.claim(name)
    }
}

/// Telegram's message ids are positive.
pub(crate) fn message_id(id: i32) -> u32 {
    u32::try_from(id).unwrap_or(0)
}

fn origin(incoming: &Incoming<'_>, authority: &str) -> String {
    let scheme = if incoming.secure { "https://" } else { "http://" };
    format!("{scheme}{authority}")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Copies cookies of these names, the first of each. A browser joins them by `; `, HTTP/2 may split them over several fields.
fn copy_cookies(headers: &HeaderMap, names: &[String], into: &mut Vec<(String, String)>) {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
    for (name, value) in pairs {
        if names.iter().any(|known| known == name) && !into.iter().any(|(known, _)| known == name) {
            into.push((name.to_owned(), value.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::copy_cookies;
    use http::{HeaderMap, HeaderValue};

    #[test]
    fn cookies_by_name_only() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("session=secret; gate=one;gate=two"));
        headers.append("cookie", HeaderValue::from_static("other=x=y; flag"));
        let mut found = Vec::new();
        copy_cookies(&headers, &["gate".to_owned(), "other".to_owned(), "flag".to_owned()], &mut found);
        assert_eq!(found, [("gate".to_owned(), "one".to_owned()), ("other".to_owned(), "x=y".to_owned())]);
    }
}
