//! One namespace in memory: what is in it, when it goes, and what it costs. No clock, no lock: the caller brings both.

use crate::error::KvError;
use crate::kv::{KvBounds, MemoryBounds};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A counted set stops growing here: the contract's number.
pub(crate) const MOST_MEMBERS: usize = 10_000;

/// What an entry costs beside its key and value: two hash-map slots with their spare room, a tree node, allocations.
const ENTRY_OVERHEAD: u64 = 256;
const MEMBER_OVERHEAD: u64 = 64;

/// Expired entries that an operation clears away on its way, so that none waits long for the others' leavings.
const SWEEP_STEP: usize = 64;

/// Of the bytes of a store: what one namespace may have, and what all of one plugin may.
const NAMESPACE_SHARE: u64 = 8;
const PLUGIN_SHARE: u64 = 2;

/// What all namespaces of a store have taken together.
#[derive(Debug)]
pub(crate) struct Ledger {
    bounds: MemoryBounds,
    keys: AtomicU64,
    bytes: AtomicU64,
}

/// What all namespaces of one plugin have taken together, out of the store's.
#[derive(Debug)]
pub(crate) struct Account {
    ledger: Arc<Ledger>,
    bytes: AtomicU64,
}

impl Account {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, bytes: AtomicU64::new(0) }
    }

    /// Takes all of it or nothing.
    fn take(&self, keys: u64, bytes: u64) -> bool {
        if !add_within(&self.bytes, bytes, self.ledger.bounds.bytes / PLUGIN_SHARE) {
            return false;
        }
        let taken = self.ledger.take(keys, bytes);
        if !taken {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        taken
    }

    fn give_back(&self, keys: u64, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.ledger.give_back(keys, bytes);
    }
}

