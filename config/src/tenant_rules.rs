//! Bounds of the tenants' settings.

use crate::document::Document;
use crate::gateway::{Branding, Link, Tenant, TenantLimits, ViewerAlgorithm, ViewerTokens};
use crate::identity_rules::check_identity;
use crate::report::Report;
use std::collections::BTreeMap;
use std::path::Path;

/// What a name must be.
pub(crate) const NAME: &str = "must be 1 to 64 of a-z, 0-9, \"-\" and \"_\"";
/// RFC 7518 §3.2: a key of the hash's size or more; 256 bits is the smallest of them.
const SHORTEST_SHARED_KEY: usize = 32;

pub(crate) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
}

/// `more`: there may be others that are not among these.
pub(crate) fn check_tenants(tenants: &[Tenant], more: bool, report: &mut Report<'_>) {
    report.require(more || !tenants.is_empty(), "tenant", "needs at least one [[tenant]]");
    let mut ids = BTreeMap::new();
    let mut domains = BTreeMap::new();
    for (index, tenant) in tenants.iter().enumerate() {
        let key = format!("tenant[{index}]");
        report.require(is_name(&tenant.id), &format!("{key}.id"), NAME);
        if let Some(earlier) = ids.insert(&tenant.id, index) {
            report.problem(&format!("{key}.id"), format!("is the id of tenant[{earlier}] already"));
        }
        report.require(!tenant.domains.is_empty(), &format!("{key}.domains"), "needs at least one domain");
        for (position, domain) in tenant.domains.iter().enumerate() {
            if let Some(earlier) = domains.insert(domain, index) {
                let message = format!("{domain} leads to tenant[{earlier}] already");
                report.problem(&format!("{key}.domains[{position}]"), message);
            }
        }
        let channels = tenant.channels.is_some() || (tenants.len() == 1 && !more);
        report.require(
            channels,
            &format!("{key}.channels"),
            "is required where there are several tenants: none may open another's media",
        );
        let some = tenant.channels.as_ref().is_none_or(|channels| !channels.is_empty());
        report.require(some, &format!("{key}.channels"), "needs at least one channel");
        check_link(&tenant.link, &format!("{key}.link"), report);
        check_branding(&tenant.branding, &format!("{key}.branding"), report);
        check_limits(&tenant.limits, &format!("{key}.limits"), report);
        if let Some(viewer) = &tenant.viewer {
            check_viewer(viewer, &format!("{key}.viewer"), report);
        }
        check_identity(tenant, &key, report);
    }
}

/// What is wrong with a tenant that stands in no settings file: keys and messages.
#[must_use]
pub fn tenant_problems(tenant: &Tenant) -> Vec<(String, String)> {
    let Ok(nowhere) = Document::parse("", Path::new("")) else { return Vec::new() };
    let mut report = Report::new(&nowhere);
    check_tenants(std::slice::from_ref(tenant), true, &mut report);
    let (problems, _) = report.into_parts();
    let key = |key: String| key.strip_prefix("tenant[0].").map_or(key.clone(), str::to_owned);
    problems.into_iter().map(|problem| (key(problem.key), problem.message)).collect()
}

fn check_link(link: &Link, key: &str, report: &mut Report<'_>) {
    let expression = format!("{key}.expression");
    let names = |variable: &str| {
        link.expression.contains(&format!("${variable}")) || link.expression.contains(&format!("${{{variable}}}"))
    };
    // A secret spelt out in the expression, as nginx has it, would show in every print of the settings.
    report.require(names("secret"), &expression, "must contain $secret, in the place of the secret");
    let expires = names("secure_link_expires") || names(&format!("arg_{}", link.expires_parameter));
    report.require(expires, &expression, "must contain $secure_link_expires, or anybody could extend a link's life");
    let path = names("uri") || names("document_uri");
    report.require(path, &expression, "must contain $uri, or one link would open every media");
    for (name, parameter) in
        [("token_parameter", &link.token_parameter), ("expires_parameter", &link.expires_parameter)]
    {
        let plain = !parameter.is_empty()
            && parameter.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        report.require(plain, &format!("{key}.{name}"), "must be letters, digits, \"-\" and \"_\"");
    }
    for (name, parameter) in [("id_parameter", &link.id_parameter), ("prefix_parameter", &link.prefix_parameter)] {
        let plain = parameter.as_ref().is_none_or(|parameter| is_parameter(parameter));
        report.require(plain, &format!("{key}.{name}"), "must be 1 to 32 letters, digits, \"-\" and \"_\"");
    }
    let distinct = !link.token_parameter.eq_ignore_ascii_case(&link.expires_parameter);
    report.require(distinct, &format!("{key}.expires_parameter"), "must differ from token_parameter");
    report.require(!link.secrets.is_empty(), &format!("{key}.secrets"), "needs at least one secret");
    for (index, entry) in link.secrets.iter().enumerate() {
        let id = format!("{key}.secrets[{index}].id");
        report.require(is_name(&entry.id), &id, NAME);
        let earlier = link.secrets.iter().take(index).any(|other| other.id == entry.id);
        report.require(!earlier, &id, "is the id of another secret already");
    }
}

