//! The way that a session's connections take to Telegram. Pure: no socket, no names looked up.
//!
//! | text | way |
//! | --- | --- |
//! | `direct` | straight to the data-centre |
//! | `socks5://[user:password@]host:port` | SOCKS5 (RFC 1928, 1929); also `tg://socks?…` and `https://t.me/socks?…` links |
//! | `http://[user:password@]host:port` | HTTP CONNECT (RFC 9110 §9.3.6), with basic authentication |
//! | `mtproxy://secret@host:port` | MTProxy; also `tg://proxy?…` and `https://t.me/proxy?…` links |
//!
//! `?ip=4`, `?ip=6` or `?ip=any` chooses the IP version, `?bind=ADDRESS` (once per version) the local address that connections
//! leave from. In user and password whatever stands for something else in a URL is written as `%XX`. An IPv6 host stands in brackets.

use crate::proxy_secret::ProxySecret;
use crate::route_text;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// How connections reach Telegram. Cheap to clone. Neither `Display` nor `Debug` shows user, password or secret.
#[derive(Clone, Default)]
pub struct Route(Arc<Parts>);

#[derive(Clone, Default)]
pub(crate) struct Parts {
    pub(crate) via: Via,
    pub(crate) ip: IpVersions,
    pub(crate) bind: Bind,
}

/// Which IP versions are used: to Telegram, to a proxy whose host is a name, and of Telegram's addresses that a proxy is asked for.
/// An address that is given as such, of a data-centre or a proxy, is used whatever its version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpVersions {
    /// IPv4 alone.
    #[default]
    V4,
    /// IPv6 alone.
    V6,
    /// Both, IPv6 first and IPv4 soon after; whichever connects is used (RFC 8305).
    Any,
}

/// Local addresses that connections leave from; with only one of them set, only its IP version is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bind {
    pub(crate) v4: Option<Ipv4Addr>,
    pub(crate) v6: Option<Ipv6Addr>,
}

#[derive(Clone, Default)]
pub(crate) enum Via {
    #[default]
    Direct,
    Socks5(Proxy),
    HttpConnect(Proxy),
    MtProxy {
        host: Host,
        port: u16,
        secret: ProxySecret,
    },
}

#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) credentials: Option<Credentials>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(String),
}

#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) user: SecretString,
    pub(crate) password: SecretString,
}

/// The text is no route. Never quotes the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// None of the known ways.
    #[error("a route is `direct`, or begins with socks5://, http://, mtproxy://, tg:// or https://t.me/")]
    Scheme,
    /// Host or port missing or impossible.
    #[error("the route's proxy must be host:port, an IPv6 host in brackets")]
    Address,
    /// User or password that the proxy's protocol can't carry.
    #[error("the route's user and password {0}")]
    Credentials(&'static str),
    /// Not the secret of an MTProxy.
    #[error("the MTProxy's secret must be 16 bytes, alone or after `dd`, as hexadecimal digits or base64url")]
    Secret,
    /// A secret that asks for MTProxy's disguise as TLS, which is not done here.
    #[error(
        "the MTProxy's secret begins with `ee`: a disguise as TLS, which is not supported. Ask for one that begins with `dd`"
    )]
    FakeTls,
    /// A parameter that is unknown, doubled, or has an impossible value.
    #[error("the route's parameter `{0}` is unknown, given twice, or has a value that can't be")]
    Parameter(&'static str),
}

impl Route {
    /// Straight to the data-centres.
    #[must_use]
    pub fn direct() -> Self {
        Self::default()
    }

