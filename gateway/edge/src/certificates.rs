//! The gateway's certificates: those of files, and those that are ordered for tenants' domains.

use crate::clock;
use crate::directory::Directory;
use crate::metrics::Rows;
use crate::plugins::LivePlugins;
use crate::redis_server::server;
use async_trait::async_trait;
use certificates::{
    AcmeConfig, ChallengeKind, ExternalAccount, Files, FilesError, FolderStore, Keeper, KeeperConfig, Limits, Now,
    Obtained, Pair, RedisStore, ServerName, Store, StoreError, Table, Vouch,
};
use config::GatewaySettings;
use config::gateway::{Acme, AcmeChallenge, CertificateStore};
use secrecy::SecretString;
use std::path::PathBuf;
use std::sync::Arc;

/// Certificates can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificatesError {
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("certificates: {0}")]
    Store(#[from] StoreError),
}

/// All certificates.
pub(crate) struct Certificates {
    pub(crate) table: Arc<Table>,
    files: Arc<Files>,
    keeper: Option<Keeper>,
    directory: Arc<Directory>,
}

/// Believes the directory: a host's certificate may be ordered if a tenant has it by its full name.
struct Voucher {
    directory: Arc<Directory>,
    plugins: Arc<LivePlugins>,
}

#[async_trait]
impl Vouch for Voucher {
    async fn vouches(&self, host: &str) -> bool {
        self.directory.has(host, &self.plugins, clock::tick()).await
    }
}

impl Certificates {
    /// Reads the files' certificates; what is kept of ordered ones is read by [`Self::tend`].
    pub(crate) fn new(
        settings: &GatewaySettings,
        directory: &Arc<Directory>,
        plugins: &Arc<LivePlugins>,
    ) -> Result<Self, CertificatesError> {
        let table = Arc::new(Table::default());
        let files = Arc::new(Files::new(pairs(settings)));
        table.set_files(&files.read()?);
        let vouch = || Arc::new(Voucher { directory: directory.clone(), plugins: plugins.clone() });
        let keeper = match &settings.certificates.acme {
            Some(acme) => Some(Keeper::new(table.clone(), store(settings)?, vouch(), keeper_config(acme))),
            None => None,
        };
        Ok(Self { table, files, keeper, directory: directory.clone() })
    }

    /// Whether certificates are ordered at all.
    pub(crate) fn orders(&self) -> bool {
        self.keeper.is_some()
    }

    /// Has a certificate for a name that a client asked for, if a tenant has that name.
    pub(crate) async fn obtain(&self, name: &ServerName, now: Now) -> Option<Obtained> {
        Some(self.keeper.as_ref()?.obtain(name, now).await)
    }

    /// The answer to a challenge.
    pub(crate) async fn key_authorization(&self, token: &str) -> Option<String> {
        self.keeper.as_ref()?.key_authorization(token).await
    }

    /// Reads what the store has; once, at the start.
    pub(crate) async fn load(&self) {
        let Some(keeper) = &self.keeper else { return };
        match keeper.load().await {
            Ok(count) => tracing::info!(count, "certificates were read"),
            Err(error) => tracing::error!(%error, "certificates that were kept can't be read"),
        }
    }

    /// Reads files that changed, orders what the settings' domains lack, renews what comes to its end.
    pub(crate) async fn tend(&self) {
        self.read_changed().await;
        let Some(keeper) = &self.keeper else { return };
        let names = self.directory.fixed().names();
        let wanted: Vec<ServerName> = names.iter().filter_map(|name| name.parse().ok()).collect();
        keeper.tend(&wanted, clock::now()).await;
    }

    /// Reads files' certificates again if they changed. What can't be used changes nothing.
    pub(crate) async fn read_changed(&self) {
        let files = self.files.clone();
        let Ok(changed) = tokio::task::spawn_blocking(move || files.changed()).await else { return };
        match changed {
            Ok(Some(chains)) => {
                self.table.set_files(&chains);
                tracing::info!(count = chains.len(), "certificates' files changed and were read again");
            }
            Ok(None) => {}
            Err(error) => tracing::error!("certificates' files changed and can't be used; the old ones stay: {error}"),
        }
    }

    /// Counts of orders, and the time at which the first certificate ends, for the metrics.
    pub(crate) fn figures(&self) -> (Rows, Rows) {
        let events = self.keeper.as_ref().map(|keeper| keeper.counts().to_vec()).unwrap_or_default();
        let listed = self.table.list();
        let first = listed.iter().map(|(_, chain)| u64::try_from(chain.not_after()).unwrap_or(0)).min().unwrap_or(0);
        (events, vec![("names", listed.len() as u64), ("first_expiry_timestamp_seconds", first)])
    }
}

/// Reads every certificate and key of files, as a start will, and lets them go.
pub(crate) fn check(settings: &GatewaySettings) -> Result<(), CertificatesError> {
    Files::new(pairs(settings)).read()?;
    Ok(())
}

/// Files' pairs; those of addresses come first, as the first one is shown to clients that name no host.
fn pairs(settings: &GatewaySettings) -> Vec<Pair> {
    let listeners = settings.listen.iter().filter_map(|listener| listener.tls.as_ref());
    let own = listeners.filter_map(|tls| Some((tls.certificate.as_ref()?, tls.key.as_ref()?)));
    let more = settings.certificates.files.iter().map(|tls| (&tls.certificate, &tls.key));
    let pair = |(certificate, key): (&PathBuf, &PathBuf)| Pair { certificate: certificate.clone(), key: key.clone() };
    own.chain(more).map(pair).collect()
}

fn store(settings: &GatewaySettings) -> Result<Arc<dyn Store>, StoreError> {
    match (settings.certificates.store, &settings.redis) {
        (CertificateStore::Redis, Some(redis)) => {
            let server = server(redis).map_err(|_| StoreError::Redis)?;
            Ok(Arc::new(RedisStore::new(server, &redis.prefix, redis.timeout.get())))
        }
        _ => Ok(Arc::new(FolderStore::open(settings.certificates.folder.clone())?)),
    }
}

fn keeper_config(acme: &Acme) -> KeeperConfig {
    let challenge = |challenge: &AcmeChallenge| match challenge {
        AcmeChallenge::TlsAlpn01 => ChallengeKind::TlsAlpn01,
        AcmeChallenge::Http01 => ChallengeKind::Http01,
    };
    let external = acme
        .external_account
        .as_ref()
        .map(|account| ExternalAccount { id: account.id.clone(), key: SecretString::from(account.key.expose()) });
    KeeperConfig {
        acme: AcmeConfig {
            directory: acme.directory.clone(),
            contact: acme.contact.iter().map(|mail| format!("mailto:{mail}")).collect(),
            root: acme.root.clone(),
            external_account: external,
            challenges: acme.challenges.iter().map(challenge).collect(),
        },
        limits: Limits { orders_per_hour: acme.orders_per_hour, ..Limits::default() },
    }
}
