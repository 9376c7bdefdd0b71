use alloc::{format, string::String};

/// Host names, some with all below them (`*.example.com`, which is not `example.com` itself).
#[derive(Debug)]
pub(crate) struct Hosts(&'static [String]);

impl Hosts {
    pub(crate) fn new(setting: &str, hosts: &'static [String]) -> Result<Self, String> {
        for host in hosts {
            let name = host.strip_prefix("*.").unwrap_or(host);
            let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
            if name.is_empty() || !name.bytes().all(known) {
                return Err(format!(
                    "{setting}: `{host}` is neither a host (lower case, no scheme, no port) nor `*.` and a host"
                ));
            }
        }
        Ok(Self(hosts))
    }

    pub(crate) fn hold(&self, host: &str) -> bool {
        self.0.iter().any(|known| match known.strip_prefix('*') {
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => known == host,
        })
    }
}
