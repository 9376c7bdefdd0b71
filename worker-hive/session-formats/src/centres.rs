//! Telegram's published data-centre addresses, for formats that must name one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const PRODUCTION: [(u8, Ipv4Addr); 5] = [
    (1, Ipv4Addr::new(149, 154, 175, 53)),
    (2, Ipv4Addr::new(149, 154, 167, 51)),
    (3, Ipv4Addr::new(149, 154, 175, 100)),
    (4, Ipv4Addr::new(149, 154, 167, 91)),
    (5, Ipv4Addr::new(91, 108, 56, 130)),
];

const TEST: [(u8, Ipv4Addr); 3] = [
    (1, Ipv4Addr::new(149, 154, 175, 10)),
    (2, Ipv4Addr::new(149, 154, 167, 40)),
    (3, Ipv4Addr::new(149, 154, 175, 117)),
];

/// A port that all of them listen on.
const PORT: u16 = 443;
/// The one that clients use with the test servers.
const TEST_PORT: u16 = 80;

/// Where a data-centre is, if that is public.
pub(crate) fn address(dc: u8, test_mode: bool) -> Option<SocketAddr> {
    let (table, port) = if test_mode { (&TEST[..], TEST_PORT) } else { (&PRODUCTION[..], PORT) };
    table.iter().find(|(id, _)| *id == dc).map(|(_, ip)| SocketAddr::new(IpAddr::V4(*ip), port))
}

pub(crate) fn test() -> Vec<(i32, SocketAddr)> {
    TEST.iter().map(|(dc, ip)| (i32::from(*dc), SocketAddr::new(IpAddr::V4(*ip), TEST_PORT))).collect()
}

/// True when the address is one of the test servers'.
pub(crate) fn is_test(address: &SocketAddr) -> bool {
    TEST.iter().any(|(_, ip)| address.ip() == IpAddr::V4(*ip))
}
