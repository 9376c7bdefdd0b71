//! Checks what guests answer. Pure: no guest text reaches the edge but through here.
//!
//! A reply that doesn't hold is never mended: half of a verdict could mean the opposite. It fails the call.

use crate::bindings::exports::streamvault::plugin::{ads, policy, tenants};
use crate::text::misleads;
use crate::verdict::{Branding, ByteRange, Cookie, Limits, TenantRecord, TenantStatus};
use config::gateway::Domain;
use std::sync::Arc;
use std::time::Duration;

/// Longest URL to redirect to, in bytes.
const LONGEST_URL: usize = 4_096;
/// Most ranges that one hook may name.
const MOST_RANGES: usize = 256;
/// Most cookies in one reply.
const MOST_COOKIES: usize = 4;
/// Most domains, link secrets and channels of a tenant.
const MOST_DOMAINS: usize = 1_000;
const MOST_SECRETS: usize = 16;
const MOST_CHANNELS: usize = 10_000;

/// What doesn't hold. The field's name is the contract's; nothing of the guest's text is in here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// A number outside its bounds.
    #[error("{0} is out of bounds")]
    OutOfBounds(&'static str),
    /// A text or a list that is too long, or empty where it must not be.
    #[error("{0} is too long, or empty")]
    TooLong(&'static str),
    /// A text with characters that don't belong there.
    #[error("{0} has characters that it must not have")]
    Characters(&'static str),
    /// Neither an http(s) URL nor a path of this host.
    #[error("{0} is neither an http(s) URL nor a path of this host")]
    Url(&'static str),
    /// A range that ends before it begins.
    #[error("a range ends before it begins")]
    Range,
    /// A cookie that the manifest doesn't name.
    #[error("a cookie is not among the manifest's visible.cookies")]
    ForeignCookie,
    /// The same cookie twice.
    #[error("a cookie is there twice")]
    DoubleCookie,
    /// Not the settings' notation.
    #[error("a domain is not in the settings' notation")]
    Domain,
    /// A tenant that is not the host's.
    #[error("none of the tenant's domains covers the host that was asked for")]
    ForeignHost,
    /// An id that the gateway's settings use.
    #[error("the tenant's id is one of the gateway's settings")]
    TakenId,
    /// Edits that overlap or go backwards.
    #[error("edits overlap or go backwards")]
    EditOrder,
    /// An edit beyond the text, backwards, or inside a character.
    #[error("an edit lies outside the text or inside a character")]
    EditBounds,
    /// A NUL character in an edit.
    #[error("an edit's text has a NUL character")]
    EditText,
}

/// A policy hook's verdict, checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PolicyReply {
    /// Within limits; for how long requests alike need not be asked about.
    Allow(Limits, Option<Duration>),
    Deny {
        status: u16,
        text: String,
    },
    Redirect(String),
}

/// An ads hook's verdict, checked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AdsReply {
    Proceed(Vec<Cookie>),
    Redirect { url: String, cookies: Vec<Cookie> },
}

pub(crate) fn policy(verdict: policy::Verdict) -> Result<PolicyReply, BadReply> {
    match verdict {
        policy::Verdict::Allow(limits) => {
            let keep = limits.keep.map(keep).transpose()?;
            Ok(PolicyReply::Allow(self::limits(limits)?, keep))
        }
        policy::Verdict::Deny(denial) => {
            if !(matches!(denial.status, 400..=499) || denial.status == 503) {
                return Err(BadReply::OutOfBounds("denial.status"));
            }
            Ok(PolicyReply::Deny { status: denial.status, text: plain(denial.text, 200, "denial.text")? })
        }
        policy::Verdict::Redirect(url) => destination(url, "redirect").map(PolicyReply::Redirect),
    }
}

fn keep(seconds: u32) -> Result<Duration, BadReply> {
    match seconds {
        1..=60 => Ok(Duration::from_secs(seconds.into())),
        _ => Err(BadReply::OutOfBounds("keep")),
    }
}

fn limits(limits: policy::Limits) -> Result<Limits, BadReply> {
    at_least(limits.bytes_per_second, 1_024, "bytes-per-second")?;
    at_least(limits.viewer_streams, 1, "viewer-streams")?;
    at_least(limits.tenant_streams, 1, "tenant-streams")?;
    if let Some(viewer) = &limits.viewer {
        if viewer.is_empty() || viewer.len() > 256 {
            return Err(BadReply::TooLong("viewer"));
        }
        if viewer.chars().any(char::is_control) {
            return Err(BadReply::Characters("viewer"));
        }
    }
    Ok(Limits {
        bytes_per_second: limits.bytes_per_second,
        viewer_streams: limits.viewer_streams,
        tenant_streams: limits.tenant_streams,
        expires: limits.expires,
        ranges: ranges(&limits.ranges)?,
        viewer: limits.viewer,
    })
}

/// Sorted, with neighbours and overlaps joined; an empty list is no bound.
fn ranges(list: &[policy::ByteRange]) -> Result<Option<Vec<ByteRange>>, BadReply> {
    if list.is_empty() {
        return Ok(None);
    }
    if list.len() > MOST_RANGES {
        return Err(BadReply::TooLong("ranges"));
    }
    if list.iter().any(|range| range.last < range.first) {
        return Err(BadReply::Range);
    }
    let mut sorted: Vec<_> = list.iter().map(|range| ByteRange { first: range.first, last: range.last }).collect();
    sorted.sort_unstable();
    let mut joined: Vec<ByteRange> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(before) if range.first <= before.last.saturating_add(1) => before.last = before.last.max(range.last),
            _ => joined.push(range),
        }
    }
    Ok(Some(joined))
}