fn is_url(url: &str) -> bool {
    url.len() <= 2000 && url.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_parameter(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn check_branding(branding: &Branding, key: &str, report: &mut Report<'_>) {
    let plain = |text: &Option<String>, most: usize| {
        text.as_ref().is_none_or(|text| text.chars().count() <= most && !text.chars().any(char::is_control))
    };
    report.require(
        plain(&branding.name, 100),
        &format!("{key}.name"),
        "must be up to 100 characters without line breaks",
    );
    report.require(
        plain(&branding.message, 500),
        &format!("{key}.message"),
        "must be up to 500 characters without line breaks",
    );
    let url = branding
        .support_url
        .as_ref()
        .is_none_or(|url| (url.starts_with("https://") || url.starts_with("http://")) && is_url(url));
    report.require(url, &format!("{key}.support_url"), "must be an http(s) address");
}

fn check_limits(limits: &TenantLimits, key: &str, report: &mut Report<'_>) {
    for (name, streams) in [("streams", limits.streams), ("viewer_streams", limits.viewer_streams)] {
        report.require(
            streams != Some(0),
            &format!("{key}.{name}"),
            "must be at least 1; set status to suspended to serve nobody",
        );
    }
    let rates =
        [("bytes_per_second", limits.bytes_per_second), ("viewer_bytes_per_second", limits.viewer_bytes_per_second)];
    for (name, rate) in rates {
        report.require(rate.is_none_or(|rate| rate.bytes() >= 1024), &format!("{key}.{name}"), "must be at least 1KiB");
    }
    // Sums go through Redis, whose scripts have whole numbers up to 2^53.
    let month = limits.bytes_per_month.is_none_or(|bytes| (1 << 20..=1 << 52).contains(&bytes.bytes()));
    report.require(month, &format!("{key}.bytes_per_month"), "must be from 1MiB to 4096TiB");
}

fn check_viewer(viewer: &ViewerTokens, key: &str, report: &mut Report<'_>) {
    let token = |name: &str| {
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    report.require(token(&viewer.header), &format!("{key}.header"), "must be letters, digits, \"-\" and \"_\"");
    let cookie = viewer.cookie.as_deref().is_none_or(token);
    report.require(cookie, &format!("{key}.cookie"), "must be letters, digits, \"-\" and \"_\"");
    let some = !viewer.keys.is_empty() || viewer.jwks.is_some();
    report.require(some, &format!("{key}.keys"), "needs at least one key, or a jwks");
    if let Some(set) = &viewer.jwks {
        let place = format!("{key}.jwks");
        report.require(set.url.is_some() != set.file.is_some(), &place, "needs either url or file");
        let url = set.url.as_ref().is_none_or(|url| url.starts_with("https://") && is_url(url));
        report.require(
            url,
            &format!("{place}.url"),
            "must be an https address: who changes keys on their way signs any token",
        );
        report.require(
            viewer.issuer.is_some(),
            &format!("{key}.issuer"),
            "is required with jwks: name whose tokens are believed",
        );
        for (name, path) in [("file", &set.file), ("ca", &set.ca)] {
            let absolute = path.as_ref().is_none_or(|path| path.is_absolute());
            report.require(absolute, &format!("{place}.{name}"), "must be an absolute path");
        }
        let minute = std::time::Duration::from_secs(60);
        report.require(set.refresh.get() >= minute, &format!("{place}.refresh"), "must be at least 1m");
        report.require(set.stale >= set.refresh, &format!("{place}.stale"), "must be at least refresh");
    }
    for (index, entry) in viewer.keys.iter().enumerate() {
        let place = format!("{key}.keys[{index}]");
        let id = (1..=64).contains(&entry.id.len()) && entry.id.bytes().all(|byte| byte.is_ascii_graphic());
        report.require(id, &format!("{place}.id"), "must be 1 to 64 visible ASCII characters");
        let earlier = viewer.keys.iter().take(index).any(|other| other.id == entry.id);
        report.require(!earlier, &format!("{place}.id"), "is the id of another key already");
        let shared =
            matches!(entry.algorithm, ViewerAlgorithm::HS256 | ViewerAlgorithm::HS384 | ViewerAlgorithm::HS512);
        let key = entry.key.expose();
        if shared {
            report.require(key.len() >= SHORTEST_SHARED_KEY, &format!("{place}.key"), "must have at least 32 bytes");
            let public = key.contains("-----BEGIN");
            report.require(
                !public,
                &format!("{place}.key"),
                "is a PEM key, and HS256 wants a shared secret: anybody could sign with a public key",
            );
        } else {
            report.require(
                key.contains("-----BEGIN PUBLIC KEY"),
                &format!("{place}.key"),
                "must be a public key as PEM",
            );
        }
    }
}
