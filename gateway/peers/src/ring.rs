//! Who owns what: a Ketama ring. Pure, and the same in every gateway that was given the same members in whatever order.
//!
//! The points are those that nginx and pingora would draw for the same addresses. Two things differ from pingora's ring: members
//! may be host names and unix sockets, and where two points fall together the smaller name has it, not whoever was named first.

use crc32fast::Hasher;
use hive_client::HiveAddress;
use std::os::unix::ffi::OsStrExt;

/// Points of a member of weight 1: with so many, the shares of equal members differ by some ten percent.
const POINTS: u32 = 160;

/// Members on a circle of 2^32.
pub(crate) struct Ring {
    /// In order of their hashes, each hash once.
    points: Vec<Point>,
    members: usize,
}

struct Point {
    hash: u32,
    /// Its place among the members that were given.
    member: usize,
}

impl Ring {
    /// Of members with these addresses and weights.
    pub(crate) fn new(members: &[(&HiveAddress, u32)]) -> Self {
        let names: Vec<Vec<u8>> = members.iter().map(|(address, _)| name(address)).collect();
        let mut points = Vec::new();
        for (member, ((_, weight), name)) in members.iter().zip(&names).enumerate() {
            let mut named = Hasher::new();
            named.update(name);
            let mut last = 0_u32;
            for _ in 0..weight.saturating_mul(POINTS) {
                let mut hasher = named.clone();
                hasher.update(&last.to_le_bytes());
                last = hasher.finalize();
                points.push(Point { hash: last, member });
            }
        }
        points.sort_unstable_by_key(|point| (point.hash, names.get(point.member)));
        points.dedup_by_key(|point| point.hash);
        Self { points, members: members.len() }
    }

    /// The members in the order in which they own a key: the first one does, each next one where those before are out of reach.
    pub(crate) fn order(&self, key: &[u8]) -> Vec<usize> {
        let hash = crc32fast::hash(key);
        let from = self.points.partition_point(|point| point.hash < hash);
        let (before, after) = self.points.split_at(from);
        let mut order = Vec::with_capacity(self.members);
        for point in after.iter().chain(before) {
            if !order.contains(&point.member) {
                order.push(point.member);
                if order.len() == self.members {
                    break;
                }
            }
        }
        order
    }
}

/// `host NUL port`, as nginx has it; of a unix socket its path.
fn name(address: &HiveAddress) -> Vec<u8> {
    match address {
        HiveAddress::Unix(path) => path.as_os_str().as_bytes().to_vec(),
        HiveAddress::Tcp(authority) => {
            let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            format!("{host}\0{port}").into_bytes()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ring;
    use hive_client::HiveAddress;
    use pingora_ketama::{Bucket, Continuum};
    use slice::MediaId;
    use std::net::SocketAddr;

    fn tcp(text: &str) -> HiveAddress {
        HiveAddress::Tcp(text.to_owned())
    }

    fn members() -> Vec<HiveAddress> {
        let unix = HiveAddress::Unix("/run/streamvault/peer.sock".into());
        vec![tcp("10.0.0.1:9100"), tcp("[2001:db8::2]:9100"), tcp("gateway-3.internal:9100"), unix]
    }

    fn ring(members: &[HiveAddress]) -> Ring {
        Ring::new(&members.iter().map(|address| (address, 1)).collect::<Vec<_>>())
    }

    /// As they come: a few chats, message after message.
    fn media(count: i32) -> impl Iterator<Item = String> {
        (0..count).map(|at| MediaId::message(-1_001_700_000_000 - i64::from(at % 7), at / 7 + 1).to_string())
    }

    #[test]
    fn the_points_are_those_of_pingoras_ring() {
        let addresses: Vec<SocketAddr> =
            ["10.0.0.1:9100", "10.0.0.2:9100", "[2001:db8::2]:9100"].map(|text| text.parse().unwrap()).into();
        for weights in [[1, 1, 1], [3, 1, 2]] {
            let buckets: Vec<Bucket> =
                addresses.iter().zip(weights).map(|(address, weight)| Bucket::new(*address, weight)).collect();
            let oracle = Continuum::new(&buckets);
            let names: Vec<HiveAddress> = addresses.iter().map(|address| tcp(&address.to_string())).collect();
            let ring = Ring::new(&names.iter().zip(weights).collect::<Vec<_>>());
            for key in media(3000) {
                let ours = addresses[ring.order(key.as_bytes())[0]];
                assert_eq!(Some(ours), oracle.node(key.as_bytes()), "{key}");
            }
        }
    }

    #[test]
    fn media_are_spread_by_weight() {
        let members = members();
        for weights in [[1, 1, 1, 1], [1, 2, 4, 1]] {
            let ring = Ring::new(&members.iter().zip(weights).collect::<Vec<_>>());
            let mut counts = [0_u32; 4];
            for key in media(20_000) {
                counts[ring.order(key.as_bytes())[0]] += 1;
            }
            let whole: u32 = weights.iter().sum();
            for (count, weight) in counts.iter().zip(weights) {
                let fair = 20_000 * weight / whole;
                assert!((fair * 7 / 10..fair * 13 / 10).contains(count), "{counts:?} for {weights:?}");
            }
        }
    }

    #[test]
    fn only_the_media_of_who_leaves_move_and_they_move_to_who_was_next() {
        let all = members();
        let whole = ring(&all);
        for gone in 0..all.len() {
            let left: Vec<HiveAddress> =
                all.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, member)| member.clone()).collect();
            let less = ring(&left);
            for key in media(3000) {
                let order = whole.order(key.as_bytes());
                let expected: Vec<&HiveAddress> = order.iter().filter(|at| **at != gone).map(|at| &all[*at]).collect();
                let found: Vec<&HiveAddress> = less.order(key.as_bytes()).into_iter().map(|at| &left[at]).collect();
                assert_eq!(found, expected, "{key}");
            }
        }
    }

    #[test]
    fn the_order_of_the_list_is_nothing_to_it() {
        let all = members();
        let other: Vec<HiveAddress> = all.iter().rev().cloned().collect();
        let (one, two) = (ring(&all), ring(&other));
        for key in media(3000) {
            let names = |ring: &Ring, of: &[HiveAddress]| -> Vec<HiveAddress> {
                ring.order(key.as_bytes()).into_iter().map(|at| of[at].clone()).collect()
            };
            assert_eq!(names(&one, &all), names(&two, &other), "{key}");
        }
    }
}
