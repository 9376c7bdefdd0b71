use crate::hosts::Hosts;
use alloc::{format, string::String};
use streamvault_sdk::{Request, config};

/// Pages that may show the tenant's videos.
#[derive(Debug)]
pub(crate) struct Pages {
    hosts: Hosts,
    /// Whether a request that names no page passes: a player, or a browser that was told to keep it for itself.
    none: bool,
}

impl Pages {
    pub(crate) fn load() -> Result<Option<Self>, String> {
        let hosts = config::texts("referer_hosts");
        if hosts.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { hosts: Hosts::new("referer_hosts", hosts)?, none: allows("referer_empty", true)? }))
    }

    pub(crate) fn allow(&self, request: &Request) -> bool {
        let page = request.header("referer").filter(|page| !page.is_empty()).or_else(|| request.header("origin"));
        let Some(page) = page.filter(|page| !page.is_empty() && page != "null") else { return self.none };
        // A page that can't be read is one, and not of those allowed.
        host_of(&page).is_some_and(|host| self.hosts.hold(&host) || host == request.host())
    }
}

/// The host of an http(s) address, in lower case, without user, port and final dot.
fn host_of(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(six) => six.split(']').next()?,
        None => host.split(':').next()?,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

/// Countries that may watch, by the header of a proxy in front.
#[derive(Debug)]
pub(crate) struct Country {
    header: &'static str,
    allow: &'static [String],
    deny: &'static [String],
    unknown: bool,
}

impl Country {
    pub(crate) fn load() -> Result<Option<Self>, String> {
        let (allow, deny) = (config::texts("country_allow"), config::texts("country_deny"));
        if allow.is_empty() && deny.is_empty() {
            return Ok(None);
        }
        for country in allow.iter().chain(deny) {
            if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_alphabetic()) {
                return Err(format!(
                    "country_allow, country_deny: `{country}` is no two-letter country code (ISO 3166-1)"
                ));
            }
        }
        let header = config::text("country_header").unwrap_or("cf-ipcountry");
        Ok(Some(Self { header, allow, deny, unknown: allows("country_unknown", false)? }))
    }

    pub(crate) fn allows(&self, request: &Request) -> bool {
        let country = request.header(self.header).filter(|country| {
            // XX and T1 are what proxies write for "not known" and for Tor.
            country.len() == 2 && !country.eq_ignore_ascii_case("xx") && !country.eq_ignore_ascii_case("t1")
        });
        let Some(country) = country else { return self.unknown };
        let is_in = |list: &[String]| list.iter().any(|known| known.eq_ignore_ascii_case(&country));
        !is_in(self.deny) && (self.allow.is_empty() || is_in(self.allow))
    }
}

fn allows(setting: &str, default: bool) -> Result<bool, String> {
    match config::text(setting) {
        None => Ok(default),
        Some("allow") => Ok(true),
        Some("refuse") => Ok(false),
        Some(other) => Err(format!("{setting} is `allow` or `refuse`, not `{other}`")),
    }
}
