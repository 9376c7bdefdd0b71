//! Names with an end, by whose they are: so that of a full set who takes most of it pays. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

type Queue = BTreeSet<(i64, Arc<str>)>;

/// Names by their ends, of all tenants together and of each. A name begins with its tenant's id and a slash.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    all: Queue,
    of: HashMap<Box<str>, Queue>,
}

impl Shares {
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) fn insert(&mut self, until: i64, name: &Arc<str>) {
        self.all.insert((until, name.clone()));
        self.of.entry(tenant(name).into()).or_default().insert((until, name.clone()));
    }

    pub(crate) fn remove(&mut self, until: i64, name: &Arc<str>) {
        let entry = (until, name.clone());
        self.all.remove(&entry);
        if let Some(queue) = self.of.get_mut(tenant(name)) {
            queue.remove(&entry);
            if queue.is_empty() {
                self.of.remove(tenant(name));
            }
        }
    }

    /// Takes out the first one that has ended at `now`.
    pub(crate) fn pop_ended(&mut self, now: i64) -> Option<Arc<str>> {
        let (until, name) = self.all.first().filter(|(until, _)| *until <= now)?.clone();
        self.remove(until, &name);
        Some(name)
    }

    /// Takes out the one that ends first of the tenant that has most. Looks at all tenants: for when there is no room.
    pub(crate) fn pop_of_greediest(&mut self) -> Option<Arc<str>> {
        let most = self.of.values().max_by_key(|queue| queue.len())?;
        let (until, name) = most.first()?.clone();
        self.remove(until, &name);
        Some(name)
    }

    /// All by their ends.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(i64, Arc<str>)> {
        self.all.iter()
    }
}

/// No tenant's id has a slash.
fn tenant(name: &str) -> &str {
    name.split_once('/').map_or("", |(tenant, _)| tenant)
}

#[cfg(test)]
mod tests {
    use super::Shares;
    use std::sync::Arc;

    #[test]
    fn who_has_most_pays_with_what_ends_first() {
        let mut shares = Shares::default();
        for (until, name) in [(10, "a/1"), (30, "b/1"), (20, "b/2"), (40, "b/3"), (50, "c/1")] {
            shares.insert(until, &Arc::from(name));
        }
        assert_eq!(shares.pop_of_greediest().as_deref(), Some("b/2"));
        shares.remove(30, &Arc::from("b/1"));
        assert_eq!(shares.pop_ended(9), None);
        assert_eq!(shares.pop_ended(10).as_deref(), Some("a/1"));
        assert_eq!(shares.iter().map(|(_, name)| &**name).collect::<Vec<_>>(), ["b/3", "c/1"]);
        while shares.pop_of_greediest().is_some() {}
        assert_eq!((shares.len(), shares.of.len()), (0, 0));
    }
}
