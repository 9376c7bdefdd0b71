//! The line by which a proxy says where a connection really comes from (HAProxy's PROXY protocol, versions 1 and 2).

use crate::proxies::Proxies;
use bytes::BytesMut;
use pingora::protocols::GetSocketDigest;
use pingora::protocols::SocketDigest;
use pingora::protocols::l4::stream::Stream as SocketStream;
use ppp::{HeaderResult, PartialResult, v1, v2};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// How long the line may take: a proxy sends it with the connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of the longest line that is read. Version 2 allows more, for what nobody here asks for.
const LONGEST: usize = 4 << 10;

/// How a line of version 1 begins.
const LINE: &[u8] = b"PROXY ";
/// Bytes of the longest one (the protocol's section 2.1).
const LONGEST_LINE: usize = 107;

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It comes from here.
    From(SocketAddr),
    /// The proxy speaks for itself, as health checks do, or of what is no TCP.
    Own,
}

/// Takes the line off a connection, and has it stand for whom it speaks. False: it is none that is believed, and must end.
pub(crate) async fn take(stream: &mut SocketStream, proxies: &Proxies) -> bool {
    let digest = stream.get_socket_digest();
    let peer = digest.and_then(|digest| digest.peer_addr().and_then(|peer| peer.as_inet().map(SocketAddr::ip)));
    if !proxies.trusts(peer) {
        tracing::debug!(?peer, "a connection with the PROXY protocol of one who is not among proxies.trusted");
        return false;
    }
    let mut read = BytesMut::new();
    let Ok(Some(said)) = pingora_timeout::timeout(PATIENCE, header(stream, &mut read)).await else { return false };
    stream.rewind(&read);
    if let Said::From(address) = said {
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        let _ = digest.peer_addr.set(Some(address.into()));
        stream.set_socket_digest(digest);
    }
    true
}

/// Reads until the line is whole, and leaves what follows it in `read`.
async fn header(stream: &mut SocketStream, read: &mut BytesMut) -> Option<Said> {
    loop {
        if stream.read_buf(read).await.ok()? == 0 || read.len() > LONGEST {
            return None;
        }
        if let Some((said, length)) = parse(read)? {
            let _ = read.split_to(length);
            return Some(said);
        }
    }
}

/// `None`: no line. `Some(None)`: not whole yet.
fn parse(bytes: &[u8]) -> Option<Option<(Said, usize)>> {
    let result = HeaderResult::parse(bytes);
    // Of a line that stops between two fields the parser says that it is wrong.
    let stops = bytes.starts_with(LINE) && bytes.len() < LONGEST_LINE && !bytes.contains(&b'\n');
    if result.is_incomplete() || stops {
        return Some(None);
    }
    match result {
        HeaderResult::V1(Ok(header)) => {
            let said = match header.addresses {
                v1::Addresses::Tcp4(from) => from_ip(IpAddr::V4(from.source_address), from.source_port),
                v1::Addresses::Tcp6(from) => from_ip(IpAddr::V6(from.source_address), from.source_port),
                v1::Addresses::Unknown => Said::Own,
            };
            Some(Some((said, header.header.len())))
        }
        HeaderResult::V2(Ok(header)) => {
            let said = match (header.command, header.addresses) {
                (v2::Command::Proxy, v2::Addresses::IPv4(from)) => {
                    from_ip(IpAddr::V4(from.source_address), from.source_port)
                }
                (v2::Command::Proxy, v2::Addresses::IPv6(from)) => {
                    from_ip(IpAddr::V6(from.source_address), from.source_port)
                }
                _ => Said::Own,
            };
            Some(Some((said, header.header.len())))
        }
        _ => None,
    }
}

fn from_ip(address: IpAddr, port: u16) -> Said {
    Said::From(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::{Said, parse};

    #[test]
    fn lines_are_read_whole() {
        let from = |text: &str| Said::From(text.parse().unwrap());
        let four = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x12\x34\x01\xbb";
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
        let cases: [(&[u8], Said); 5] = [
            (b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 443\r\n", from("192.0.2.1:4660")),
            (b"PROXY TCP6 2001:db8::1 ::1 4660 443\r\n", from("[2001:db8::1]:4660")),
            (b"PROXY UNKNOWN\r\n", Said::Own),
            (four, from("192.0.2.1:4660")),
            (local, Said::Own),
        ];
        for (line, said) in cases {
            let with_more = [line, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(parse(&with_more), Some(Some((said, line.len()))), "{line:?}");
            for end in 1..line.len() {
                assert_eq!(parse(&line[..end]), Some(None), "{end} of {line:?}");
            }
        }
        for none in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PROXY TCP4 x y 1 2\r\n", b"\x16\x03\x01\x02\x00\x01"] {
            assert_eq!(parse(none), None, "{none:?}");
        }
    }
}
