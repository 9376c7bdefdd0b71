//! The face of the crate: taking, holding, losing.

use crate::clock::{self, millis};
use crate::ledger::Ledger;
use crate::protocol::{Load, Row};
use crate::redis_store::RedisStore;
use crate::store::Store;
use crate::task::{Command, Task};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// The lease time of a store that only this process knows: nobody waits for it.
const IN_PROCESS_TTL: Duration = Duration::from_secs(15);
const LONGEST_NAME: usize = 64;

/// What a hive does with its accounts while Redis is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenAway {
    /// Goes on. Two hives may use one account if Redis is away for one of them only.
    #[default]
    Keep,
    /// Lets go before the lease is over. An outage of Redis ends every stream; nothing is ever used twice.
    Stop,
}

/// Who takes leases, and for how long.
#[derive(Clone, Debug)]
pub struct LeaseOptions {
    /// Names the hive to others: one to 64 letters, digits, dots, dashes and underscores.
    pub hive: String,
    /// How long a lease lives without renewal, the same for all hives: a dead hive's accounts are free after it. At least 100 ms.
    pub ttl: Duration,
    /// What happens while Redis is away.
    pub when_away: WhenAway,
}

/// Why an account is not leased, or no leases can be had at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Another hive has it.
    #[error("hive `{hive}` has the account")]
    Busy {
        /// Its name.
        hive: String,
        /// Until its lease ends, if it is not renewed.
        left: Duration,
    },
    /// Redis is new, or was away: those who hold accounts come first.
    #[error("nothing is leased for another {} ms, for Redis was away", left.as_millis())]
    NotYet {
        /// Until anybody may take anything.
        left: Duration,
    },
    /// No answer.
    #[error("Redis is away: {0}")]
    Away(String),
    /// Redis is there and refuses.
    #[error("Redis refuses: {0}")]
    Refused(String),
    /// The hive lets everything go.
    #[error("the hive is leaving")]
    Leaving,
    /// The address is not one of Redis.
    #[error("not an address of Redis")]
    Url,
    /// The hive's name or the lease time is outside its bounds.
    #[error("a hive's name has 1 to 64 letters, digits, dots, dashes or underscores, and a lease 100 ms or more")]
    Options,
}

/// An account as all hives know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The account's lease id.
    pub account: i64,
    /// Name of the hive that has it.
    pub hive: Option<String>,
    /// It is this hive that has it.
    pub mine: bool,
    /// As its holder told last; `rests_for` outlives the holder.
    pub load: Load,
    /// Name of a hive that asked for it within the last lease time and was refused.
    pub wanted_by: Option<String>,
    /// The fence of its last lease.
    pub fence: u64,
}

/// A hive's leases; clones are the same hive. Dropping the last one ends every [`Held`] and lets all go.
#[derive(Clone)]
pub struct Leases {
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Shared>,
    hive: Arc<str>,
    ttl: Duration,
}

/// What the task publishes.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) valid_until: AtomicU64,
    pub(crate) view: Mutex<View>,
}

#[derive(Debug, Default)]
pub(crate) struct View {
    pub(crate) run: String,
    pub(crate) hives: Vec<String>,
    pub(crate) table: Vec<Row>,
    pub(crate) away: bool,
}

/// The end of one lease.
#[derive(Debug, Default)]
pub(crate) struct End {
    over: AtomicBool,
    told: CancellationToken,
}

impl End {
    pub(crate) fn declare(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.told.cancel();
    }
}

