//! An account that this hive runs: opened, in the pool, leased.

use crate::roster::Means;
use leases::{Held, Leases, Load};
use mtproto::{Account, AccountLock, CallFault, Permission, StoreError};
use pool::{Pool, SessionId};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// Pause before an account that could not be brought up is tried again; doubles up to [`BRING_UP_LAST`].
const BRING_UP_FIRST: Duration = Duration::from_millis(200);
const BRING_UP_LAST: Duration = Duration::from_secs(60);

/// How long calls under way may hold an account back that is let go.
const LAST_CALLS: Duration = Duration::from_secs(5);

pub(crate) struct Running {
    account: Arc<Account>,
    session: SessionId,
    held: Held,
    lock: AccountLock,
    _bring_up: AbortOnDropHandle<()>,
}

/// Why an account was not begun.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The operator took it out of service since the store was read.
    Disabled,
    /// Another run has it, or there is another in its place.
    Busy,
    /// Its file can't be used.
    Broken(StoreError),
}

impl From<StoreError> for NotStarted {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InUse(_) => Self::Busy,
            error => Self::Broken(error),
        }
    }
}

/// What began, and what resolves with name and fence when its lease is lost.
pub(crate) struct Started<F> {
    pub(crate) running: Running,
    pub(crate) lost: F,
}