impl Ledger {
    pub(crate) fn new(bounds: MemoryBounds) -> Self {
        Self { bounds, keys: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    /// Takes all of it or nothing.
    fn take(&self, keys: u64, bytes: u64) -> bool {
        if !add_within(&self.keys, keys, self.bounds.keys) {
            return false;
        }
        let taken = add_within(&self.bytes, bytes, self.bounds.bytes);
        if !taken {
            self.keys.fetch_sub(keys, Ordering::Relaxed);
        }
        taken
    }

    fn give_back(&self, keys: u64, bytes: u64) {
        self.keys.fetch_sub(keys, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Keys and bytes taken now.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> (u64, u64) {
        (self.keys.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

fn add_within(counter: &AtomicU64, by: u64, bound: u64) -> bool {
    let add = |now: u64| now.checked_add(by).filter(|sum| *sum <= bound);
    counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
}

/// A value and a counted set may have the same key: they are different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Value,
    Set,
}

#[derive(Debug)]
struct Entry<T> {
    held: T,
    /// First millisecond at which it is gone.
    until: u64,
    /// Bytes taken from the ledger.
    cost: u64,
}

/// One namespace. `now` is milliseconds on any clock that doesn't go back.
#[derive(Debug)]
pub(crate) struct Space {
    account: Arc<Account>,
    /// Bytes taken from the account.
    bytes: u64,
    values: HashMap<Arc<str>, Entry<Box<[u8]>>>,
    sets: HashMap<Arc<str>, Entry<HashSet<Box<str>>>>,
    /// Every entry of both, the next to go first.
    queue: BTreeSet<(u64, Kind, Arc<str>)>,
}

impl Space {
    pub(crate) fn new(account: Arc<Account>) -> Self {
        Self { account, bytes: 0, values: HashMap::new(), sets: HashMap::new(), queue: BTreeSet::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Clears up to `most` expired entries away; how many there were.
    pub(crate) fn prune(&mut self, now: u64, most: usize) -> usize {
        for done in 0..most {
            match self.queue.first() {
                Some((until, kind, key)) if *until <= now => {
                    let (kind, key) = (*kind, Arc::clone(key));
                    self.remove(kind, &key);
                }
                _ => return done,
            }
        }
        most
    }

    pub(crate) fn get(&self, now: u64, bounds: KvBounds, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        match self.values.get(key).filter(|entry| now < entry.until) {
            Some(entry) if entry.held.len() > bounds.value as usize => Err(KvError::OutOfBounds),
            Some(entry) => Ok(Some(entry.held.to_vec())),
            None => Ok(None),
        }
    }

    pub(crate) fn set(
        &mut self,
        now: u64,
        bounds: KvBounds,
        key: &str,
        value: &[u8],
        until: u64,
    ) -> Result<(), KvError> {
        self.prune(now, SWEEP_STEP);
        if self.values.get(key).is_some_and(|entry| entry.until <= now) {
            self.remove(Kind::Value, key);
        }
        let cost = ENTRY_OVERHEAD + key.len() as u64 + value.len() as u64;
        self.reserve(now, bounds, !self.values.contains_key(key), cost)?;
        // Only now the old one goes: a set that fails changes nothing. The new one takes over its place among the keys.
        if let Some(old) = self.detach(Kind::Value, key) {
            self.give_back(0, old);
        }
        let key: Arc<str> = key.into();
        self.queue.insert((until, Kind::Value, Arc::clone(&key)));
        self.values.insert(key, Entry { held: value.into(), until, cost });
        Ok(())
    }

    pub(crate) fn set_if_absent(
        &mut self,
        now: u64,
        bounds: KvBounds,
        key: &str,
        value: &[u8],
        until: u64,
    ) -> Result<bool, KvError> {
        if self.values.get(key).is_some_and(|entry| now < entry.until) {
            return Ok(false);
        }
        self.set(now, bounds, key, value, until).map(|()| true)
    }

    pub(crate) fn take(&mut self, now: u64, bounds: KvBounds, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.prune(now, SWEEP_STEP);
        let value = self.get(now, bounds, key)?;
        if value.is_some() {
            self.remove(Kind::Value, key);
        }
        Ok(value)
    }

    pub(crate) fn delete(&mut self, now: u64, key: &str) {
        self.prune(now, SWEEP_STEP);
        self.remove(Kind::Value, key);
        self.remove(Kind::Set, key);
    }

    pub(crate) fn increment(
        &mut self,
        now: u64,
        bounds: KvBounds,
        key: &str,
        by: i64,
        until: u64,
    ) -> Result<i64, KvError> {
        let (number, until) = match self.values.get(key).filter(|entry| now < entry.until) {
            Some(entry) => (number(&entry.held).ok_or(KvError::NotANumber)?, entry.until),
            None => (0, until),
        };
        let sum = number.checked_add(by).ok_or(KvError::NotANumber)?;
        self.set(now, bounds, key, sum.to_string().as_bytes(), until)?;
        Ok(sum)
    }

    pub(crate) fn count_distinct(
        &mut self,
        now: u64,
        bounds: KvBounds,
        key: &str,
        member: &str,
        until: u64,
    ) -> Result<u64, KvError> {
        self.prune(now, SWEEP_STEP);
        if self.sets.get(key).is_some_and(|set| set.until <= now) {
            self.remove(Kind::Set, key);
        }
        let member_cost = MEMBER_OVERHEAD + member.len() as u64;
        let Some(set) = self.sets.get(key) else {
            let cost = ENTRY_OVERHEAD + key.len() as u64 + member_cost;
            self.reserve(now, bounds, true, cost)?;
            let key: Arc<str> = key.into();
            self.queue.insert((until, Kind::Set, Arc::clone(&key)));
            self.sets.insert(key, Entry { held: HashSet::from([member.into()]), until, cost });
            return Ok(1);
        };
        if set.held.contains(member) || set.held.len() >= MOST_MEMBERS {
            return Ok(set.held.len() as u64);
        }
        self.reserve(now, bounds, false, member_cost)?;
        // What reserving clears away has expired, and this one has not.
        let set = self.sets.get_mut(key).ok_or(KvError::Full)?;
        set.cost += member_cost;
        set.held.insert(member.into());
        Ok(set.held.len() as u64)
    }

    /// Makes room, out of expired entries if need be.
    fn reserve(&mut self, now: u64, bounds: KvBounds, new: bool, bytes: u64) -> Result<(), KvError> {
        loop {
            let fits = !new || self.queue.len() < bounds.keys as usize;
            if fits && self.take_room(u64::from(new), bytes) {
                return Ok(());
            }
            if self.prune(now, SWEEP_STEP) == 0 {
                return Err(KvError::Full);
            }
        }
    }

    fn take_room(&mut self, keys: u64, bytes: u64) -> bool {
        let share = self.account.ledger.bounds.bytes / NAMESPACE_SHARE;
        let taken = self.bytes + bytes <= share && self.account.take(keys, bytes);
        if taken {
            self.bytes += bytes;
        }
        taken
    }

    fn give_back(&mut self, keys: u64, bytes: u64) {
        self.bytes -= bytes;
        self.account.give_back(keys, bytes);
    }

    fn remove(&mut self, kind: Kind, key: &str) {
        if let Some(cost) = self.detach(kind, key) {
            self.give_back(1, cost);
        }
    }

    /// Takes an entry out; the bytes that the ledger still has for it.
    fn detach(&mut self, kind: Kind, key: &str) -> Option<u64> {
        let (key, until, cost) = match kind {
            Kind::Value => self.values.remove_entry(key).map(|(key, entry)| (key, entry.until, entry.cost)),
            Kind::Set => self.sets.remove_entry(key).map(|(key, entry)| (key, entry.until, entry.cost)),
        }?;
        self.queue.remove(&(until, kind, key));
        Some(cost)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.account.give_back(self.queue.len() as u64, self.bytes);
    }
}

/// A number as Redis takes it: what printing it gives, and no other spelling.
fn number(bytes: &[u8]) -> Option<i64> {
    let text = str::from_utf8(bytes).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
