//! Keeps a link's connection alive: makes it, notices when it is of no more use, and makes the next one.
//!
//! What reads and writes is a task of its own, which opens the connection first: a hostile answer may make the protocol library
//! panic, and then it takes that task with it. It may also make the library unpack more than the process has memory for, which nothing
//! here prevents; but only whoever holds the key can say it. A connect has a time limit, and no link waits for another's.

use crate::backoff::Backoff;
use crate::clock::ClockAhead;
use crate::conversation::Question;
use crate::dial::DialError;
use crate::endpoint;
use crate::fault::{CallFault, classify};
use crate::link::{LinkOwner, LinkState, Pulse, Ready};
use crate::revoked::{Doubt, Revoked};
use crate::schema::StoreError;
use crate::talk::{End, Introduction, KeepAlive, Talk};
use grammers_mtproto::mtp::Encrypted;
use grammers_mtproto::transport;
use grammers_mtsender::{InvocationError, ReadError};
use grammers_tl_types::types;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

/// The transport's code for a key that the data-centre doesn't know.
const UNKNOWN_KEY: transport::Error = transport::Error::BadStatus { status: 404 };

struct Connection {
    questions: mpsc::UnboundedSender<Question>,
    runner: AbortOnDropHandle<End>,
    key_epoch: u64,
}

impl Connection {
    /// Closes it once those who chose it before it was called idle are answered, or `limit` is over.
    async fn finish(self, limit: Duration) {
        drop(self.questions);
        let _ = timeout(limit, self.runner).await;
    }
}

/// Runs until the link is dropped, or its account's key is gone.
pub(crate) async fn supervise(
    owner: LinkOwner,
    delay: Duration,
    spare: bool,
    publish: watch::Sender<LinkState>,
    mut heard: mpsc::UnboundedReceiver<u64>,
    pulse: Arc<Pulse>,
) {
    let mut backoff = Backoff::new(owner.config.reconnect_first, owner.config.reconnect_last);
    let mut generation = 0;
    let mut doubt = Doubt::default();
    let announce = |state: LinkState| {
        publish.send_replace(state);
        owner.changed.send_modify(|version| *version = version.wrapping_add(1));
    };
    sleep(delay).await;
    loop {
        owner.permission.given().await;
        let connected = tokio::select! {
            connected = connect(&owner) => connected,
            fault = owner.revoked.until_key_is_gone() => Err(Failure { fault, label: "revoked" }),
        };
        match connected {
            Ok(mut connection) => {
                generation += 1;
                owner.tally.made();
                if owner.dc == owner.store.home_dc() {
                    owner.revoked.key_is_known();
                }
                let up = Instant::now();
                let (key_epoch, questions) = (connection.key_epoch, connection.questions.clone());
                announce(LinkState::Ready(Ready { generation, key_epoch, questions }));
                let mut crowded = owner.crowded.subscribe();
                let reason = tokio::select! {
                    reason = watch_over(&owner, &mut connection, &mut heard, generation) => reason,
                    () = unneeded(&mut crowded, &pulse, owner.config.idle), if spare => IDLE,
                };
                owner.tally.ended(reason);
                if reason == IDLE {
                    tracing::debug!(account = %owner.account, dc = owner.dc, "connection closed, as nobody needs it");
                    announce(LinkState::Idle);
                    connection.finish(owner.config.call_timeout).await;
                    // A crowd since the last look has been noted. The data-centre's handle outlives this task.
                    let _ = crowded.changed().await;
                    announce(LinkState::Connecting);
                    continue;
                }
                tracing::info!(account = %owner.account, dc = owner.dc, route = %owner.route, reason, "connection lost");
                drop(connection);
                announce(LinkState::Connecting);
                // One that dies young must not be rebuilt in a loop.
                if up.elapsed() > owner.config.reconnect_last {
                    backoff.reset();
                }
                sleep(backoff.after_loss(rand::random())).await;
            }
            Err(Failure { fault, label }) => {
                let fault = match label {
                    UNKNOWN if owner.revoked.doubts_key(&mut doubt, &owner.account) => Revoked::no_key(),
                    _ => fault,
                };
                owner.tally.failed(label);
                tracing::warn!(account = %owner.account, dc = owner.dc, route = %owner.route, %fault, "can't connect");
                announce(LinkState::Down(fault));
                if owner.revoked.is_key_gone() {
                    return;
                }
                sleep(backoff.next(rand::random())).await;
            }
        }
    }
}

