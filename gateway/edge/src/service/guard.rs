//! Which pages may use the service routes: the tenant's own, and those of the origins that it names.
//!
//! Browsers say where a request comes from: `Sec-Fetch-Site` (Fetch Metadata, which pages can't set), and `Origin` on every request that
//! is neither GET nor HEAD, and on every one that asks to be read across sites (Fetch §3.2). Who sends neither is no browser and carries no
//! cookies of somebody else.

use super::{Denial, Route, Row};
use crate::accept::{Accepted, Method};
use crate::directory::Tenanted;
use crate::fields::Fields;
use crate::small::Small;
use http::StatusCode;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, HeaderValue, ORIGIN, VARY,
};

const SEC_FETCH_SITE: &str = "sec-fetch-site";
/// How long a browser may remember what it was told beforehand, in seconds: two hours, the most that Chromium takes.
const REMEMBERED: &str = "7200";

/// Gives the origin of another site's page that may use the route and read its answer; none for the tenant's own pages and for programs.
pub(super) fn judge(row: &Row, tenanted: &Tenanted<'_>) -> Result<Option<HeaderValue>, Denial> {
    let accepted = &tenanted.accepted;
    // What is read by following a link changes nothing, and a manager's requests carry a secret that no page has.
    let harmless = matches!(accepted.method, Method::Get | Method::Head) || row.route == Route::Magic;
    match origin(accepted) {
        Asker::Own | Asker::Program => Ok(None),
        Asker::Other(Some(origin)) if row.is_shared && is_named(origin, &tenanted.tenant.origins) => {
            Ok(Some(origin.clone()))
        }
        Asker::Other(_) if harmless => Ok(None),
        Asker::Other(_) => Err(Denial::CrossSite),
    }
}

/// Where a request comes from.
enum Asker<'a> {
    Own,
    Program,
    Other(Option<&'a HeaderValue>),
}

fn origin<'a>(accepted: &Accepted<'a>) -> Asker<'a> {
    let headers = &accepted.head.headers;
    let origin = headers.get(ORIGIN);
    let site = headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes);
    match (site, origin) {
        // The browser's own doing: an address that was typed, a bookmark.
        (Some(b"same-origin" | b"none"), _) => Asker::Own,
        (Some(_), origin) => Asker::Other(origin),
        (None, Some(origin)) if is_own(origin, accepted) => Asker::Own,
        (None, Some(origin)) => Asker::Other(Some(origin)),
        (None, None) => Asker::Program,
    }
}

/// By host and port: whether this hop had TLS says nothing where a proxy in front ends it.
fn is_own(origin: &HeaderValue, accepted: &Accepted<'_>) -> bool {
    let host = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
    host.is_some_and(|host| host.eq_ignore_ascii_case(accepted.authority()))
}

fn is_named(origin: &HeaderValue, origins: &[String]) -> bool {
    origins.iter().any(|named| named.as_bytes() == origin.as_bytes())
}

/// Tells a browser beforehand that the page may ask (Fetch §4.8).
pub(super) fn preflight(origin: &HeaderValue) -> Small {
    readable(Small::empty(StatusCode::NO_CONTENT), origin.clone())
        .with(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"))
        .with(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("authorization, content-type"))
        .with(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED))
}

/// Lets the page read the answer.
pub(super) fn readable(mut small: Small, origin: HeaderValue) -> Small {
    allow(&mut small.head.fields, origin);
    small
}

/// The headers that let a page of this origin read what has them.
pub(crate) fn allow(headers: &mut Fields, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

#[cfg(test)]
mod tests {
    use super::{Route, judge};
    use crate::accept::accept;
    use crate::directory::Tenanted;
    use crate::flow::Incoming;
    use crate::service::Denial;
    use crate::service::ROUTES;
    use crate::tenant::Tenant;
    use http::Request;
    use std::sync::Arc;

    const SETTINGS: &str = r#"
        listen = [{ address = "127.0.0.1:0" }]
        hive.token = "t"
        [[tenant]]
        id = "a"
        domains = ["a.test"]
        origins = ["https://www.a.test"]
        link.secrets = [{ id = "1", secret = "s" }]
    "#;

    /// What is asked of which route with which headers, and what comes of it.
    type Case = (Route, &'static str, &'static [(&'static str, &'static str)], Result<Option<String>, Denial>);

    fn judged(route: Route, method: &str, headers: &[(&str, &str)]) -> Result<Option<String>, Denial> {
        let loaded = config::parse::<config::GatewaySettings>(SETTINGS, std::path::Path::new("t")).unwrap();
        let mut request = Request::builder().method(method).uri("/").header("host", "a.test:8443");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let accepted = accept(&Incoming::of_test(&head)).unwrap();
        let tenant = Arc::new(Tenant::new(&loaded.settings.tenant[0]).unwrap());
        let row = ROUTES.iter().find(|row| row.route == route).unwrap();
        let origin = judge(row, &Tenanted { accepted, tenant, alone: true });
        origin.map(|origin| origin.map(|origin| origin.to_str().unwrap().to_owned()))
    }

    #[test]
    fn only_own_and_named_pages_may_ask() {
        let named = Ok(Some("https://www.a.test".to_owned()));
        let table: [Case; 15] = [
            (Route::Sign, "POST", &[], Ok(None)),
            (Route::Sign, "POST", &[("sec-fetch-site", "same-origin"), ("origin", "https://a.test:8443")], Ok(None)),
            (Route::Sign, "POST", &[("sec-fetch-site", "none")], Ok(None)),
            (Route::Sign, "POST", &[("origin", "https://a.test:8443")], Ok(None)),
            (Route::Sign, "POST", &[("origin", "https://a.test")], Err(Denial::CrossSite)),
            (Route::Sign, "POST", &[("origin", "null")], Err(Denial::CrossSite)),
            (Route::Sign, "POST", &[("sec-fetch-site", "same-site")], Err(Denial::CrossSite)),
            (
                Route::Sign,
                "POST",
                &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.test")],
                Err(Denial::CrossSite),
            ),
            // What the browser says of the site outranks an origin that looks like ours.
            (
                Route::Sign,
                "POST",
                &[("sec-fetch-site", "cross-site"), ("origin", "https://a.test:8443")],
                Err(Denial::CrossSite),
            ),
            (Route::Sign, "POST", &[("sec-fetch-site", "same-site"), ("origin", "https://www.a.test")], named.clone()),
            (Route::Sign, "OPTIONS", &[("origin", "https://www.a.test")], named),
            (Route::Sign, "POST", &[("origin", "http://www.a.test")], Err(Denial::CrossSite)),
            // A one-time link is entered from the gateway's own page only; following it is no harm.
            (Route::Enter, "POST", &[("origin", "https://www.a.test")], Err(Denial::CrossSite)),
            (Route::Enter, "GET", &[("sec-fetch-site", "cross-site")], Ok(None)),
            (Route::Magic, "POST", &[("origin", "https://www.a.test")], Ok(None)),
        ];
        for (route, method, headers, expected) in table {
            assert_eq!(judged(route, method, headers), expected, "{route:?} {method} {headers:?}");
        }
    }
}
