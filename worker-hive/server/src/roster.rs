//! Which accounts of the store this hive runs, changing while it runs.
//!
//! An account runs as long as it is in the store, not disabled, and leased to this hive. Each hive takes its fair share first, what is
//! left over after a pause, and gives idle accounts to those who have less and ask. Who loses a lease cuts the account's connections at once.

use crate::hives::{self, Shares};
use crate::running::{NotStarted, Running, Started};
use crate::sessions::Disabled;
use crate::shares;
use leases::{LeaseError, Leases, Load};
use mtproto::{AccountInfo, ClientConfig, SessionFolder, StoreError};
use parking_lot::Mutex;
use pool::Pool;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How often loads are told and shares are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How often the folder is read: soon enough for whoever waits for a session to be let go of.
const RESCAN: Duration = Duration::from_secs(5);
/// A session that can't be opened is tried again after this.
const BROKEN: Duration = Duration::from_secs(60);
/// A little later than the moment at which an answer may be another one.
const MARGIN: Duration = Duration::from_millis(20);

type Account = mtproto::Account;

/// What the roster works with.
pub(crate) struct Means {
    pub(crate) folder: SessionFolder,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) pool: Pool<Account>,
    pub(crate) leases: Leases,
    /// Other hives may take what this one lets go.
    pub(crate) shared: bool,
}

/// The handle on the task that keeps the roster.
pub(crate) struct Roster {
    orders: mpsc::UnboundedSender<Order>,
    view: Arc<Mutex<View>>,
    leases: Leases,
}

/// What the operator may see.
#[derive(Default)]
struct View {
    disabled: Vec<Disabled>,
    /// Not held: an account that is let go must end.
    running: HashMap<String, Weak<Account>>,
    names: HashMap<i64, String>,
}

enum Order {
    Rescan,
    Drain,
    Finish(oneshot::Sender<()>),
}

impl Roster {
    /// Reads the folder, takes what can be had at once, and goes on in the background.
    ///
    /// # Errors
    /// Name and reason of the first session that can't be read; an empty name for the folder itself.
    pub(crate) async fn start(means: Means) -> Result<Self, (String, StoreError)> {
        let sessions = read(&means.folder)?;
        let view = Arc::<Mutex<View>>::default();
        let leases = means.leases.clone();
        let mut worker = Worker {
            means,
            view: Arc::clone(&view),
            known: BTreeMap::new(),
            running: BTreeMap::new(),
            closing: JoinSet::new(),
            closing_names: HashSet::new(),
            lost: JoinSet::new(),
            next_try: HashMap::new(),
            free_since: HashMap::new(),
            unreadable: HashSet::new(),
            released: None,
            draining: false,
        };
        worker.know(sessions.into_iter().map(|info| (info.account.clone(), Ok(info))).collect());
        worker.means.leases.meet().await;
        worker.take().await;
        let (orders, heard) = mpsc::unbounded_channel();
        tokio::spawn(worker.run(heard));
        Ok(Self { orders, view, leases })
    }

    /// Reads the folder again, soon.
    pub(crate) fn rescan(&self) {
        let _ = self.orders.send(Order::Rescan);
    }

    /// Takes nothing more, and lets go of what carries no stream.
    pub(crate) fn drain(&self) {
        let _ = self.orders.send(Order::Drain);
    }

    /// Lets everything go and closes the store's files.
    pub(crate) async fn finish(self) {
        let (done, heard) = oneshot::channel();
        let _ = self.orders.send(Order::Finish(done));
        let _ = heard.await;
    }

    /// Names the sessions that are out of service.
    pub(crate) fn disabled(&self) -> impl Fn() -> Vec<Disabled> + Send + Sync + use<> {
        let view = Arc::clone(&self.view);
        move || view.lock().disabled.clone()
    }

    /// The accounts that run here.
    pub(crate) fn accounts(&self) -> impl Fn() -> Vec<Arc<Account>> + Send + Sync + use<> {
        let view = Arc::clone(&self.view);
        move || view.lock().running.values().filter_map(Weak::upgrade).collect()
    }

    /// Whether there are sessions to run, and no hive has any of them.
    pub(crate) fn nobodys(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let (view, leases) = (Arc::clone(&self.view), self.leases.clone());
        move || hives::are_nobodys(&leases, &view.lock().names)
    }

    /// How the accounts are shared out.
    pub(crate) fn shares(&self) -> impl Fn() -> Shares + Send + Sync + use<> {
        let (view, leases) = (Arc::clone(&self.view), self.leases.clone());
        move || hives::shares(&leases, &view.lock().names)
    }

    /// All accounts, of all hives.
    pub(crate) fn hives(&self) -> impl Fn() -> Value + Send + Sync + use<> {
        let (view, leases) = (Arc::clone(&self.view), self.leases.clone());
        move || hives::listing(&leases, &view.lock().names)
    }
}

