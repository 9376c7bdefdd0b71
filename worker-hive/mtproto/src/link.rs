//! One supervised connection to one data-centre.
//!
//! The library's connection pool runs with a single data-centre each, because it awaits a connect without a limit and would let
//! one dead data-centre block the others. Its runner ends for good when anything in it panics; then, and whenever an answer says
//! that the connection is of no use, the supervisor throws the whole pool away and builds another.

use crate::backoff::Backoff;
use crate::config::ClientConfig;
use crate::fault::{CallFault, classify};
use crate::session::SessionView;
use crate::store::AccountStore;
use grammers_mtsender::{ConnectionParams, NoRetries, SenderPool, SenderPoolHandle};
use grammers_session::updates::UpdatesLike;
use grammers_tl_types::functions::Ping;
use grammers_tl_types::{Deserializable, RemoteCall, Serializable};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

/// Updates are read and thrown away as they come.
const UPDATES_CAPACITY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// What a link is doing.
#[derive(Clone)]
pub(crate) enum LinkState {
    /// Connecting, for the first time or after a loss that was not answered by a failure yet.
    Connecting,
    /// Warm: a call needs one round trip.
    Ready(Ready),
    /// The last attempt failed; the next one comes after a pause.
    Down(CallFault),
}

/// A warm connection. `generation` tells it from the ones before, so that late complaints hit nobody else.
#[derive(Clone)]
pub(crate) struct Ready {
    generation: u64,
    handle: SenderPoolHandle,
}

/// Whose connection it is, and where to.
#[derive(Clone)]
pub(crate) struct LinkOwner {
    pub(crate) account: String,
    pub(crate) dc: i32,
    pub(crate) api_id: i32,
    pub(crate) store: Arc<AccountStore>,
    pub(crate) config: Arc<ClientConfig>,
    /// Held while a data-centre's first key is made, so that several links don't make one each.
    pub(crate) key_lock: Arc<tokio::sync::Mutex<()>>,
    /// Bumped at each change of any link of the data-centre.
    pub(crate) changed: Arc<watch::Sender<u64>>,
}

/// The handle on a supervised connection. Dropping it ends the connection.
pub(crate) struct Link {
    state: watch::Receiver<LinkState>,
    complaints: mpsc::UnboundedSender<u64>,
    in_flight: AtomicUsize,
    last_answer: AtomicU64,
    born: Instant,
    dc: i32,
    _supervisor: AbortOnDropHandle<()>,
}

impl Link {
    pub(crate) fn start(owner: LinkOwner) -> Self {
        let (publish, state) = watch::channel(LinkState::Connecting);
        let (complaints, heard) = mpsc::unbounded_channel();
        let dc = owner.dc;
        let supervisor = AbortOnDropHandle::new(tokio::spawn(supervise(owner, publish, heard)));
        Self {
            state,
            complaints,
            in_flight: AtomicUsize::new(0),
            last_answer: AtomicU64::new(0),
            born: Instant::now(),
            dc,
            _supervisor: supervisor,
        }
    }

    pub(crate) fn state(&self) -> LinkState {
        self.state.borrow().clone()
    }

    /// Calls under way, for choosing the least busy link.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Calls and returns the answer's bytes.
    pub(crate) async fn call<R: RemoteCall>(
        &self,
        ready: &Ready,
        request: &R,
        limit: Duration,
    ) -> Result<Vec<u8>, CallFault> {
        let _counted = Counted::new(&self.in_flight);
        let asked = self.clock();
        match timeout(limit, ready.handle.raw_invoke_in_dc(self.dc, request.to_bytes())).await {
            Ok(Ok(body)) => {
                self.last_answer.fetch_max(self.clock(), Ordering::Relaxed);
                Ok(body)
            }
            Ok(Err(error)) => {
                let fault = classify(error);
                if fault.is_connection_loss() {
                    self.complain(ready);
                } else {
                    self.last_answer.fetch_max(self.clock(), Ordering::Relaxed);
                }
                Err(fault)
            }
            Err(_) => {
                // Nobody else got an answer since we asked: the connection is silent, not merely busy.
                if self.last_answer.load(Ordering::Relaxed) <= asked {
                    self.complain(ready);
                }
                Err(CallFault::Timeout)
            }
        }
    }

    /// Makes the runner panic, as a hostile answer would: the library asserts that a call has four bytes or more.
    #[cfg(test)]
    pub(crate) async fn kill_runner(&self, ready: &Ready) {
        assert!(ready.handle.raw_invoke_in_dc(self.dc, vec![0]).await.is_err());
    }

