//! The cookies that say who a viewer is, and that renew it.

use crate::identities::OwnTokens;
use crate::refusal::Refusal;
use crate::small::Small;
use config::gateway::SameSite;
use http::HeaderValue;
use http::header::SET_COOKIE;
use std::time::Duration;

/// Where the refreshing cookie goes: to nothing that streams.
const AUTH: &str = "/auth";

/// A cookie, as it is set.
struct Cookie<'a> {
    name: &'a str,
    value: &'a str,
    path: &'a str,
    age: Duration,
}

/// Sets the viewer's token, and what renews it if there is that.
pub(super) fn set(
    small: Small,
    own: &OwnTokens,
    secure: bool,
    access: &str,
    refresh: Option<&str>,
) -> Result<Small, Refusal> {
    let settings = &own.settings;
    let (name, age) = (&settings.cookie, settings.access_ttl.get());
    let small = add(small, own, secure, &Cookie { name, value: access, path: "/", age })?;
    let Some(value) = refresh else { return Ok(small) };
    let (name, age) = (&own.refresh_cookie, settings.refresh_ttl.get());
    add(small, own, secure, &Cookie { name, value, path: AUTH, age })
}

/// Has the browser forget both.
pub(super) fn clear(small: Small, own: &OwnTokens, secure: bool) -> Result<Small, Refusal> {
    let gone = |name, path| Cookie { name, value: "", path, age: Duration::ZERO };
    let small = add(small, own, secure, &gone(&own.settings.cookie, "/"))?;
    add(small, own, secure, &gone(&own.refresh_cookie, AUTH))
}

/// RFC 6265 §4.1. No script reads it.
fn add(mut small: Small, own: &OwnTokens, secure: bool, cookie: &Cookie<'_>) -> Result<Small, Refusal> {
    let Cookie { name, value, path, age } = cookie;
    let site = match own.settings.same_site {
        SameSite::Lax => "Lax",
        SameSite::Strict => "Strict",
        SameSite::None => "None",
    };
    let secure = if secure || own.settings.cookie_secure { "; Secure" } else { "" };
    let domain = own.settings.cookie_domain.as_ref().map(|domain| format!("; Domain={domain}")).unwrap_or_default();
    let age = age.as_secs();
    let text = format!("{name}={value}; Max-Age={age}; Path={path}; HttpOnly; SameSite={site}{secure}{domain}");
    let value = HeaderValue::try_from(text).map_err(|_| Refusal::Internal("a cookie can't be written"))?;
    small.head.fields.append(SET_COOKIE, value);
    Ok(small)
}
