//! Addresses to listen on and to connect to.

use crate::text::text_value;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where to accept connections: `127.0.0.1:8080`, `[::]:8080` (with or without `tcp:` before it) or
/// `unix:/absolute/path`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddress {
    /// An IP address and a port; port 0 takes any free one.
    Tcp(SocketAddr),
    /// The absolute path of a unix socket.
    Unix(PathBuf),
}

/// Where to connect to: `host:port` (with or without `tcp:` before it) or `unix:/absolute/path`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerAddress {
    /// A host name or IP address (an IPv6 one without its brackets) and a port.
    Tcp {
        /// Host name or IP address.
        host: String,
        /// Never 0.
        port: u16,
    },
    /// The absolute path of a unix socket.
    Unix(PathBuf),
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither of the forms.
    #[error("not an address to listen on; write \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/path\"")]
    Listen,
    /// Neither of the forms.
    #[error("not an address to connect to; write \"host:port\" or \"unix:/path\"")]
    Peer,
    /// A unix socket whose path depends on the working directory.
    #[error("the path of a unix socket must be absolute")]
    RelativePath,
    /// The kernel's `sun_path` holds 108 bytes with the final NUL.
    #[error("the path of a unix socket can't be longer than 107 bytes")]
    LongPath,
}

/// The path of `unix:/path`; `None` for other forms.
fn unix_path(text: &str) -> Option<Result<PathBuf, AddressError>> {
    let path = text.strip_prefix("unix:")?;
    Some(if !path.starts_with('/') {
        Err(AddressError::RelativePath)
    } else if path.len() > 107 {
        Err(AddressError::LongPath)
    } else {
        Ok(PathBuf::from(path))
    })
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = unix_path(text) {
            return path.map(Self::Unix);
        }
        text.strip_prefix("tcp:").unwrap_or(text).parse().map(Self::Tcp).map_err(|_| AddressError::Listen)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for PeerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = unix_path(text) {
            return path.map(Self::Unix);
        }
        let text = text.strip_prefix("tcp:").unwrap_or(text);
        if let Ok(address) = text.parse::<SocketAddr>() {
            return peer(address.ip().to_string(), address.port());
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Peer)?;
        let port = port.parse().map_err(|_| AddressError::Peer)?;
        let is_name = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if host.len() > 253 || !host.split('.').all(is_name) {
            return Err(AddressError::Peer);
        }
        peer(host.to_ascii_lowercase(), port)
    }
}

fn peer(host: String, port: u16) -> Result<PeerAddress, AddressError> {
    if port == 0 { Err(AddressError::Peer) } else { Ok(PeerAddress::Tcp { host, port }) }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

text_value!(ListenAddress, "an address such as \"127.0.0.1:8080\" or \"unix:/path\"");
text_value!(PeerAddress, "an address such as \"host:port\" or \"unix:/path\"");

#[cfg(test)]
mod tests {
    use super::{AddressError, ListenAddress, PeerAddress};

    #[test]
    fn listening() {
        for (text, printed) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("tcp:127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:80", "[::1]:80"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), printed);
        }
        for text in ["", "8080", "localhost:80", "127.0.0.1", "127.0.0.1:65536", "/run/x.sock", "http://127.0.0.1:1"] {
            assert_eq!(text.parse::<ListenAddress>(), Err(AddressError::Listen), "{text}");
        }
        assert_eq!("unix:x.sock".parse::<ListenAddress>(), Err(AddressError::RelativePath));
        assert_eq!(format!("unix:/{}", "x".repeat(107)).parse::<ListenAddress>(), Err(AddressError::LongPath));
    }

    #[test]
    fn connecting() {
        for (text, printed) in [
            ("hive.internal:9000", "hive.internal:9000"),
            ("tcp:Hive_1:9000", "hive_1:9000"),
            ("tcp:[::1]:9000", "[::1]:9000"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ] {
            assert_eq!(text.parse::<PeerAddress>().unwrap().to_string(), printed);
        }
        for text in
            ["", "host", "host:", "host:0", "127.0.0.1:0", ":80", "a..b:80", "a b:80", "a/b:80", "::1:80", "host:99999"]
        {
            assert_eq!(text.parse::<PeerAddress>(), Err(AddressError::Peer), "{text}");
        }
    }
}
