//! Builds the pingora server: public listeners, the admin listener, limits and drain.

use crate::admin::Admin;
use crate::background::Background;
use crate::edge::Edge;
use crate::http1::Public;
use crate::peer_listener::PeerListener;
use crate::signals::DRAIN;
use config::gateway::Listener;
use config::{GatewaySettings, ListenAddress};
use pingora::listeners::tls::TlsSettings;
use pingora::listeners::{ListenerConfig, TcpSocketOptions};
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::services::background::background_service;
use pingora::services::listening::Service;
use pingora::tls::{ServerConfig, load_certs_and_key_files};
use rustls::crypto::aws_lc_rs;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::Notify;

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
    /// Where other gateways ask.
    pub(crate) fleet: Option<String>,
    /// Sockets that keep ports which were 0 in the settings reserved until pingora binds them.
    pub(crate) reserved: Vec<TcpSocket>,
}

/// Puts the listeners together; nothing is bound before [`Server::run`] but ports that were 0.
/// `hangup` is told of each SIGHUP.
pub(crate) fn build(settings: &GatewaySettings, edge: Arc<Edge>, hangup: Arc<Notify>) -> Result<Built, ServerError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let conf = ServerConf {
        threads: settings.threads.map_or(cores, NonZeroUsize::get),
        // Only the grace period lets transfers run on; what comes after it drops them.
        grace_period_seconds: Some(DRAIN.as_secs()),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut reserved = Vec::new();
    let mut addresses = Vec::new();

    // h2c is a service's, not a listener's: listeners that speak it have a service of their own.
    for h2c in [false, true] {
        let listeners: Vec<_> = settings.listen.iter().filter(|listener| listener.h2c == h2c).collect();
        if listeners.is_empty() {
            continue;
        }
        let name = if h2c { "public-h2c" } else { "public" };
        let app = Public::new(edge.clone(), &server.configuration, h2c);
        let mut public = Service::new(name.to_owned(), app);
        for listener in listeners {
            addresses.push(add(&mut public, listener, &mut reserved)?);
        }
        server.add_service(public);
    }

    // Not among the public addresses, which health is judged by.
    let mut fleet = None;
    if let (Some(settings), Some(peers)) = (&settings.peers, &edge.peers) {
        let mut service = Service::new("peers".to_owned(), PeerListener::new(edge.clone(), peers.clone()));
        let listener = Listener { address: settings.listen.clone(), tls: None, h2c: false };
        fleet = Some(add(&mut service, &listener, &mut reserved)?);
        server.add_service(service);
    }

    server.add_service(background_service("background", Background::new(edge.clone(), hangup)));
    let mut admin = Service::new("admin".to_owned(), Admin::new(edge, &addresses));
    admin.threads = Some(1);
    let listener = Listener { address: ListenAddress::Tcp(settings.admin.address), tls: None, h2c: false };
    addresses.push(add(&mut admin, &listener, &mut reserved)?);
    server.add_service(admin);
    Ok(Built { server, addresses, fleet, reserved })
}

fn add<A>(service: &mut Service<A>, listener: &Listener, reserved: &mut Vec<TcpSocket>) -> Result<String, ServerError> {
    let tls = listener.tls.as_ref().map(|tls| tls_settings(&listener.address, tls)).transpose()?;
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
            // Heads are read into a buffer of the connection's own, and bodies written whole: 64 KiB less for each that idles.
            let mut endpoint = ListenerConfig::tcp(address.to_string())
                .tcp_socket_options(options)
                .l4_buffer(L4BufferSettings::unbuffered());
            if let Some(tls) = tls {
                endpoint = endpoint.tls(tls);
            }
            service.add_listener(endpoint);
            Ok(address.to_string())
        }
    }
}

/// Loads every certificate and key, as [`build`] will, and lets them go.
pub(crate) fn check_certificates(settings: &GatewaySettings) -> Result<(), ServerError> {
    settings
        .listen
        .iter()
        .filter_map(|listener| Some((&listener.address, listener.tls.as_ref()?)))
        .try_for_each(|(address, tls)| tls_settings(address, tls).map(drop))
}

/// Checks that the files hold a certificate and its key: pingora would panic in its own thread, and leave a gateway that looks
/// alive and serves nobody.
fn tls_settings(address: &ListenAddress, tls: &config::gateway::Tls) -> Result<TlsSettings, ServerError> {
    let failed = |reason: String| ServerError::Tls { address: address.to_string(), reason };
    let (certificate, key) = (tls.certificate.to_string_lossy(), tls.key.to_string_lossy());
    for path in [&tls.certificate, &tls.key] {
        std::fs::File::open(path).map_err(|e| failed(format!("{}: {e}", path.display())))?;
    }
    let loaded = load_certs_and_key_files(&certificate, &key).ok().flatten();
    let (chain, private) = loaded
        .ok_or_else(|| failed(format!("{certificate} and {key} must be PEM files with a certificate and a key")))?;
    // The first one installed stands: pingora would install ring.
    let _ = aws_lc_rs::default_provider().install_default();
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|e| failed(format!("{certificate} and {key} don't go together: {e}")))?;
    let mut settings = TlsSettings::intermediate(&certificate, &key).map_err(|e| failed(e.to_string()))?;
    settings.enable_h2();
    Ok(settings)
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
