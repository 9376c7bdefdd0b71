//! Builds the pingora server: public listeners, the admin listener, limits and drain.

use crate::admin::Admin;
use crate::edge::Edge;
use crate::proxy::EdgeProxy;
use config::gateway::Listener;
use config::{GatewaySettings, ListenAddress};
use pingora::apps::HttpServerOptions;
use pingora::listeners::TcpSocketOptions;
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::ProxyServiceBuilder;
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::services::listening::Service;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;

/// Seconds that SIGTERM leaves running transfers before their connections close.
const DRAIN_SECONDS: u64 = 30;
/// Keep-alive probes notice viewers whose phone left the network.
const PROBE: Duration = Duration::from_secs(60);

/// The server could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// A port 0 could not be turned into a real one.
    #[error("no port to be had on {address}: {source}")]
    Port { address: SocketAddr, source: std::io::Error },
    /// An address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    /// A certificate or key could not be read.
    #[error("TLS on {address}: {reason}")]
    Tls { address: String, reason: String },
}

/// A server and the addresses it will listen on, public ones first, the admin's last.
pub(crate) struct Built {
    pub(crate) server: Server,
    pub(crate) addresses: Vec<String>,
    /// Sockets that keep ports which were 0 in the settings reserved until pingora binds them.
    pub(crate) reserved: Vec<TcpSocket>,
}

/// Puts the listeners together; nothing is bound before [`Server::run`] but ports that were 0.
pub(crate) fn build(settings: &GatewaySettings, edge: Arc<Edge>) -> Result<Built, ServerError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let conf = ServerConf {
        threads: settings.threads.map_or(cores, NonZeroUsize::get),
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(DRAIN_SECONDS),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut reserved = Vec::new();
    let mut addresses = Vec::new();

    let mut options = HttpServerOptions::default();
    options.h2c = true;
    let mut public = ProxyServiceBuilder::new(&server.configuration, EdgeProxy::new(edge.clone()))
        .name("public")
        .server_options(options)
        .build();
    for listener in &settings.listen {
        addresses.push(add(&mut public, listener, &mut reserved)?);
    }
    server.add_service(public);

    let mut admin = Service::new("admin".to_owned(), Admin::new(edge));
    admin.threads = Some(1);
    let listener = Listener { address: ListenAddress::Tcp(settings.admin.address), tls: None };
    addresses.push(add(&mut admin, &listener, &mut reserved)?);
    server.add_service(admin);
    Ok(Built { server, addresses, reserved })
}

fn add<A>(service: &mut Service<A>, listener: &Listener, reserved: &mut Vec<TcpSocket>) -> Result<String, ServerError> {
    let tls = listener.tls.as_ref().map(|tls| {
        let address = listener.address.to_string();
        let path = |path: &std::path::Path| {
            std::fs::File::open(path).map_err(|e| ServerError::Tls {
                address: address.clone(),
                reason: format!("{}: {e}", path.display()),
            })?;
            Ok::<_, ServerError>(path.to_string_lossy().into_owned())
        };
        let mut settings = TlsSettings::intermediate(&path(&tls.certificate)?, &path(&tls.key)?)
            .map_err(|e| ServerError::Tls { address: address.clone(), reason: e.to_string() })?;
        settings.enable_h2();
        Ok(settings)
    });
    let tls = tls.transpose()?;
    match &listener.address {
        ListenAddress::Unix(path) => {
            service.add_uds(&path.to_string_lossy(), None);
            Ok(listener.address.to_string())
        }
        ListenAddress::Tcp(address) => {
            let mut options = TcpSocketOptions::default();
            options.tcp_keepalive = Some(pingora::protocols::TcpKeepalive {
                idle: PROBE,
                interval: PROBE,
                count: 3,
                #[cfg(target_os = "linux")]
                user_timeout: Duration::ZERO,
            });
            let mut address = *address;
            if address.port() == 0 {
                let (socket, real) = reserve(address).map_err(|source| ServerError::Port { address, source })?;
                options.so_reuseport = Some(true);
                reserved.push(socket);
                address = real;
            } else {
                try_bind(address).map_err(|source| ServerError::Listen { address, source })?;
            }
            match tls {
                Some(tls) => service.add_tls_with_settings(&address.to_string(), Some(options), tls),
                None => service.add_tcp_with_settings(&address.to_string(), options),
            }
            Ok(address.to_string())
        }
    }
}

/// Binds and lets go, as pingora will bind: a port that is taken is an error now. pingora itself would try again for half a
/// minute, without a word to whoever started it.
fn try_bind(address: SocketAddr) -> std::io::Result<()> {
    std::net::TcpListener::bind(address).map(drop)
}

/// Binds without listening: the port is ours, connections are pingora's.
fn reserve(address: SocketAddr) -> std::io::Result<(TcpSocket, SocketAddr)> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    let real = socket.local_addr()?;
    Ok((socket, real))
}