impl Leases {
    /// Leases that only this process knows of: everything is granted at once. Must be called inside a tokio runtime.
    #[must_use]
    pub fn in_process() -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::of_one_process(millis(IN_PROCESS_TTL), clock::now())));
        let options = LeaseOptions { hive: "local".to_owned(), ttl: IN_PROCESS_TTL, when_away: WhenAway::Keep };
        Self::start(Store::Process(ledger), options)
    }

    /// Leases in Redis, under keys that begin with `prefix`. Connects when first asked. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`LeaseError::Url`], [`LeaseError::Options`].
    pub fn redis(url: &str, prefix: &str, options: LeaseOptions) -> Result<Self, LeaseError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let named = (1..=LONGEST_NAME).contains(&options.hive.len()) && options.hive.bytes().all(plain);
        if !named || options.ttl < Duration::from_millis(100) {
            return Err(LeaseError::Options);
        }
        Ok(Self::start(Store::Redis(Box::new(RedisStore::new(url, prefix)?)), options))
    }

    pub(crate) fn start(store: Store, options: LeaseOptions) -> Self {
        // A hive that comes back after a crash doesn't hold what it held: its old self may not be dead yet.
        let run = format!("{}/{:016x}", options.hive, rand::random::<u64>());
        let shared = Arc::new(Shared::default());
        shared.view.lock().run.clone_from(&run);
        let (commands, heard) = mpsc::unbounded_channel();
        let task = Task::new(store, run, &options, Arc::clone(&shared), commands.downgrade());
        tokio::spawn(task.run(heard));
        Self { commands, shared, hive: options.hive.into(), ttl: options.ttl }
    }

    /// Hears from the store once, or learns that it is away: from then on [`Leases::hives`] and [`Leases::seen`] know the others.
    pub async fn meet(&self) {
        let (done, heard) = oneshot::channel();
        let _ = self.commands.send(Command::Meet { done });
        let _ = heard.await;
    }

    /// Takes an account, if nobody has it.
    ///
    /// # Errors
    /// [`LeaseError`], all but the last two.
    pub async fn take(&self, account: i64) -> Result<Held, LeaseError> {
        let (answer, answered) = oneshot::channel();
        let _ = self.commands.send(Command::Take { account, answer });
        answered.await.unwrap_or(Err(LeaseError::Leaving))
    }

    /// Tells the other hives how an account that is held fares. A flood wait is told at once, the rest with the next renewal.
    pub fn tell(&self, account: i64, load: Load) {
        let _ = self.commands.send(Command::Tell { account, load });
    }

    /// Every account that any hive told of, as of the last renewal.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        let view = self.shared.view.lock();
        let seen = |row: &Row| Seen {
            account: row.account,
            hive: name_of(&row.holder).map(str::to_owned),
            mine: row.holder == view.run,
            load: Load {
                streams: row.streams,
                bytes_per_second: row.speed,
                rests_for: Duration::from_millis(row.rests_for),
            },
            wanted_by: name_of(&row.asker).map(str::to_owned),
            fence: row.fence,
        };
        view.table.iter().map(seen).collect()
    }

    /// How many hives there are, this one included, as of the last renewal; at least 1.
    #[must_use]
    pub fn hives(&self) -> usize {
        self.shared.view.lock().hives.len().max(1)
    }

    /// True while the store does not answer, or refuses.
    #[must_use]
    pub fn is_away(&self) -> bool {
        self.shared.view.lock().away
    }

    /// The hive's name.
    #[must_use]
    pub fn hive(&self) -> &str {
        &self.hive
    }

    /// How long a lease lives without renewal.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Lets everything go and takes nothing any more. Returns once the store knows, or did not answer.
    pub async fn leave(&self) {
        let (done, heard) = oneshot::channel();
        let _ = self.commands.send(Command::Leave { done });
        let _ = heard.await;
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leases").field("hive", &self.hive).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// An account that this hive has, until it is lost, released or dropped.
#[derive(Debug)]
pub struct Held {
    account: i64,
    fence: u64,
    rests_for: Duration,
    permit: Permit,
    commands: mpsc::WeakUnboundedSender<Command>,
    released: bool,
}

/// Tells, before each call, whether an account may be used. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    end: Arc<End>,
}

impl Permit {
    pub(crate) fn new(shared: Arc<Shared>, end: Arc<End>) -> Self {
        Self { shared, end }
    }

    /// True while the account is certainly this hive's. Costs a look at the clock: after a pause it is false until the store has
    /// been asked.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.end.over.load(Ordering::SeqCst) && clock::now() < self.shared.valid_until.load(Ordering::SeqCst)
    }
}

impl Held {
    pub(crate) fn new(
        account: i64,
        fence: u64,
        rests_for: Duration,
        permit: Permit,
        commands: mpsc::WeakUnboundedSender<Command>,
    ) -> Self {
        Self { account, fence, rests_for, permit, commands, released: false }
    }

    /// The account's lease id.
    #[must_use]
    pub fn account(&self) -> i64 {
        self.account
    }

    /// Higher than that of every lease of any account before.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// What was left, when it was taken, of a flood wait that an earlier holder was told.
    #[must_use]
    pub fn rests_for(&self) -> Duration {
        self.rests_for
    }

    /// What to ask before each call.
    #[must_use]
    pub fn permit(&self) -> Permit {
        self.permit.clone()
    }

    /// Completes once the account is not this hive's any more. The permit is invalid by then.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let end = Arc::clone(&self.permit.end);
        async move { end.told.cancelled().await }
    }

    /// Lets the account go, after its last call. Returns once the store knows, or did not answer: then the lease runs out.
    pub async fn release(mut self) {
        let (done, heard) = oneshot::channel();
        self.let_go(Some(done));
        let _ = heard.await;
    }

    fn let_go(&mut self, done: Option<oneshot::Sender<()>>) {
        if std::mem::replace(&mut self.released, true) {
            return;
        }
        self.permit.end.declare();
        if let Some(commands) = self.commands.upgrade() {
            let _ = commands.send(Command::Release { account: self.account, fence: self.fence, done });
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.let_go(None);
    }
}

/// The hive's name in a run's.
pub(crate) fn name_of(run: &str) -> Option<&str> {
    (!run.is_empty()).then(|| run.rsplit_once('/').map_or(run, |(name, _)| name))
}
