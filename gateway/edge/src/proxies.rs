//! Proxies in front: whom to believe about where a viewer connects from. Pure.

use crate::remote::Remote;
use config::gateway::TrustedProxy;
use http::HeaderMap;
use http::header::HeaderName;
use std::net::IpAddr;

const LIST: &str = "x-forwarded-for";
const SCHEME: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Proxies that are believed.
#[derive(Debug)]
pub(crate) struct Proxies {
    trusted: Vec<TrustedProxy>,
    header: HeaderName,
}

impl Proxies {
    pub(crate) fn new(settings: &config::gateway::Proxies) -> Self {
        // The settings' own check lets names of headers pass only.
        let header = HeaderName::from_bytes(settings.header.as_bytes()).unwrap_or(HeaderName::from_static(LIST));
        Self { trusted: settings.trusted.clone(), header }
    }

    /// Whether who connects is believed; `None` connects to a unix socket.
    pub(crate) fn trusts(&self, peer: Option<IpAddr>) -> bool {
        self.trusted.iter().any(|trusted| match (trusted, peer) {
            (TrustedProxy::Unix, None) => true,
            (TrustedProxy::Net(net), Some(address)) => net.contains(&address.to_canonical()),
            _ => false,
        })
    }

    /// Where a request really comes from, and whether by HTTPS: what a believed proxy says, else what the connection shows.
    pub(crate) fn see(&self, peer: Option<&Remote>, secure: bool, headers: &HeaderMap) -> (Option<Remote>, bool) {
        if self.trusted.is_empty() || !self.trusts(peer.map(|peer| peer.address)) {
            return (peer.cloned(), secure);
        }
        let named = if self.header == LIST { self.last_stranger(headers) } else { single(headers, &self.header) };
        let secure = headers.get(SCHEME).map_or(secure, |scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https"));
        (named.map(Remote::new).or_else(|| peer.cloned()), secure)
    }

    /// Each proxy adds whom it saw at the end. So the last address that is no proxy of ours is the last one that somebody believed
    /// really saw; what stands before it anybody may have written.
    fn last_stranger(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let lines: Vec<_> = headers.get_all(&self.header).iter().filter_map(|line| line.to_str().ok()).collect();
        let mut addresses = lines.iter().flat_map(|line| line.split(',')).rev().map(|text| address(text.trim()));
        let mut last = None;
        for named in addresses.by_ref() {
            // Who writes no address is not believed about what stands before it, either.
            let Some(named) = named else { return last };
            last = Some(named);
            if !self.trusts(last) {
                break;
            }
        }
        last
    }
}

fn single(headers: &HeaderMap, name: &HeaderName) -> Option<IpAddr> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?.to_str().ok()?;
    // Two of them: one was not the proxy's.
    if lines.next().is_some() { None } else { address(line.trim()) }
}

/// An address, perhaps with a port, as some proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let whole = text.parse::<IpAddr>().ok();
    whole.or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::Proxies;
    use crate::remote::Remote;
    use http::{HeaderMap, HeaderName, HeaderValue};

    fn see(trusted: &[&str], header: &str, peer: Option<&str>, headers: &[(&'static str, &str)]) -> (String, bool) {
        let settings = config::gateway::Proxies {
            trusted: trusted.iter().map(|text| text.parse().unwrap()).collect(),
            header: header.to_owned(),
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let peer = peer.map(|peer| Remote::new(peer.parse().unwrap()));
        let (remote, secure) = Proxies::new(&settings).see(peer.as_ref(), false, &map);
        (remote.map_or("-".to_owned(), |remote| remote.text.to_string()), secure)
    }

    #[test]
    fn only_proxies_are_believed() {
        let list = "x-forwarded-for";
        let local = Some("127.0.0.1");
        type Case =
            (&'static [&'static str], Option<&'static str>, &'static [(&'static str, &'static str)], &'static str);
        let cases: [Case; 12] = [
            (&[], local, &[("x-forwarded-for", "192.0.2.1")], "127.0.0.1"),
            (&["10.0.0.0/8"], local, &[("x-forwarded-for", "192.0.2.1")], "127.0.0.1"),
            (&["127.0.0.1"], local, &[("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
            (&["127.0.0.1"], Some("::ffff:127.0.0.1"), &[("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
            (&["127.0.0.1"], local, &[("x-forwarded-for", "192.0.2.9, 192.0.2.1")], "192.0.2.1"),
            (
                &["127.0.0.1", "10.0.0.0/8"],
                local,
                &[("x-forwarded-for", "192.0.2.9, 192.0.2.1, 10.1.1.1")],
                "192.0.2.1",
            ),
            (&["127.0.0.1"], local, &[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "192.0.2.2")], "192.0.2.2"),
            (&["127.0.0.1"], local, &[("x-forwarded-for", "192.0.2.1, unknown")], "127.0.0.1"),
            (&["127.0.0.1"], local, &[("x-forwarded-for", "127.0.0.1")], "127.0.0.1"),
            (&["127.0.0.1"], local, &[("x-forwarded-for", "[2001:db8::1]:4711")], "2001:db8::1"),
            (&["unix"], None, &[("x-forwarded-for", "192.0.2.1")], "192.0.2.1"),
            (&["127.0.0.1"], local, &[], "127.0.0.1"),
        ];
        for (trusted, peer, headers, expected) in cases {
            assert_eq!(see(trusted, list, peer, headers).0, expected, "{trusted:?} {headers:?}");
        }
        let cloudflare =
            [("cf-connecting-ip", "192.0.2.7"), ("x-forwarded-for", "192.0.2.8"), ("x-forwarded-proto", "https")];
        assert_eq!(see(&["127.0.0.1"], "cf-connecting-ip", local, &cloudflare), ("192.0.2.7".to_owned(), true));
        assert_eq!(see(&[], "cf-connecting-ip", local, &cloudflare), ("127.0.0.1".to_owned(), false));
        let two = [("cf-connecting-ip", "192.0.2.7"), ("cf-connecting-ip", "192.0.2.8")];
        assert_eq!(see(&["127.0.0.1"], "cf-connecting-ip", local, &two).0, "127.0.0.1");
    }
}
