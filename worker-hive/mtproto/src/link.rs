//! One supervised connection to one data-centre.
//!
//! The library's connection pool runs with a single data-centre each, because it awaits a connect without a limit and would let
//! one dead data-centre block the others. Its runner ends for good when anything in it panics; then, and whenever an answer says
//! that the connection is of no use, the supervisor throws the whole pool away and builds another.

use crate::backoff::Backoff;
use crate::config::ClientConfig;
use crate::fault::{CallFault, classify, is_connection_loss};
use crate::revoked::Revoked;
use crate::schema::StoreError;
use crate::session::SessionView;
use crate::slots::Slot;
use crate::store::AccountStore;
use grammers_mtsender::{ConnectionParams, InvocationError, NoRetries, SenderPool, SenderPoolHandle};
use grammers_session::updates::UpdatesLike;
use grammers_tl_types::functions::Ping;
use grammers_tl_types::{Deserializable, RemoteCall, Serializable};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

/// Updates are read and thrown away as they come.
const UPDATES_CAPACITY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// A call that was not answered for so many time-outs never is, and a connection that loses answers is of no use.
const LOST_AFTER: u32 = 3;

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
    pub(crate) revoked: Arc<Revoked>,
    /// Bumped at each change of any link of the data-centre.
    pub(crate) changed: Arc<watch::Sender<u64>>,
}

/// The handle on a supervised connection. Dropping it ends the connection.
pub(crate) struct Link {
    state: watch::Receiver<LinkState>,
    complaints: mpsc::UnboundedSender<u64>,
    pulse: Arc<Pulse>,
    patience: Duration,
    dc: i32,
    _supervisor: AbortOnDropHandle<()>,
}

/// What a link's calls tell each other.
#[derive(Default)]
struct Pulse {
    in_flight: AtomicUsize,
    last_answer: Mutex<Option<Instant>>,
}

impl Link {
    /// Starts connecting after `delay`.
    pub(crate) fn start(owner: LinkOwner, delay: Duration) -> Self {
        let (publish, state) = watch::channel(LinkState::Connecting);
        let (complaints, heard) = mpsc::unbounded_channel();
        let (dc, patience) = (owner.dc, owner.config.call_timeout);
        let supervisor = AbortOnDropHandle::new(tokio::spawn(supervise(owner, delay, publish, heard)));
        Self { state, complaints, pulse: Arc::default(), patience, dc, _supervisor: supervisor }
    }

    pub(crate) fn state(&self) -> LinkState {
        self.state.borrow().clone()
    }

    /// Calls under way, for choosing the least busy link.
    pub(crate) fn in_flight(&self) -> usize {
        self.pulse.in_flight.load(Ordering::Relaxed)
    }

    /// Calls and returns the answer's bytes, or [`CallFault::Timeout`] at `deadline`.
    ///
    /// What was sent is answered whether or not anybody still waits: so the call counts as under way, and keeps its slot, until
    /// the answer is there or the connection is gone.
    pub(crate) async fn call<R: RemoteCall>(
        &self,
        ready: &Ready,
        request: &R,
        deadline: Instant,
        slot: Option<Slot>,
    ) -> Result<Vec<u8>, CallFault> {
        let call = Call {
            counted: Counted::new(&self.pulse),
            slot,
            ready: ready.clone(),
            complaints: self.complaints.clone(),
            patience: self.patience,
            dc: self.dc,
        };
        let running = tokio::spawn(call.run(request.to_bytes()));
        match timeout_at(deadline, running).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CallFault::Dropped("the call's task ended".to_owned())),
            Err(_) => Err(CallFault::Timeout),
        }
    }

    /// Makes the runner panic, as a hostile answer would: the library asserts that a call has four bytes or more.
    #[cfg(test)]
    pub(crate) async fn kill_runner(&self, ready: &Ready) {
        assert!(ready.handle.raw_invoke_in_dc(self.dc, vec![0]).await.is_err());
    }
}

/// One call under way.
struct Call {
    counted: Counted,
    slot: Option<Slot>,
    ready: Ready,
    complaints: mpsc::UnboundedSender<u64>,
    patience: Duration,
    dc: i32,
}

