//! What runs beside the requests: reload on SIGHUP, the watch over plugins' folders, batches for observe plugins, what other gateways tell,
//! what the cache does by itself.

use crate::admin::audit;
use crate::admin::settings::Diff;
use crate::clock;
use crate::edge::Edge;
use crate::managed::PRUNE;
use crate::observe;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The time between two looks at what the cache has to do by itself.
const TEND: Duration = Duration::from_secs(1);

/// The time between two looks at certificates' files, and at what must be ordered.
const TEND_CERTIFICATES: Duration = Duration::from_secs(10);

/// The edge's own tasks, in one service.
pub(crate) struct Background {
    edge: Arc<Edge>,
    hangup: Arc<Notify>,
}

impl Background {
    pub(crate) fn new(edge: Arc<Edge>, hangup: Arc<Notify>) -> Self {
        Self { edge, hangup }
    }

    async fn reload_on_hangup(&self) {
        loop {
            self.hangup.notified().await;
            self.edge.certificates.read_changed().await;
            match self.edge.reloader.reload(audit::LOCAL).await {
                Ok(reloaded) => {
                    let line = audit::local("reload", "settings", serde_json::json!(Diff::of(&reloaded)));
                    self.edge.live.audit(&line).await;
                }
                Err(error) => tracing::error!("SIGHUP: nothing was changed: {error}"),
            }
        }
    }

    async fn observe(&self) {
        loop {
            tokio::time::sleep(observe::PERIOD).await;
            self.edge.observer.deliver(&self.edge.plugins).await;
        }
    }

    async fn tend_issuers(&self) {
        loop {
            let tenants = self.edge.directory.fixed();
            let all = tenants.all().iter().filter_map(|tenant| tenant.tokens.as_ref());
            futures_util::future::join_all(all.map(|tokens| tokens.tend(clock::tick()))).await;
            tokio::time::sleep(TEND).await;
        }
    }

    async fn tend_certificates(&self) {
        self.edge.certificates.load().await;
        loop {
            self.edge.certificates.tend().await;
            tokio::time::sleep(TEND_CERTIFICATES).await;
        }
    }

    async fn prune_secrets(&self) {
        loop {
            self.edge.reloader.prune_secrets(&self.edge.live).await;
            tokio::time::sleep(PRUNE).await;
        }
    }

    async fn tend_the_cache(&self) {
        loop {
            tokio::time::sleep(TEND).await;
            self.edge.cache.tend(clock::wall()).await;
        }
    }
}

#[async_trait]
impl BackgroundService for Background {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        // Not dropped when the drain begins: transfers go on for a while, end one by one, and may be taken down; and files that
        // nobody reads any more are closed.
        let (acts, rates) = (&self.edge.acts, &self.edge.rates.rates);
        let mut aside = std::pin::pin!(async {
            tokio::join!(
                self.observe(),
                acts.follow(),
                acts.follow_kin(),
                acts.settle(),
                self.edge.sign_outs.follow(),
                self.tend_the_cache(),
                rates.run(clock::tick, clock::unix)
            )
        });
        tokio::select! {
            () = self.reload_on_hangup() => {}
            () = self.edge.reloader.watch() => {}
            _ = &mut aside => {}
            () = self.tend_issuers() => {}
            () = self.tend_certificates() => {}
            () = self.prune_secrets() => {}
            () = self.edge.reloader.follow_tenants() => {}
            () = self.edge.tell_of_days() => {}
            _ = shutdown.changed() => {}
        }
        aside.await;
    }
}

/// Longest wait for the last batches.
const LAST: Duration = Duration::from_secs(2);

/// Hands over what is left, from a thread outside of every runtime, before the process ends.
pub(crate) fn last_batches(edge: &Edge) {
    if let Err(error) = edge.rates.rates.write() {
        tracing::warn!(%error, "what tenants sent this month was not written down");
    }
    edge.daily.keep();
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
        let delivered =
            runtime.block_on(async { tokio::time::timeout(LAST, edge.observer.deliver(&edge.plugins)).await });
        if delivered.is_err() {
            tracing::warn!("observe plugins were not told of the last requests in time");
        }
    }
    edge.traced.end();
}
