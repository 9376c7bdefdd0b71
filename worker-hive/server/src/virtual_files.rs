//! Virtual files of this hive: the catalog off the event loop, and which of them are known to be broken.

use crate::refusal::Refusal;
use catalog::{Catalog, CatalogError, Manifest};
use parking_lot::Mutex;
use pool::PoolFault;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::{Fault, Slug};

/// Broken files that are remembered; beyond, those whose time is over are forgotten first and then all.
const REMEMBERED: usize = 4096;

/// The catalog and what was learned about the files in it. Clones share both.
#[derive(Clone)]
pub(crate) struct VirtualFiles {
    catalog: Catalog,
    broken: Arc<Broken>,
}

/// Files of which a part is gone or another, by slug and ETag: whoever asks within the time is told so without a word to Telegram.
pub(crate) struct Broken {
    known: Mutex<HashMap<Slug, (String, PoolFault, Instant)>>,
    ttl: Duration,
}

impl VirtualFiles {
    /// `ttl` is how long a part's absence is taken as known.
    pub(crate) fn new(catalog: Catalog, ttl: Duration) -> Self {
        Self { catalog, broken: Arc::new(Broken { known: Mutex::default(), ttl }) }
    }

    /// Runs work on the catalog on the blocking pool: a disk that stalls must not stall the connections.
    pub(crate) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Catalog) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let catalog = self.catalog.clone();
        tokio::task::spawn_blocking(move || work(&catalog)).await.unwrap_or(Err(CatalogError::Closed))
    }

    /// The manifest of a slug, for whoever wants its bytes.
    pub(crate) async fn manifest(&self, slug: Slug) -> Result<Manifest, Refusal> {
        match self.on_disk(move |catalog| catalog.get(slug)).await {
            Ok(Some(manifest)) => Ok(manifest),
            Ok(None) => Err(Fault::NotFound.into()),
            Err(error) => {
                tracing::error!(%slug, %error, "a manifest can't be read");
                Err(Fault::UpstreamReset.into())
            }
        }
    }

    pub(crate) fn broken(&self) -> &Arc<Broken> {
        &self.broken
    }
}

impl Broken {
    /// Why this version of the file can't be served, if that is known and not long ago.
    pub(crate) fn known(&self, manifest: &Manifest, now: Instant) -> Option<PoolFault> {
        let known = self.known.lock();
        let (etag, fault, until) = known.get(&manifest.slug)?;
        (*etag == manifest.etag && now < *until).then(|| fault.clone())
    }

    /// Remembers a fault that will be the same for the next asker.
    pub(crate) fn learn(&self, slug: Slug, etag: &str, fault: &PoolFault, now: Instant) {
        if !matches!(fault, PoolFault::Gone | PoolFault::Changed) || self.ttl.is_zero() {
            return;
        }
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED {
            known.retain(|_, (_, _, until)| now < *until);
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(slug, (etag.to_owned(), fault.clone(), now + self.ttl));
    }

    /// The file was put anew, and its parts were looked at.
    pub(crate) fn forget(&self, slug: Slug) {
        self.known.lock().remove(&slug);
    }
}

#[cfg(test)]
mod tests {
    use super::{Broken, REMEMBERED};
    use catalog::{Catalog, Draft, Expect, Manifest, Part};
    use pool::PoolFault;
    use std::time::Duration;
    use tokio::time::Instant;
    use wire::Slug;

    fn manifest() -> Manifest {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(&folder.path().join("catalog")).unwrap();
        let part = Part { chat_id: -5, message_id: 1, size: 9, identity: "a".into() };
        let draft = Draft::new("a", "a/b", vec![part]).unwrap();
        catalog.put(Slug::parse("a").unwrap(), draft, Expect::Anything, 1).unwrap().manifest().clone()
    }

    #[test]
    fn a_lasting_fault_is_known_for_its_time_and_for_its_version() {
        let broken = Broken { known: parking_lot::Mutex::default(), ttl: Duration::from_secs(5) };
        let (manifest, now) = (manifest(), Instant::now());
        for passing in [PoolFault::Timeout, PoolFault::NoSession { retry_after: None }, PoolFault::Reset("x".into())] {
            broken.learn(manifest.slug, &manifest.etag, &passing, now);
            assert_eq!(broken.known(&manifest, now), None);
        }
        broken.learn(manifest.slug, &manifest.etag, &PoolFault::Gone, now);
        assert_eq!(broken.known(&manifest, now + Duration::from_millis(4_999)), Some(PoolFault::Gone));
        assert_eq!(broken.known(&manifest, now + Duration::from_secs(5)), None);
        let other = Manifest { etag: "v2".into(), ..manifest.clone() };
        assert_eq!(broken.known(&other, now), None);
        broken.forget(manifest.slug);
        assert_eq!(broken.known(&manifest, now), None);
        for number in 0..3 * REMEMBERED {
            let slug = Slug::parse(&format!("s{number}")).unwrap();
            broken.learn(slug, "v", &PoolFault::Changed, now);
            assert!(broken.known.lock().len() <= REMEMBERED);
        }
    }
}
