//! What of the settings can change while the gateway runs, and is looked up by requests: read without a lock.

use crate::admin::audit;
use crate::clock;
use admin_api::{Audit, Role, Tokens};
use arc_swap::{ArcSwap, Guard};
use config::GatewaySettings;
use config::gateway::AdminRole;
use secrecy::SecretString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Bounds on one viewer.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) max_ranges: usize,
    pub(crate) write_timeout: Duration,
    pub(crate) keepalive: Duration,
    pub(crate) min_send_rate: Option<usize>,
    pub(crate) handshake_timeout: Duration,
    pub(crate) head_timeout: Duration,
    pub(crate) body_timeout: Duration,
}

/// The settings that are in force.
pub(crate) struct Live {
    limits: ArcSwap<Limits>,
    admin: ArcSwap<Admin>,
    max_size: AtomicU64,
    draining: AtomicBool,
}

struct Admin {
    tokens: Arc<Tokens>,
    open_metrics: bool,
    audit: Option<PathBuf>,
}

impl Limits {
    fn new(settings: &config::gateway::Limits, connections: &config::gateway::Connections) -> Self {
        let rate = |rate: config::ByteSize| usize::try_from(rate.bytes()).unwrap_or(usize::MAX);
        Self {
            max_ranges: settings.max_ranges,
            write_timeout: settings.write_timeout.get(),
            keepalive: settings.keepalive.get(),
            min_send_rate: settings.min_send_rate.map(rate),
            handshake_timeout: connections.handshake_timeout.get(),
            head_timeout: connections.head_timeout.get(),
            body_timeout: connections.body_timeout.get(),
        }
    }
}

impl Admin {
    fn new(settings: &config::gateway::Admin) -> Self {
        let role = |role| match role {
            AdminRole::Read => Role::Read,
            AdminRole::Write => Role::Write,
        };
        let tokens = settings.all_tokens().fold(Tokens::default(), |tokens, (name, kind, token)| {
            tokens.with(name, role(kind), &SecretString::from(token.expose()))
        });
        Self { tokens: Arc::new(tokens), open_metrics: settings.open_metrics, audit: settings.audit.clone() }
    }
}

impl Live {
    pub(crate) fn new(settings: &GatewaySettings) -> Self {
        Self {
            limits: ArcSwap::from_pointee(Limits::new(&settings.limits, &settings.connections)),
            admin: ArcSwap::from_pointee(Admin::new(&settings.admin)),
            max_size: AtomicU64::new(settings.cache.max_size.bytes()),
            draining: AtomicBool::new(false),
        }
    }

    /// Goes on with these settings.
    pub(crate) fn adopt(&self, settings: &GatewaySettings) {
        self.limits.store(Arc::new(Limits::new(&settings.limits, &settings.connections)));
        self.admin.store(Arc::new(Admin::new(&settings.admin)));
        self.max_size.store(settings.cache.max_size.bytes(), Ordering::Relaxed);
    }

    /// Not to be held across a wait.
    pub(crate) fn limits(&self) -> Guard<Arc<Limits>> {
        self.limits.load()
    }

    pub(crate) fn tokens(&self) -> Arc<Tokens> {
        self.admin.load().tokens.clone()
    }

    pub(crate) fn open_metrics(&self) -> bool {
        self.admin.load().open_metrics
    }

    /// The cache's bound in bytes.
    pub(crate) fn max_size(&self) -> u64 {
        self.max_size.load(Ordering::Relaxed)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Gives what was before.
    pub(crate) fn drain(&self, draining: bool) -> bool {
        self.draining.swap(draining, Ordering::Relaxed)
    }

    /// Writes an audit line.
    pub(crate) async fn audit(&self, audit: &Audit) {
        let file = self.admin.load().audit.clone();
        audit::write(file, u64::try_from(clock::unix()).unwrap_or(0), audit).await;
    }
}
