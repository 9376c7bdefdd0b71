//! One connection to one data-centre, as those who call over it see it: a link, which [`supervise`](crate::supervise) keeps alive.

use crate::clock::ServerClock;
use crate::config::ClientConfig;
use crate::conversation::{Answer, Question};
use crate::fault::{CallFault, classify, is_connection_loss};
use crate::permission::Permission;
use crate::rest::Rest;
use crate::revoked::Revoked;
use crate::route::Route;
use crate::schema::StoreError;
use crate::slots::Slot;
use crate::store::AccountStore;
use crate::supervise::supervise;
use crate::tally::Tally;
use grammers_mtsender::InvocationError;
use grammers_tl_types::RemoteCall;
use parking_lot::Mutex;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

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
    /// Closed as nobody needed it; connects as soon as somebody does.
    Idle,
}

/// A warm connection. `generation` tells it from the ones before, so that late complaints hit nobody else.
#[derive(Clone)]
pub(crate) struct Ready {
    pub(crate) generation: u64,
    /// Of the key that it uses.
    pub(crate) key_epoch: u64,
    pub(crate) questions: mpsc::UnboundedSender<Question>,
}

/// Whose connection it is, and where to.
#[derive(Clone)]
pub(crate) struct LinkOwner {
    pub(crate) account: String,
    pub(crate) dc: i32,
    pub(crate) api_id: i32,
    pub(crate) store: Arc<AccountStore>,
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) route: Route,
    /// Held while a data-centre's first key is made, so that several links don't make one each.
    pub(crate) key_lock: Arc<tokio::sync::Mutex<()>>,
    pub(crate) revoked: Arc<Revoked>,
    pub(crate) rest: Arc<Rest>,
    pub(crate) clock: Arc<ServerClock>,
    /// Which of the keys that the data-centre's connections had is the one to use; see [`LinkOwner::is_current`].
    pub(crate) key_epoch: Arc<watch::Sender<u64>>,
    /// Bumped at each change of any link of the data-centre.
    pub(crate) changed: Arc<watch::Sender<u64>>,
    /// When more than one link was last of use to the data-centre's callers.
    pub(crate) crowded: Arc<watch::Sender<Instant>>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) permission: Permission,
}

impl LinkOwner {
    /// False for a connection that uses a key that was replaced since: what is authorized is the new one.
    pub(crate) fn is_current(&self, ready: &Ready) -> bool {
        ready.key_epoch == *self.key_epoch.borrow()
    }

    /// Replaces the data-centre's key, or forgets it. No connection with the one before is used from here on, nor one that was made
    /// while it was being replaced, as nobody knows by which of both.
    pub(crate) async fn replace_key(&self, key: Option<[u8; 256]>) -> Result<u64, StoreError> {
        let next = || self.key_epoch.send_modify(|epoch| *epoch += 1);
        next();
        let stored = self.store.replace_key(self.dc, key).await;
        next();
        stored.map(|()| *self.key_epoch.borrow())
    }
}

/// The handle on a supervised connection. Dropping it ends the connection.
pub(crate) struct Link {
    state: watch::Receiver<LinkState>,
    complaints: mpsc::UnboundedSender<u64>,
    pulse: Arc<Pulse>,
    rest: Arc<Rest>,
    patience: Duration,
    _supervisor: AbortOnDropHandle<()>,
}

/// What a link's calls tell each other, and its supervisor.
#[derive(Default)]
pub(crate) struct Pulse {
    pub(crate) in_flight: AtomicUsize,
    last_answer: Mutex<Option<Instant>>,
}

impl Link {
    /// Starts connecting after `delay`. A `spare` one is closed while nobody needs it.
    pub(crate) fn start(owner: LinkOwner, delay: Duration, spare: bool) -> Self {
        let (publish, state) = watch::channel(LinkState::Connecting);
        let (complaints, heard) = mpsc::unbounded_channel();
        let patience = owner.config.call_timeout;
        let pulse = Arc::<Pulse>::default();
        let (permission, rest) = (owner.permission.clone(), Arc::clone(&owner.rest));
        let supervising = supervise(owner, delay, spare, publish, heard, Arc::clone(&pulse));
        let supervisor = AbortOnDropHandle::new(tokio::spawn(async move {
            tokio::select! {
                () = permission.withdrawn() => {}
                () = supervising => {}
            }
        }));
        Self { state, complaints, pulse, rest, patience, _supervisor: supervisor }
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
    /// the answer is there or the connection is gone; and a wait that the answer tells is obeyed all the same.
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
            rest: Arc::clone(&self.rest),
            patience: self.patience,
        };
        let running = tokio::spawn(call.run(request.to_bytes()));
        match timeout_at(deadline, running).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CallFault::Dropped("the call's task ended".to_owned())),
            Err(_) => Err(CallFault::Timeout),
        }
    }

    /// Makes what runs the connection panic, as a hostile answer would: the library asserts that a call is a multiple of four bytes.
    #[cfg(test)]
    pub(crate) async fn kill_runner(&self, ready: &Ready) {
        assert!(ready.ask(vec![0]).await.is_err());
    }
}

impl Ready {
    async fn ask(&self, body: Vec<u8>) -> Answer {
        let gone = || InvocationError::Dropped("the connection is gone");
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question { body, answer }).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// One call under way.
struct Call {
    counted: Counted,
    slot: Option<Slot>,
    ready: Ready,
    complaints: mpsc::UnboundedSender<u64>,
    rest: Arc<Rest>,
    patience: Duration,
}

impl Call {
    async fn run(self, body: Vec<u8>) -> Result<Vec<u8>, CallFault> {
        let asked = Instant::now();
        let mut invoke = pin!(self.ready.ask(body));
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
        let now = Instant::now();
        if answer.as_ref().is_err_and(is_connection_loss) {
            self.complain();
        } else {
            *self.counted.0.last_answer.lock() = Some(now);
            if let Some(slot) = &self.slot {
                slot.answered(asked, now, answer.as_ref().map_or(0, Vec::len));
            }
        }
        let answer = answer.map_err(classify);
        if let Err(CallFault::Flood { seconds, .. }) = &answer {
            self.rest.told(*seconds, now);
            if let Some(slot) = &self.slot {
                slot.late(asked, now);
            }
        }
        answer
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