impl Running {
    /// Opens the session and gives it to the pool. Without success the lease is let go.
    pub(crate) fn start(
        means: &Means,
        name: &str,
        held: Held,
    ) -> Result<Started<impl Future<Output = (String, u64)> + Send + use<>>, NotStarted> {
        let lock = means.folder.lock_account(name)?;
        let permit = held.permit();
        let permission = Permission::while_so(move || permit.is_valid());
        let account = Account::open_permitted(&means.folder, name, Arc::clone(&means.client), permission)?;
        let info = account.info();
        // Replaced since it was read: another key, another lease. Or disabled, and let go by another hive that knew before this one.
        if info.key_id != held.account() || info.disabled {
            account.cut();
            return Err(if info.disabled { NotStarted::Disabled } else { NotStarted::Busy });
        }
        // Whoever had it before may have been told to wait.
        account.rest(held.rests_for());
        let session = means.pool.add(Arc::clone(&account));
        if !held.rests_for().is_zero() {
            let seconds = u32::try_from(held.rests_for().as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
            means.pool.note(session, &CallFault::Flood { seconds, premium_exempt: false });
        }
        let bring_up = tokio::spawn(bring_up(Arc::clone(&account), session, means.pool.clone()));
        let (lost, fence, name) = (held.lost(), held.fence(), name.to_owned());
        let lost = async move {
            lost.await;
            (name, fence)
        };
        let running = Self { account, session, held, lock, _bring_up: AbortOnDropHandle::new(bring_up) };
        Ok(Started { running, lost })
    }

    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    pub(crate) fn lease(&self) -> i64 {
        self.held.account()
    }

    pub(crate) fn fence(&self) -> u64 {
        self.held.fence()
    }

    pub(crate) fn session(&self) -> SessionId {
        self.session
    }

    /// Ends its connections and its calls at once.
    pub(crate) fn cut(&self, pool: &Pool<Account>) {
        self.account.cut();
        pool.cut(self.session);
    }

    /// Closes the session's file.
    pub(crate) async fn close(self, name: &str) {
        if let Err(error) = self.account.close().await {
            tracing::warn!(session = name, %error, "can't close the session file");
        }
    }

    /// Lets the last calls finish, closes everything, and then lets others have it.
    pub(crate) async fn release(self, name: &str, pool: &Pool<Account>, leases: &Leases) {
        let left = pool.remove(self.session);
        if tokio::time::timeout(LAST_CALLS, left).await.is_err() {
            tracing::info!(session = name, "calls of an account that is let go are cut off");
        }
        // A last call may have been told to wait, and whoever has the account next must know.
        let rests_for = self.account.rests_for().unwrap_or_default();
        leases.tell(self.held.account(), Load { rests_for, ..Load::default() });
        self.account.cut();
        if let Err(error) = self.account.close().await {
            tracing::warn!(session = name, %error, "can't close the session file");
        }
        let Self { account, held, lock, _bring_up: bring_up, .. } = self;
        drop(bring_up);
        drop(account);
        drop(lock);
        held.release().await;
    }
}

/// Tries until the account is known: only then is its kind certain and are a user's chats learned.
async fn bring_up(account: Arc<Account>, id: SessionId, pool: Pool<Account>) {
    let mut pause = BRING_UP_FIRST;
    loop {
        match account.bring_up().await {
            Ok(()) => {
                pool.note_answer(id);
                let info = account.info();
                tracing::info!(
                    account = account.name(),
                    user_id = info.user_id,
                    bot = info.bot,
                    premium = info.premium,
                    peers = info.peers,
                    "account is up"
                );
                return;
            }
            Err(fault @ CallFault::Banned(_)) => {
                // The pool says so in the log, once, and asks it no more.
                pool.note(id, &fault);
                return;
            }
            Err(fault @ CallFault::Flood { seconds, .. }) => {
                // So that the wait is told to the other hives.
                pool.note(id, &fault);
                tokio::time::sleep(Duration::from_secs(u64::from(seconds) + 1)).await;
            }
            // As it was told before, or as whoever had it before was told. The pool knows.
            Err(CallFault::Resting { until }) => tokio::time::sleep_until(until).await,
            Err(fault) => {
                tracing::warn!(account = account.name(), %fault, "account is not up yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BRING_UP_LAST);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NotStarted, Running, Started};
    use crate::roster::Means;
    use leases::Leases;
    use mtproto::{ClientConfig, SessionFolder, SessionSeed, Setting};
    use pool::{Pool, PoolConfig};
    use std::sync::Arc;
    use std::time::Duration;
    use tempfile::TempDir;

    /// A hive of one session whose data-centre nobody answers at.
    fn means() -> (TempDir, Means, i64) {
        let at = tempfile::tempdir().unwrap();
        let folder = SessionFolder::open(at.path()).unwrap();
        let nobody = "127.0.0.1:1".parse().unwrap();
        let seed = SessionSeed::carried("one", 2, [7; 256], 1).unwrap().with_address(2, nobody);
        folder.import(&seed).unwrap();
        let pool = Pool::new(PoolConfig::default());
        let client = Arc::new(ClientConfig::default());
        (at, Means { folder, client, pool, leases: Leases::in_process(), shared: true }, seed.key_id())
    }

    #[tokio::test]
    async fn what_was_disabled_since_the_store_was_read_is_not_begun() {
        let (_at, means, lease) = means();
        means.folder.set_setting("one", Setting::Disabled, Some("1")).unwrap();
        let held = means.leases.take(lease).await.unwrap();
        assert!(matches!(Running::start(&means, "one", held), Err(NotStarted::Disabled)));
        // Nor is it kept from anybody, or locked.
        means.folder.set_setting("one", Setting::Disabled, None).unwrap();
        let held = means.leases.take(lease).await.unwrap();
        assert!(Running::start(&means, "one", held).is_ok());
    }

    #[tokio::test]
    async fn a_wait_that_a_last_call_was_told_is_passed_on() {
        let (_at, means, lease) = means();
        let held = means.leases.take(lease).await.unwrap();
        let Started { running, .. } = Running::start(&means, "one", held).unwrap();
        // After the roster told last how the account fares.
        running.account().rest(Duration::from_secs(600));
        running.release("one", &means.pool, &means.leases).await;
        let again = means.leases.take(lease).await.unwrap();
        assert!(again.rests_for() > Duration::from_secs(500), "{:?}", again.rests_for());
    }
}
