//! `listen` and certificates.

use crate::ledger::Ledger;
use crate::scope::Scope;
use crate::tree::Directive;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An address of the gateway's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) address: Address,
    /// Files of certificate and key.
    pub(crate) tls: Option<(String, String)>,
    pub(crate) h2c: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(String),
}

/// Adds a server's listeners to those of the servers before it.
pub(crate) fn read(scope: &Scope<'_>, server: &[Directive], listeners: &mut Vec<Listener>, ledger: &mut Ledger) {
    let http2 = scope.one("http2").is_some_and(|directive| directive.argument(0) == "on");
    let mut any = false;
    for listen in server.iter().filter(|directive| directive.name == "listen") {
        any = true;
        let Some(address) = parse(listen.argument(0)) else {
            ledger.note(listen, "write an IP address and a port, or unix:/path, into listen");
            continue;
        };
        ledger.take(listen);
        let options = listen.arguments.get(1..).unwrap_or_default();
        let has = |word: &str| options.iter().any(|option| option == word);
        for option in options {
            match option.split('=').next().unwrap_or_default() {
                "ssl" | "http2" | "reuseport" | "deferred" | "so_keepalive" | "backlog" | "fastopen" => {}
                "default_server" | "default" => ledger.note(
                    listen,
                    "default_server: hosts that no tenant has are answered with 421; add \"*\" to a tenant's domains to serve them",
                ),
                "proxy_protocol" => ledger.note(listen, "proxy_protocol is not carried over"),
                other => ledger.note(listen, &format!("{other} is not carried over")),
            }
        }
        let certificate = if has("ssl") { certificate(scope, ledger) } else { None };
        if has("ssl") && certificate.is_none() {
            ledger.note(listen, "left out: it has no certificate and key in files");
            continue;
        }
        let h2c = certificate.is_none() && (http2 || has("http2"));
        add(Listener { address, tls: certificate, h2c }, listen, listeners, ledger);
    }
    if !any {
        // nginx's own default, as root.
        let address = Address::Tcp(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 80));
        if !listeners.iter().any(|known| known.address == address) {
            listeners.push(Listener { address, tls: None, h2c: false });
        }
    }
}

fn certificate(scope: &Scope<'_>, ledger: &mut Ledger) -> Option<(String, String)> {
    let (certificate, key) = (scope.one("ssl_certificate")?, scope.one("ssl_certificate_key")?);
    let mut files = Vec::new();
    for directive in [certificate, key] {
        let path = directive.argument(0);
        if path.starts_with('/') && !path.contains('$') {
            ledger.take(directive);
            files.push(path.to_owned());
        } else {
            ledger.note(directive, "write the absolute path of one PEM file into listen");
        }
    }
    match <[String; 2]>::try_from(files) {
        Ok([certificate, key]) => Some((certificate, key)),
        Err(_) => None,
    }
}

fn add(listener: Listener, listen: &Directive, listeners: &mut Vec<Listener>, ledger: &mut Ledger) {
    if let Some(known) = listeners.iter().find(|known| known.address == listener.address) {
        if known.tls != listener.tls {
            let known = known.tls.as_ref().map_or("none", |(certificate, _)| certificate.as_str());
            let text =
                format!("this server's certificate is not the first one of the address ({known}), which is used");
            ledger.note(listen, &text);
        }
        return;
    }
    // An IPv6 socket takes IPv4, too: two sockets would be in each other's way.
    if let Address::Tcp(address) = &listener.address
        && address.ip().is_unspecified()
    {
        let twin = listeners.iter_mut().find(|known| {
            matches!(&known.address, Address::Tcp(other) if other.ip().is_unspecified() && other.port() == address.port())
        });
        if let Some(twin) = twin {
            ledger.note(listen, "one listener on [::] takes IPv4 and IPv6");
            twin.address = Address::Tcp(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port()));
            return;
        }
    }
    listeners.push(listener);
}

/// `80`, `*:80`, `127.0.0.1`, `127.0.0.1:80`, `[::1]:80`, `unix:/path`.
fn parse(text: &str) -> Option<Address> {
    if let Some(path) = text.strip_prefix("unix:") {
        return (path.starts_with('/') && path.len() <= 107).then(|| Address::Unix(path.to_owned()));
    }
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    if let Some(port) = port(text.strip_prefix("*:").unwrap_or(text)) {
        return Some(Address::Tcp(SocketAddr::new(everywhere, port)));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() > 0).then_some(Address::Tcp(address));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = if bare == "*" { everywhere } else { bare.parse().ok()? };
    Some(Address::Tcp(SocketAddr::new(ip, 80)))
}

impl Address {
    /// As the settings write it.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(path) => format!("unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn addresses() {
        let cases = [
            ("80", "0.0.0.0:80"),
            ("*:8080", "0.0.0.0:8080"),
            ("127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1:81", "127.0.0.1:81"),
            ("[::]:443", "[::]:443"),
            ("[::1]", "[::1]:80"),
            ("unix:/run/x", "unix:/run/x"),
        ];
        for (nginx, ours) in cases {
            assert_eq!(parse(nginx).unwrap().text(), ours);
        }
        for text in ["", "localhost", "localhost:80", "0", "127.0.0.1:0", "70000", "80-90", "unix:x", "1.2.3.4:5-6"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
