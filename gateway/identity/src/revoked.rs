//! What was revoked, until it would have expired by itself.

use crate::shares::Shares;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What operators revoked, at once: some 40 MB.
const MOST: usize = 200_000;
/// Sessions that viewers ended, at once: some 20 MB.
const MOST_OF_VIEWERS: usize = 100_000;

/// What is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A link, by its id.
    Link,
    /// A viewer's session, with every token of it.
    Session,
    /// One token, or one one-time link, by its `jti`.
    Token,
}

impl Kind {
    /// The word in messages and commands.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::Session => "session",
            Self::Token => "token",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Link, Self::Session, Self::Token].into_iter().find(|kind| kind.word() == word)
    }
}

/// Who revokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// An operator: it stands to its end.
    Operator,
    /// A viewer who signs out, or whose refresh token was used twice. Anybody can begin sessions and end them: of these as many are kept as
    /// there is room for, and of the tenant that has most the one goes that ends first. What goes so is a token that holds for the minutes
    /// that it had left; its session is over all the same.
    Viewer,
}

/// There is no room for another entry of operators: 200,000 are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MOST} revocations are in force; change the secret or key instead")]
pub struct Full;

/// The set that requests are judged by. Looking costs one load while it is empty, and a read lock and a hash else.
#[derive(Debug, Default)]
pub struct Revoked {
    some: AtomicBool,
    entries: RwLock<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    until: HashMap<Arc<str>, (i64, By)>,
    of_operators: Shares,
    of_viewers: Shares,
}

impl Entries {
    fn shares(&mut self, by: By) -> &mut Shares {
        match by {
            By::Operator => &mut self.of_operators,
            By::Viewer => &mut self.of_viewers,
        }
    }

    fn take_out(&mut self, entry: &str) -> Option<(i64, By)> {
        let (name, (until, by)) = self.until.remove_entry(entry)?;
        self.shares(by).remove(until, &name);
        Some((until, by))
    }

    /// False: there is no room.
    fn make_room(&mut self, by: By) -> bool {
        match by {
            By::Operator => self.of_operators.len() < MOST,
            By::Viewer => {
                while self.of_viewers.len() >= MOST_OF_VIEWERS {
                    let Some(gone) = self.of_viewers.pop_of_greediest() else { return false };
                    self.until.remove(&gone);
                }
                true
            }
        }
    }
}

impl Revoked {
    /// Whether a tenant's link, session or token is revoked at `now`.
    #[must_use]
    pub fn has(&self, tenant: &str, kind: Kind, id: &str, now: i64) -> bool {
        self.some.load(Ordering::Acquire)
            && self.entries.read().until.get(key(tenant, kind, id).as_str()).is_some_and(|(until, _)| now < *until)
    }

    /// Revokes until a second since 1970. A later end stands, and so does an operator's word. True if it is news.
    ///
    /// # Errors
    /// [`Full`]. Never for viewers.
    pub fn add(&self, entry: &str, until: i64, now: i64, by: By) -> Result<bool, Full> {
        if until <= now {
            return Ok(false);
        }
        let mut entries = self.entries.write();
        while let Some(gone) = entries.of_operators.pop_ended(now).or_else(|| entries.of_viewers.pop_ended(now)) {
            entries.until.remove(&gone);
        }
        let known = entries.until.get(entry).copied();
        let (until, by) = match known {
            Some((known, By::Operator)) => (known.max(until), By::Operator),
            Some((known, By::Viewer)) => (known.max(until), by),
            None => (until, by),
        };
        if known == Some((until, by)) {
            return Ok(false);
        }
        if known.is_none_or(|(_, before)| before != by) && !entries.make_room(by) {
            return Err(Full);
        }
        entries.take_out(entry);
        let name: Arc<str> = entry.into();
        entries.shares(by).insert(until, &name);
        entries.until.insert(name, (until, by));
        self.some.store(true, Ordering::Release);
        Ok(true)
    }

