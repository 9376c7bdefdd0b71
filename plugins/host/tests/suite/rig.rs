//! A host with plugins in a folder of its own.

use crate::guest::Guest;
use plugin_host::{Chain, Change, Host, HostConfig, Media, Outcome, Plugins, Policy, Request, Stats};
use plugin_kv::{Kv, MemoryBounds};
use plugin_package::{Hook, Spec, Trust};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) struct Rig {
    folder: TempDir,
    pub(crate) host: Arc<Host>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with_instances(32)
    }

    pub(crate) fn with_instances(instances: u32) -> Self {
        Self::with(instances, Kv::in_memory(MemoryBounds::default()))
    }

    pub(crate) fn with(instances: u32, kv: Kv) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::new(HostConfig { code_folder: folder.path().join("code"), instances }, kv).unwrap();
        Self { folder, host }
    }

    /// Puts a plugin's files where they belong, over what is there.
    pub(crate) fn write(&self, name: &str, manifest: &str, wasm: &[u8]) -> PathBuf {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let (name, rest) = (name, manifest);
        write(&folder.join("plugin.toml"), format!("name = \"{name}\"\nversion = \"1.0.0\"\n{rest}\n").as_bytes());
        write(&folder.join("plugin.wasm"), wasm);
        folder
    }

    pub(crate) fn spec(&self, name: &str, manifest: &str, wasm: &[u8]) -> Spec {
        Spec::new(name, self.write(name, manifest, wasm))
    }

    pub(crate) async fn open(&self, specs: Vec<Spec>) -> (Plugins, Vec<Change>) {
        Plugins::open(Arc::clone(&self.host), specs, Trust::default()).await
    }

    /// One policy plugin named `p`, which must load.
    pub(crate) async fn policy(&self, manifest: &str, guest: &Guest) -> Plugins {
        let spec = self.spec("p", &format!("hook = \"policy\"\n{manifest}"), &guest.component());
        let (plugins, changes) = self.open(vec![spec]).await;
        assert!(matches!(changes[0].outcome, Outcome::Loaded { .. }), "{changes:?}");
        plugins
    }
}

/// By a rename, as whoever deploys a plugin should.
fn write(file: &std::path::Path, bytes: &[u8]) {
    use std::io::Write as _;
    let mut made = tempfile::NamedTempFile::new_in(file.parent().unwrap()).unwrap();
    made.write_all(bytes).unwrap();
    made.persist(file).unwrap();
}

pub(crate) fn tenant(name: &str) -> Arc<str> {
    Arc::from(name)
}

/// The policy chain of a tenant; there must be one.
pub(crate) fn chain(plugins: &Plugins, tenant: &str) -> Chain {
    plugins.chain(Hook::Policy, &self::tenant(tenant)).unwrap()
}

pub(crate) fn request(message_id: u32) -> Arc<Request> {
    let mut request = Request::default();
    request.id = format!("{:016x}", u64::from(message_id).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    request.tenant = Arc::from("films");
    request.method = "GET";
    request.media = Media { chat_id: -1001, message_id };
    Arc::new(request)
}

/// Asks about a message; for the good ones 1, for the bad ones 666.
pub(crate) async fn ask(plugins: &Plugins, message_id: u32) -> Policy {
    chain(plugins, "films").policy(&request(message_id)).await
}

/// The word of a failure, or what else was decided.
pub(crate) fn word(policy: &Policy) -> String {
    match policy {
        Policy::Failed { failure, .. } => failure.word().to_owned(),
        Policy::Allow(..) => "allow".to_owned(),
        Policy::Deny { status, .. } => status.to_string(),
        Policy::Redirect { url, .. } => url.clone(),
    }
}

pub(crate) fn stats(plugins: &Plugins) -> Stats {
    plugins.stats().remove(0)
}

/// How often a plugin failed in this way.
pub(crate) fn failures(stats: &Stats, word: &str) -> u64 {
    stats.failures.iter().find(|(known, _)| *known == word).map_or(0, |(_, count)| *count)
}

/// Lets everything else run until the condition holds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

/// A log that keeps nothing and takes lines of some levels. Holds for this thread.
pub(crate) fn listening(most: tracing::Level) -> tracing::subscriber::DefaultGuard {
    struct Log(tracing::Level);
    impl tracing::Subscriber for Log {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() <= self.0
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {}
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
    tracing::subscriber::set_default(Log(most))
}
