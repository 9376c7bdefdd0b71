//! Streams of viewers and tenants on this gateway, as other gateways are told of them.
//!
//! What a gateway says of a viewer is always the whole list of its streams there, so a lost message is made good by the next one, and a
//! gateway that died is forgotten when its lease is over. Pure but for its lock.

use crate::remote::{Held, hex};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// No room for one more stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Full {
    /// The viewer has as many as it may, over all gateways.
    #[error("the viewer has as many streams as it may")]
    Viewer,
    /// The tenant has.
    #[error("the tenant has as many streams as it may")]
    Tenant,
}

/// Viewers of one tenant that others are still to be told of.
const MOST_CHANGED: usize = 1000;

/// Stands for a viewer or a stream.
pub(crate) type Name = [u8; 16];

#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<HashMap<Arc<str>, TenantStreams>>);

#[derive(Debug, Default)]
struct TenantStreams {
    viewers: HashMap<Name, HashMap<Name, Requests>>,
    /// Streams of all its viewers.
    count: u64,
    /// At other gateways, as far as is known.
    elsewhere: u64,
    /// Viewers of whom the others don't know the newest yet.
    changed: BTreeSet<Name>,
}

impl TenantStreams {
    /// While nobody can be told, leases end by themselves: what is not noted is over soon, too.
    fn note(&mut self, viewer: Name) {
        if self.changed.len() < MOST_CHANGED {
            self.changed.insert(viewer);
        }
    }
}

#[derive(Debug, Default)]
struct Requests {
    count: u32,
    /// It was let in. Until then whoever joins it asks, too.
    sure: bool,
}

/// What a request has to ask before it may go on.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) held: Held,
    /// The tenant's streams here, without this one.
    pub(crate) here: u64,
    pub(crate) elsewhere: u64,
}

impl Streams {
    /// Counts a request. `None` if its stream is going on already.
    pub(crate) fn join(&self, tenant: &Arc<str>, viewer: Name, stream: Name) -> Option<Question> {
        let mut tenants = self.0.lock();
        let tenant = tenants.entry(Arc::clone(tenant)).or_default();
        let streams = tenant.viewers.entry(viewer).or_default();
        let requests = streams.entry(stream).or_default();
        requests.count += 1;
        let (sure, first) = (requests.sure, requests.count == 1);
        tenant.count += u64::from(first);
        if sure {
            return None;
        }
        let others = streams.keys().filter(|name| **name != stream).map(|name| hex(name)).collect();
        let held = Held { viewer, streams: others };
        Some(Question { held, here: tenant.count - 1, elsewhere: tenant.elsewhere })
    }

    /// A stream was let in.
    pub(crate) fn sure(&self, tenant: &Arc<str>, viewer: &Name, stream: &Name) {
        let mut tenants = self.0.lock();
        let streams = tenants.get_mut(tenant).and_then(|tenant| tenant.viewers.get_mut(viewer));
        if let Some(requests) = streams.and_then(|streams| streams.get_mut(stream)) {
            requests.sure = true;
        }
    }

    /// A request ended. True if others have to be told.
    pub(crate) fn leave(&self, tenant: &Arc<str>, viewer: Name, stream: Name) -> bool {
        let mut tenants = self.0.lock();
        let Some(tenant) = tenants.get_mut(tenant) else { return false };
        let Some(streams) = tenant.viewers.get_mut(&viewer) else { return false };
        let Some(requests) = streams.get_mut(&stream) else { return false };
        requests.count -= 1;
        if requests.count > 0 {
            return false;
        }
        streams.remove(&stream);
        if streams.is_empty() {
            tenant.viewers.remove(&viewer);
        }
        tenant.count = tenant.count.saturating_sub(1);
        tenant.note(viewer);
        true
    }

    /// Others could not be told of these.
    pub(crate) fn put_back(&self, tenant: &Arc<str>, viewers: impl IntoIterator<Item = Name>) {
        let mut tenants = self.0.lock();
        let tenant = tenants.entry(Arc::clone(tenant)).or_default();
        viewers.into_iter().for_each(|viewer| tenant.note(viewer));
    }

    /// What others are to be told, for each tenant: all, or what has changed. Tenants of whom nothing is left are told of once more and
    /// then forgotten.
    pub(crate) fn news(&self, all: bool) -> Vec<(Arc<str>, u64, Vec<Held>)> {
        let mut tenants = self.0.lock();
        let mut news = Vec::new();
        for (id, tenant) in tenants.iter_mut() {
            let mut names = std::mem::take(&mut tenant.changed);
            if all {
                names.extend(tenant.viewers.keys());
            }
            if names.is_empty() {
                continue;
            }
            let held = |name: &Name| {
                let streams = tenant.viewers.get(name).into_iter().flat_map(HashMap::keys).map(|name| hex(name));
                Held { viewer: *name, streams: streams.collect() }
            };
            news.push((Arc::clone(id), tenant.count, names.iter().map(held).collect()));
        }
        if all {
            tenants.retain(|_, tenant| tenant.count > 0);
        }
        news
    }

