use crate::kv::Error;
use std::collections::{BTreeMap, BTreeSet};

const LONGEST_TTL: u32 = 34_560_000;

/// Operations of one call: the gateway ends a call that asks for more.
pub(super) const MOST_OPERATIONS: u32 = 64;
pub(super) const MOST_OPERATIONS_OF_OBSERVERS: u32 = 2_048;

/// The contract's store, without the bounds that a manifest sets.
pub(crate) struct Store {
    /// Milliseconds since 1970.
    pub(super) now: u64,
    pub(super) broken: Option<Error>,
    /// Operations until one whose answer is lost.
    pub(super) lost: Option<u32>,
    /// Calls that last, and what the youngest of them may still ask for.
    calls: u32,
    left: u32,
    /// Each with the millisecond at which it is gone. A value and a counted set may have the same key.
    values: BTreeMap<String, (Vec<u8>, u64)>,
    sets: BTreeMap<String, (BTreeSet<String>, u64)>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            now: 1_800_000_000_000,
            broken: None,
            lost: None,
            calls: 0,
            left: 0,
            values: BTreeMap::new(),
            sets: BTreeMap::new(),
        }
    }
}

impl Store {
    pub(super) fn begin_call(&mut self, most: u32) {
        self.calls += 1;
        self.left = most;
    }

    pub(super) fn end_call(&mut self) {
        self.calls -= 1;
    }

    /// What a test itself asks, outside of any call, is not counted.
    pub(super) fn count(&mut self) {
        if self.calls > 0 {
            assert!(self.left > 0, "the gateway ends a call that asks its store for more");
            self.left -= 1;
        }
    }

    pub(super) fn loses_answer(&mut self) -> bool {
        let lost = self.lost == Some(0);
        self.lost = self.lost.and_then(|left| left.checked_sub(1));
        lost
    }

    pub(super) fn keys(&mut self) -> Vec<String> {
        self.expire();
        let keys: BTreeSet<&String> = self.values.keys().chain(self.sets.keys()).collect();
        keys.into_iter().cloned().collect()
    }

    pub(super) fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.check(key, 1)?;
        Ok(self.values.get(key).map(|(bytes, _)| bytes.clone()))
    }

    pub(super) fn set(&mut self, key: &str, value: &[u8], ttl: u32) -> Result<(), Error> {
        self.check(key, ttl)?;
        self.values.insert(key.into(), (value.into(), self.end(ttl)));
        Ok(())
    }

    pub(super) fn delete(&mut self, key: &str) -> Result<(), Error> {
        self.check(key, 1)?;
        self.values.remove(key);
        self.sets.remove(key);
        Ok(())
    }

    pub(super) fn increment(&mut self, key: &str, by: i64, ttl: u32) -> Result<i64, Error> {
        self.check(key, ttl)?;
        let end = self.end(ttl);
        let (bytes, _) = self.values.entry(key.into()).or_insert((b"0".into(), end));
        let number: i64 =
            std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or(Error::NotANumber)?;
        let sum = number.checked_add(by).ok_or(Error::NotANumber)?;
        *bytes = sum.to_string().into();
        Ok(sum)
    }

    pub(super) fn count_distinct(&mut self, key: &str, member: &str, ttl: u32) -> Result<u64, Error> {
        self.check(key, ttl)?;
        if member.is_empty() || member.len() > 256 {
            return Err(Error::OutOfBounds);
        }
        let end = self.end(ttl);
        let (members, _) = self.sets.entry(key.into()).or_insert((BTreeSet::new(), end));
        members.insert(member.into());
        Ok(members.len() as u64)
    }

    fn end(&self, ttl: u32) -> u64 {
        self.now + u64::from(ttl) * 1_000
    }

    fn check(&mut self, key: &str, ttl: u32) -> Result<(), Error> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        if key.is_empty() || key.len() > 256 || ttl == 0 || ttl > LONGEST_TTL {
            return Err(Error::OutOfBounds);
        }
        self.expire();
        Ok(())
    }

    fn expire(&mut self) {
        let now = self.now;
        self.values.retain(|_, (_, end)| *end > now);
        self.sets.retain(|_, (_, end)| *end > now);
    }
}
