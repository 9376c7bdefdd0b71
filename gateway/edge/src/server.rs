//! Builds the pingora server: public listeners, the admin listener, limits and drain.

use crate::admin::Admin;
use crate::background::Background;
use crate::edge::Edge;
use crate::http1::{Manner, Public};
use crate::kin::Role;
use crate::peer_listener::PeerListener;
use crate::sockets::{Listening, Sockets};
use crate::tls::Tls;
use config::gateway::Listener;
use config::{GatewaySettings, ListenAddress};
use pingora::listeners::{ListenerConfig, TcpSocketOptions};
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::services::background::background_service;
use pingora::services::listening::Service;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Keep-alive probes notice viewers whose phone left the network.
const PROBE: Duration = Duration::from_secs(60);

/// The server could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// An address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    /// The library of TLS refuses.
    #[error("TLS: {0}")]
    Tls(String),
}

/// A server and the addresses it will listen on, public ones first, the admin's last.
pub(crate) struct Built {
    pub(crate) server: Server,
    pub(crate) addresses: Vec<String>,
    /// Where other gateways ask.
    pub(crate) fleet: Option<String>,
}

/// Puts the listeners together, on sockets that listen already. `hangup` is told of each SIGHUP.
pub(crate) fn build(
    settings: &GatewaySettings,
    edge: Arc<Edge>,
    hangup: Arc<Notify>,
    mut sockets: Sockets,
) -> Result<Built, ServerError> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let drain = edge.lifecycle.limits;
    let longest = drain.ending.saturating_add(drain.replaced);
    let conf = ServerConf {
        threads: settings.threads.map_or(cores, NonZeroUsize::get),
        // Only the grace period lets transfers run on; what comes after it drops them. The drain ends the process before.
        grace_period_seconds: Some(longest.as_secs().saturating_add(60)),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut addresses = Vec::new();

    // What connections begin with is a service's: addresses that differ in it have a service of their own.
    let tls = Arc::new(Tls::new(edge.certificates.clone()).map_err(|error| ServerError::Tls(error.to_string()))?);
    let manner = |listener: &Listener| Manner {
        tls: listener.tls.as_ref().map(|_| tls.clone()),
        h2c: listener.h2c,
        https_port: listener.https_port,
        proxy_protocol: listener.proxy_protocol,
        http2_streams: settings.connections.http2_streams,
    };
    let kind =
        |listener: &Listener| (listener.tls.is_some(), listener.h2c, listener.proxy_protocol, listener.https_port);
    let mut kinds = Vec::new();
    for listener in &settings.listen {
        if !kinds.contains(&kind(listener)) {
            kinds.push(kind(listener));
        }
    }
    for (number, of_kind) in kinds.into_iter().enumerate() {
        let listeners: Vec<_> = settings.listen.iter().filter(|listener| kind(listener) == of_kind).collect();
        let Some(first) = listeners.first() else { continue };
        let app = Public::new(edge.clone(), &server.configuration, manner(first));
        let mut public = Listening::new(Service::new(format!("public-{number}"), app));
        for listener in listeners {
            addresses.push(add(&mut public, Role::Public, &listener.address, &mut sockets)?);
        }
        server.add_service(public);
    }

    // Not among the public addresses, which health is judged by.
    let mut fleet = None;
    if let (Some(settings), Some(peers)) = (&settings.peers, &edge.peers) {
        let service = Service::new("peers".to_owned(), PeerListener::new(edge.clone(), peers.clone()));
        let mut service = Listening::new(service);
        fleet = Some(add(&mut service, Role::Peers, &settings.listen, &mut sockets)?);
        server.add_service(service);
    }

    server.add_service(background_service("background", Background::new(edge.clone(), hangup)));
    let mut admin = Listening::new(Service::new("admin".to_owned(), Admin::new(edge, &addresses)));
    admin.service.threads = Some(1);
    addresses.push(add(&mut admin, Role::Admin, &ListenAddress::Tcp(settings.admin.address), &mut sockets)?);
    server.add_service(admin);
    Ok(Built { server, addresses, fleet })
}

fn add<A>(
    listening: &mut Listening<A>,
    role: Role,
    at: &ListenAddress,
    sockets: &mut Sockets,
) -> Result<String, ServerError> {
    let unprepared = || std::io::ErrorKind::AddrNotAvailable.into();
    let Some(socket) = sockets.take(role, at) else {
        return Err(ServerError::Listen { address: at.to_string(), source: unprepared() });
    };
    let address = socket.address.clone();
    match at {
        ListenAddress::Unix(path) => listening.service.add_uds(&path.to_string_lossy(), None),
        ListenAddress::Tcp(_) => {
            let mut options = TcpSocketOptions::default();
            options.tcp_keepalive = Some(pingora::protocols::TcpKeepalive {
                idle: PROBE,
                interval: PROBE,
                count: 3,
                #[cfg(target_os = "linux")]
                user_timeout: Duration::ZERO,
            });
            // Heads are read into a buffer of the connection's own, and bodies written whole: 64 KiB less for each that idles.
            let endpoint = ListenerConfig::tcp(address.clone())
                .tcp_socket_options(options)
                .l4_buffer(L4BufferSettings::unbuffered());
            listening.service.add_listener(endpoint);
        }
    }
    listening.give(socket);
    Ok(address)
}