    /// Notes how many streams a tenant has elsewhere.
    pub(crate) fn learn(&self, tenant: &Arc<str>, elsewhere: u64) {
        if let Some(tenant) = self.0.lock().get_mut(tenant) {
            tenant.elsewhere = elsewhere;
        }
    }
}

/// Whether a tenant may have one more stream here while the others can't be asked: as many as its share of the bound, or what the
/// others left of it when they were last heard of.
pub(crate) fn has_room(bound: Option<u32>, here: u64, elsewhere: u64, gateways: u64) -> bool {
    bound.is_none_or(|bound| {
        let bound = u64::from(bound);
        here < bound.div_ceil(gateways.max(1)).max(bound.saturating_sub(elsewhere))
    })
}

#[cfg(test)]
mod tests {
    use super::{Streams, has_room};
    use std::sync::Arc;

    const V: [u8; 16] = [1; 16];
    const A: [u8; 16] = [2; 16];
    const B: [u8; 16] = [3; 16];

    #[test]
    fn a_stream_is_asked_for_until_it_was_let_in_and_told_of_when_it_ended() {
        let streams = Streams::default();
        let tenant: Arc<str> = "t".into();
        let first = streams.join(&tenant, V, A).unwrap();
        assert_eq!((first.held.streams.len(), first.here), (0, 0));
        // Another request of it before the answer came asks, too, and is not a stream of its own.
        assert_eq!(streams.join(&tenant, V, A).unwrap().here, 0);
        streams.sure(&tenant, &V, &A);
        assert!(streams.join(&tenant, V, A).is_none());
        let second = streams.join(&tenant, V, B).unwrap();
        assert_eq!((second.held.streams.len(), second.here), (1, 1));
        assert_eq!([A, A, A].map(|name| streams.leave(&tenant, V, name)), [false, false, true]);
        let news = streams.news(false);
        let [(_, 1, held)] = news.as_slice() else { panic!("{news:?}") };
        assert_eq!(held[0].streams.len(), 1);
        assert!(streams.news(false).is_empty());
        assert!(streams.leave(&tenant, V, B));
        let news = streams.news(true);
        let [(_, 0, held)] = news.as_slice() else { panic!("{news:?}") };
        assert!(held[0].streams.is_empty());
        assert!(streams.news(true).is_empty() && streams.0.lock().is_empty());
    }

    #[test]
    fn what_could_not_be_told_is_told_again_and_bounded() {
        let streams = Streams::default();
        let tenant: Arc<str> = "t".into();
        streams.join(&tenant, V, A).unwrap();
        assert!(streams.leave(&tenant, V, A));
        let told: Vec<_> = streams.news(true).into_iter().flat_map(|(_, _, held)| held).collect();
        assert_eq!(told.len(), 1);
        streams.put_back(&tenant, told.iter().map(|held| held.viewer));
        for all in [false, true] {
            let news = streams.news(all);
            let [(_, 0, held)] = news.as_slice() else { panic!("{news:?}") };
            assert!(held[0].viewer == V && held[0].streams.is_empty());
            streams.put_back(&tenant, [V]);
        }
        // Nobody to tell for a day.
        for number in 0..super::MOST_CHANGED as u128 * 2 {
            streams.join(&tenant, number.to_be_bytes(), A).unwrap();
            streams.leave(&tenant, number.to_be_bytes(), A);
        }
        assert_eq!(streams.0.lock().get(&tenant).map(|tenant| tenant.changed.len()), Some(super::MOST_CHANGED));
    }

    #[test]
    fn alone_a_gateway_has_its_share_or_what_the_others_left() {
        for (bound, here, elsewhere, gateways, room) in [
            (None, 1_000, 1_000, 2, true),
            (Some(10), 4, 9, 2, true),
            (Some(10), 5, 9, 2, false),
            (Some(10), 7, 2, 2, true),
            (Some(10), 8, 2, 2, false),
            (Some(1), 0, 1, 3, true),
        ] {
            assert_eq!(has_room(bound, here, elsewhere, gateways), room, "{bound:?} {here} {elsewhere} {gateways}");
        }
    }
}