/// `named` are the cookies that the manifest names.
pub(crate) fn ads(verdict: ads::Verdict, named: &[String]) -> Result<AdsReply, BadReply> {
    match verdict {
        ads::Verdict::Proceed => Ok(AdsReply::Proceed(Vec::new())),
        ads::Verdict::SetCookies(list) => cookies(list, named).map(AdsReply::Proceed),
        ads::Verdict::Redirect(to) => Ok(AdsReply::Redirect {
            url: destination(to.url, "redirection.url")?,
            cookies: cookies(to.cookies, named)?,
        }),
    }
}

fn cookies(list: Vec<ads::Cookie>, named: &[String]) -> Result<Vec<Cookie>, BadReply> {
    if list.len() > MOST_COOKIES {
        return Err(BadReply::TooLong("cookies"));
    }
    let mut checked: Vec<Cookie> = Vec::with_capacity(list.len());
    for cookie in list {
        if !named.contains(&cookie.name) {
            return Err(BadReply::ForeignCookie);
        }
        if checked.iter().any(|earlier| earlier.name == cookie.name) {
            return Err(BadReply::DoubleCookie);
        }
        if cookie.value.len() > 1_024 {
            return Err(BadReply::TooLong("cookie.value"));
        }
        // RFC 6265, `cookie-octet`.
        let octet = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\');
        if !cookie.value.bytes().all(octet) {
            return Err(BadReply::Characters("cookie.value"));
        }
        checked.push(Cookie { name: cookie.name, value: cookie.value, max_age: cookie.max_age });
    }
    Ok(checked)
}

/// `host` is the one that was asked for; `taken` says which ids are the settings'.
pub(crate) fn tenant(
    plugin: &Arc<str>,
    host: &str,
    tenant: tenants::Tenant,
    taken: impl Fn(&str) -> bool,
) -> Result<TenantRecord, BadReply> {
    let is_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    named(&tenant.id, is_id, "tenant.id")?;
    if taken(&tenant.id) {
        return Err(BadReply::TakenId);
    }
    bounded(tenant.domains.len(), MOST_DOMAINS, "domains")?;
    bounded(tenant.link_secrets.len(), MOST_SECRETS, "link-secrets")?;
    bounded(tenant.channels.len(), MOST_CHANNELS, "channels")?;
    let domains = tenant.domains.iter().map(|text| domain(text)).collect::<Result<Vec<_>, _>>()?;
    if !domains.iter().any(|domain| covers(domain, host)) {
        return Err(BadReply::ForeignHost);
    }
    // A secret's name becomes a file's name: nothing that leads out of the tenant's folder.
    for secret in &tenant.link_secrets {
        let is_file = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        named(secret, is_file, "link-secrets")?;
        if secret.starts_with('.') {
            return Err(BadReply::Characters("link-secrets"));
        }
    }
    at_least(tenant.limits.streams, 1, "limits.streams")?;
    at_least(tenant.limits.bytes_per_second, 1_024, "limits.bytes-per-second")?;
    let support_url = tenant.branding.support_url.map(|url| http(url, "support-url")).transpose()?;
    Ok(TenantRecord {
        plugin: Arc::clone(plugin),
        id: tenant.id,
        domains,
        status: match tenant.status {
            tenants::Status::Active => TenantStatus::Active,
            tenants::Status::PastDue(until) => TenantStatus::PastDue(until),
            tenants::Status::Suspended => TenantStatus::Suspended,
        },
        link_secrets: tenant.link_secrets,
        channels: tenant.channels,
        branding: Branding {
            name: tenant.branding.name.map(|text| plain(text, 100, "branding.name")).transpose()?,
            message: tenant.branding.message.map(|text| plain(text, 500, "branding.message")).transpose()?,
            support_url,
        },
        streams: tenant.limits.streams,
        bytes_per_second: tenant.limits.bytes_per_second,
    })
}