    /// Reads a route's text, up to 4096 bytes.
    ///
    /// # Errors
    /// [`RouteError`], which never quotes the text.
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        route_text::parse(text).map(|parts| Self(Arc::new(parts)))
    }

    /// The same route with other IP versions.
    #[must_use]
    pub fn with_ip(self, ip: IpVersions) -> Self {
        self.changed(|parts| parts.ip = ip)
    }

    /// The same route, its connections leaving from this local address. One of each IP version can be set.
    #[must_use]
    pub fn with_bind(self, address: IpAddr) -> Self {
        self.changed(|parts| match address {
            IpAddr::V4(address) => parts.bind.v4 = Some(address),
            IpAddr::V6(address) => parts.bind.v6 = Some(address),
        })
    }

    /// The whole text, credentials and all, which [`Route::parse`] reads back. For the session store.
    #[must_use]
    pub fn to_secret_text(&self) -> SecretString {
        SecretString::from(self.text(true))
    }

    /// True when connections don't go to Telegram's addresses but to a proxy's.
    #[must_use]
    pub fn is_proxied(&self) -> bool {
        !matches!(self.0.via, Via::Direct)
    }

    /// True when the whole text is a secret: it has user, password, or an MTProxy's secret in it.
    #[must_use]
    pub fn holds_secret(&self) -> bool {
        match &self.0.via {
            Via::Direct => false,
            Via::Socks5(proxy) | Via::HttpConnect(proxy) => proxy.credentials.is_some(),
            Via::MtProxy { .. } => true,
        }
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.0
    }

    fn changed(mut self, change: impl FnOnce(&mut Parts)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    fn text(&self, whole: bool) -> String {
        let at = |host: &Host, port: u16, login: Option<String>| match (login, whole) {
            (Some(login), true) => format!("{login}@{host}:{port}"),
            (Some(_), false) => format!("[hidden]@{host}:{port}"),
            (None, _) => format!("{host}:{port}"),
        };
        let login = |proxy: &Proxy| {
            proxy.credentials.as_ref().map(|credentials| {
                let user = route_text::escape(credentials.user.expose_secret());
                let password = route_text::escape(credentials.password.expose_secret());
                format!("{user}:{password}")
            })
        };
        let mut text = match &self.0.via {
            Via::Direct => "direct".to_owned(),
            Via::Socks5(proxy) => format!("socks5://{}", at(&proxy.host, proxy.port, login(proxy))),
            Via::HttpConnect(proxy) => format!("http://{}", at(&proxy.host, proxy.port, login(proxy))),
            Via::MtProxy { host, port, secret } => format!("mtproxy://{}", at(host, *port, Some(secret.to_hex()))),
        };
        let mut separator = '?';
        let mut add = |name: &str, value: &dyn fmt::Display| {
            text.push_str(&format!("{separator}{name}={value}"));
            separator = '&';
        };
        if self.0.ip != IpVersions::default() {
            add("ip", &self.0.ip);
        }
        if let Some(address) = self.0.bind.v4 {
            add("bind", &address);
        }
        if let Some(address) = self.0.bind.v6 {
            add("bind", &address);
        }
        text
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(false))
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(false))
    }
}

impl fmt::Display for IpVersions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "4",
            Self::V6 => "6",
            Self::Any => "any",
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl IpVersions {
    /// The addresses of these versions, in the order in which they are tried: alternating, IPv6 first.
    pub(crate) fn pick(self, addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let (v6, v4): (Vec<_>, Vec<_>) = addresses.into_iter().partition(SocketAddr::is_ipv6);
        match self {
            Self::V4 => v4,
            Self::V6 => v6,
            Self::Any => {
                let longest = v4.len().max(v6.len());
                (0..longest).flat_map(|n| [v6.get(n), v4.get(n)]).flatten().copied().collect()
            }
        }
    }
}

