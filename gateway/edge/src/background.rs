//! What runs beside the requests: reload on SIGHUP, the watch over plugins' folders, batches for observe plugins, what other gateways tell,
//! what the cache does by itself.

use crate::clock;
use crate::edge::Edge;
use crate::observe;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The time between two looks at what the cache has to do by itself.
const TEND: Duration = Duration::from_secs(1);

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
            match self.edge.reloader.reload().await {
                Ok(_) => tracing::info!("SIGHUP: tenants and plugins were read again"),
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
        // Not dropped when the drain begins: transfers go on for a while, end one by one, and may be taken down.
        let mut aside = std::pin::pin!(async { tokio::join!(self.observe(), self.edge.acts.follow()) });
        tokio::select! {
            () = self.reload_on_hangup() => {}
            () = self.edge.reloader.watch() => {}
            _ = &mut aside => {}
            () = self.tend_the_cache() => {}
            _ = shutdown.changed() => {}
        }
        aside.await;
    }
}

/// Longest wait for the last batches.
const LAST: Duration = Duration::from_secs(2);

/// Hands over what is left, from a thread outside of every runtime, before the process ends.
pub(crate) fn last_batches(edge: &Edge) {
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() {
        let delivered =
            runtime.block_on(async { tokio::time::timeout(LAST, edge.observer.deliver(&edge.plugins)).await });
        if delivered.is_err() {
            tracing::warn!("observe plugins were not told of the last requests in time");
        }
    }
}
