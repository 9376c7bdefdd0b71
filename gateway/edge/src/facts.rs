//! What plugins may know of a request.

use crate::accept::Method;
use crate::flow::Incoming;
use crate::identify::{Identified, Identity};
use http::header::{COOKIE, RANGE};
use http::{HeaderMap, HeaderValue};
use link::Uri;
use plugin_host::{Chain, Claims, Likening, Link, Media, Request};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use viewer::Viewer;

/// Copies the facts, and of headers and cookies only those that some plugin of the chains may see.
pub(crate) fn request(identified: &Identified<'_>, chains: [Option<&Chain>; 2], incoming: &Incoming<'_>) -> Request {
    let authorized = &identified.authorized;
    let accepted = &authorized.accepted;
    let tokens = authorized.tenant.tokens.as_ref();
    let headers = &accepted.head.headers;
    let mut request = Request::default();
    request.id = incoming.request_id.as_str().to_owned();
    request.tenant = authorized.tenant.id.clone();
    request.method = match accepted.method {
        Method::Get => "GET",
        Method::Head => "HEAD",
    };
    request.host = accepted.host.clone();
    request.path = lossy(accepted.uri.path());
    request.origin = origin(incoming, &accepted.authority);
    request.target = target(incoming, &accepted.uri);
    request.token_parameters = authorized.tenant.link_parameters.clone();
    request.remote_address = accepted.remote.map(|remote| remote.text.to_string());
    request.viewer = identified.viewer.to_string();
    request.media =
        Media { chat_id: authorized.message.chat_id, message_id: message_id(authorized.message.message_id) };
    request.link = Link {
        key_id: authorized.grant.key_id.clone(),
        expires: u64::try_from(authorized.grant.expires).unwrap_or(0),
        expired: authorized.expired,
    };
    request.range = headers.get(RANGE).and_then(text).map(str::to_owned);
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
        // A request has few headers: they are compared with the names, which need not be looked up then.
        for (name, value) in headers {
            let name = name.as_str();
            if visible.headers.iter().any(|shown| shown == name)
                && !tokens.is_some_and(|tokens| tokens.is_header(name))
                && !request.headers.iter().any(|(known, _)| known == name)
                && let Some(value) = text(value)
            {
                request.headers.push((name.to_owned(), value.to_owned()));
            }
        }
        if !visible.cookies.is_empty() {
            let shown = |name: &str| {
                visible.cookies.iter().any(|known| known == name)
                    && !tokens.is_some_and(|tokens| tokens.is_cookie(name))
            };
            copy_cookies(headers, shown, &mut request.cookies);
        }
    }
    request
}

/// Takes in all that policy plugins can see of a request, as it came, but for its id and its range. A fact that [`request`] gains
/// belongs in here, too.
pub(crate) fn liken(identified: &Identified<'_>, policy: &Chain, incoming: &Incoming<'_>, parts: &mut Likening) {
    let authorized = &identified.authorized;
    let accepted = &authorized.accepted;
    let headers = &accepted.head.headers;
    parts.bytes(authorized.tenant.id.as_bytes());
    parts.number(u64::from(incoming.secure) << 1 | u64::from(accepted.method == Method::Head));
    parts.bytes(accepted.host.as_bytes());
    parts.bytes(accepted.authority.as_bytes());
    // The path, the query, and with them the link's token.
    parts.bytes(incoming.target);
    // Not the path's alone: what a virtual file begins with can change.
    parts.number(authorized.message.chat_id.cast_unsigned());
    parts.number(u64::from(message_id(authorized.message.message_id)));
    parts.bytes(authorized.grant.key_id.as_bytes());
    parts.number(authorized.grant.expires.unsigned_abs());
    parts.number(u64::from(authorized.expired));
    match accepted.remote.map(|remote| remote.address.to_canonical()) {
        None => parts.number(0),
        Some(IpAddr::V4(address)) => parts.bytes(&address.octets()),
        Some(IpAddr::V6(address)) => parts.bytes(&address.octets()),
    }
    parts.bytes(identified.viewer.as_bytes());
    match &identified.identity {
        Identity::Anonymous => parts.number(0),
        Identity::Invalid => parts.number(1),
        // The claims, as they were signed.
        Identity::Verified(_) => {
            let token = authorized.tenant.tokens.as_ref().and_then(|tokens| tokens.find(headers));
            parts.bytes(token.unwrap_or_default().as_bytes());
        }
    }
    let visible = policy.visible();
    for (name, value) in headers {
        let whole = name == COOKIE && !visible.cookies.is_empty();
        if whole || visible.headers.iter().any(|shown| shown == name.as_str()) {
            parts.bytes(name.as_str().as_bytes());
            parts.bytes(value.as_bytes());
        }
    }
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

/// Path and query as they were sent; of an absolute target without its host, which the origin names.
fn target(incoming: &Incoming<'_>, uri: &Uri) -> String {
    if incoming.target.starts_with(b"/") {
        return lossy(incoming.target);
    }
    let query = String::from_utf8_lossy(uri.query());
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{}{mark}{query}", uri.to_encoded_path())
}

/// The library's own way looks at each byte, and nearly all text is whole.
fn lossy(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into_owned(), str::to_owned)
}

fn text(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

/// Copies cookies of these names, the first of each. A browser joins them by `; `, HTTP/2 may split them over several fields.
/// One that is no UTF-8 hides itself and no other.
fn copy_cookies(headers: &HeaderMap, shown: impl Fn(&str) -> bool, into: &mut Vec<(String, String)>) {
    let fields = headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
    let pairs = fields.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
    for (name, value) in pairs {
        if shown(name) && !into.iter().any(|(known, _)| known == name) {
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
        headers.append("cookie", HeaderValue::from_bytes(b"site=\xe9\xff; other=x=y; flag").unwrap());
        let mut found = Vec::new();
        copy_cookies(&headers, |name| ["gate", "other", "flag"].contains(&name), &mut found);
        assert_eq!(found, [("gate".to_owned(), "one".to_owned()), ("other".to_owned(), "x=y".to_owned())]);
    }
}
