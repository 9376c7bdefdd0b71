//! A running simulation: its listeners, and the handles that tests hold it by.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::info;

use crate::connection::serve;
use crate::counters::{Counters, From};
use crate::derive;
use crate::edit::WorldEdit;
use crate::faults::{Faults, Reachability};
use crate::front;
use crate::shape::Shape;
use crate::state::Shared;
use crate::transport::Decoder;
use crate::usage::SharedKey;
use crate::world::World;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Why a simulation didn't start, or an edit wasn't made.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A listener or the runtime couldn't be set up.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The world contradicts itself.
    #[error("the world is wrong: {0}")]
    World(String),
    /// An edit names something that isn't there.
    #[error("there is no {0}")]
    NotFound(String),
}

/// Where a data-centre listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DcAddress {
    /// The data-centre.
    pub id: i32,
    /// Always loopback.
    pub ip: String,
    /// Its port.
    pub port: u16,
}

/// Everything a client needs to be signed in as an account without having signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSeed {
    /// The account's name.
    pub account: String,
    /// Telegram's id.
    pub user_id: i64,
    /// Whether it's a bot.
    pub bot: bool,
    /// Whether it has Telegram Premium.
    #[serde(default)]
    pub premium: bool,
    /// Where it's signed in.
    pub home_dc: i32,
    /// All data-centres.
    pub dcs: Vec<DcAddress>,
    /// Per data-centre, 256 bytes in hexadecimal. Only the key at home is sure to be signed in; on the others an
    /// authorization may have to be imported first.
    pub auth_keys: BTreeMap<i32, String>,
    /// The API id to send.
    pub api_id: i32,
    /// The API hash to send.
    #[serde(default)]
    pub api_hash: String,
}

impl SessionSeed {
    /// The key for a data-centre; `None` when there's none or it isn't 256 bytes of hexadecimal.
    pub fn auth_key(&self, dc: i32) -> Option<[u8; 256]> {
        let text = self.auth_keys.get(&dc)?;
        let mut key = [0; 256];
        if text.len() != 2 * key.len() {
            return None;
        }
        for (index, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        Some(key)
    }
}

/// A running simulation. It has its own threads, so that it answers whatever the test's runtime is doing; dropping it
/// closes every connection.
pub struct Sim {
    shared: Arc<Shared>,
    reachability: BTreeMap<i32, watch::Sender<Reachability>>,
    runtime: Option<Runtime>,
}

impl Sim {
    /// Starts a world on free loopback ports.
    ///
    /// # Errors
    /// [`SimError::World`] when the world contradicts itself, [`SimError::Io`] when no port can be had.
    pub fn start(world: World) -> Result<Self, SimError> {
        Self::start_on(world, Shape::default(), 0)
    }

