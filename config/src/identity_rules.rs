//! Bounds of the settings about viewers' identities and links on demand.

use crate::gateway::{Identity, IdentityAlgorithm, SameSite, Sign, Tenant};
use crate::report::Report;
use std::time::Duration;

/// RFC 7518 §3.2: a key of the hash's size or more.
const SHORTEST_SECRET: usize = 32;
/// As many as a token may be tried with.
const MOST_KEYS: usize = 8;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

pub(crate) fn check_identity(tenant: &Tenant, key: &str, report: &mut Report<'_>) {
    if let Some(identity) = &tenant.identity {
        check_tokens(identity, &format!("{key}.identity"), report);
        let taken = tenant.viewer.as_ref().and_then(|viewer| viewer.cookie.as_deref());
        let own = taken.is_none_or(|taken| taken != identity.cookie && taken != format!("{}_refresh", identity.cookie));
        report.require(own, &format!("{key}.identity.cookie"), "is the cookie of viewer tokens already");
    }
    if let Some(sign) = &tenant.sign {
        check_sign(sign, tenant, &format!("{key}.sign"), report);
    }
    for (index, origin) in tenant.origins.iter().enumerate() {
        let message = "must be scheme://host or scheme://host:port, in lower case, as in https://www.example.com";
        report.require(is_origin(origin), &format!("{key}.origins[{index}]"), message);
    }
}

/// Of tenants' identities without Redis. Said once: it is about the gateway.
pub(crate) fn warn_of_memory(tenants: &[Tenant], report: &mut Report<'_>) {
    if let Some(index) = tenants.iter().position(|tenant| tenant.identity.is_some()) {
        report.warn(
            &format!("tenant[{index}].identity"),
            "there is no redis section: a restart or an upgrade forgets sessions, and which one-time links were used; those let in once more until they expire (magic_ttl)",
        );
    }
}

fn check_tokens(identity: &Identity, key: &str, report: &mut Report<'_>) {
    let token = |name: &str| {
        (1..=48).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    report.require(
        token(&identity.cookie),
        &format!("{key}.cookie"),
        "must be 1 to 48 letters, digits, \"-\" and \"_\"",
    );
    let host = |name: &String| {
        name.contains('.')
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
    };
    let domain = identity.cookie_domain.as_ref().is_none_or(host);
    report.require(domain, &format!("{key}.cookie_domain"), "must be a domain in lower case, as in example.com");
    // Browsers drop cookies with SameSite=None that are not Secure.
    let secure = identity.same_site != SameSite::None || identity.cookie_secure;
    report.require(secure, &format!("{key}.cookie_secure"), "must be true where same_site is none: browsers want it");
    for (name, span, least, most) in [
        ("access_ttl", identity.access_ttl, MINUTE, DAY),
        ("refresh_ttl", identity.refresh_ttl, MINUTE, 400 * DAY),
        ("session_ttl", identity.session_ttl, MINUTE, 400 * DAY),
        ("refresh_grace", identity.refresh_grace, Duration::ZERO, MINUTE),
        ("magic_ttl", identity.magic_ttl, Duration::from_secs(10), 7 * DAY),
    ] {
        let fits = (least..=most).contains(&span.get());
        report.require(
            fits,
            &format!("{key}.{name}"),
            &format!("must be from {}s to {}s", least.as_secs(), most.as_secs()),
        );
    }
    let least = identity.refresh_ttl >= identity.access_ttl;
    report.require(least, &format!("{key}.refresh_ttl"), "must be at least access_ttl");
    if let Some(secret) = &identity.manager_secret {
        let secret = secret.expose();
        let fits = secret.len() >= SHORTEST_SECRET && secret.bytes().all(|byte| byte.is_ascii_graphic());
        report.require(fits, &format!("{key}.manager_secret"), "must have at least 32 bytes of visible ASCII");
    }
    let count = (1..=MOST_KEYS).contains(&identity.keys.len());
    report.require(count, &format!("{key}.keys"), "needs 1 to 8 keys");
    for (index, entry) in identity.keys.iter().enumerate() {
        let place = format!("{key}.keys[{index}]");
        let id = (1..=64).contains(&entry.id.len()) && entry.id.bytes().all(|byte| byte.is_ascii_graphic());
        report.require(id, &format!("{place}.id"), "must be 1 to 64 visible ASCII characters");
        let earlier = identity.keys.iter().take(index).any(|other| other.id == entry.id);
        report.require(!earlier, &format!("{place}.id"), "is the id of another key already");
        let (text, pem) = (entry.key.expose(), entry.key.expose().contains("-----BEGIN"));
        if entry.algorithm == IdentityAlgorithm::HS256 {
            let fits = text.len() >= SHORTEST_SECRET && !pem;
            report.require(fits, &format!("{place}.key"), "must be a secret of at least 32 bytes, and no PEM");
        } else {
            let private = text.contains("-----BEGIN PRIVATE KEY");
            report.require(
                private,
                &format!("{place}.key"),
                "must be a private key as PEM (PKCS#8, \"BEGIN PRIVATE KEY\")",
            );
        }
    }
}

fn check_sign(sign: &Sign, tenant: &Tenant, key: &str, report: &mut Report<'_>) {
    let known = tenant.identity.is_some() || tenant.viewer.is_some();
    report.require(known, key, "needs identity or viewer: links are for who has a name");
    report.require(sign.ttl.get() >= MINUTE, &format!("{key}.ttl"), "must be at least 1m");
    report.require(sign.max_ttl >= sign.ttl, &format!("{key}.max_ttl"), "must be at least ttl");
    let names = |variable: &str| {
        let text = &tenant.link.expression;
        text.contains(&format!("${variable}")) || text.contains(&format!("${{{variable}}}"))
    };
    let can = tenant.link.prefix_parameter.is_some() || names("remote_addr");
    let message = "needs $remote_addr in link.expression, or link.prefix_parameter";
    report.require(!sign.bind_address || can, &format!("{key}.bind_address"), message);
}

/// RFC 6454 §6.2, as browsers write it: no path, no slash at the end.
fn is_origin(origin: &str) -> bool {
    let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b))
    })
}
