//! Has the certificates that are wanted, and renews them.

use crate::acme::{self, AcmeConfig, ChallengeKind, IssueError};
use crate::budget::{Budget, Limits, Refused};
use crate::chain::Chain;
use crate::name::ServerName;
use crate::store::{Bundle, Store, StoreError};
use crate::table::Table;
use async_trait::async_trait;
use futures_util::future::join_all;
use instant_acme::Account;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};

/// Handshakes that wait for an order at once; the next ones are turned away.
const WAITING: usize = 256;
/// Orders at once.
const AT_ONCE: usize = 4;
/// How long a gateway has for an order before another one may try.
const CLAIM: Duration = Duration::from_secs(300);

/// How long no account is asked for after that failed first, and at most.
const FIRST_ACCOUNT_REST: Duration = Duration::from_secs(30);
const LONGEST_ACCOUNT_REST: Duration = Duration::from_secs(3600);

/// How often, and in which steps, a gateway looks for what another one orders: about as long as a handshake waits.
const OTHERS_LOOKS: u32 = 80;
const OTHERS_LOOK: Duration = Duration::from_millis(500);

/// Says for whom certificates may be ordered.
#[async_trait]
pub trait Vouch: Send + Sync + 'static {
    /// Whether a tenant that serves has this host.
    async fn vouches(&self, host: &str) -> bool;
}

/// Settings of a [`Keeper`].
#[derive(Clone, Debug)]
pub struct KeeperConfig {
    /// The authority.
    pub acme: AcmeConfig,
    /// How much may be ordered.
    pub limits: Limits,
}

/// What a keeper did, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A certificate was ordered, and came.
    Issued,
    /// An order failed.
    Failed,
    /// Nobody vouches for the name.
    Unknown,
    /// The budget refused.
    Held,
}

/// What came of wishing for a certificate.
#[derive(Debug)]
pub enum Obtained {
    /// It is in the table.
    Here,
    /// Nobody vouches for the name.
    Unknown,
    /// Not now: the budget, or another gateway takes its time over it.
    Later,
    /// The order failed.
    Failed,
}

/// Keeps a [`Table`] filled from a [`Store`] and an authority.
pub struct Keeper {
    table: Arc<Table>,
    store: Arc<dyn Store>,
    vouch: Arc<dyn Vouch>,
    config: KeeperConfig,
    account: OnceCell<Account>,
    budget: Mutex<Budget>,
    /// That there is no account says nothing of any name: the account rests, and for shorter times.
    account_rest: Mutex<Budget>,
    /// What the store had when it was last looked through: marks by name.
    seen: Mutex<HashMap<String, String>>,
    /// Ordered and in service, and not kept yet.
    unsaved: Mutex<HashMap<ServerName, Bundle>>,
    /// One order for a name, for all that wait for it.
    under_way: Mutex<HashMap<ServerName, Arc<tokio::sync::Mutex<()>>>>,
    waiting: Semaphore,
    ordering: Semaphore,
    counts: [AtomicU64; 4],
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("table", &self.table).finish_non_exhaustive()
    }
}

/// When it is: seconds since 1970, and the time on a clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Seconds since 1970.
    pub unix: i64,
    /// A clock that never goes back.
    pub tick: Duration,
}

impl Keeper {
    /// A keeper that has done nothing yet.
    pub fn new(table: Arc<Table>, store: Arc<dyn Store>, vouch: Arc<dyn Vouch>, mut config: KeeperConfig) -> Self {
        if store.is_shared() {
            // A challenge may reach any gateway: only those over HTTP are answered by all.
            config.acme.challenges.retain(|kind| *kind == ChallengeKind::Http01);
        }
        let budget = Mutex::new(Budget::new(config.limits.clone()));
        let account_rest = Mutex::new(Budget::new(Limits {
            orders_per_hour: u32::MAX,
            first_rest: FIRST_ACCOUNT_REST,
            longest_rest: LONGEST_ACCOUNT_REST,
            most_names: 1,
        }));
        Self {
            table,
            store,
            vouch,
            config,
            account: OnceCell::new(),
            budget,
            account_rest,
            seen: Mutex::default(),
            unsaved: Mutex::default(),
            under_way: Mutex::default(),
            waiting: Semaphore::new(WAITING),
            ordering: Semaphore::new(AT_ONCE),
            counts: Default::default(),
        }
    }

    /// Puts what the store has into the table, as far as it is another than at the last look. Tells how many that were.
    ///
    /// # Errors
    /// The store can't be read. A bundle that can't be used is told of and passed over.
    pub async fn load(&self) -> Result<usize, StoreError> {
        let mut chains = Vec::new();
        let mut looked = Ok(());
        for (name, mark) in self.store.kept().await? {
            if name.parse::<ServerName>().is_err() || self.seen.lock().get(&name) == Some(&mark) {
                continue;
            }
            match self.read(&name).await {
                Ok(chain) => chains.extend(chain.map(|chain| (name.clone(), chain))),
                Err(error) => {
                    looked = Err(error);
                    break;
                }
            }
            self.seen.lock().insert(name, mark);
        }
        self.table.set_all_ordered(&chains);
        looked.map(|()| chains.len())
    }

