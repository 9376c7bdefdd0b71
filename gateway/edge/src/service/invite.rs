//! One-time links: made by a manager, opened once.
//!
//! Mail scanners and chat previews follow links before people do. So following one (GET) looks at its token and uses nothing up: it gives
//! a page with one button, and that button's POST lets the viewer in. Scanners post no forms. The page says whom the link lets in, so that
//! nobody is signed in as somebody else without seeing it.

use super::auth::{At, object};
use super::{Denial, read};
use crate::flow::Incoming;
use crate::maintenance::escape;
use crate::refusal::Refusal;
use crate::small::Small;
use http::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_FRAME_OPTIONS};
use identity::{Kind, Magic, Subject};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;
use viewer::{TokenError, find_token};

/// The longest that a link may be good: the bound of identity.magic_ttl.
const LONGEST: u64 = 7 * 86_400;

/// Neither scripts nor frames; the form goes to where the page came from.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// `POST /auth/magic`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Whom it lets in.
    sub: String,
    /// What plugins see of the viewer, beside the name.
    #[serde(default)]
    claims: Map<String, Value>,
    /// Seconds that it is good.
    ttl: Option<u64>,
    /// Where the viewer goes then.
    next: Option<String>,
}

/// Makes a link, for who knows the manager's secret.
pub(super) fn make(at: &At, incoming: &Incoming<'_>) -> Result<Small, Refusal> {
    let secret = at.own.settings.manager_secret.as_ref().ok_or(Denial::NotManager)?;
    let sent = find_token(&incoming.head.headers, Some(&AUTHORIZATION), None);
    // Hashes have one length, and where they differ says nothing about the secret.
    if sent.is_none_or(|sent| Sha256::digest(sent) != Sha256::digest(secret.expose())) {
        return Err(Denial::NotManager.into());
    }
    let Wanted { sub, claims, ttl, next } = read::json(incoming)?;
    let subject = Subject::named(&sub, claims).map_err(|_| Denial::Malformed("a subject or claims that can't be"))?;
    let ttl = ttl.map_or(at.own.settings.magic_ttl.get(), Duration::from_secs);
    if !(1..=LONGEST).contains(&ttl.as_secs()) {
        return Err(Denial::Malformed("a ttl that is not from 1 to 604800 seconds").into());
    }
    let now = at.now;
    let made = at.own.issuer.magic(&subject, rand::random(), now, ttl);
    let (token, id) = made.ok_or(Refusal::Internal("a token can't be signed"))?;
    let expires = now.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
    tracing::info!(tenant = &*at.tenant.id, sub, id, "a one-time link was made");
    object(&json!({ "url": link(&token, next), "id": id, "expires": expires }))
}

/// The link of a token, from the host's root.
pub(crate) fn link(token: &str, next: Option<String>) -> String {
    match read::next(next).as_str() {
        "/" => format!("/auth?token={token}"),
        next => {
            let escaped = percent_encoding::utf8_percent_encode(next, percent_encoding::NON_ALPHANUMERIC);
            format!("/auth?token={token}&next={escaped}")
        }
    }
}

/// `GET /auth?token=…`: the page with the button.
pub(super) fn page(at: &At, query: &[u8]) -> Result<Small, Refusal> {
    let token = read::field(query, "token").ok_or(Denial::Malformed("no token"))?;
    let magic = opened(at, &token)?;
    let next = read::next(read::field(query, "next"));
    let site = at.tenant.branding.name.as_deref().unwrap_or("this site");
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"robots\" content=\"noindex\"><title>{site}</title>\
         <style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:32em;margin:20vh auto;padding:0 1em;text-align:center}}\
         button{{font:inherit;padding:.5em 2em}}</style>\
         <h1>{site}</h1><p>Sign in as <b>{name}</b>?</p>\
         <form method=\"post\" action=\"/auth\"><input type=\"hidden\" name=\"token\" value=\"{token}\">\
         <input type=\"hidden\" name=\"next\" value=\"{next}\"><button autofocus>Continue</button></form></html>\n",
        site = escape(site),
        name = escape(magic.subject.name()),
        token = escape(&token),
        next = escape(&next),
    );
    Ok(Small::text("text/html; charset=utf-8", html)
        .with(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))
        .with(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"))
        // Nothing to other sites. With none at all browsers would send the form with `Origin: null`.
        .with(REFERRER_POLICY, HeaderValue::from_static("same-origin")))
}

/// Somebody who is let in, if the link was not used yet.
pub(super) struct Invited {
    pub(super) magic: Magic,
    /// Where the viewer goes then.
    pub(super) next: HeaderValue,
}

/// `POST /auth`, as far as it can be judged without using the link up.
pub(super) fn invited(at: &At, incoming: &Incoming<'_>) -> Result<Invited, Refusal> {
    let form = read::body(incoming, "application/x-www-form-urlencoded")?;
    let token = read::field(form, "token").ok_or(Denial::Malformed("no token"))?;
    let magic = opened(at, &token)?;
    let next = read::next(read::field(form, "next"));
    let next = HeaderValue::try_from(next).map_err(|_| Refusal::Internal("a path can't be written"))?;
    Ok(Invited { magic, next })
}

/// What a token says, if it holds and was not revoked.
fn opened(at: &At, token: &str) -> Result<Magic, Refusal> {
    let magic = at.own.issuer.open_magic(token, at.now).map_err(|error| match error {
        TokenError::Expired => Denial::InviteOver("expired"),
        error => Denial::Invite(error),
    })?;
    if at.identities.revoked.has(&at.tenant.id, Kind::Token, &magic.id, at.now) {
        return Err(Denial::InviteOver("revoked").into());
    }
    Ok(magic)
}
