//! Which version of a media is the present one: what the map knows of it, and the questions to the origin.

use crate::map::Map;
use crate::shared::{Asking, Described, Entry, Pinned, Shared};
use crate::status::Freshness;
use crate::trust::{Belief, Grace, Trust};
use crate::version::{Doom, Version};
use slice::{MediaId, MediaMeta, OriginError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Entries of the map before forgotten ones are looked for.
const SWEEP_FROM: usize = 1024;

/// What a look-up found.
pub(crate) struct Found {
    pub(crate) meta: Arc<MediaMeta>,
    pub(crate) version: Arc<Version>,
    pub(crate) freshness: Freshness,
}

impl Shared {
    /// Resolves a media: what is young enough is taken as is; else the origin is asked, once for all who wait. Who may be
    /// served stale doesn't wait, or not for long.
    pub(crate) async fn validated(self: &Arc<Self>, id: MediaId) -> Result<Found, OriginError> {
        if let Some(error) = self.absent.lock().get(id, Instant::now()) {
            self.counters.negatives.add(1);
            return Err(error);
        }
        let (mut asking, or_stale) = {
            let mut map = self.map.lock();
            let entry = self.entry(&mut map, id);
            let (now, is_asked) = (Instant::now(), entry.is_asked());
            match entry.trust.judge(now, self.grace(id, entry)) {
                Belief::Fresh => {
                    let (meta, version) = self.renewed(id, entry)?;
                    return Ok(Found { meta, version, freshness: Freshness::Fresh });
                }
                Belief::Stale { ask } => {
                    if ask && !is_asked {
                        self.ask(id, entry);
                    }
                    let freshness = if is_asked { Freshness::Updating } else { Freshness::Stale };
                    let (meta, version) = self.renewed(id, entry)?;
                    return Ok(Found { meta, version, freshness });
                }
                Belief::Ask { or_stale } => (self.ask(id, entry), or_stale),
            }
        };
        // A task that died without an answer dies with its runtime.
        let dead = || Err(OriginError::Unreachable);
        if or_stale {
            let patience = self.config().stale_wait;
            let told = match tokio::time::timeout(patience, asking.wait_for(Option::is_some)).await {
                Ok(told) => Some(told.ok().and_then(|told| told.clone()).unwrap_or_else(dead)),
                Err(_) => None,
            };
            match told {
                Some(Err(error)) if is_absence(error) => return Err(error),
                Some(Err(error)) => return self.stale(id).ok_or(error),
                Some(Ok(found)) => return Ok(found.into()),
                None => {}
            }
            if let Some(found) = self.stale(id) {
                return Ok(found);
            }
        }
        let told = asking.wait_for(Option::is_some).await;
        told.ok().and_then(|told| told.clone()).unwrap_or_else(dead).map(Found::from)
    }

    /// What is known of a media, although the origin was asked and has not answered.
    fn stale(&self, id: MediaId) -> Option<Found> {
        let mut map = self.map.lock();
        // It may have been purged while the question was open.
        let entry = map.entries.get_mut(&id)?;
        let now = Instant::now();
        entry.trust.late(now);
        let freshness = match entry.trust.judge(now, self.grace(id, entry)) {
            Belief::Stale { .. } => Freshness::Stale,
            // Another question has been answered meanwhile.
            Belief::Fresh => Freshness::Fresh,
            Belief::Ask { .. } => return None,
        };
        let (meta, version) = entry.meta.clone().zip(entry.version.clone())?;
        Some(Found { meta, version, freshness })
    }

    /// What the entry's version is good for past its time.
    fn grace(&self, id: MediaId, entry: &Entry) -> Grace {
        // Who may see a virtual file is judged by the chats of its parts, and only the origin says which they are.
        let judgeable = |meta: &Arc<MediaMeta>| meta.spans.is_some() || !matches!(id, MediaId::Virtual(_));
        if entry.version.is_none() || !entry.meta.as_ref().is_some_and(judgeable) {
            return Grace::NONE;
        }
        let config = self.config();
        // Who trusts metadata for no time at all wants each answer confirmed.
        let while_asking = if config.meta_ttl.is_zero() { Duration::ZERO } else { config.stale_while_revalidate };
        Grace { while_asking, if_error: config.stale_if_error }
    }

    /// The question that is open about this media, or a new one.
    fn ask(self: &Arc<Self>, id: MediaId, entry: &mut Entry) -> Asking {
        if let Some(asking) = entry.asking.clone().filter(|_| entry.is_asked()) {
            return asking;
        }
        let (answer, asking) = watch::channel(None);
        entry.asking = Some(asking.clone());
        // A task of its own: whoever asked first may leave, the others still get the answer.
        let (shared, mark) = (self.clone(), self.work());
        tokio::spawn(traces::detached("describe", async move {
            shared.describe(id, answer).await;
            drop(mark);
        }));
        asking
    }

    /// The entry of a media, made if need be; now and then, entries that hold nothing are dropped.
    fn entry<'a>(self: &Arc<Self>, map: &'a mut Map, id: MediaId) -> &'a mut Entry {
        if map.entries.len() >= map.sweep_at.max(SWEEP_FROM) {
            let now = Instant::now();
            let useless = map.entries.extract_if(.., |_, entry| {
                let fresh = entry.trust.is_fresh(now);
                let used = |it: &Arc<Version>| Arc::strong_count(it) > 1 || !it.is_idle_and_empty();
                entry.asking.is_none() && !fresh && !entry.version.as_ref().is_some_and(used)
            });
            let versions: Vec<_> = useless.filter_map(|(_, entry)| entry.version).collect();
            self.blocking(move |shared| versions.iter().for_each(|it| shared.discard(it, Doom::Dropped)));
            map.sweep_at = map.entries.len() * 2;
        }
        map.entries.entry(id).or_default()
    }

    /// The entry's version, made anew if eviction took it away.
    fn renewed(&self, id: MediaId, entry: &mut Entry) -> Result<Pinned, OriginError> {
        let meta = entry.meta.clone().ok_or(OriginError::Protocol)?;
        if entry.version.is_none() {
            entry.version = self.fresh_version(id, &meta);
        }
        let version = entry.version.clone().ok_or(OriginError::Protocol)?;
        Ok((meta, version))
    }

    async fn describe(self: Arc<Self>, id: MediaId, answer: watch::Sender<Option<Described>>) {
        self.counters.describes.add(1);
        let asked = Instant::now();
        let described = self.origin.describe(id).await;
        let (old, told) = {
            let mut map = self.map.lock();
            let entry = map.entries.entry(id).or_default();
            entry.asking = None;
            let settled = match described {
                Ok(meta) => self.settle(id, entry, Arc::new(meta), asked),
                Err(error) => (self.refused(id, entry, error), Err(error)),
            };
            if settled.1.is_err() && entry.version.is_none() {
                map.entries.remove(&id);
            }
            if let Some(old) = &settled.0 {
                map.depart(old);
            }
            if let Ok((meta, ..)) = &settled.1 {
                map.index(id, meta);
            }
            self.counters.media.set(map.entries.len() as u64);
            settled
        };
        // Before the answer: a handle of the new version must not find the old one's bytes on the books.
        if let Some(old) = old {
            self.discard_soon(old, Doom::Changed);
        }
        answer.send_replace(Some(told));
    }

    /// Takes fresh metadata in, as old as the question. Returns the version that it replaces, and the answer.
    fn settle(
        &self,
        id: MediaId,
        entry: &mut Entry,
        meta: Arc<MediaMeta>,
        asked: Instant,
    ) -> (Option<Arc<Version>>, Described) {
        let same = |it: &Arc<Version>| it.meta.etag == meta.etag && it.meta.size == meta.size;
        let old = entry.version.take_if(|version| !same(version));
        let freshness = match (&old, &entry.version) {
            (Some(_), _) => Freshness::Expired,
            (None, Some(_)) => Freshness::Revalidated,
            (None, None) => Freshness::Fresh,
        };
        if freshness == Freshness::Revalidated {
            self.counters.revalidated.add(1);
        }
        if entry.version.is_none() {
            entry.version = self.fresh_version(id, &meta);
        }
        let Some(version) = entry.version.clone() else {
            entry.trust = Trust::default();
            return (old, Err(OriginError::Protocol));
        };
        entry.meta = Some(meta.clone());
        entry.trust = Trust::told(asked, self.config().meta_ttl);
        (old, Ok((meta, version, freshness)))
    }

    /// Takes in that there is no description. Returns the version whose bytes are not to be kept.
    fn refused(&self, id: MediaId, entry: &mut Entry, error: OriginError) -> Option<Arc<Version>> {
        let now = Instant::now();
        if !is_absence(error) {
            // It says nothing about the bytes.
            entry.trust.failed(now, error);
            return None;
        }
        entry.trust = Trust::default();
        let ttl = match error {
            OriginError::Gone => self.config().gone_ttl,
            OriginError::NotFound => self.config().not_found_ttl,
            _ => Duration::ZERO,
        };
        if let Some(until) = now.checked_add(ttl).filter(|_| !ttl.is_zero()) {
            self.absent.lock().put(id, error, until);
        }
        entry.version.take()
    }
}

impl Entry {
    /// A question about it is open. One whose runtime ended will never be answered.
    fn is_asked(&self) -> bool {
        self.asking.as_ref().is_some_and(|asking| asking.has_changed().is_ok())
    }
}

impl From<(Arc<MediaMeta>, Arc<Version>, Freshness)> for Found {
    fn from((meta, version, freshness): (Arc<MediaMeta>, Arc<Version>, Freshness)) -> Self {
        Self { meta, version, freshness }
    }
}

/// The origin could be asked, and there are no bytes of the version that was known.
fn is_absence(error: OriginError) -> bool {
    matches!(error, OriginError::NotFound | OriginError::Gone | OriginError::Changed)
}
