//! Listeners: TCP or a unix socket, HTTP/1.1 and h2c on both.

use crate::greeting::Greeting;
use axum::Router;
use config::ListenAddress;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// A gateway's headers are a few hundred bytes; whoever sends more is none.
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// Time for a connection's first bytes, and for each request's headers, to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
/// An HTTP/2 peer that is asked for a sign of life this often and gives none for [`PING_TIMEOUT`] is gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// After a failed accept, mostly for want of file descriptors: without a pause this would be a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound listener. A unix socket's file is removed when it is dropped.
pub(crate) struct Listener {
    kind: Kind,
    socket: Option<SocketFile>,
}

enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    pub(crate) async fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => {
                Ok(Self { kind: Kind::Tcp(TcpListener::bind(address).await?), socket: None })
            }
            ListenAddress::Unix(path) => {
                remove_stale(path).await?;
                let listener = UnixListener::bind(path)?;
                let socket = Some(SocketFile(path.clone()));
                // The token guards it as well; the mode keeps others from even knocking, the group lets a gateway of another user in.
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
                Ok(Self { kind: Kind::Unix(listener), socket })
            }
        }
    }

    /// Where it listens, with the port that was found for port 0.
    pub(crate) fn address(&self) -> io::Result<ListenAddress> {
        match (&self.kind, &self.socket) {
            (Kind::Tcp(listener), _) => listener.local_addr().map(ListenAddress::Tcp),
            (Kind::Unix(_), Some(socket)) => Ok(ListenAddress::Unix(socket.0.clone())),
            (Kind::Unix(_), None) => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The TCP address, for the admin listener, which is always one.
    pub(crate) fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().ok(),
            Kind::Unix(_) => None,
        }
    }

    /// Serves until `stop`; then takes no new connection, lets requests under way finish for `drain` or until `cut`, and cuts the
    /// rest.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken, cut: CancellationToken, drain: Duration) {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.accept() => accepted,
            };
            match accepted {
                Ok(Stream::Tcp(stream)) => {
                    // Heads and first chunks are small and wanted at once.
                    let _ = stream.set_nodelay(true);
                    spawn(stream, &router, &graceful, &cut);
                }
                Ok(Stream::Unix(stream)) => spawn(stream, &router, &graceful, &cut),
                Err(error) => {
                    tracing::warn!(%error, "can't accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self);
        let finished = tokio::select! {
            done = tokio::time::timeout(drain, graceful.shutdown()) => done.is_ok(),
            () = cut.cancelled() => false,
        };
        if !finished {
            tracing::warn!("connections were cut");
        }
        cut.cancel();
    }

    async fn accept(&self) -> io::Result<Stream> {
        match &self.kind {
            Kind::Tcp(listener) => listener.accept().await.map(|(stream, _)| Stream::Tcp(stream)),
            Kind::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

fn spawn(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: &Router,
    graceful: &GracefulShutdown,
    cut: &CancellationToken,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX));
    let service = TowerToHyperService::new(router.clone());
    let stream = TokioIo::new(Greeting::new(stream, HEADER_TIMEOUT));
    let connection = builder.serve_connection(stream, service).into_owned();
    let connection = graceful.watch(connection);
    let cut = cut.clone();
    tokio::spawn(async move {
        tokio::select! {
            result = connection => {
                if let Err(error) = result {
                    tracing::debug!(%error, "connection ended");
                }
            }
            () = cut.cancelled() => {}
        }
    });
}

/// Removes what a killed hive left behind, but never the socket of one that lives, nor a file that is no socket.
async fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"))
        }
        Ok(_) => match UnixStream::connect(path).await {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another hive listens there")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
            // Nobody said that it is dead: its owner may be busy, or of another kind, or this process may not ask.
            Err(error) => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::Listener;
    use axum::Router;
    use config::ListenAddress;
    use std::io::ErrorKind;
    use std::os::unix::net::{UnixDatagram, UnixListener};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio_util::sync::CancellationToken;

    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_say_what_it_speaks_is_not_kept() {
        let listener = Listener::bind(&ListenAddress::Tcp("127.0.0.1:0".parse().unwrap())).await.unwrap();
        let address = listener.tcp_address().unwrap();
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(listener.serve(Router::new(), stop.clone(), cut, Duration::ZERO));
        for beginning in ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n", "GET / HTTP/1.1\r\n"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(beginning.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let end = tokio::time::timeout(Duration::from_secs(3600), stream.read_to_end(&mut answer)).await;
            // A reset is as good an end as any.
            assert!(end.is_ok(), "still there after an hour: {beginning:?}");
        }
        stop.cancel();
    }

    #[tokio::test]
    async fn only_a_socket_that_refuses_is_taken_for_dead() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hive.sock");
        let address = ListenAddress::Unix(path.clone());
        let bind = async || Listener::bind(&address).await.map(drop).map_err(|error| error.kind());
        // A listener that is dropped leaves its file.
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(bind().await, Ok(()));
        let alive = UnixListener::bind(&path).unwrap();
        assert_eq!(bind().await, Err(ErrorKind::AddrInUse));
        drop(alive);
        std::fs::remove_file(&path).unwrap();
        // Somebody else's, who doesn't take connections.
        let _other = UnixDatagram::bind(&path).unwrap();
        assert!(bind().await.is_err() && path.exists());
    }
}