    /// Starts a world with a shape; data-centre number `n` of the list listens on `base_port + n`, or anywhere when
    /// `base_port` is 0.
    ///
    /// # Errors
    /// As [`Sim::start`].
    pub fn start_on(world: World, shape: Shape, base_port: u16) -> Result<Self, SimError> {
        world.check().map_err(SimError::World)?;
        let io = |what: &str| {
            let what = what.to_owned();
            move |source| SimError::Io { what, source }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .thread_name("telegram-sim")
            // Requests nest objects; a stranger chooses how deep.
            .thread_stack_size(8 << 20)
            .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8)))
            .enable_all()
            .build()
            .map_err(io("starting threads"))?;
        let entered = runtime.enter();
        let data_centres = world.data_centres.clone();
        let shared = Arc::new(Shared::new(world, shape));
        let mut addresses = BTreeMap::new();
        let mut reachability = BTreeMap::new();
        for (index, &dc) in data_centres.iter().enumerate() {
            let port = if base_port == 0 { 0 } else { base_port.saturating_add(index as u16) };
            let (listener, address) = bind(IpAddr::V4(Ipv4Addr::LOCALHOST), port)?;
            addresses.insert(dc, address);
            let (sender, receiver) = watch::channel(Reachability::Up);
            reachability.insert(dc, sender);
            runtime.spawn(listen(Arc::clone(&shared), dc, listener, address, receiver));
            info!(dc, %address, "data-centre listens");
        }
        let _ = shared.addresses.set(addresses);
        drop(entered);
        Ok(Self { shared, reachability, runtime: Some(runtime) })
    }

    /// Where a data-centre listens; `None` when there's none of that number.
    pub fn dc_addr(&self, dc: i32) -> Option<SocketAddr> {
        self.shared.addresses.get().and_then(|addresses| addresses.get(&dc)).copied()
    }

    /// Where a data-centre listens on IPv6; `None` before [`Sim::listen_on_ipv6`], and when there's none of that number.
    pub fn dc_addr_v6(&self, dc: i32) -> Option<SocketAddr> {
        self.shared.addresses_v6.get().and_then(|addresses| addresses.get(&dc)).copied()
    }

    /// Has every data-centre listen on the IPv6 loopback address too, and be listed with both addresses from now on. Once is enough;
    /// further calls do nothing.
    ///
    /// # Errors
    /// [`SimError::Io`] when the machine has no IPv6.
    pub fn listen_on_ipv6(&self) -> Result<(), SimError> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        if self.shared.addresses_v6.get().is_some() {
            return Ok(());
        }
        let _entered = runtime.enter();
        let mut addresses = BTreeMap::new();
        for (&dc, reachability) in &self.reachability {
            let (listener, address) = bind(IpAddr::V6(Ipv6Addr::LOCALHOST), 0)?;
            addresses.insert(dc, address);
            runtime.spawn(listen(Arc::clone(&self.shared), dc, listener, address, reachability.subscribe()));
        }
        let _ = self.shared.addresses_v6.set(addresses);
        Ok(())
    }

    /// Puts an MTProxy in front, which leads whoever knows the secret to the data-centre that the first bytes ask for. Returns
    /// where it listens. Clients write the secret as hexadecimal digits, with `dd` in front to have packets padded.
    ///
    /// # Errors
    /// [`SimError::Io`] when no port can be had.
    pub fn put_mtproxy(&self, secret: [u8; 16]) -> Result<SocketAddr, SimError> {
        let Some(runtime) = &self.runtime else { return Err(SimError::NotFound("runtime".to_owned())) };
        let _entered = runtime.enter();
        let (listener, address) = bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)?;
        let reachability = self.reachability.iter().map(|(&dc, sender)| (dc, sender.subscribe())).collect();
        runtime.spawn(front::listen(Arc::clone(&self.shared), secret, listener, reachability));
        Ok(address)
    }

    /// Per account, what a client needs to be signed in.
    pub fn seeds(&self) -> Vec<SessionSeed> {
        let live = self.shared.live.read();
        let addresses = self.shared.addresses.get();
        let address =
            |(&id, address): (&i32, &SocketAddr)| DcAddress { id, ip: address.ip().to_string(), port: address.port() };
        let both = [addresses, self.shared.addresses_v6.get()];
        let dcs: Vec<_> = both.into_iter().flatten().flat_map(|all| all.iter().map(address)).collect();
        let key = |user_id: i64, dc: i32| (dc, derive::hex(&derive::auth_key(self.shared.seed, user_id, dc)));
        let seed = |account: &crate::world::Account| SessionSeed {
            account: account.name.clone(),
            user_id: account.user_id,
            bot: account.bot,
            premium: account.premium,
            home_dc: account.home_dc,
            dcs: dcs.clone(),
            auth_keys: live.data_centres.iter().map(|&dc| key(account.user_id, dc)).collect(),
            api_id: live.api_id,
            api_hash: live.api_hash.clone(),
        };
        live.accounts.iter().map(seed).collect()
    }

    /// The rules of faults.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Keys that two clients used at once, since the start or the last time this was forgotten.
    pub fn shared_keys(&self) -> Vec<SharedKey> {
        self.shared.usage.shared()
    }

    /// Forgets which keys two clients used at once.
    pub fn forget_shared_keys(&self) {
        self.shared.usage.reset();
    }

    /// The shape in force.
    pub fn shape(&self) -> Shape {
        *self.shared.shape.read()
    }

    /// Changes the shape, for connections that exist too.
    pub fn set_shape(&self, shape: Shape) {
        *self.shared.shape.write() = shape;
    }

    /// Changes whether a data-centre can be reached; `false` when there's none of that number.
    pub fn set_reachability(&self, dc: i32, reachability: Reachability) -> bool {
        self.reachability.get(&dc).map(|sender| sender.send_replace(reachability)).is_some()
    }

    /// The world as it stands, and edits of it.
    pub fn world(&self) -> WorldEdit<'_> {
        WorldEdit { shared: &self.shared }
    }

    /// Stops. Dropping does the same.
    pub fn shutdown(self) {}
}

impl Drop for Sim {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not the blocking kind: tests drop this inside their own runtime.
            runtime.shutdown_background();
        }
    }
}

/// Bound in the blocking way: this may be called from a test's own runtime.
fn bind(ip: IpAddr, port: u16) -> Result<(TcpListener, SocketAddr), SimError> {
    let failed = |source| SimError::Io { what: format!("listening on port {port} of {ip}"), source };
    let listener = std::net::TcpListener::bind((ip, port)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((TcpListener::from_std(listener).map_err(failed)?, address))
}

/// Accepts connections for one data-centre, and stops listening while it's to be refused.
async fn listen(
    shared: Arc<Shared>,
    dc: i32,
    listener: TcpListener,
    address: SocketAddr,
    mut reachability: watch::Receiver<Reachability>,
) {
    let (mut listener, mut held) = (Some(listener), None);
    loop {
        let refused = *reachability.borrow_and_update() == Reachability::Refused;
        if refused {
            listener = None;
        }
        if listener.is_none() {
            held = held.or_else(|| hold(address).ok());
        }
        if !refused && listener.is_none() {
            listener = held.take().and_then(|socket| socket.listen(BACKLOG).ok());
        }
        // Before it was held, somebody's outgoing connection may have got the port. That one ends.
        let again = listener.is_none() && (held.is_none() || !refused);
        let accepted = tokio::select! {
            changed = reachability.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            accepted = accept(listener.as_ref()) => accepted,
            () = sleep(Duration::from_millis(10)), if again => continue,
        };
        if let Ok((stream, peer)) = accepted {
            let from = From::Address(peer.ip());
            tokio::spawn(serve(Arc::clone(&shared), dc, stream, Decoder::default(), from, reachability.clone()));
        }
    }
}

/// Keeps an address from others without listening on it: who connects is refused.
fn hold(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<(tokio::net::TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}