/// `*` is for the settings alone: a plugin that claims every host would claim those that it was never asked about.
fn domain(text: &str) -> Result<Domain, BadReply> {
    match text.parse() {
        Ok(Domain::Any) | Err(_) => Err(BadReply::Domain),
        Ok(domain) => Ok(domain),
    }
}

fn covers(domain: &Domain, host: &str) -> bool {
    match domain {
        Domain::Exact(name) => name == host,
        Domain::Subdomains(name) => host
            .strip_suffix(name.as_str())
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|below| !below.is_empty()),
        Domain::Any => false,
    }
}

fn bounded(length: usize, most: usize, field: &'static str) -> Result<(), BadReply> {
    if length > most { Err(BadReply::TooLong(field)) } else { Ok(()) }
}

fn at_least<T: PartialOrd>(value: Option<T>, least: T, field: &'static str) -> Result<(), BadReply> {
    if value.is_some_and(|value| value < least) { Err(BadReply::OutOfBounds(field)) } else { Ok(()) }
}

fn named(name: &str, allowed: impl Fn(u8) -> bool, field: &'static str) -> Result<(), BadReply> {
    if name.is_empty() || name.len() > 64 {
        return Err(BadReply::TooLong(field));
    }
    if name.bytes().all(allowed) { Ok(()) } else { Err(BadReply::Characters(field)) }
}

/// Text for people, on one line.
fn plain(text: String, most: usize, field: &'static str) -> Result<String, BadReply> {
    if text.chars().take(most.saturating_add(1)).count() > most {
        return Err(BadReply::TooLong(field));
    }
    if text.chars().any(misleads) { Err(BadReply::Characters(field)) } else { Ok(text) }
}

/// A `Location`: an http(s) URL, or a path of this host. Two slashes, or a slash and a backslash, would be another host.
fn destination(url: String, field: &'static str) -> Result<String, BadReply> {
    let url = header_safe(url, field)?;
    let mut bytes = url.bytes();
    match (bytes.next(), bytes.next()) {
        (Some(b'/'), Some(b'/' | b'\\')) => Err(BadReply::Url(field)),
        (Some(b'/'), _) => Ok(url),
        _ => http(url, field),
    }
}

fn http(url: String, field: &'static str) -> Result<String, BadReply> {
    let url = header_safe(url, field)?;
    let authority = ["https://", "http://"].iter().find_map(|scheme| {
        let (head, tail) = url.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| tail.split(['/', '?', '#']).next().unwrap_or_default())
    });
    // User names before an @ only ever serve to dress up one host as another.
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'[' | b']');
    match authority {
        Some(authority)
            if authority.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
                && authority.bytes().all(is_host) =>
        {
            Ok(url)
        }
        _ => Err(BadReply::Url(field)),
    }
}

fn header_safe(url: String, field: &'static str) -> Result<String, BadReply> {
    if url.is_empty() || url.len() > LONGEST_URL {
        return Err(BadReply::TooLong(field));
    }
    if url.bytes().all(|byte| byte.is_ascii_graphic()) { Ok(url) } else { Err(BadReply::Characters(field)) }
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
