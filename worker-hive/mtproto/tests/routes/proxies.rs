//! Proxies: others' code does the talking. They leave from an address of their own, by which the data-centre knows them.

use fast_socks5::server::Socks5ServerProtocol;
use fast_socks5::util::target_addr::TargetAddr;
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderValue, PROXY_AUTHORIZATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Where all proxies here connect from, on IPv4.
pub(crate) const LEAVES_FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

pub(crate) const USER: &str = "us er@%";
pub(crate) const PASSWORD: &str = "pa ss:wörd/?#";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Socks,
    Http,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Lets everybody through.
    Open,
    /// Wants [`USER`] and [`PASSWORD`].
    Login,
    /// Takes connections and says nothing.
    Hang,
    /// Is something else.
    Stranger,
}

/// A proxy that runs until it is dropped, together with all that goes through it.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    through: Arc<AtomicUsize>,
    _running: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(kind: Kind, manner: Manner) -> Self {
        Self::start_at(kind, manner, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start_at(kind: Kind, manner: Manner, address: SocketAddr) -> Self {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(128).unwrap();
        let address = listener.local_addr().unwrap();
        let through = Arc::<AtomicUsize>::default();
        let mut running = JoinSet::new();
        running.spawn(serve(listener, kind, manner, Arc::clone(&through)));
        Self { address, through, _running: running }
    }

    /// Tunnels that came about.
    pub(crate) fn through(&self) -> usize {
        self.through.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, kind: Kind, manner: Manner, through: Arc<AtomicUsize>) {
    let mut clients = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let through = Arc::clone(&through);
        match (manner, kind) {
            (Manner::Hang, _) => drop(clients.spawn(async move {
                let _held = stream;
                std::future::pending::<()>().await;
            })),
            (Manner::Stranger, _) => drop(clients.spawn(async move {
                let _ = stream.try_write(b"220 mail.example ESMTP\r\n");
                std::future::pending::<()>().await;
            })),
            (_, Kind::Socks) => drop(clients.spawn(socks(stream, manner, through))),
            (_, Kind::Http) => drop(clients.spawn(http(stream, manner, through))),
        }
    }
}

async fn leave(target: SocketAddr) -> std::io::Result<TcpStream> {
    if target.is_ipv6() {
        return TcpStream::connect(target).await;
    }
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(LEAVES_FROM, 0))?;
    socket.connect(target).await
}

async fn socks(stream: TcpStream, manner: Manner, through: Arc<AtomicUsize>) {
    let accepted = if manner == Manner::Login {
        let check = |user: String, password: String| user == USER && password == PASSWORD;
        Socks5ServerProtocol::accept_password_auth(stream, check).await.map(|(accepted, _)| accepted)
    } else {
        Socks5ServerProtocol::accept_no_auth(stream).await
    };
    let Ok(accepted) = accepted else { return };
    let Ok((command, _, target)) = accepted.read_command().await else { return };
    let TargetAddr::Ip(target) = target else { panic!("a name was asked for") };
    let mut out = match leave(target).await {
        Ok(out) => out,
        Err(_) => {
            let _ = command.reply_error(&fast_socks5::ReplyError::ConnectionRefused).await;
            return;
        }
    };
    let Ok(mut stream) = command.reply_success(out.local_addr().unwrap()).await else { return };
    through.fetch_add(1, Ordering::SeqCst);
    let _ = copy_bidirectional(&mut stream, &mut out).await;
}

async fn http(stream: TcpStream, manner: Manner, through: Arc<AtomicUsize>) {
    let service = service_fn(move |request| tunnel(request, manner, Arc::clone(&through)));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let _ = connection.with_upgrades().await;
}

async fn tunnel(
    request: Request<Incoming>,
    manner: Manner,
    through: Arc<AtomicUsize>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let answer = |status| {
        let mut answer = Response::new(Empty::new());
        *answer.status_mut() = status;
        Ok(answer)
    };
    // Written out rather than computed: what `Basic` means is RFC 7617's, not the code's under test.
    let login = HeaderValue::from_static("Basic dXMgZXJAJTpwYSBzczp3w7ZyZC8/Iw==");
    if manner == Manner::Login && request.headers().get(PROXY_AUTHORIZATION) != Some(&login) {
        return answer(StatusCode::PROXY_AUTHENTICATION_REQUIRED);
    }
    let target = request.uri().authority().and_then(|authority| authority.as_str().parse().ok());
    let (&Method::CONNECT, Some(target)) = (request.method(), target) else { return answer(StatusCode::BAD_REQUEST) };
    let Ok(mut out) = leave(target).await else { return answer(StatusCode::BAD_GATEWAY) };
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        through.fetch_add(1, Ordering::SeqCst);
        let _ = copy_bidirectional(&mut TokioIo::new(upgraded), &mut out).await;
    });
    answer(StatusCode::OK)
}
