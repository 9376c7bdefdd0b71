//! Which version of a media is the present one: what the map knows of it, and the questions to the origin.

use crate::map::Map;
use crate::shared::{Described, Entry, Pinned, Shared};
use crate::version::{Doom, Version};
use slice::{MediaId, MediaMeta, OriginError};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::Instant;

/// Entries of the map before forgotten ones are looked for.
const SWEEP_FROM: usize = 1024;

impl Shared {
    /// Resolves a media: metadata younger than `meta_ttl` is taken as is; else the origin is asked, once for all who wait.
    pub(crate) async fn validated(self: &Arc<Self>, id: MediaId) -> Described {
        let mut asking = {
            let mut map = self.map.lock();
            let entry = self.entry(&mut map, id);
            if let Some(pinned) = self.fresh(id, entry)? {
                return Ok(pinned);
            }
            match &entry.asking {
                // A question whose runtime ended will never be answered.
                Some(asking) if asking.has_changed().is_ok() => asking.clone(),
                _ => {
                    let (answer, asking) = watch::channel(None);
                    entry.asking = Some(asking.clone());
                    // A task of its own: whoever asked first may leave, the others still get the answer.
                    let (shared, mark) = (self.clone(), self.work());
                    tokio::spawn(async move {
                        shared.describe(id, answer).await;
                        drop(mark);
                    });
                    asking
                }
            }
        };
        let described = match asking.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone(),
            Err(_) => None,
        };
        // A task that died without an answer dies with its runtime.
        described.unwrap_or(Err(OriginError::Unreachable))
    }

    /// The entry of a media, made if need be; now and then, entries that hold nothing are dropped.
    fn entry<'a>(self: &Arc<Self>, map: &'a mut Map, id: MediaId) -> &'a mut Entry {
        if map.entries.len() >= map.sweep_at.max(SWEEP_FROM) {
            let now = Instant::now();
            let useless = map.entries.extract_if(.., |_, entry| {
                let fresh = entry.fresh_until.is_some_and(|until| until > now);
                let used = |it: &Arc<Version>| Arc::strong_count(it) > 1 || !it.is_idle_and_empty();
                entry.asking.is_none() && !fresh && !entry.version.as_ref().is_some_and(used)
            });
            let versions: Vec<_> = useless.filter_map(|(_, entry)| entry.version).collect();
            self.blocking(move |shared| versions.iter().for_each(|it| shared.discard(it, Doom::Dropped)));
            map.sweep_at = map.entries.len() * 2;
        }
        map.entries.entry(id).or_default()
    }

    fn fresh(&self, id: MediaId, entry: &mut Entry) -> Result<Option<Pinned>, OriginError> {
        let is_fresh = entry.fresh_until.is_some_and(|until| Instant::now() < until);
        let Some(meta) = entry.meta.clone().filter(|_| is_fresh) else { return Ok(None) };
        if entry.version.is_none() {
            entry.version = self.fresh_version(id, &meta);
        }
        let version = entry.version.clone().ok_or(OriginError::Protocol)?;
        Ok(Some((meta, version)))
    }

    async fn describe(self: Arc<Self>, id: MediaId, answer: watch::Sender<Option<Described>>) {
        self.counters.describes.add(1);
        let described = self.origin.describe(id).await;
        let (old, told) = {
            let mut map = self.map.lock();
            let entry = map.entries.entry(id).or_default();
            entry.asking = None;
            let settled = match described {
                Ok(meta) => self.settle(id, entry, Arc::new(meta)),
                Err(error) => {
                    entry.fresh_until = None;
                    // Bytes of a media that is gone are not kept; a hive that can't be asked says nothing about them.
                    let gone = matches!(error, OriginError::NotFound | OriginError::Gone | OriginError::Changed);
                    (if gone { entry.version.take() } else { None }, Err(error))
                }
            };
            if settled.1.is_err() && entry.version.is_none() {
                map.entries.remove(&id);
            }
            if let Some(old) = &settled.0 {
                map.depart(old);
            }
            if let Ok((meta, _)) = &settled.1 {
                map.index(id, meta);
            }
            self.counters.media.set(map.entries.len() as u64);
            settled
        };
        // Before the answer: a handle of the new version must not find the old one's bytes on the books.
        if let Some(old) = old
            && self.blocking(move |shared| shared.discard(&old, Doom::Changed)).await.is_err()
        {
            tracing::warn!(media = %id, "an old version was not deleted");
        }
        answer.send_replace(Some(told));
    }

    /// Takes fresh metadata in. Returns the version that it replaces, and the answer.
    fn settle(&self, id: MediaId, entry: &mut Entry, meta: Arc<MediaMeta>) -> (Option<Arc<Version>>, Described) {
        let same = |it: &Arc<Version>| it.meta.etag == meta.etag && it.meta.size == meta.size;
        let old = entry.version.take_if(|version| !same(version));
        if entry.version.is_none() {
            entry.version = self.fresh_version(id, &meta);
        }
        let Some(version) = entry.version.clone() else { return (old, Err(OriginError::Protocol)) };
        entry.meta = Some(meta.clone());
        entry.fresh_until = Instant::now().checked_add(self.config.meta_ttl);
        (old, Ok((meta, version)))
    }
}