const IDLE: &str = "idle";
/// The home data-centre says that it doesn't know the account's key.
const UNKNOWN: &str = "unknown-key";

/// Returns when one link has been enough for so long.
async fn unneeded(crowded: &mut watch::Receiver<Instant>, pulse: &Pulse, idle: Duration) {
    loop {
        let until = *crowded.borrow_and_update() + idle;
        sleep_until(until).await;
        let busy = pulse.in_flight.load(Ordering::Relaxed) > 0;
        if !busy && *crowded.borrow_and_update() + idle <= Instant::now() {
            return;
        }
        if busy {
            // Its call counts like a crowd, but doesn't say when it ends.
            sleep(idle.min(Duration::from_secs(1))).await;
        }
    }
}

/// Returns when the connection is of no more use, with the reason.
async fn watch_over(
    owner: &LinkOwner,
    connection: &mut Connection,
    heard: &mut mpsc::UnboundedReceiver<u64>,
    generation: u64,
) -> &'static str {
    let mut epochs = owner.key_epoch.subscribe();
    let key_epoch = connection.key_epoch;
    loop {
        tokio::select! {
            end = &mut connection.runner => return match end {
                Ok(End::Silent) => "silent",
                Ok(End::Broken(ReadError::Io(error))) if heeds_clock(owner, &error) => "clock",
                Ok(End::Broken(ReadError::Io(error))) if error.kind() == io::ErrorKind::UnexpectedEof => "closed",
                Ok(End::Broken(_) | End::Unneeded) => "broken",
                Err(_) => "died",
            },
            complaint = heard.recv() => match complaint {
                Some(about) if about == generation => return "complaint",
                Some(_) => {}
                None => return "broken",
            },
            _ = epochs.wait_for(|epoch| *epoch != key_epoch) => return "rekeyed",
        }
    }
}

struct Failure {
    fault: CallFault,
    label: &'static str,
}

impl Failure {
    fn timeout() -> Self {
        Self { fault: CallFault::Timeout, label: "timeout" }
    }
}

async fn connect(owner: &LinkOwner) -> Result<Connection, Failure> {
    let (questions, asked) = mpsc::unbounded_channel();
    let (opened, opening) = oneshot::channel();
    let runner: JoinHandle<End> = tokio::spawn(open_and_run(owner.clone(), opened, asked));
    let runner = AbortOnDropHandle::new(runner);
    // The wait for the turn to make a key counts, or the last of several links would be told of a dead data-centre last.
    match timeout(owner.config.connect_timeout, opening).await {
        Ok(Ok(Ok(key_epoch))) => Ok(Connection { questions, runner, key_epoch }),
        Ok(Ok(Err(error))) => Err(failure(owner, error)),
        Ok(Err(_)) => {
            let fault = CallFault::Dropped("what ran the connection died".to_owned());
            Err(Failure { fault, label: "handshake" })
        }
        Err(_) => Err(Failure::timeout()),
    }
}

fn failure(owner: &LinkOwner, error: InvocationError) -> Failure {
    if owner.dc == owner.store.home_dc() && is_unknown_key(&error) {
        return Failure { fault: classify(error), label: UNKNOWN };
    }
    if let InvocationError::Io(error) = &error
        && heeds_clock(owner, error)
    {
        return Failure { fault: CallFault::Dropped(error.to_string()), label: "clock" };
    }
    let dial = match &error {
        InvocationError::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref::<DialError>()),
        _ => None,
    };
    let label = dial.map_or("handshake", DialError::label);
    Failure { fault: classify(error), label }
}

