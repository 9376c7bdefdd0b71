//! Where a viewer connects from. Written out once for a connection, since each of its requests needs it as text.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// A viewer's address.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) address: IpAddr,
    /// As nginx's `$remote_addr` prints it.
    pub(crate) text: Arc<str>,
    /// Whom the address stands for. Of IPv6 that is a /64: a viewer has all of it, and could be as many viewers as it liked.
    pub(crate) household: Arc<str>,
}

impl Remote {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self { address, text: address.to_string().into(), household: household(address).to_string().into() }
    }
}

/// Whom an address stands for.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::Remote;

    #[test]
    fn an_ipv6_viewer_is_a_network() {
        for (address, household) in
            [("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
        {
            let remote = Remote::new(address.parse().unwrap());
            assert_eq!((&*remote.text, &*remote.household), (address, household));
        }
    }
}