    fn complain(&self, ready: &Ready) {
        // The supervisor outlives the link's handle only while it is being aborted: then nobody needs to hear.
        let _ = self.complaints.send(ready.generation);
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Connection {
    handle: SenderPoolHandle,
    runner: AbortOnDropHandle<()>,
    updates: mpsc::Receiver<UpdatesLike>,
}

async fn supervise(owner: LinkOwner, publish: watch::Sender<LinkState>, mut heard: mpsc::UnboundedReceiver<u64>) {
    let mut backoff = Backoff::new(owner.config.reconnect_first, owner.config.reconnect_last);
    let mut generation = 0;
    let announce = |state: LinkState| {
        publish.send_replace(state);
        owner.changed.send_modify(|version| *version = version.wrapping_add(1));
    };
    loop {
        match connect(&owner).await {
            Ok(mut connection) => {
                generation += 1;
                let up = Instant::now();
                announce(LinkState::Ready(Ready { generation, handle: connection.handle.clone() }));
                let reason = watch_over(&mut connection, &mut heard, generation).await;
                tracing::info!(account = %owner.account, dc = owner.dc, reason, "connection lost");
                drop(connection);
                announce(LinkState::Connecting);
                // A connection that lived for a while is rebuilt at once; one that dies young must not be rebuilt in a loop.
                if up.elapsed() > owner.config.reconnect_last {
                    backoff.reset();
                }
                tokio::time::sleep(backoff.next(rand::random()).saturating_sub(owner.config.reconnect_first)).await;
            }
            Err(fault) => {
                tracing::warn!(account = %owner.account, dc = owner.dc, %fault, "can't connect");
                announce(LinkState::Down(fault));
                tokio::time::sleep(backoff.next(rand::random())).await;
            }
        }
    }
}

/// Returns when the connection is of no more use, with the reason.
async fn watch_over(
    connection: &mut Connection,
    heard: &mut mpsc::UnboundedReceiver<u64>,
    generation: u64,
) -> &'static str {
    loop {
        tokio::select! {
            _ = &mut connection.runner => return "its runner died",
            update = connection.updates.recv() => match update {
                Some(UpdatesLike::ConnectionClosed) | None => return "it was closed",
                // The hive watches no chats: what Telegram tells unasked is read so that its channel stays empty.
                Some(_) => {}
            },
            complaint = heard.recv() => match complaint {
                Some(about) if about == generation => return "a call failed on it",
                Some(_) => {}
                None => return "nobody needs it",
            },
        }
    }
}

async fn connect(owner: &LinkOwner) -> Result<Connection, CallFault> {
    let has_key = || owner.store.dc(owner.dc).is_some_and(|dc| dc.auth_key.is_some());
    let limit = owner.config.connect_timeout;
    if has_key() {
        return timeout(limit, establish(owner)).await.map_err(|_| CallFault::Timeout)?;
    }
    let _making = owner.key_lock.lock().await;
    timeout(limit, establish(owner)).await.map_err(|_| CallFault::Timeout)?
}

async fn establish(owner: &LinkOwner) -> Result<Connection, CallFault> {
    let view =
        SessionView { store: Arc::clone(&owner.store), dc: owner.dc, addresses: Arc::clone(&owner.config.addresses) };
    let pool = SenderPool::with_configuration(Arc::new(view), owner.api_id, parameters(owner));
    let handle = pool.handle.thin;
    let runner = AbortOnDropHandle::new(tokio::spawn(pool.runner.run()));
    // The first call pays for connecting, the handshake and the exchange of salts; a ping needs no authorization.
    let body =
        handle.raw_invoke_in_dc(owner.dc, Ping { ping_id: rand::random() }.to_bytes()).await.map_err(classify)?;
    <Ping as RemoteCall>::Return::from_bytes(&body).map_err(|_| CallFault::Dropped("no pong".to_owned()))?;
    Ok(Connection { handle, runner, updates: pool.updates })
}

fn parameters(owner: &LinkOwner) -> ConnectionParams {
    let configured: Option<&SocketAddr> = owner.config.addresses.get(&owner.dc);
    // Every field by name: the library's defaults would run another program to learn the system's name, at each connect.
    ConnectionParams {
        device_model: owner.config.device_model.clone(),
        system_version: owner.config.system_version.clone(),
        app_version: owner.config.app_version.clone(),
        system_lang_code: owner.config.lang_code.clone(),
        lang_code: owner.config.lang_code.clone(),
        use_ipv6: configured.is_some_and(SocketAddr::is_ipv6),
        retry_policy: Box::new(NoRetries),
        updates_channel_capacity: UPDATES_CAPACITY,
        __non_exhaustive: (),
    }
}
