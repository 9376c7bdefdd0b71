//! What is known of media, in their order, so that a chat's are neighbours and a walk can be left and taken up again.

use crate::scope::Scope;
use crate::shared::Entry;
use crate::version::Version;
use slice::{MediaId, MediaMeta, Slug};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Weak};

/// Entries that a walk looks at before it lets others at the map.
const STRIDE: usize = 256;
/// Versions that have left before those that nobody has any more are looked for.
const PRUNE_FROM: usize = 64;
/// Stands for the chats of a virtual file that aren't known.
const UNKNOWN: i64 = 0;

/// See the module.
#[derive(Default)]
pub(crate) struct Map {
    pub(crate) entries: BTreeMap<MediaId, Entry>,
    /// Entries at which forgotten ones are looked for next.
    pub(crate) sweep_at: usize,
    /// Virtual files by chats of their parts. May name more than there are, never fewer.
    parts: BTreeSet<(i64, Slug)>,
    /// Versions that are out of the map but may have readers.
    departed: Vec<Weak<Version>>,
    prune_at: usize,
}

impl Map {
    /// Files a virtual file under its chats. To be called whenever its metadata are taken in.
    pub(crate) fn index(&mut self, id: MediaId, meta: &MediaMeta) {
        let MediaId::Virtual(slug) = id else { return };
        match &meta.spans {
            None => drop(self.parts.insert((UNKNOWN, slug))),
            Some(spans) => self.parts.extend(spans.chats.iter().map(|&chat| (chat, slug))),
        }
    }

    /// A version was taken out of its entry.
    pub(crate) fn depart(&mut self, version: &Arc<Version>) {
        if self.departed.len() >= self.prune_at.max(PRUNE_FROM) {
            self.departed.retain(|version| version.strong_count() > 0);
            self.prune_at = self.departed.len() * 2;
        }
        self.departed.push(Arc::downgrade(version));
    }

    /// Versions of a scope that are out of the map but not out of use.
    pub(crate) fn departed(&self, scope: &Scope) -> Vec<Arc<Version>> {
        let ranges = scope.ranges();
        let is_meant = |version: &Arc<Version>| {
            let by_range = ranges.iter().any(|range| range.contains(&version.media)) && scope.takes(&version.meta.etag);
            by_range || matches!(scope, Scope::Chats(chats) if has_part_in(&version.meta, version.media, chats))
        };
        self.departed.iter().filter_map(Weak::upgrade).filter(is_meant).collect()
    }

    /// Virtual files with a part in one of the chats; those whose parts aren't known count.
    fn virtual_files(&mut self, chats: &BTreeSet<i64>) -> BTreeSet<MediaId> {
        let Some((first, last)) = Slug::parse("-").ok().zip(Slug::parse(&"z".repeat(Slug::LONGEST)).ok()) else {
            return BTreeSet::new();
        };
        let mut found = BTreeSet::new();
        for chat in chats.iter().copied().chain([UNKNOWN]) {
            let named: Vec<Slug> = self.parts.range((chat, first)..=(chat, last)).map(|&(_, slug)| slug).collect();
            for slug in named {
                let id = MediaId::Virtual(slug);
                let meta = self.entries.get(&id).and_then(|entry| entry.meta.as_ref());
                let stands = meta.is_some_and(|meta| match &meta.spans {
                    None => chat == UNKNOWN,
                    Some(spans) => spans.chats.contains(&chat),
                });
                if stands {
                    found.insert(id);
                } else {
                    // Its parts moved, or it is gone.
                    self.parts.remove(&(chat, slug));
                }
            }
        }
        found
    }
}

fn has_part_in(meta: &MediaMeta, id: MediaId, chats: &BTreeSet<i64>) -> bool {
    let parts = meta.spans.as_ref().map(|spans| &spans.chats);
    matches!(id, MediaId::Virtual(_)) && parts.is_none_or(|parts| parts.iter().any(|chat| chats.contains(chat)))
}

/// A walk over a scope's entries, a stride at a time: the map's lock is free in between.
pub(crate) struct Walk {
    scope: Scope,
    todo: Option<VecDeque<(Bound<MediaId>, MediaId)>>,
}

impl Walk {
    pub(crate) fn new(scope: Scope) -> Self {
        Self { scope, todo: None }
    }

    /// A walk that begins behind a media.
    pub(crate) fn after(scope: Scope, media: MediaId, map: &mut Map) -> Self {
        let mut todo = ways(&scope, map);
        todo.retain(|(_, end)| *end > media);
        for (start, _) in &mut todo {
            if matches!(start, Bound::Included(first) if *first <= media) {
                *start = Bound::Excluded(media);
            }
        }
        Self { scope, todo: Some(todo) }
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Visits the next entries until `visit` says so by `false` or a stride is done. False: there are no more.
    pub(crate) fn step(&mut self, map: &mut Map, mut visit: impl FnMut(MediaId, &mut Entry) -> bool) -> bool {
        let scope = &self.scope;
        let todo = self.todo.get_or_insert_with(|| ways(scope, map));
        let mut left = STRIDE;
        while let Some((start, end)) = todo.front_mut() {
            for (&id, entry) in map.entries.range_mut((*start, Bound::Included(*end))) {
                *start = Bound::Excluded(id);
                left -= 1;
                let is_meant = entry.version.as_ref().is_none_or(|version| scope.takes(&version.meta.etag));
                if (is_meant && !visit(id, entry)) || left == 0 {
                    return true;
                }
            }
            todo.pop_front();
        }
        false
    }
}

fn ways(scope: &Scope, map: &mut Map) -> VecDeque<(Bound<MediaId>, MediaId)> {
    let way = |range: std::ops::RangeInclusive<MediaId>| (Bound::Included(*range.start()), *range.end());
    let mut ways: VecDeque<_> = scope.ranges().into_iter().map(way).collect();
    if let Scope::Chats(chats) = scope {
        ways.extend(map.virtual_files(chats).into_iter().map(|id| way(id..=id)));
    }
    ways
}
