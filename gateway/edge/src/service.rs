//! What the gateway answers by itself on tenants' hosts, beside media. A step of the flow: after the tenant, before links.

mod auth;
mod cookies;
mod denial;
mod guard;
mod invite;
mod read;
mod sign;

use crate::accept::{Accepted, Method};
use crate::directory::Tenanted;
use crate::edge::Edge;
use crate::flow::Incoming;
use crate::identify::{NamedBy, who, who_at_hand};
use crate::refusal::Refusal;
use crate::small::Small;
pub(crate) use denial::Denial;
pub(crate) use guard::allow;
use http::HeaderValue;
use identity::RefreshToken;
pub(crate) use invite::link as invite_link;

/// Bytes of the longest body that is read.
pub(crate) const LONGEST_BODY: usize = 16 << 10;

/// Links are no pages: an index of them would hold signatures.
const ROBOTS: &str = "User-agent: *\nDisallow: /\n";

/// What came after a request's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Body {
    /// Nothing.
    #[default]
    None,
    /// All of it.
    Whole(bytes::Bytes),
    /// Something that nobody wanted to read: of a path that takes none, too long, or of a length that was not told.
    Unread,
}

/// Where a request goes on.
pub(crate) enum Next<'a> {
    /// It is answered.
    Answered(Small),
    /// It is about media.
    Media(Tenanted<'a>),
}

/// Something of the gateway's own, for pages of the tenant's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Guest,
    Refresh,
    Logout,
    Magic,
    Enter,
    Keys,
    Sign,
}

/// What may be asked of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Methods {
    Post,
    Read,
    Both,
}

/// What is known of a route before anything is looked up.
#[derive(Debug)]
struct Row {
    route: Route,
    path: &'static [u8],
    methods: Methods,
    /// By which rates it may be asked.
    rate: rates::Route,
    /// Whether pages of other sites may ask for it, if the tenant names them.
    is_shared: bool,
}

/// All of them.
const ROUTES: [Row; 7] = [
    row(Route::Guest, b"/auth/guest", Methods::Post, rates::Route::Auth, true),
    row(Route::Refresh, b"/auth/refresh", Methods::Post, rates::Route::Auth, true),
    row(Route::Logout, b"/auth/logout", Methods::Post, rates::Route::Auth, true),
    row(Route::Magic, b"/auth/magic", Methods::Post, rates::Route::Auth, false),
    row(Route::Enter, b"/auth", Methods::Both, rates::Route::Auth, false),
    row(Route::Keys, b"/auth/jwks.json", Methods::Read, rates::Route::Api, false),
    row(Route::Sign, b"/sign", Methods::Post, rates::Route::Sign, true),
];

const fn row(route: Route, path: &'static [u8], methods: Methods, rate: rates::Route, is_shared: bool) -> Row {
    Row { route, path, methods, rate, is_shared }
}

impl Row {
    fn of(path: &[u8]) -> Option<&'static Self> {
        ROUTES.iter().find(|row| row.path == path)
    }

    /// Whether the tenant's settings switch it on.
    fn is_on(&self, tenanted: &Tenanted<'_>) -> bool {
        if self.route == Route::Sign { tenanted.tenant.sign.is_some() } else { tenanted.tenant.own.is_some() }
    }
}

impl Methods {
    fn fits(self, method: Method) -> bool {
        match method {
            Method::Get | Method::Head => self != Self::Post,
            Method::Post => self != Self::Read,
            _ => false,
        }
    }

    /// For `Allow`.
    fn names(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Read => "GET, HEAD",
            Self::Both => "GET, HEAD, POST",
        }
    }
}

/// Whether requests to this target, as it was sent, may have bodies. Nothing is read for any other.
pub(crate) fn takes_body(target: &[u8]) -> bool {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    Row::of(path).is_some_and(|row| row.methods.fits(Method::Post))
}

/// Challenges of certificates come by plain HTTP, for hosts that may be nobody's yet (RFC 8555 §8.3).
pub(crate) async fn challenge(edge: &Edge, accepted: &Accepted<'_>) -> Option<Small> {
    let token = accepted.uri.path().strip_prefix(b"/.well-known/acme-challenge/")?;
    let authorization = edge.certificates.key_authorization(std::str::from_utf8(token).ok()?).await?;
    Some(Small::text("application/octet-stream", authorization))
}

/// The same address by HTTPS. The target is as it was sent: its signature is over that.
fn over_https(incoming: &Incoming<'_>, host: &str, port: u16) -> Option<Small> {
    let target = std::str::from_utf8(incoming.target).ok().filter(|target| target.starts_with('/'))?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    HeaderValue::try_from(format!("https://{host}{port}{target}")).ok().map(Small::moved)
}

/// Answers what is no media. Media is for GET and HEAD only.
pub(crate) async fn serve<'a>(
    edge: &Edge,
    tenanted: Tenanted<'a>,
    incoming: &Incoming<'a>,
) -> Result<Next<'a>, Refusal> {
    if let Some(port) = incoming.https_port.filter(|_| !incoming.secure) {
        let moved = over_https(incoming, &tenanted.accepted.host, port);
        return moved.map(Next::Answered).ok_or(Refusal::BadTarget);
    }
    if let Some(row) = Row::of(tenanted.accepted.uri.path())
        && row.is_on(&tenanted)
    {
        return Box::pin(routed(row, edge, tenanted, incoming)).await.map(Next::Answered);
    }
    match (tenanted.accepted.uri.path(), tenanted.accepted.method) {
        (b"/robots.txt", Method::Get | Method::Head) => {
            let remote = tenanted.accepted.remote;
            let passed = edge.rates.check(rates::Route::Api, &tenanted.tenant, remote, None, incoming.tick).await?;
            Ok(Next::Answered(Small::text("text/plain; charset=utf-8", ROBOTS).told(&passed)))
        }
        (_, Method::Get | Method::Head) => Ok(Next::Media(tenanted)),
        _ => Err(Refusal::BadMethod),
    }
}