    /// All that is in force at `now`, of operators or of viewers: what gateways tell each other.
    #[must_use]
    pub fn all(&self, by: By, now: i64) -> Vec<(String, i64)> {
        let entries = self.entries.read();
        let shares = if by == By::Operator { &entries.of_operators } else { &entries.of_viewers };
        shares.iter().filter(|(until, _)| *until > now).map(|(until, entry)| (entry.to_string(), *until)).collect()
    }

    /// The name of an entry. No tenant's id and no kind has a slash.
    #[must_use]
    pub fn entry(tenant: &str, kind: Kind, id: &str) -> String {
        key(tenant, kind, id)
    }
}

fn key(tenant: &str, kind: Kind, id: &str) -> String {
    format!("{tenant}/{}/{id}", kind.word())
}

#[cfg(test)]
mod tests {
    use super::{By, Full, Kind, MOST, MOST_OF_VIEWERS, Revoked};

    #[test]
    fn entries_are_a_tenants_own_and_end() {
        let revoked = Revoked::default();
        let entry = Revoked::entry("a", Kind::Link, "x");
        let add = |entry: &str, until, now| revoked.add(entry, until, now, By::Operator);
        assert_eq!(add(&entry, 100, 50), Ok(true));
        assert_eq!(add(&entry, 90, 50), Ok(false), "the later end stands");
        for (tenant, kind, id, now, has) in [
            ("a", Kind::Link, "x", 99, true),
            ("a", Kind::Link, "x", 100, false),
            ("b", Kind::Link, "x", 50, false),
            ("a", Kind::Token, "x", 50, false),
            ("a", Kind::Link, "y", 50, false),
        ] {
            assert_eq!(revoked.has(tenant, kind, id, now), has, "{tenant} {kind:?} {id} at {now}");
        }
        assert_eq!(add("b/link/y", 200, 100), Ok(true));
        assert_eq!(revoked.all(By::Operator, 100), [("b/link/y".to_owned(), 200)], "what has ended is forgotten");
        assert_eq!(add("c/link/z", 90, 100), Ok(false), "what is over needs no entry");
    }

    #[test]
    fn it_is_bounded() {
        let revoked = Revoked::default();
        let add = |entry: &str, until, now| revoked.add(entry, until, now, By::Operator);
        for number in 0..MOST {
            assert_eq!(add(&format!("a/link/{number}"), 100, 0), Ok(true));
        }
        assert_eq!(add("a/link/more", 100, 0), Err(Full));
        assert_eq!(add("a/link/7", 101, 0), Ok(true), "one that is there can last longer");
        assert_eq!(add("a/link/more", 300, 200), Ok(true), "there is room when they have ended");
    }

    #[test]
    fn strangers_take_no_room_from_operators_nor_from_other_tenants() {
        let revoked = Revoked::default();
        let add = |entry: &str, until, by| revoked.add(entry, until, 0, by);
        assert_eq!(add("b/session/early", 50, By::Viewer), Ok(true));
        for number in 0..MOST_OF_VIEWERS + 500 {
            assert_eq!(add(&format!("a/session/{number}"), 100, By::Viewer), Ok(true));
        }
        assert_eq!(revoked.all(By::Viewer, 0).len(), MOST_OF_VIEWERS);
        assert!(revoked.has("b", Kind::Session, "early", 0), "another tenant's stay");
        for number in 0..1000 {
            assert_eq!(add(&format!("a/link/{number}"), 100, By::Operator), Ok(true));
        }
    }

    #[test]
    fn an_operators_word_stands() {
        let revoked = Revoked::default();
        for (until, by, news, kept) in [
            (100, By::Viewer, true, (0, 1)),
            (90, By::Operator, true, (1, 0)),
            (100, By::Operator, false, (1, 0)),
            (110, By::Viewer, true, (1, 0)),
            (110, By::Viewer, false, (1, 0)),
        ] {
            assert_eq!(revoked.add("a/session/x", until, 0, by), Ok(news), "{until} {by:?}");
            assert_eq!((revoked.all(By::Operator, 0).len(), revoked.all(By::Viewer, 0).len()), kept);
        }
        assert_eq!(revoked.all(By::Operator, 0), [("a/session/x".to_owned(), 110)]);
    }
}