impl Bind {
    /// The local address for a connection there; `None` when this version must not be used.
    pub(crate) fn towards(&self, remote: SocketAddr) -> Option<SocketAddr> {
        let any = self.v4.is_none() && self.v6.is_none();
        let local = match remote {
            SocketAddr::V4(_) => self.v4.map(IpAddr::V4).or(any.then_some(Ipv4Addr::UNSPECIFIED.into())),
            SocketAddr::V6(_) => self.v6.map(IpAddr::V6).or(any.then_some(Ipv6Addr::UNSPECIFIED.into())),
        };
        local.map(|local| SocketAddr::new(local, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::{Bind, IpVersions, Route};
    use secrecy::ExposeSecret;
    use std::net::SocketAddr;

    const KEY: &str = "00112233445566778899aabbccddeeff";

    #[test]
    fn what_is_shown_has_no_credentials_and_what_is_kept_has_all() {
        let dd = format!("dd{KEY}");
        let table = [
            ("direct".to_owned(), "direct", None),
            (" direct?bind=127.0.0.2&ip=any\n".to_owned(), "direct?ip=any&bind=127.0.0.2", None),
            ("direct?bind=::1&bind=10.0.0.1".to_owned(), "direct?bind=10.0.0.1&bind=::1", None),
            ("socks5://10.0.0.1:1080".to_owned(), "socks5://10.0.0.1:1080", None),
            ("SOCKS5H://[::1]:1080/?ip=6".to_owned(), "socks5://[::1]:1080?ip=6", None),
            (
                "socks5://us%3Aer:pa%40ss@w@proxy.example:9".to_owned(),
                "socks5://[hidden]@proxy.example:9",
                Some("socks5://us%3Aer:pa%40ss%40w@proxy.example:9"),
            ),
            (
                "http://user:p:q@proxy:3128/".to_owned(),
                "http://[hidden]@proxy:3128",
                Some("http://user:p%3Aq@proxy:3128"),
            ),
            (
                "tg://socks?server=proxy&port=9&user=a&pass=b".to_owned(),
                "socks5://[hidden]@proxy:9",
                Some("socks5://a:b@proxy:9"),
            ),
            ("https://t.me/socks?server=::1&port=9".to_owned(), "socks5://[::1]:9", None),
            (
                format!("mtproxy://{KEY}@host:443"),
                "mtproxy://[hidden]@host:443",
                Some("mtproxy://00112233445566778899aabbccddeeff@host:443"),
            ),
            (
                format!("tg://proxy?server=1.2.3.4&port=443&secret={dd}&ip=any"),
                "mtproxy://[hidden]@1.2.3.4:443?ip=any",
                Some("mtproxy://dd00112233445566778899aabbccddeeff@1.2.3.4:443?ip=any"),
            ),
            (
                "https://t.me/proxy?server=a.b&port=1&secret=ABEiM0RVZneImaq7zN3u_w".to_owned(),
                "mtproxy://[hidden]@a.b:1",
                Some("mtproxy://00112233445566778899aabbccddeeff@a.b:1"),
            ),
        ];
        for (text, shown, kept) in table {
            let route = Route::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((route.to_string(), format!("{route:?}")), (shown.to_owned(), shown.to_owned()), "{text}");
            let whole = route.to_secret_text();
            assert_eq!(whole.expose_secret(), kept.unwrap_or(shown), "{text}");
            assert_eq!(route.holds_secret(), kept.is_some());
            let again = Route::parse(whole.expose_secret()).unwrap();
            assert_eq!(again.to_secret_text().expose_secret(), whole.expose_secret());
        }
    }

    #[test]
    fn addresses_are_tried_in_turn_and_none_of_a_version_that_has_no_local_address() {
        let parse = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let all = parse(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1", "[::1]:1", "[::2]:1"]);
        let any = parse(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "3.3.3.3:1"]);
        assert_eq!(IpVersions::Any.pick(all.clone()), any);
        assert_eq!(IpVersions::V6.pick(all.clone()), parse(&["[::1]:1", "[::2]:1"]));
        assert_eq!(IpVersions::V4.pick(all.clone()), parse(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"]));
        let bind = Bind { v4: Some([127, 0, 0, 2].into()), v6: None };
        assert_eq!(bind.towards(all[0]), Some("127.0.0.2:0".parse().unwrap()));
        assert_eq!(bind.towards(all[3]), None);
        assert_eq!(Bind::default().towards(all[3]), Some("[::]:0".parse().unwrap()));
    }
}