impl Call {
    async fn run(self, body: Vec<u8>) -> Result<Vec<u8>, CallFault> {
        let asked = Instant::now();
        let mut invoke = pin!(self.ready.handle.raw_invoke_in_dc(self.dc, body));
        let mut waits = 1;
        let answer = loop {
            match timeout(self.patience, &mut invoke).await {
                Ok(answer) => break answer,
                Err(_) => {
                    let now = Instant::now();
                    if let Some(slot) = &self.slot {
                        slot.late(asked, now);
                    }
                    // Answers to others tell a busy connection from a silent one, but not for ever.
                    let heard = *self.counted.0.last_answer.lock();
                    let silent = heard.is_none_or(|at| now.saturating_duration_since(at) >= self.patience);
                    if silent || waits >= LOST_AFTER {
                        self.complain();
                        return Err(CallFault::Timeout);
                    }
                    waits += 1;
                }
            }
        };
        let lost = answer.as_ref().is_err_and(is_connection_loss);
        if lost {
            self.complain();
        } else {
            let now = Instant::now();
            *self.counted.0.last_answer.lock() = Some(now);
            if let Some(slot) = &self.slot {
                slot.answered(asked, now);
            }
        }
        answer.map_err(classify)
    }

    fn complain(&self) {
        // The supervisor outlives the link's handle only while it is being aborted: then nobody needs to hear.
        let _ = self.complaints.send(self.ready.generation);
    }
}

struct Counted(Arc<Pulse>);

impl Counted {
    fn new(pulse: &Arc<Pulse>) -> Self {
        pulse.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(pulse))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Connection {
    handle: SenderPoolHandle,
    runner: AbortOnDropHandle<()>,
    updates: mpsc::Receiver<UpdatesLike>,
}

async fn supervise(
    owner: LinkOwner,
    delay: Duration,
    publish: watch::Sender<LinkState>,
    mut heard: mpsc::UnboundedReceiver<u64>,
) {
    let mut backoff = Backoff::new(owner.config.reconnect_first, owner.config.reconnect_last);
    let mut generation = 0;
    let announce = |state: LinkState| {
        publish.send_replace(state);
        owner.changed.send_modify(|version| *version = version.wrapping_add(1));
    };
    tokio::time::sleep(delay).await;
    loop {
        let connected = tokio::select! {
            connected = connect(&owner) => connected,
            fault = owner.revoked.until_key_is_gone() => Err(fault),
        };
        match connected {
            Ok(mut connection) => {
                generation += 1;
                let up = Instant::now();
                announce(LinkState::Ready(Ready { generation, handle: connection.handle.clone() }));
                let reason = watch_over(&mut connection, &mut heard, generation).await;
                tracing::info!(account = %owner.account, dc = owner.dc, reason, "connection lost");
                drop(connection);
                announce(LinkState::Connecting);
                // One that dies young must not be rebuilt in a loop.
                if up.elapsed() > owner.config.reconnect_last {
                    backoff.reset();
                }
                tokio::time::sleep(backoff.after_loss(rand::random())).await;
            }
            Err(fault) => {
                tracing::warn!(account = %owner.account, dc = owner.dc, %fault, "can't connect");
                announce(LinkState::Down(fault));
                if owner.revoked.is_key_gone() {
                    return;
                }
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
    // The wait for the turn counts, or the last of several links would be told of a dead data-centre last.
    let in_turn = async {
        let _making = owner.key_lock.lock().await;
        establish(owner).await
    };
    timeout(limit, in_turn).await.map_err(|_| CallFault::Timeout)?
}

async fn establish(owner: &LinkOwner) -> Result<Connection, CallFault> {
    let view =
        SessionView { store: Arc::clone(&owner.store), dc: owner.dc, addresses: Arc::clone(&owner.config.addresses) };
    let pool = SenderPool::with_configuration(Arc::new(view), owner.api_id, parameters(owner));
    let handle = pool.handle.thin;
    let runner = AbortOnDropHandle::new(tokio::spawn(pool.runner.run()));
    // The first call pays for connecting, the handshake and the exchange of salts; a ping needs no authorization.
    let answer = handle.raw_invoke_in_dc(owner.dc, Ping { ping_id: rand::random() }.to_bytes()).await;
    let body = answer.map_err(|error| {
        if lost_key(owner, &error) {
            owner.revoked.key_is_gone(&owner.account);
            return Revoked::no_key();
        }
        classify(error)
    })?;
    <Ping as RemoteCall>::Return::from_bytes(&body).map_err(|_| CallFault::Dropped("no pong".to_owned()))?;
    Ok(Connection { handle, runner, updates: pool.updates })
}

/// True when the home data-centre said that it doesn't know the account's key: the library then makes another, which fails, or is
/// refused by the store.
fn lost_key(owner: &LinkOwner, error: &InvocationError) -> bool {
    owner.dc == owner.store.home_dc()
        && match error {
            InvocationError::Session(error) => matches!(error.downcast_ref(), Some(StoreError::KeyReplaced)),
            InvocationError::Authentication(_) => owner.store.dc(owner.dc).is_some_and(|dc| dc.auth_key.is_some()),
            _ => false,
        }
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
