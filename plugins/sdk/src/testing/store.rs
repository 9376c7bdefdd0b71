use crate::kv::Error;
use std::collections::{BTreeMap, BTreeSet};

const LONGEST_TTL: u32 = 34_560_000;

enum Content {
    Bytes(Vec<u8>),
    Members(BTreeSet<String>),
}

/// The contract's store, without the bounds that a manifest sets.
pub(crate) struct Store {
    /// Milliseconds since 1970.
    pub(super) now: u64,
    pub(super) broken: Option<Error>,
    entries: BTreeMap<String, (Content, u64)>,
}

impl Default for Store {
    fn default() -> Self {
        Self { now: 1_800_000_000_000, broken: None, entries: BTreeMap::new() }
    }
}

impl Store {
    pub(super) fn keys(&mut self) -> Vec<String> {
        self.expire();
        self.entries.keys().cloned().collect()
    }

    pub(super) fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.check(key, 1)?;
        Ok(match self.entries.get(key) {
            Some((Content::Bytes(bytes), _)) => Some(bytes.clone()),
            Some((Content::Members(_), _)) | None => None,
        })
    }

    pub(super) fn set(&mut self, key: &str, value: &[u8], ttl: u32) -> Result<(), Error> {
        self.check(key, ttl)?;
        self.entries.insert(key.into(), (Content::Bytes(value.into()), self.end(ttl)));
        Ok(())
    }

    pub(super) fn delete(&mut self, key: &str) -> Result<(), Error> {
        self.check(key, 1)?;
        self.entries.remove(key);
        Ok(())
    }

    pub(super) fn increment(&mut self, key: &str, by: i64, ttl: u32) -> Result<i64, Error> {
        self.check(key, ttl)?;
        let end = self.end(ttl);
        let (content, _) = self.entries.entry(key.into()).or_insert((Content::Bytes(b"0".into()), end));
        let Content::Bytes(bytes) = content else { return Err(Error::NotANumber) };
        let number: i64 =
            std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or(Error::NotANumber)?;
        let sum = number.checked_add(by).ok_or(Error::NotANumber)?;
        *bytes = sum.to_string().into();
        Ok(sum)
    }

    pub(super) fn count_distinct(&mut self, key: &str, member: &str, ttl: u32) -> Result<u64, Error> {
        self.check(key, ttl)?;
        let end = self.end(ttl);
        let (content, _) = self.entries.entry(key.into()).or_insert((Content::Members(BTreeSet::new()), end));
        let Content::Members(members) = content else { return Err(Error::NotANumber) };
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
        self.entries.retain(|_, (_, end)| *end > now);
    }
}
