//! From a route's text to its parts.

use crate::proxy_secret::ProxySecret;
use crate::route::{Bind, Credentials, Host, IpVersions, Parts, Proxy, RouteError, Via};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

const LONGEST: usize = 4096;
/// RFC 1035 §2.3.4.
const LONGEST_NAME: usize = 253;
/// RFC 1929 §2: one byte holds the length.
const LONGEST_LOGIN: usize = 255;
/// Where Telegram's links lead.
const LINK_HOSTS: [&str; 3] = ["t.me", "telegram.me", "telegram.dog"];

pub(crate) fn parse(text: &str) -> Result<Parts, RouteError> {
    let text = text.trim();
    if text.len() > LONGEST {
        return Err(RouteError::Scheme);
    }
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    let mut parameters = Parameters::read(query)?;
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let via = match scheme.to_ascii_lowercase().as_str() {
        "" if rest.eq_ignore_ascii_case("direct") => Via::Direct,
        "socks5" | "socks5h" => Via::Socks5(proxy(rest, socks_login)?),
        "http" => Via::HttpConnect(proxy(rest, basic_login)?),
        "mtproxy" => {
            let (secret, address) = rest.rsplit_once('@').ok_or(RouteError::Secret)?;
            let (host, port) = address_of(address)?;
            Via::MtProxy { host, port, secret: ProxySecret::parse(secret)? }
        }
        "tg" => link(rest, &mut parameters)?,
        "" | "https" => {
            let (host, what) = rest.split_once('/').ok_or(RouteError::Scheme)?;
            if !LINK_HOSTS.iter().any(|known| host.eq_ignore_ascii_case(known)) {
                return Err(RouteError::Scheme);
            }
            link(what, &mut parameters)?
        }
        _ => return Err(RouteError::Scheme),
    };
    let ip = parameters.ip()?;
    let bind = parameters.bind;
    parameters.finish()?;
    Ok(Parts { via, ip, bind })
}

/// As it stands in a URL's user, password or parameter.
pub(crate) fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn unescape(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(String::from)
}

struct Parameters {
    values: BTreeMap<&'static str, String>,
    bind: Bind,
}

const NAMES: [&str; 6] = ["server", "port", "secret", "user", "pass", "ip"];

impl Parameters {
    fn read(query: &str) -> Result<Self, RouteError> {
        let mut values = BTreeMap::new();
        let mut bind = Bind::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if name == "bind" {
                let taken = match unescape(value).and_then(|value| value.parse().ok()) {
                    Some(IpAddr::V4(address)) => bind.v4.replace(address).is_some(),
                    Some(IpAddr::V6(address)) => bind.v6.replace(address).is_some(),
                    None => true,
                };
                if taken {
                    return Err(RouteError::Parameter("bind"));
                }
                continue;
            }
            let known = NAMES.into_iter().find(|known| *known == name).ok_or(RouteError::Parameter("?"))?;
            let value = unescape(value).ok_or(RouteError::Parameter(known))?;
            if values.insert(known, value).is_some() {
                return Err(RouteError::Parameter(known));
            }
        }
        Ok(Self { values, bind })
    }

    fn take(&mut self, name: &'static str) -> Option<String> {
        self.values.remove(name)
    }

    fn ip(&mut self) -> Result<IpVersions, RouteError> {
        match self.take("ip").as_deref() {
            None => Ok(IpVersions::default()),
            Some("4") => Ok(IpVersions::V4),
            Some("6") => Ok(IpVersions::V6),
            Some("any") => Ok(IpVersions::Any),
            Some(_) => Err(RouteError::Parameter("ip")),
        }
    }

    /// What nobody took has no meaning here.
    fn finish(self) -> Result<(), RouteError> {
        self.values.keys().next().map_or(Ok(()), |name| Err(RouteError::Parameter(name)))
    }
}

/// A link as Telegram's apps make it, for sharing.
fn link(what: &str, parameters: &mut Parameters) -> Result<Via, RouteError> {
    let host = parameters.take("server").ok_or(RouteError::Address)?;
    // In links an IPv6 address stands without brackets.
    let host = host.parse().map_or_else(|_| host_of(&host), |address| Ok(Host::Address(address)))?;
    let port = port_of(&parameters.take("port").ok_or(RouteError::Address)?)?;
    match what {
        "proxy" => {
            let secret = ProxySecret::parse(&parameters.take("secret").ok_or(RouteError::Secret)?)?;
            Ok(Via::MtProxy { host, port, secret })
        }
        "socks" => {
            let login = parameters.take("user").map(|user| (user, parameters.take("pass").unwrap_or_default()));
            let credentials = login.map(|(user, password)| checked(user, password, socks_login)).transpose()?;
            Ok(Via::Socks5(Proxy { host, port, credentials }))
        }
        _ => Err(RouteError::Scheme),
    }
}

type LoginRule = fn(&str, &str) -> Result<(), RouteError>;

fn proxy(authority: &str, rule: LoginRule) -> Result<Proxy, RouteError> {
    let (login, address) = match authority.rsplit_once('@') {
        Some((login, address)) => (Some(login), address),
        None => (None, authority),
    };
    let (host, port) = address_of(address)?;
    let credentials = login
        .map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            let plain = |text| unescape(text).ok_or(RouteError::Credentials("must be UTF-8 text"));
            checked(plain(user)?, plain(password)?, rule)
        })
        .transpose()?;
    Ok(Proxy { host, port, credentials })
}

