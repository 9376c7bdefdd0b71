use alloc::{borrow::ToOwned, format, string::String};

/// Names that may stand for a host: itself, then wildcards from the closest to the farthest. `*.example.com` covers all below
/// `example.com` and not `example.com` itself.
pub(crate) fn covering(host: &str) -> impl Iterator<Item = String> {
    let parents = host.match_indices('.').map(|(at, _)| format!("*{}", &host[at..]));
    // Names have up to 127 parts, those that anybody serves far fewer; each may cost a look into the store.
    core::iter::once(host.to_owned()).chain(parents.take(8))
}

/// Whether a domain is, or covers, a host.
pub(crate) fn covers(domain: &str, host: &str) -> bool {
    match domain.strip_prefix('*') {
        Some(end) => host.len() > end.len() && host.ends_with(end),
        None => domain == host,
    }
}

/// Refuses what isn't a host name in lower case, or `*.` and one.
pub(crate) fn check(domain: &str) -> Result<(), String> {
    let name = domain.strip_prefix("*.").unwrap_or(domain);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let holds =
        name.len() <= 253 && name.split('.').all(|part| (1..=63).contains(&part.len()) && part.bytes().all(plain));
    if holds { Ok(()) } else { Err(format!("`{domain}` is neither a host name in lower case nor `*.` and one")) }
}
