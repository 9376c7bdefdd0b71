//! Where a hive listens.

use std::path::PathBuf;
use std::str::FromStr;

/// A hive's address: `unix:/absolute/path` or `tcp:host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HiveAddress {
    /// A unix socket on this machine.
    Unix(PathBuf),
    /// `host:port`, resolved anew for each connection.
    Tcp(String),
}

/// The text is no hive address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected unix:/absolute/path or tcp:host:port")]
pub struct AddressError;

impl FromStr for HiveAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
            return Ok(Self::Unix(PathBuf::from(path)));
        }
        let authority = text.strip_prefix("tcp:").ok_or(AddressError)?;
        let (host, port) = authority.rsplit_once(':').ok_or(AddressError)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(AddressError);
        }
        Ok(Self::Tcp(authority.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressError, HiveAddress};

    #[test]
    fn parses_both_forms_and_nothing_else() {
        assert_eq!("unix:/run/hive.sock".parse(), Ok(HiveAddress::Unix("/run/hive.sock".into())));
        assert_eq!("tcp:[::1]:8000".parse(), Ok(HiveAddress::Tcp("[::1]:8000".into())));
        for text in ["", "unix:", "unix:hive.sock", "tcp:", "tcp:host", "tcp::80", "tcp:host:99999", "http://host"] {
            assert_eq!(text.parse::<HiveAddress>(), Err(AddressError), "{text}");
        }
    }
}