fn checked(user: String, password: String, rule: LoginRule) -> Result<Credentials, RouteError> {
    rule(&user, &password)?;
    Ok(Credentials { user: SecretString::from(user), password: SecretString::from(password) })
}

/// RFC 1929 §2: 1 to 255 bytes each.
fn socks_login(user: &str, password: &str) -> Result<(), RouteError> {
    let fits = |text: &str| (1..=LONGEST_LOGIN).contains(&text.len());
    if fits(user) && fits(password) { Ok(()) } else { Err(RouteError::Credentials("must have 1 to 255 bytes each")) }
}

/// RFC 7617 §2: no colon in the user, no control characters in either.
fn basic_login(user: &str, password: &str) -> Result<(), RouteError> {
    if user.is_empty() || user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
        return Err(RouteError::Credentials("must have no control characters, and the user no colon"));
    }
    Ok(())
}

fn address_of(text: &str) -> Result<(Host, u16), RouteError> {
    let (host, port) = text.rsplit_once(':').ok_or(RouteError::Address)?;
    Ok((host_of(host)?, port_of(port)?))
}

fn port_of(text: &str) -> Result<u16, RouteError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0).ok_or(RouteError::Address)
}

fn host_of(text: &str) -> Result<Host, RouteError> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().map(|address| Host::Address(address.into())).map_err(|_| RouteError::Address);
    }
    if let Ok(address) = text.parse::<std::net::Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let is_name = (1..=LONGEST_NAME).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        // Else `1.2.3` and `0x7f.1` would be addresses to some resolvers.
        && !text.rsplit('.').find(|label| !label.is_empty()).is_none_or(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    if is_name { Ok(Host::Name(text.to_owned())) } else { Err(RouteError::Address) }
}

#[cfg(test)]
mod tests {
    use super::{escape, parse};
    use crate::route::{Route, RouteError};
    use proptest::prelude::{any, proptest};
    use secrecy::ExposeSecret;

    proptest! {
        #[test]
        fn any_login_survives_and_none_is_shown(user in "[^\\p{Cc}:]{1,40}", password in "[^\\p{Cc}]{1,40}", port in 1_u16..) {
            for scheme in ["socks5", "http"] {
                let text = format!("{scheme}://{}:{}@proxy.example:{port}", escape(&user), escape(&password));
                let route = Route::parse(&text).unwrap();
                assert_eq!(route.to_secret_text().expose_secret(), text);
                assert_eq!(route.to_string(), format!("{scheme}://[hidden]@proxy.example:{port}"));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), scheme in 0_usize..6) {
            let scheme = ["", "socks5://", "http://", "mtproxy://", "tg://proxy?", "https://t.me/"][scheme];
            let _ = parse(&format!("{scheme}{text}"));
        }
    }

    #[test]
    fn what_is_no_route_is_refused_and_not_quoted() {
        let long = format!("socks5://s3cret:{}@h:1", "s3cret".repeat(50));
        let fake = format!("mtproxy://ee{}73@h:1", "5e".repeat(16));
        let table = [
            ("", RouteError::Scheme),
            ("s3cret", RouteError::Scheme),
            ("socks4://h:1", RouteError::Scheme),
            ("https://s3cret.example/proxy?server=h&port=1&secret=s3cret", RouteError::Scheme),
            ("tg://s3cret?server=h&port=1", RouteError::Scheme),
            ("socks5://h", RouteError::Address),
            ("socks5://h:0", RouteError::Address),
            ("socks5://h:65536", RouteError::Address),
            ("socks5://h:+1", RouteError::Address),
            ("socks5://:1", RouteError::Address),
            ("socks5://s3cret@:1", RouteError::Address),
            ("socks5://::1:1", RouteError::Address),
            ("socks5://[1.2.3.4]:1", RouteError::Address),
            ("socks5://1.2.3:1", RouteError::Address),
            ("http://h h:1", RouteError::Address),
            ("http://h:1/s3cret", RouteError::Address),
            ("tg://proxy?port=1&secret=s3cret", RouteError::Address),
            ("socks5://s3cret@h:1", RouteError::Credentials("must have 1 to 255 bytes each")),
            (&long, RouteError::Credentials("must have 1 to 255 bytes each")),
            ("socks5://%ff:s3cret@h:1", RouteError::Credentials("must be UTF-8 text")),
            (
                "http://a%0d%0a:s3cret@h:1",
                RouteError::Credentials("must have no control characters, and the user no colon"),
            ),
            ("mtproxy://h:1", RouteError::Secret),
            ("mtproxy://s3cret@h:1", RouteError::Secret),
            (&fake, RouteError::FakeTls),
            ("direct?s3cret=1", RouteError::Parameter("?")),
            ("direct?ip=5", RouteError::Parameter("ip")),
            ("direct?ip=4&ip=4", RouteError::Parameter("ip")),
            ("direct?bind=s3cret", RouteError::Parameter("bind")),
            ("direct?bind=1.1.1.1&bind=1.1.1.2", RouteError::Parameter("bind")),
            ("direct?secret=s3cret", RouteError::Parameter("secret")),
            ("socks5://h:1?user=s3cret", RouteError::Parameter("user")),
        ];
        for (text, expected) in table {
            let error = parse(text).err();
            assert_eq!(error, Some(expected), "{text}");
            assert!(!format!("{expected} {expected:?}").contains("s3cret"));
        }
    }
}
