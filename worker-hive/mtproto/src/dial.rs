//! Makes the connection that a route describes: at the end of it stands a TCP stream that leads to a data-centre, and nothing
//! between it and whoever speaks on it, whatever the route.

use crate::frames::{Frames, GREETING, is_acceptable};
use crate::http_connect;
use crate::route::{Bind, Host, IpVersions, Route, Via};
use crate::socks;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, sleep_until};

/// How long an attempt stays alone before the next address is tried beside it (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Addresses of one host that are tried.
const MOST_ADDRESSES: usize = 6;

/// Why there is no connection. Holds nothing that is secret, and nothing of what a proxy says but numbers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("no address of the data-centre has the route's IP version")]
    NoAddress,
    #[error("the data-centre: {0}")]
    DataCentre(io::Error),
    #[error("the proxy's name: {0}")]
    ProxyName(io::Error),
    #[error("the proxy: {0}")]
    Proxy(io::Error),
    #[error("the proxy refuses user or password")]
    Denied,
    #[error("the proxy refuses to connect, with code {0}")]
    Refused(u16),
    #[error("what answers at the proxy's address is no such proxy")]
    NoProxy,
}

impl DialError {
    /// A short label for counters.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::NoAddress => "no-address",
            Self::DataCentre(_) => "unreachable",
            Self::ProxyName(_) => "proxy-name",
            Self::Proxy(_) => "proxy",
            Self::Denied => "proxy-denied",
            Self::Refused(_) => "proxy-refused",
            Self::NoProxy => "proxy-strange",
        }
    }
}

impl From<DialError> for io::Error {
    fn from(error: DialError) -> Self {
        Self::other(error)
    }
}

/// Connects to data-centre `dc`, one of whose addresses are `targets`. There is no time limit here, and no other way than the route.
pub(crate) async fn dial(route: &Route, dc: i32, targets: &[SocketAddr]) -> Result<(TcpStream, Frames), DialError> {
    let parts = route.parts();
    let stream = match &parts.via {
        Via::Direct => race(targets, |target| connect(target, parts.bind, DialError::DataCentre)).await?,
        Via::Socks5(proxy) => {
            let tunnel = async |target| {
                let mut stream = reach(&proxy.host, proxy.port, parts.ip, parts.bind).await?;
                socks::connect(&mut stream, proxy.credentials.as_ref(), target).await?;
                Ok(stream)
            };
            race(targets, tunnel).await?
        }
        Via::HttpConnect(proxy) => {
            let tunnel = async |target| {
                let mut stream = reach(&proxy.host, proxy.port, parts.ip, parts.bind).await?;
                http_connect::connect(&mut stream, proxy.credentials.as_ref(), target).await?;
                Ok(stream)
            };
            race(targets, tunnel).await?
        }
        Via::MtProxy { host, port, secret } => {
            let stream = reach(host, *port, parts.ip, parts.bind).await?;
            let dc = i16::try_from(dc).map_err(|_| DialError::NoAddress)?;
            return Ok((stream, Frames::through_mtproxy(secret, dc, &random_greeting())));
        }
    };
    Ok((stream, Frames::full()))
}

/// Connects to a proxy.
async fn reach(host: &Host, port: u16, ip: IpVersions, bind: Bind) -> Result<TcpStream, DialError> {
    let addresses = match host {
        Host::Address(address) => vec![SocketAddr::new(*address, port)],
        Host::Name(name) => {
            let found = lookup_host((name.as_str(), port)).await.map_err(DialError::ProxyName)?;
            ip.pick(found)
        }
    };
    if addresses.is_empty() {
        return Err(DialError::ProxyName(io::Error::other("it has no address of the route's IP version")));
    }
    race(&addresses, |address| connect(address, bind, DialError::Proxy)).await
}

async fn connect(
    remote: SocketAddr,
    bind: Bind,
    failed: impl Fn(io::Error) -> DialError,
) -> Result<TcpStream, DialError> {
    let Some(local) = bind.towards(remote) else {
        return Err(failed(io::Error::other("the route has no local address of its IP version")));
    };
    let connecting = async {
        let socket = if remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if !local.ip().is_unspecified() {
            socket.bind(local)?;
        }
        let stream = socket.connect(remote).await?;
        // Packets are written whole. Else an acknowledgement or the next question would wait until the last one has arrived.
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    connecting.await.map_err(failed)
}

/// The first connection that comes about, tried in order: each next one when those before have failed, or after a while beside them.
/// The error is the last one.
async fn race<F>(addresses: &[SocketAddr], attempt: impl Fn(SocketAddr) -> F) -> Result<TcpStream, DialError>
where
    F: Future<Output = Result<TcpStream, DialError>>,
{
    let mut waiting = addresses.iter().take(MOST_ADDRESSES).copied();
    let mut running = FuturesUnordered::new();
    let mut outcome = DialError::NoAddress;
    loop {
        let next = waiting.next();
        let is_last = next.is_none();
        running.extend(next.map(&attempt));
        let head_start = Instant::now() + HEAD_START;
        loop {
            tokio::select! {
                ended = running.next() => match ended {
                    Some(Ok(stream)) => return Ok(stream),
                    Some(Err(error)) => {
                        outcome = error;
                        if !is_last {
                            break;
                        }
                    }
                    None if is_last => return Err(outcome),
                    None => break,
                },
                () = sleep_until(head_start), if !is_last => break,
            }
        }
    }
}

fn random_greeting() -> [u8; GREETING] {
    loop {
        let random = rand::random();
        if is_acceptable(&random) {
            return random;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DialError, dial, race};
    use crate::route::Route;
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    async fn listener(address: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address that nobody listens on, as long as the guard lives.
    async fn refusing() -> (tokio::net::TcpSocket, SocketAddr) {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[tokio::test]
    async fn the_first_that_connects_wins_and_a_silent_one_holds_up_nobody() {
        let (_guard, refused) = refusing().await;
        let (_listener, good) = listener("127.0.0.1:0").await;
        let silent: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let attempt = async |address: SocketAddr| {
            if address == silent {
                std::future::pending::<()>().await;
            }
            TcpStream::connect(address).await.map_err(DialError::DataCentre)
        };
        for addresses in [vec![good], vec![refused, good], vec![silent, good], vec![silent, refused, silent, good]] {
            let won = timeout(Duration::from_secs(20), race(&addresses, attempt)).await.unwrap().unwrap();
            assert_eq!(won.peer_addr().unwrap(), good);
        }
        assert_eq!(race(&[refused, refused], attempt).await.unwrap_err().label(), "unreachable");
        assert_eq!(race(&[], attempt).await.unwrap_err().label(), "no-address");
    }

    #[tokio::test]
    async fn connections_leave_from_the_route_s_address() {
        let (listener, address) = listener("127.0.0.1:0").await;
        let route = Route::direct().with_bind("127.0.0.2".parse().unwrap());
        let dialed = dial(&route, 2, &[address]).await.unwrap();
        assert_eq!(listener.accept().await.unwrap().1, dialed.0.local_addr().unwrap());
        assert_eq!(dialed.0.local_addr().unwrap().ip().to_string(), "127.0.0.2");
        let v6 = dial(&route, 2, &["[::1]:9".parse().unwrap()]).await.map(|_| ()).unwrap_err();
        assert_eq!(v6.to_string(), "the data-centre: the route has no local address of its IP version");
    }
}