/// Who asks from another site's page is told no before anything is looked up; who may, is answered so that the page can read it.
async fn routed(row: &Row, edge: &Edge, tenanted: Tenanted<'_>, incoming: &Incoming<'_>) -> Result<Small, Refusal> {
    let shared = guard::judge(row, &tenanted)?;
    if let (Method::Options, Some(origin)) = (tenanted.accepted.method, &shared) {
        return Ok(guard::preflight(origin));
    }
    match (answered(row, edge, tenanted, incoming).await, shared) {
        (answer, None) => answer,
        (Ok(small), Some(origin)) => Ok(guard::readable(small, origin)),
        (Err(refusal), Some(origin)) => Err(Refusal::Shared { origin, refusal: Box::new(refusal) }),
    }
}

async fn answered(row: &Row, edge: &Edge, tenanted: Tenanted<'_>, incoming: &Incoming<'_>) -> Result<Small, Refusal> {
    let (method, tenant) = (tenanted.accepted.method, tenanted.tenant.clone());
    if !row.methods.fits(method) {
        return Err(Denial::Method(row.methods.names()).into());
    }
    let (mut who, lacks_key) = who_at_hand(&tenant, &edge.identities, incoming);
    // Nothing has been looked up yet, and no issuer asked: who asks too often does not get that far.
    let identity = (who.named_by == NamedBy::Token).then_some(&*who.viewer);
    let passed = edge.rates.check(row.rate, &tenant, incoming.remote, identity, incoming.tick).await?;
    if lacks_key {
        who = self::who(&tenant, &edge.identities, incoming).await;
    }
    if row.route == Route::Sign {
        return Ok(sign::answer(edge, tenanted, incoming, who).await?.told(&passed));
    }
    let own = tenant.own.clone().ok_or(Refusal::NoSuchPath)?;
    let (identities, sign_outs) = (edge.identities.clone(), edge.sign_outs.clone());
    let at = auth::At { identities, sign_outs, tenant, own, now: incoming.now, secure: incoming.secure };
    let sent = at.own.find_refresh(&incoming.head.headers);
    let token = sent.and_then(RefreshToken::parse);
    let small = match row.route {
        Route::Guest => settled(async move { at.guest(&who.identity, token.as_ref()).await }).await,
        Route::Refresh => {
            let used = token.ok_or(if sent.is_some() {
                Denial::BadIdentity("no refresh token")
            } else {
                Denial::NoIdentity
            })?;
            settled(async move { at.refresh(&used).await }).await
        }
        Route::Logout => settled(async move { at.logout(&who.identity, token.as_ref()).await }).await,
        Route::Magic => invite::make(&at, incoming),
        Route::Enter if method == Method::Post => {
            let invited = invite::invited(&at, incoming)?;
            settled(async move { at.enter(invited).await }).await
        }
        Route::Enter => invite::page(&at, tenanted.accepted.uri.query()),
        Route::Keys => auth::keys(&at.own),
        Route::Sign => Err(Refusal::NoSuchPath),
    };
    small.map(|small| small.told(&passed))
}

/// Waits for a change that is made to its end, whether or not its client stays: begun in the store and not ended here, a session that is
/// over would go on by its tokens.
async fn settled(change: impl Future<Output = Result<Small, Refusal>> + Send + 'static) -> Result<Small, Refusal> {
    tokio::spawn(change).await.unwrap_or(Err(Refusal::Internal("a change broke off")))
}

#[cfg(test)]
mod tests {
    use super::{ROUTES, Row, Small, settled, takes_body};
    use crate::accept::Method;
    use http::StatusCode;
    use std::time::Duration;

    #[tokio::test]
    async fn a_change_is_made_whether_or_not_its_client_stays() {
        let (began, begun) = tokio::sync::oneshot::channel();
        let (goes_on, went_on) = tokio::sync::oneshot::channel();
        let (ends, ended) = tokio::sync::oneshot::channel();
        let change = async move {
            let _ = began.send(());
            let _ = went_on.await;
            let _ = ends.send(());
            Ok(Small::empty(StatusCode::OK))
        };
        tokio::select! {
            _ = settled(change) => unreachable!("nobody let it go on"),
            _ = begun => {}
        }
        goes_on.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap().unwrap();
    }

    #[test]
    fn each_route_stands_once_and_says_what_it_takes() {
        for row in &ROUTES {
            let found = Row::of(row.path).unwrap();
            assert_eq!(found.route, row.route);
            for (method, name) in [(Method::Get, "GET"), (Method::Head, "HEAD"), (Method::Post, "POST")] {
                assert_eq!(row.methods.fits(method), row.methods.names().contains(name), "{row:?} {name}");
            }
            assert!(!row.methods.fits(Method::Options));
        }
    }

    #[test]
    fn bodies_are_read_where_a_route_takes_them() {
        for (target, takes) in [
            ("/sign", true),
            ("/sign?x", true),
            ("/auth", true),
            ("/auth/guest", true),
            ("/auth/jwks.json", false),
            ("/auth/other", false),
            ("/stream/-5/7", false),
            ("//sign", false),
            ("", false),
        ] {
            assert_eq!(takes_body(target.as_bytes()), takes, "{target}");
        }
    }
}