fn read(folder: &SessionFolder) -> Result<Vec<AccountInfo>, (String, StoreError)> {
    let names = folder.accounts().map_err(|error| (String::new(), error))?;
    names.into_iter().map(|name| folder.describe(&name).map_err(|error| (name, error))).collect()
}

type Read = Vec<(String, Result<AccountInfo, StoreError>)>;

struct Worker {
    means: Means,
    view: Arc<Mutex<View>>,
    /// Sessions that are to run somewhere, and their lease ids.
    known: BTreeMap<String, i64>,
    running: BTreeMap<String, Running>,
    /// Resolve with the name of what was closed.
    closing: JoinSet<String>,
    closing_names: HashSet<String>,
    /// Resolve with name and fence of what was lost.
    lost: JoinSet<(String, u64)>,
    next_try: HashMap<String, Instant>,
    /// Accounts that nobody has, as far as is known.
    free_since: HashMap<i64, Instant>,
    /// Sessions that can't be read, so that it is said once.
    unreadable: HashSet<String>,
    /// When an account was last given to another hive.
    released: Option<Instant>,
    draining: bool,
}

impl Worker {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut scanned = Instant::now();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Rescan) => scanned = self.rescan().await,
                    Some(Order::Drain) => self.draining = true,
                    Some(Order::Finish(done)) => {
                        self.finish().await;
                        let _ = done.send(());
                        return;
                    }
                    None => return,
                },
                Some(Ok((name, fence))) = self.lost.join_next() => self.cut(&name, fence),
                Some(closed) = self.closing.join_next() => {
                    if let Ok(name) = closed {
                        self.closing_names.remove(&name);
                    }
                }
                () = tokio::time::sleep(TICK) => {}
            }
            self.tell();
            if self.draining {
                self.release_idle();
                continue;
            }
            if scanned.elapsed() >= RESCAN {
                scanned = self.rescan().await;
            }
            self.give();
            self.take().await;
        }
    }

    async fn rescan(&mut self) -> Instant {
        let folder = self.means.folder.clone();
        let read = tokio::task::spawn_blocking(move || -> Result<Read, StoreError> {
            let describe = |name: String| {
                let info = folder.describe(&name);
                (name, info)
            };
            Ok(folder.accounts()?.into_iter().map(describe).collect())
        });
        match read.await {
            Ok(Ok(sessions)) if !self.draining => self.know(sessions),
            Ok(Err(error)) => tracing::warn!(%error, "can't read the session store"),
            Ok(Ok(_)) | Err(_) => {}
        }
        Instant::now()
    }

    /// Takes over what the folder says.
    fn know(&mut self, sessions: Read) {
        let mut known = BTreeMap::new();
        let mut view = View::default();
        for (name, info) in sessions {
            if info.is_ok() {
                self.unreadable.remove(&name);
            }
            match info {
                Ok(info) if info.disabled => view.disabled.push(Disabled {
                    name,
                    bot: info.bot,
                    premium: info.premium == Some(true),
                    home_dc: info.home_dc,
                }),
                Ok(info) => {
                    view.names.insert(info.key_id, name.clone());
                    known.insert(name, info.key_id);
                }
                Err(error) => {
                    if self.unreadable.insert(name.clone()) {
                        tracing::warn!(session = name, %error, "can't read a session");
                    }
                    // Being busy for a moment is no reason to end what runs.
                    if let Some(running) = self.running.get(&name) {
                        known.insert(name, running.lease());
                    }
                }
            }
        }
        let gone: Vec<String> = self
            .running
            .iter()
            .filter(|(name, running)| known.get(*name) != Some(&running.lease()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            tracing::info!(session = name, "the session is disabled, removed or replaced: it is let go");
            self.release(&name);
        }
        self.next_try.retain(|name, _| known.contains_key(name));
        self.known = known;
        let mut shown = self.view.lock();
        view.running = std::mem::take(&mut shown.running);
        view.running.retain(|_, account| account.strong_count() > 0);
        *shown = view;
    }

    /// Tells the other hives how the accounts fare.
    fn tell(&self) {
        for report in self.means.pool.report().sessions {
            if let Some(running) = self.running.get(&report.name).filter(|running| running.session() == report.id) {
                let load = Load {
                    streams: u32::try_from(report.streams).unwrap_or(u32::MAX),
                    bytes_per_second: report.bytes_per_second,
                    rests_for: report.rests_for.unwrap_or_default(),
                };
                self.means.leases.tell(running.lease(), load);
            }
        }
    }

    /// Takes accounts, as many as are this hive's to take.
    async fn take(&mut self) {
        let now = Instant::now();
        let seen = self.means.leases.seen();
        let taken: HashSet<i64> = seen.iter().filter(|seen| seen.hive.is_some()).map(|seen| seen.account).collect();
        self.free_since.retain(|account, _| !taken.contains(account));
        let mut candidates = Vec::new();
        for (name, lease) in &self.known {
            let idle = !self.running.contains_key(name) && !self.closing_names.contains(name);
            if idle && self.next_try.get(name).is_none_or(|at| *at <= now) {
                let free = !taken.contains(lease);
                let since = free.then(|| *self.free_since.entry(*lease).or_insert(now));
                candidates.push(shares::Candidate { name: name.clone(), free_for: since.map(|since| now - since) });
            }
        }
        let ttl = self.means.leases.ttl();
        let hives = self.means.leases.hives();
        let mut asks = JoinSet::new();
        for name in shares::to_ask(candidates, self.known.len(), self.running.len(), hives, ttl) {
            let (leases, lease) = (self.means.leases.clone(), self.known.get(&name).copied().unwrap_or_default());
            asks.spawn(async move { (name, leases.take(lease).await) });
        }
        // Asked together, they are answered together.
        while let Some(Ok((name, answer))) = asks.join_next().await {
            let pause = match answer {
                Ok(held) => match Running::start(&self.means, &name, held) {
                    Ok(Started { running, lost }) => {
                        self.lost.spawn(lost);
                        self.view.lock().running.insert(name.clone(), Arc::downgrade(running.account()));
                        self.running.insert(name, running);
                        continue;
                    }
                    Err(NotStarted::Busy) => TICK,
                    // The next look at the folder takes it off the list.
                    Err(NotStarted::Disabled) => RESCAN,
                    Err(NotStarted::Broken(error)) => {
                        tracing::error!(session = name, %error, "can't open a session");
                        BROKEN
                    }
                },
                Err(LeaseError::Busy { left, .. }) => (left + MARGIN).min(ttl / 2),
                Err(LeaseError::NotYet { left }) => left + MARGIN,
                Err(_) => ttl / 12,
            };
            self.next_try.insert(name, Instant::now() + pause);
        }
    }

    /// Lets idle accounts go that a poorer hive asked for. Once in a lease time: who asks must have them before the next look.
    fn give(&mut self) {
        let (ttl, mine) = (self.means.leases.ttl(), self.running.len());
        let fair = shares::fair(self.known.len(), self.means.leases.hives());
        if mine <= fair || self.released.is_some_and(|at| at.elapsed() < ttl) {
            return;
        }
        let wanted: HashSet<i64> = self
            .means
            .leases
            .seen()
            .iter()
            .filter(|seen| seen.mine && seen.wanted_by.is_some())
            .map(|seen| seen.account)
            .collect();
        let idle = self.idle();
        let is_wanted = |name: &String| self.running.get(name).is_some_and(|running| wanted.contains(&running.lease()));
        let given: Vec<String> = idle.into_iter().filter(is_wanted).take(mine - fair).collect();
        for name in given {
            tracing::info!(session = name, "another hive has fewer accounts: it gets this idle one");
            self.released = Some(Instant::now());
            // Not asked for again by this hive before the other one had its turn.
            self.next_try.insert(name.clone(), Instant::now() + ttl * 2);
            self.release(&name);
        }
    }

    fn idle(&self) -> Vec<String> {
        let busy: HashSet<_> =
            self.means.pool.report().sessions.iter().filter(|s| s.streams > 0).map(|session| session.id).collect();
        let is_idle = |running: &Running| !busy.contains(&running.session());
        self.running.iter().filter(|(_, running)| is_idle(running)).map(|(name, _)| name.clone()).collect()
    }

    fn release_idle(&mut self) {
        if self.means.shared {
            self.idle().iter().for_each(|name| self.release(name));
        }
    }

    /// Ends an account in good order: streams move on, the store is closed, then others may have it.
    fn release(&mut self, name: &str) {
        if let Some(running) = self.running.remove(name) {
            self.closing_names.insert(name.to_owned());
            let (name, pool, leases) = (name.to_owned(), self.means.pool.clone(), self.means.leases.clone());
            self.closing.spawn(async move {
                running.release(&name, &pool, &leases).await;
                name
            });
        }
    }

    /// Ends an account that is another hive's.
    fn cut(&mut self, name: &str, fence: u64) {
        if self.running.get(name).is_some_and(|running| running.fence() == fence)
            && let Some(running) = self.running.remove(name)
        {
            tracing::warn!(session = name, "the account's lease is lost: its streams go on elsewhere");
            running.cut(&self.means.pool);
            self.closing_names.insert(name.to_owned());
            let name = name.to_owned();
            self.closing.spawn(async move {
                running.close(&name).await;
                name
            });
        }
    }

    async fn finish(&mut self) {
        let names: Vec<String> = self.running.keys().cloned().collect();
        names.iter().for_each(|name| self.release(name));
        while self.closing.join_next().await.is_some() {}
        self.means.leases.leave().await;
    }
}
