//! Host names that lead to a tenant.

use crate::text::text_value;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A pattern for the host of a request, lower case. An exact name beats a wildcard, a longer wildcard a shorter one, and
/// everything beats `*`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Domain {
    /// `films.example.com`, or an IP address (an IPv6 one without brackets).
    Exact(String),
    /// Every name below this one at any depth, but not the name itself: `example.com` out of `*.example.com`.
    Subdomains(String),
    /// `*`: every host that nothing else names.
    Any,
}

/// Why a text is no domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a domain; write \"films.example.com\", \"*.example.com\" or \"*\", without port (names in other scripts as xn--…)"
)]
pub struct DomainError;

fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Exact(address.to_string()));
        }
        let (name, wildcard) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        if !is_host_name(name) {
            return Err(DomainError);
        }
        let name = name.to_ascii_lowercase();
        Ok(if wildcard { Self::Subdomains(name) } else { Self::Exact(name) })
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Subdomains(name) => write!(f, "*.{name}"),
            Self::Any => f.write_str("*"),
        }
    }
}

text_value!(Domain, "a domain such as \"films.example.com\", \"*.example.com\" or \"*\"");

#[cfg(test)]
mod tests {
    use super::{Domain, DomainError};

    #[test]
    fn patterns() {
        let exact = |name: &str| Ok(Domain::Exact(name.to_owned()));
        for (text, parsed) in [
            ("*", Ok(Domain::Any)),
            ("Films.Example.com", exact("films.example.com")),
            ("*.Example.com", Ok(Domain::Subdomains("example.com".to_owned()))),
            ("localhost", exact("localhost")),
            ("127.0.0.1", exact("127.0.0.1")),
            ("0:0:0:0:0:0:0:1", exact("::1")),
            ("xn--bcher-kva.example", exact("xn--bcher-kva.example")),
        ] {
            assert_eq!(text.parse(), parsed, "{text}");
        }
        let overlong = "a.".repeat(127) + "a";
        for text in
            ["", ".", "a.", "*.", "**", "*a.b", "a.*.b", "-a.b", "a-.b", "a..b", "a:80", "a b", "bücher.de", &overlong]
        {
            assert_eq!(text.parse::<Domain>(), Err(DomainError), "{text}");
        }
    }
}