    /// Looks after all names: orders what is `wanted` and missing, renews what comes to its end, as long as somebody vouches for it, and
    /// forgets what is over and nobody's.
    pub async fn tend(&self, wanted: &[ServerName], now: Now) {
        self.save_again().await;
        // Another gateway may have ordered in the meantime.
        if self.store.is_shared()
            && let Err(error) = self.load().await
        {
            tracing::warn!(%error, "certificates of other gateways can't be looked up");
        }
        let listed = self.table.list();
        let kept = listed.iter().filter_map(|(name, _)| name.parse::<ServerName>().ok());
        let mut names: Vec<ServerName> =
            wanted.iter().cloned().chain(kept).filter(|name| !self.is_fresh(name, now)).collect();
        names.sort();
        names.dedup();
        // One that the authority takes long over does not keep the others waiting. The ones that may run at once are counted there.
        join_all(names.iter().map(|name| self.look_after(name, now))).await;
    }

    async fn look_after(&self, name: &ServerName, now: Now) {
        if self.vouch.vouches(name.as_str()).await {
            self.obtain_vouched(name, now).await;
        } else if self.table.find(name.as_str()).is_some_and(|chain| chain.not_after() < now.unix) {
            // Whose tenant comes back later has another one ordered.
            self.forget(name).await;
        }
    }

    /// Has a certificate for a name, if somebody vouches for it: the table's, the store's, or one that is ordered now, which takes
    /// seconds.
    pub async fn obtain(&self, name: &ServerName, now: Now) -> Obtained {
        if self.is_fresh(name, now) {
            return Obtained::Here;
        }
        // Before anything is kept about the name, or a place taken for it: anybody can make them up.
        if !self.vouch.vouches(name.as_str()).await {
            self.count(Event::Unknown);
            return Obtained::Unknown;
        }
        let Ok(_waiting) = self.waiting.try_acquire() else { return Obtained::Later };
        self.obtain_vouched(name, now).await
    }

    async fn obtain_vouched(&self, name: &ServerName, now: Now) -> Obtained {
        let lock = self.under_way.lock().entry(name.clone()).or_default().clone();
        let obtained = {
            let _one = lock.lock().await;
            if self.is_fresh(name, now) { Obtained::Here } else { self.order(name, now).await }
        };
        let mut under_way = self.under_way.lock();
        // The map's and this one: nobody else waits.
        if Arc::strong_count(&lock) <= 2 {
            under_way.remove(name);
        }
        obtained
    }

    /// The body for a challenge, of this gateway or of another one.
    pub async fn key_authorization(&self, token: &str) -> Option<String> {
        if let Some(own) = self.table.key_authorization(token) {
            return Some(own);
        }
        // Tokens are base64url (RFC 8555 §8.3): what else is asked for is no key of the store's.
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if token.len() > 128 || !token.bytes().all(is_token) {
            return None;
        }
        self.store.challenge(token).await.ok().flatten()
    }

