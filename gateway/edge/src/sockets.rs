//! The sockets that are listened on: bound here before anything else is begun, or taken over from the process whose place this one takes.
//!
//! pingora would bind them in its own threads, where a port that is taken is no error to whoever starts a gateway, and would send them to a
//! successor without asking whether it lives. It is given them instead, as it would be given those of a process before it.

use crate::kin::Role;
use crate::server::ServerError;
use async_trait::async_trait;
use config::{GatewaySettings, ListenAddress};
use pingora::apps::ServerApp;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use pingora::services::listening;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// One that another process had.
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(crate) role: Role,
    /// As its settings had it.
    pub(crate) address: String,
    pub(crate) socket: OwnedFd,
}

/// All of them, bound and listening: who connects from now on waits to be accepted.
#[derive(Default)]
pub(crate) struct Sockets {
    prepared: Vec<Prepared>,
}

/// One of them.
pub(crate) struct Prepared {
    role: Role,
    asked: String,
    /// With its real port.
    pub(crate) address: String,
    pub(crate) socket: OwnedFd,
}

impl Sockets {
    /// Binds what the settings name, but for what was inherited under the same name. What was inherited and is not named any more is closed.
    ///
    /// # Errors
    /// An address that can't be listened on.
    pub(crate) fn prepare(settings: &GatewaySettings, mut inherited: Vec<Inherited>) -> Result<Self, ServerError> {
        let public = settings.listen.iter().map(|listener| (Role::Public, listener.address.clone()));
        let peers = settings.peers.iter().map(|peers| (Role::Peers, peers.listen.clone()));
        let admin = [(Role::Admin, ListenAddress::Tcp(settings.admin.address))];
        let mut prepared = Vec::new();
        for (role, address) in public.chain(peers).chain(admin) {
            let asked = address.to_string();
            let found = inherited.iter().position(|socket| socket.role == role && socket.address == asked);
            let failed = |source| ServerError::Listen { address: asked.clone(), source };
            let (address, socket) = match (found, &address) {
                (Some(at), ListenAddress::Unix(_)) => (asked.clone(), inherited.remove(at).socket),
                (Some(at), ListenAddress::Tcp(_)) => {
                    let socket = TcpListener::from(inherited.remove(at).socket);
                    (socket.local_addr().map_err(failed)?.to_string(), socket.into())
                }
                (None, ListenAddress::Unix(path)) => (asked.clone(), bind_unix(path).map_err(failed)?),
                (None, ListenAddress::Tcp(address)) => bind_tcp(*address).map_err(failed)?,
            };
            prepared.push(Prepared { role, asked, address, socket });
        }
        Ok(Self { prepared })
    }

    /// The next socket for this address.
    pub(crate) fn take(&mut self, role: Role, address: &ListenAddress) -> Option<Prepared> {
        let asked = address.to_string();
        let at = self.prepared.iter().position(|socket| socket.role == role && socket.asked == asked)?;
        Some(self.prepared.remove(at))
    }

    /// Second handles of all of them, for a process to come.
    pub(crate) fn copies(&self) -> std::io::Result<Vec<Inherited>> {
        let copy = |prepared: &Prepared| {
            let (role, address) = (prepared.role, prepared.asked.clone());
            Ok(Inherited { role, address, socket: prepared.socket.try_clone()? })
        };
        self.prepared.iter().map(copy).collect()
    }
}

/// A port that is taken is an error now.
fn bind_tcp(address: SocketAddr) -> std::io::Result<(String, OwnedFd)> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok((listener.local_addr()?.to_string(), listener.into()))
}

/// A name that is left over from a process that is gone is taken; one that somebody answers at is not.
fn bind_unix(path: &Path) -> std::io::Result<OwnedFd> {
    if UnixStream::connect(path).is_ok() {
        return Err(std::io::ErrorKind::AddrInUse.into());
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}

/// A service of pingora's that listens on what it is given.
pub(crate) struct Listening<A> {
    pub(crate) service: listening::Service<A>,
    /// By the addresses that the service knows.
    sockets: Vec<Prepared>,
}

impl<A> Listening<A> {
    pub(crate) fn new(service: listening::Service<A>) -> Self {
        Self { service, sockets: Vec::new() }
    }

    /// The endpoint of this socket's address was added to the service.
    pub(crate) fn give(&mut self, socket: Prepared) {
        self.sockets.push(socket);
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> Service for Listening<A> {
    async fn start_service(&mut self, fds: Option<ListenFds>, shutdown: ShutdownWatch, listeners_per_fd: usize) {
        if let Some(fds) = &fds {
            let mut table = fds.lock();
            for socket in self.sockets.drain(..) {
                // A unix socket is known by its path alone.
                let address = socket.address.strip_prefix("unix:").unwrap_or(&socket.address).to_owned();
                table.add(address, socket.socket.into_raw_fd());
            }
        }
        Service::start_service(&mut self.service, fds, shutdown, listeners_per_fd).await;
    }

    fn name(&self) -> &str {
        Service::name(&self.service)
    }

    fn threads(&self) -> Option<usize> {
        Service::threads(&self.service)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Service::listen_addresses(&self.service)
    }
}
