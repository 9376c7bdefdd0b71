//! A running hive: accounts, pool, listeners, and their end.

use crate::admin::{self, Admin};
use crate::channels::{self, Channels};
use crate::listen::Listener;
use crate::media::{self, Face};
use crate::metrics::Metrics;
use crate::options::HiveOptions;
use crate::roster::{Means, Roster};
use crate::sessions;
use crate::virtual_api;
use crate::virtual_files::VirtualFiles;
use catalog::{Catalog, CatalogError};
use config::ListenAddress;
use leases::{LeaseError, Leases};
use mtproto::{FolderLock, SessionFolder, StoreError};
use pool::Pool;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use traces::{Traces, TracesError};

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
    /// The catalog of virtual files can't be used.
    #[error("{}: {source}", path.display())]
    Catalog {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: CatalogError,
    },
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
    /// The store of leases can't be used.
    #[error("redis: {0}")]
    Leases(#[from] LeaseError),
    /// Traces can't be told.
    #[error("traces: {0}")]
    Traces(#[from] TracesError),
    /// A metric's name is wrong.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// A hive that serves. Dropping it stops it at once; [`Hive::stop`] lets transfers finish.
pub struct Hive {
    address: ListenAddress,
    admin: Option<SocketAddr>,
    roster: Roster,
    files: VirtualFiles,
    stop: CancellationToken,
    cut: CancellationToken,
    tasks: JoinSet<()>,
    traces: Traces,
    /// Last, so that no other hive has the store before this one is done with it.
    _lock: FolderLock,
}

impl Hive {
    /// Opens the sessions of the store that no other hive has, starts connecting, and listens. Returns before the sessions are
    /// connected: requests wait for them within their deadlines.
    ///
    /// # Errors
    /// [`HiveError`]; nothing listens then.
    pub async fn start(options: HiveOptions) -> Result<Self, HiveError> {
        let traces = options.traces.as_ref().map_or_else(|| Ok(Traces::off()), Traces::start)?;
        // Everything that a second hive would fail at comes before the first session is touched.
        let folder = SessionFolder::open(&options.store)?.with_key(options.store_key.clone());
        let lock = if options.leases.is_some() { folder.lock_shared()? } else { folder.lock()? };
        let bind = async |address: &ListenAddress| {
            Listener::bind(address).await.map_err(|source| HiveError::Listen { address: address.to_string(), source })
        };
        let listener = bind(&options.listen).await?;
        let admin_listener = bind(&ListenAddress::Tcp(options.admin)).await?;
        if folder.accounts()?.is_empty() {
            return Err(HiveError::NoSessions);
        }
        let catalog = Catalog::open(&options.catalog)
            .map_err(|source| HiveError::Catalog { path: options.catalog.clone(), source })?;
        let files = VirtualFiles::new(catalog, options.pool.negative_ttl);
        let metrics = Arc::new(Metrics::new()?);
        let observer = Arc::clone(&metrics);
        let pool = Pool::observed(options.pool, observer);
        let address =
            listener.address().map_err(|source| HiveError::Listen { address: options.listen.to_string(), source })?;
        let admin = admin_listener.tcp_address();

        let face = Arc::new(Face {
            pool: pool.clone(),
            files: files.clone(),
            token: options.token.clone(),
            metrics: Arc::clone(&metrics),
            stall: options.stall,
            traces: traces.clone(),
        });
        let shared = options.leases.is_some();
        let leases = match options.leases {
            Some(shared) => Leases::redis(shared.url.expose(), &shared.prefix, shared.options)?,
            None => Leases::in_process(),
        };
        let client = Arc::new(options.client);
        let means = Means { folder, client, pool: pool.clone(), leases, shared };
        let roster = Roster::start(means).await.map_err(|(account, source)| match account.as_str() {
            "" => HiveError::Store(source),
            _ => HiveError::Session { account, source },
        })?;
        let (seen, disabled) = (pool.clone(), roster.disabled());
        let sessions = Box::new(move || sessions::listing(&seen.report().sessions, &disabled()));
        let channels = Channels { accounts: Box::new(roster.accounts()), sessions, token: options.token };
        let router = virtual_api::routes().fallback(media::serve).with_state(face);
        let router = router.merge(channels::router(Arc::new(channels)));
        let operator = admin::router(Arc::new(Admin {
            pool: pool.clone(),
            metrics,
            disabled: Box::new(roster.disabled()),
            hives: Box::new(roster.hives()),
            nobodys: Box::new(roster.nobodys()),
            shares: Box::new(roster.shares()),
        }));
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(listener.serve(router, stop.clone(), cut.clone(), options.drain));
        tasks.spawn(admin_listener.serve(operator, stop.clone(), CancellationToken::new(), ADMIN_DRAIN));
        Ok(Self { address, admin, roster, files, stop, cut, tasks, traces, _lock: lock })
    }

    /// Reads the session store again, soon: what came, went, or was disabled. It is read every few seconds anyway.
    pub fn rescan(&self) {
        self.roster.rescan();
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
        self.roster.drain();
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
        if let Err(error) = self.files.on_disk(Catalog::close).await {
            tracing::warn!(%error, "can't close the catalog");
        }
        self.roster.finish().await;
        let traces = self.traces;
        let _ = tokio::task::spawn_blocking(move || traces.end()).await;
    }
}
