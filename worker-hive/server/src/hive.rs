//! A running hive: accounts, pool, listeners, and their end.

use crate::admin::{self, Admin};
use crate::listen::Listener;
use crate::media::{self, Face};
use crate::metrics::Metrics;
use crate::options::HiveOptions;
use axum::Router;
use config::ListenAddress;
use mtproto::{Account, CallFault, FolderLock, SessionFolder, StoreError};
use pool::{Pool, SessionId};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Pause before an account that could not be brought up is tried again; doubles up to [`BRING_UP_LAST`].
const BRING_UP_FIRST: Duration = Duration::from_millis(200);
const BRING_UP_LAST: Duration = Duration::from_secs(60);

const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// Why a hive can't start.
#[derive(Debug, thiserror::Error)]
pub enum HiveError {
    /// The session store can't be used.
    #[error("session `{account}`: {source}")]
    Session {
        /// Name of the session.
        account: String,
        /// What is wrong with it.
        source: StoreError,
    },
    /// The store's folder can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nobody who could fetch anything.
    #[error("the session store is empty: bring a session in with `worker-hive import`")]
    NoSessions,
    /// An address can't be listened on.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// A metric's name is wrong.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A hive that serves. Dropping it stops it at once; [`Hive::stop`] lets transfers finish.
pub struct Hive {
    address: ListenAddress,
    admin: Option<SocketAddr>,
    accounts: Vec<Arc<Account>>,
    stop: CancellationToken,
    cut: CancellationToken,
    tasks: JoinSet<()>,
    background: JoinSet<()>,
    /// Last, so that no other hive has the store before this one is done with it.
    _lock: FolderLock,
}

impl Hive {
    /// Opens every session of the store, starts connecting, and listens. Returns before the sessions are connected: requests wait
    /// for them within their deadlines.
    ///
    /// # Errors
    /// [`HiveError`]; nothing listens then.
    pub async fn start(options: HiveOptions) -> Result<Self, HiveError> {
        // Everything that a second hive would fail at comes before the first session is touched.
        let folder = SessionFolder::open(&options.store)?;
        let lock = folder.lock()?;
        let bind = async |address: &ListenAddress| {
            Listener::bind(address).await.map_err(|source| HiveError::Listen { address: address.to_string(), source })
        };
        let listener = bind(&options.listen).await?;
        let admin_listener = bind(&ListenAddress::Tcp(options.admin)).await?;
        let client = Arc::new(options.client);
        let accounts: Vec<Arc<Account>> = folder
            .accounts()?
            .iter()
            .map(|name| {
                Account::open(&folder, name, Arc::clone(&client))
                    .map_err(|source| HiveError::Session { account: name.clone(), source })
            })
            .collect::<Result<_, _>>()?;
        if accounts.is_empty() {
            return Err(HiveError::NoSessions);
        }
        let metrics = Arc::new(Metrics::new()?);
        let pool = Pool::new(options.pool);
        let address =
            listener.address().map_err(|source| HiveError::Listen { address: options.listen.to_string(), source })?;
        let admin = admin_listener.tcp_address();

        let face = Arc::new(Face {
            pool: pool.clone(),
            token: options.token,
            metrics: Arc::clone(&metrics),
            stall: options.stall,
        });
        let router = Router::new().fallback(media::serve).with_state(face);
        let operator = admin::router(Arc::new(Admin { pool: pool.clone(), metrics }));
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.serve(router, stop.clone(), cut.clone(), options.drain));
        tasks.spawn(admin_listener.serve(operator, stop.clone(), CancellationToken::new(), ADMIN_DRAIN));
        let mut background = JoinSet::new();
        for account in &accounts {
            let id = pool.add(Arc::clone(account));
            background.spawn(bring_up(Arc::clone(account), id, pool.clone()));
        }
        Ok(Self { address, admin, accounts, stop, cut, tasks, background, _lock: lock })
    }

    /// Where gateways connect, with the port that was found for port 0.
    #[must_use]
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// Where metrics and health are read.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Takes no more requests, lets transfers under way finish within the drain time or until `hurry` is done, and closes the store.
    pub async fn stop(mut self, hurry: impl Future<Output = ()>) {
        self.stop.cancel();
        let (tasks, cut) = (&mut self.tasks, &self.cut);
        let finish = async { while tasks.join_next().await.is_some() {} };
        let hurried = async {
            hurry.await;
            cut.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = finish => {}
            () = hurried => {}
        }
        self.background.shutdown().await;
        for account in &self.accounts {
            if let Err(error) = account.close().await {
                tracing::warn!(account = account.name(), %error, "can't close the session file");
            }
        }
    }
}

/// Tries until the account is known: only then is its kind certain and are a user's chats learned.
async fn bring_up(account: Arc<Account>, id: SessionId, pool: Pool<Account>) {
    let mut pause = BRING_UP_FIRST;
    loop {
        match account.bring_up().await {
            Ok(()) => {
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
            Err(CallFault::Flood { seconds, .. }) => {
                tokio::time::sleep(Duration::from_secs(u64::from(seconds) + 1)).await;
            }
            Err(fault) => {
                tracing::warn!(account = account.name(), %fault, "account is not up yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BRING_UP_LAST);
            }
        }
    }
}