    /// How often each event was.
    pub fn counts(&self) -> [(&'static str, u64); 4] {
        let count = |event: Event| self.counts[event as usize].load(Ordering::Relaxed);
        [
            ("issued", count(Event::Issued)),
            ("failed", count(Event::Failed)),
            ("unknown", count(Event::Unknown)),
            ("held", count(Event::Held)),
        ]
    }

    /// Nothing is to be ordered: what files have is renewed by whoever writes them.
    fn is_fresh(&self, name: &ServerName, now: Now) -> bool {
        let name = name.as_str();
        self.table.has_file(name) || self.table.find(name).is_some_and(|chain| now.unix < chain.renew_at())
    }

    fn count(&self, event: Event) {
        self.counts[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// What the store has, if it can be used.
    async fn read(&self, name: &str) -> Result<Option<Arc<Chain>>, StoreError> {
        let Some(bundle) = self.store.load(name).await? else { return Ok(None) };
        let chain = bundle.chain().inspect_err(|error| {
            tracing::error!(%name, %error, "the certificate that was kept can't be used; another one is ordered");
        });
        Ok(chain.ok().map(Arc::new))
    }

    /// True: the store has one that is good for longer.
    async fn is_kept(&self, name: &ServerName, now: Now) -> bool {
        if let Ok(Some(chain)) = self.read(name.as_str()).await {
            self.table.set_ordered(name.as_str(), chain);
        }
        self.is_fresh(name, now)
    }

    async fn order(&self, name: &ServerName, now: Now) -> Obtained {
        if self.is_kept(name, now).await {
            return Obtained::Here;
        }
        // A place first: the time of a claim is for the order, not for waiting.
        let Ok(place) = self.ordering.acquire().await else { return Obtained::Later };
        let claim = match self.store.claim(name.as_str(), CLAIM).await {
            Ok(Some(claim)) => claim,
            Ok(None) => {
                drop(place);
                return self.await_other(name, now).await;
            }
            Err(error) => {
                tracing::warn!(%name, %error, "no certificate is ordered while it can't be kept");
                return Obtained::Later;
            }
        };
        // Another gateway may have kept one and given its claim back just now.
        let ordered = match self.store.is_shared() && self.is_kept(name, now).await {
            true => Obtained::Here,
            false => self.order_claimed(name, now).await,
        };
        self.store.release(claim).await;
        ordered
    }

    /// Another gateway orders; what it keeps is this one's as well.
    async fn await_other(&self, name: &ServerName, now: Now) -> Obtained {
        for _ in 0..OTHERS_LOOKS {
            tokio::time::sleep(OTHERS_LOOK).await;
            if self.is_kept(name, now).await {
                return Obtained::Here;
            }
        }
        Obtained::Later
    }

    async fn order_claimed(&self, name: &ServerName, now: Now) -> Obtained {
        let account = match self.account(now).await {
            Ok(account) => account,
            Err(refused) => {
                self.hold(name, refused);
                return Obtained::Later;
            }
        };
        for kind in &self.config.acme.challenges {
            if let Err(refused) = self.budget.lock().take(name.as_str(), now.tick) {
                self.hold(name, refused);
                return Obtained::Later;
            }
            match self.issue(account, name, *kind).await {
                Ok((bundle, chain)) => {
                    self.budget.lock().done(name.as_str());
                    self.count(Event::Issued);
                    tracing::info!(%name, until = chain.not_after(), "a certificate was ordered");
                    self.keep(name, bundle, chain).await;
                    return Obtained::Here;
                }
                Err(error) => {
                    tracing::warn!(%name, ?kind, %error, "no certificate");
                    // Another way may prove the name. It changes nothing for an authority that is busy, or away.
                    if !matches!(error, IssueError::NoChallenge | IssueError::Unproven) {
                        break;
                    }
                }
            }
        }
        self.budget.lock().failed(name.as_str(), now.tick);
        self.count(Event::Failed);
        Obtained::Failed
    }

    fn hold(&self, name: &ServerName, refused: Refused) {
        self.count(Event::Held);
        tracing::debug!(%name, %refused, "no certificate now");
    }

    /// The account, which the first one who asks has made.
    async fn account(&self, now: Now) -> Result<&Account, Refused> {
        let make = || async {
            self.account_rest.lock().take("", now.tick)?;
            acme::account(&self.config.acme, &*self.store).await.map_err(|error| {
                tracing::warn!(%error, "no account at the authority, so no certificate");
                let mut rest = self.account_rest.lock();
                rest.failed("", now.tick);
                Refused::NoAccount
            })
        };
        self.account.get_or_try_init(make).await
    }

    async fn issue(
        &self,
        account: &Account,
        name: &ServerName,
        kind: ChallengeKind,
    ) -> Result<(Bundle, Chain), IssueError> {
        let bundle = acme::order(account, name, kind, &self.table, &*self.store).await?;
        let chain = bundle.chain()?;
        Ok((bundle, chain))
    }

    /// In service before it is kept: what was paid for is used, whatever the store says, and not paid for twice.
    async fn keep(&self, name: &ServerName, bundle: Bundle, chain: Chain) {
        self.table.set_ordered(name.as_str(), Arc::new(chain));
        if let Err(error) = self.store.save(name.as_str(), &bundle).await {
            tracing::error!(%name, %error, "a certificate is in service and not kept; that is tried again");
            self.unsaved.lock().insert(name.clone(), bundle);
        }
    }

    async fn save_again(&self) {
        let unsaved: Vec<(ServerName, Bundle)> = self.unsaved.lock().clone().into_iter().collect();
        for (name, bundle) in unsaved {
            if self.store.save(name.as_str(), &bundle).await.is_ok() {
                self.unsaved.lock().remove(&name);
                tracing::info!(%name, "a certificate is kept now");
            }
        }
    }

    async fn forget(&self, name: &ServerName) {
        match self.store.remove(name.as_str()).await {
            Ok(()) => {
                self.table.forget_ordered(name.as_str());
                self.seen.lock().remove(name.as_str());
                tracing::info!(%name, "a certificate that was over, of a name that is nobody's, was forgotten");
            }
            Err(error) => tracing::warn!(%name, %error, "a certificate that is over can't be removed"),
        }
    }
}

#[cfg(test)]
mod tests;
