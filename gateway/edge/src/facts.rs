//! What plugins may know of a request.

use crate::accept::Method;
use crate::flow::Incoming;
use crate::identify::{Identified, Identity};
use http::header::{COOKIE, RANGE};
use http::{HeaderMap, HeaderValue};
use link::Uri;
use plugin_host::{Claims, Likening, Link, Media, Request};
use plugin_package::Visible;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use viewer::Viewer;

/// Copies the facts, and of headers and cookies only those that are visible to some plugin of two chains.
pub(crate) fn request(identified: &Identified<'_>, visible: [Option<&Visible>; 2], incoming: &Incoming<'_>) -> Request {
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
        Method::Post => "POST",
        Method::Options => "OPTIONS",
    };
    request.host = accepted.host.clone();
    request.path = lossy(accepted.uri.path());
    request.origin = origin(incoming, accepted.authority());
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
    for visible in visible.into_iter().flatten() {
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
                visible.cookies.iter().any(|known| known == name) && !authorized.tenant.is_credential(name)
            };
            copy_cookies(headers, shown, &mut request.cookies);
        }
    }
    request
}

/// Takes in all that policy plugins can see of a request, as it came, but for its id and its range. A fact that [`request`] gains
/// belongs in here, too; `visible` is what the policy chain's plugins may see.
pub(crate) fn liken(identified: &Identified<'_>, visible: &Visible, incoming: &Incoming<'_>, parts: &mut Likening) {
    let authorized = &identified.authorized;
    let accepted = &authorized.accepted;
    let headers = &accepted.head.headers;
    parts.bytes(authorized.tenant.id.as_bytes());
    parts.number(u64::from(incoming.secure) << 1 | u64::from(accepted.method == Method::Head));
    parts.bytes(accepted.host.as_bytes());
    parts.bytes(accepted.authority().as_bytes());
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
            // Either may be the one that held.
            let frontends = authorized.tenant.tokens.as_ref().and_then(|tokens| tokens.find(headers));
            let own = authorized.tenant.own.as_ref().and_then(|own| own.find(headers));
            for token in [frontends, own] {
                parts.bytes(token.unwrap_or_default().as_bytes());
            }
        }
    }
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
    use super::{copy_cookies, liken, request};
    use crate::accept::accept;
    use crate::access_log::RequestId;
    use crate::entitle::{Authorized, Message};
    use crate::flow::Incoming;
    use crate::identify::identify;
    use crate::identities::Identities;
    use crate::remote::Remote;
    use crate::tenant::Tenant;
    use futures_util::FutureExt;
    use http::{HeaderMap, HeaderValue};
    use identity::Store;
    use link::{Grant, Scheme};
    use plugin_host::{Likeness, Likening};
    use plugin_package::Visible;
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    #[test]
    fn cookies_by_name_only() {
        let mut headers = HeaderMap::new();
        headers.append("cookie", HeaderValue::from_static("session=secret; gate=one;gate=two"));
        headers.append("cookie", HeaderValue::from_bytes(b"site=\xe9\xff; other=x=y; flag").unwrap());
        let mut found = Vec::new();
        copy_cookies(&headers, |name| ["gate", "other", "flag"].contains(&name), &mut found);
        assert_eq!(found, [("gate".to_owned(), "one".to_owned()), ("other".to_owned(), "x=y".to_owned())]);
    }

    /// Viewers' tokens of the tenant below, good until 2100: of a subject, and of the same one with one claim more.
    const TOKEN: &str = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4IiwiZXhwIjo0MTAyNDQ0ODAwfQ.Y0Wp3p5R9BO5ZToARadZFoojXDzFTrTxeufNTAkCEqg";
    const RICHER_TOKEN: &str = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4IiwidGllciI6InBhaWQiLCJleHAiOjQxMDI0NDQ4MDB9.Ut2Tp73OpZBiBgWG5ewWpBeUlxxVHKlws7OCb-k4wrc";

    /// A request, by all that facts are taken from.
    struct Sample {
        id: u64,
        method: &'static str,
        host: &'static str,
        target: &'static str,
        secure: bool,
        remote: &'static str,
        headers: Vec<(&'static str, &'static str)>,
        tenant: &'static str,
        grant: Grant,
        expired: bool,
        message: Message,
        viewer: Option<&'static str>,
    }

    impl Default for Sample {
        fn default() -> Self {
            Self {
                id: 0,
                method: "GET",
                host: "a.test",
                target: "/stream/-5/7",
                secure: false,
                remote: "2001:db8::1",
                headers: vec![("x-shown", "1"), ("x-hidden", "1"), ("cookie", "shown=1")],
                tenant: "a",
                grant: Grant { key_id: "first".into(), scheme: Scheme::NginxMd5, expires: 9, id: None },
                expired: false,
                message: Message { chat_id: -5, message_id: 7 },
                viewer: None,
            }
        }
    }

    impl Sample {
        fn with(mut self, name: &'static str, value: &'static str) -> Self {
            self.headers.retain(|(known, _)| *known != name);
            self.headers.push((name, value));
            self
        }

        fn tenant(&self) -> Tenant {
            let text = format!(
                "listen = [{{ address = \"127.0.0.1:0\" }}]\nhive.token = \"t\"\n[[tenant]]\nid = \"{}\"\ndomains = [\"a.test\"]\n\
                 link.secrets = [{{ id = \"first\", secret = \"s\" }}]\nviewer.keys = [{{ id = \"k\", algorithm = \"HS256\", \
                 key = \"viewer key of a, 32 bytes or more\" }}]\n",
                self.tenant
            );
            let loaded = config::parse::<config::GatewaySettings>(&text, std::path::Path::new("gateway.toml"));
            Tenant::new(&loaded.unwrap_or_else(|error| panic!("{error}")).settings.tenant[0]).unwrap()
        }

        /// The fields that plugins are asked about with, and what the request is told from others by.
        fn seen(&self) -> (BTreeMap<String, String>, Likeness) {
            let mut head = http::Request::builder().method(self.method).header("host", self.host);
            for (name, value) in &self.headers {
                head = head.header(*name, *value);
            }
            let (head, ()) = head.body(()).unwrap().into_parts();
            let remote = Remote::new(self.remote.parse().unwrap());
            let incoming = Incoming {
                request_id: RequestId::new(self.id),
                target: self.target.as_bytes(),
                remote: Some(&remote),
                secure: self.secure,
                ..Incoming::of_test(&head)
            };
            let accepted = accept(&incoming).unwrap();
            let mut authorized =
                Authorized::of_test(accepted, Arc::new(self.tenant()), self.grant.clone(), self.message);
            authorized.expired = self.expired;
            let identities = Identities { store: Store::in_memory(), revoked: Arc::default() };
            // No issuer is asked here: it is ready at once.
            let identified = identify(authorized, &identities, &incoming).now_or_never();
            let mut identified = identified.unwrap();
            if let Some(viewer) = self.viewer {
                identified.viewer = viewer.into();
            }
            let visible = Visible { headers: vec!["x-shown".to_owned()], cookies: vec!["shown".to_owned()] };
            let mut parts = Likening::new((1, 2));
            liken(&identified, &visible, &incoming, &mut parts);
            (fields(&format!("{:#?}", request(&identified, [Some(&visible), None], &incoming))), parts.finish())
        }
    }

    /// The fields of a value as `{:#?}` prints it, each with its text. One within another goes by both names.
    fn fields(printed: &str) -> BTreeMap<String, String> {
        let mut path: Vec<(usize, &str)> = Vec::new();
        let mut fields = BTreeMap::<String, String>::new();
        for line in printed.lines() {
            let text = line.trim_start();
            let indent = line.len() - text.len();
            if let Some((name, _)) = text.split_once(": ")
                && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            {
                path.retain(|(outer, _)| *outer < indent);
                path.push((indent, name));
            }
            let name = path.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(".");
            fields.entry(name).or_default().push_str(text);
        }
        fields.remove("");
        let outer = |name: &String| {
            fields.range(format!("{name}.")..).next().is_some_and(|(k, _)| k.starts_with(&format!("{name}.")))
        };
        let inner: BTreeSet<String> = fields.keys().filter(|name| !outer(name)).cloned().collect();
        fields.retain(|name, _| inner.contains(name));
        fields
    }

    #[test]
    fn what_plugins_are_told_is_what_requests_are_told_apart_by() {
        let sample = Sample::default;
        let anonymous = (
            sample().seen(),
            vec![
                Sample { method: "HEAD", ..sample() },
                Sample { host: "b.test", ..sample() },
                Sample { host: "a.test:81", ..sample() },
                Sample { secure: true, ..sample() },
                Sample { target: "/stream/-5/7/name", ..sample() },
                Sample { target: "/stream/-5/7?a=b", ..sample() },
                Sample { remote: "2001:db8::2", ..sample() },
                Sample { remote: "2001:db9::1", ..sample() },
                Sample { tenant: "b", ..sample() },
                Sample { grant: Grant { key_id: "second".into(), ..sample().grant }, ..sample() },
                Sample { grant: Grant { expires: 10, ..sample().grant }, ..sample() },
                Sample { expired: true, ..sample() },
                Sample { message: Message { chat_id: -6, message_id: 7 }, ..sample() },
                Sample { message: Message { chat_id: -5, message_id: 8 }, ..sample() },
                Sample { viewer: Some("x"), ..sample() },
                sample().with("x-shown", "2"),
                sample().with("cookie", "shown=2"),
                sample().with("authorization", "Bearer no token"),
                sample().with("authorization", TOKEN),
            ],
        );
        let named = (sample().with("authorization", TOKEN).seen(), vec![sample().with("authorization", RICHER_TOKEN)]);
        let mut told: BTreeSet<String> = BTreeSet::new();
        for ((before, like), others) in [anonymous, named] {
            for (row, other) in others.into_iter().enumerate() {
                let (after, other_like) = other.seen();
                let changed: Vec<_> =
                    before.keys().filter(|name| before.get(*name) != after.get(*name)).cloned().collect();
                assert!(!changed.is_empty(), "row {row} tells a request from another by what plugins are not told");
                assert_ne!(
                    like, other_like,
                    "row {row}: plugins are told {changed:?}, which tells no request from another"
                );
                told.extend(changed);
            }
        }
        // Neither is told, or both requests are alike by design.
        let (before, like) = sample().seen();
        for (other, changed) in [
            (sample().with("x-hidden", "2"), None),
            (Sample { id: 1, ..sample() }, Some("id")),
            (sample().with("range", "bytes=0-1"), Some("range")),
        ] {
            let (after, other_like) = other.seen();
            assert_eq!(like, other_like, "{changed:?}");
            let differ: Vec<_> = before.keys().filter(|name| before.get(*name) != after.get(*name)).collect();
            assert_eq!(differ, changed.iter().collect::<Vec<_>>());
            told.extend(changed.map(str::to_owned));
        }
        // The tenant's own, and what no policy plugin is told.
        told.extend(["token_parameters", "found"].map(str::to_owned));
        let untold: Vec<_> = before.keys().filter(|name| !told.contains(*name)).collect();
        assert!(untold.is_empty(), "no row changes {untold:?}: add one, and see that `liken` takes it in");
    }
}