/// True when the connection ended because this machine's clock is fast: the next one goes by the server's.
fn heeds_clock(owner: &LinkOwner, error: &io::Error) -> bool {
    ClockAhead::of(error).inspect(|ahead| owner.clock.heed(*ahead)).is_some()
}

async fn open_and_run(
    owner: LinkOwner,
    opened: oneshot::Sender<Result<u64, InvocationError>>,
    asked: mpsc::UnboundedReceiver<Question>,
) -> End {
    let keep_alive = KeepAlive { every: owner.config.keep_alive, patience: owner.config.call_timeout };
    match open(&owner).await {
        Ok((talk, key_epoch)) => {
            // The supervisor waits for this until it aborts the task.
            let _ = opened.send(Ok(key_epoch));
            talk.run(asked, keep_alive).await
        }
        Err(error) => {
            let _ = opened.send(Err(error));
            End::Unneeded
        }
    }
}

/// A connection that is ready for calls: with a key, introduced. And the epoch of its key.
async fn open(owner: &LinkOwner) -> Result<(Talk<Encrypted>, u64), InvocationError> {
    let who = Introduction {
        api_id: owner.api_id,
        device_model: owner.config.device_model.clone(),
        system_version: owner.config.system_version.clone(),
        app_version: owner.config.app_version.clone(),
        lang_code: owner.config.lang_code.clone(),
    };
    // Read before the key: were it the other way round, an old key could pass for the new one.
    let key_epoch = *owner.key_epoch.borrow();
    let is_home = owner.dc == owner.store.home_dc();
    let (talk, config, key_epoch) = match owner.store.dc(owner.dc).and_then(|dc| dc.auth_key) {
        None => with_own_key(owner, &who, None).await?,
        Some(key) => {
            let mut talk = with_key(owner, key).await?;
            match talk.introduce(&who).await {
                Ok(config) => (talk, config, key_epoch),
                Err(error) if is_home => return Err(error),
                Err(error) if is_unknown_key(&error) => with_own_key(owner, &who, Some(key)).await?,
                Err(error) => return Err(error),
            }
        }
    };
    endpoint::learn(&owner.store, &owner.config.addresses, &config).await.map_err(stored)?;
    Ok((talk, key_epoch))
}

/// Makes a key, unless another link has just made one. `refused` is the key that the data-centre doesn't know any more.
async fn with_own_key(
    owner: &LinkOwner,
    who: &Introduction,
    refused: Option<[u8; 256]>,
) -> Result<(Talk<Encrypted>, types::Config, u64), InvocationError> {
    let _making = owner.key_lock.lock().await;
    let known = owner.store.dc(owner.dc).and_then(|dc| dc.auth_key);
    let (mut talk, key_epoch) = match known.filter(|key| Some(*key) != refused) {
        Some(key) => (with_key(owner, key).await?, *owner.key_epoch.borrow()),
        None => {
            let targets = targets(owner);
            let (talk, key) = Talk::open(&owner.route, owner.dc, &targets)
                .await?
                .permitted(&owner.permission)
                .make_key(&owner.config.rsa_keys)
                .await?;
            (talk, owner.replace_key(Some(key)).await.map_err(stored)?)
        }
    };
    let config = talk.introduce(who).await?;
    Ok((talk, config, key_epoch))
}

async fn with_key(owner: &LinkOwner, key: [u8; 256]) -> Result<Talk<Encrypted>, InvocationError> {
    let talk = Talk::open_with_key(&owner.route, owner.dc, &targets(owner), key, owner.clock.offset()).await?;
    Ok(talk.permitted(&owner.permission))
}

fn targets(owner: &LinkOwner) -> Vec<SocketAddr> {
    let known = owner.store.dc(owner.dc).unwrap_or_default();
    endpoint::targets(owner.dc, &owner.config.addresses, &known, owner.route.parts().ip)
}

fn is_unknown_key(error: &InvocationError) -> bool {
    matches!(error, InvocationError::Transport(error) if *error == UNKNOWN_KEY)
}

fn stored(error: StoreError) -> InvocationError {
    InvocationError::Session(Box::new(error))
}
