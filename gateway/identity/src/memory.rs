//! Sessions and burnt links of a gateway that is alone: in memory, bounded, gone with the process.
//!
//! Anybody can be a guest, as often as rates allow. So guests make room for each other: of the tenant that has most, the one that ends first
//! goes, which is one that never renewed as long as there are such. No guest ends the session of somebody with a name.

use crate::session::{Rotation, Session, SessionRules};
use crate::shares::Shares;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Sessions at once, some 100 MB.
const MOST_SESSIONS: usize = 200_000;
/// Used links that are remembered at once. With more no link lets anybody in, rather than one twice.
const MOST_BURNT: usize = 200_000;
/// Expired entries that one operation clears away.
const SWEEP: usize = 64;

/// By the tenant's id, a slash, and the session's or link's id.
#[derive(Debug)]
pub(crate) struct Memory {
    most: usize,
    sessions: HashMap<Arc<str>, Session>,
    guests: Shares,
    named: Shares,
    burnt: HashMap<String, i64>,
    burnt_queue: BTreeSet<(i64, String)>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_room(MOST_SESSIONS)
    }
}

impl Memory {
    fn with_room(most: usize) -> Self {
        Self {
            most,
            sessions: HashMap::new(),
            guests: Shares::default(),
            named: Shares::default(),
            burnt: HashMap::new(),
            burnt_queue: BTreeSet::new(),
        }
    }

    /// False: there is no room, and nobody that could make it.
    pub(crate) fn open(&mut self, name: &str, session: Session, now: i64) -> bool {
        self.sweep(now);
        self.close(name);
        if self.sessions.len() >= self.most && !self.make_room(session.subject.is_guest()) {
            return false;
        }
        let name: Arc<str> = name.into();
        self.shares(session.subject.is_guest()).insert(session.until, &name);
        self.sessions.insert(name, session);
        true
    }

    fn make_room(&mut self, for_guest: bool) -> bool {
        let gone = match self.guests.pop_of_greediest() {
            None if !for_guest => self.named.pop_of_greediest(),
            gone => gone,
        };
        gone.is_some_and(|gone| self.sessions.remove(&gone).is_some())
    }

    fn shares(&mut self, of_guests: bool) -> &mut Shares {
        if of_guests { &mut self.guests } else { &mut self.named }
    }

    pub(crate) fn rotate(
        &mut self,
        name: &str,
        used: &[u8; 32],
        next: [u8; 32],
        now: i64,
        rules: &SessionRules,
    ) -> Rotation {
        let Some(session) = self.sessions.get_mut(name) else { return Rotation::Unknown };
        let before = session.until;
        let rotation = session.rotate(used, next, now, rules);
        let after = session.until;
        match &rotation {
            Rotation::Reused(_) | Rotation::Unknown => drop(self.close_at(name, before)),
            Rotation::Rotated(subject) | Rotation::Lately(subject) => {
                let (name, shares) = (Arc::from(name), self.shares(subject.is_guest()));
                shares.remove(before, &name);
                shares.insert(after, &name);
            }
        }
        rotation
    }

    /// Ends a session, if `secret` is one of its hashes; what it was.
    pub(crate) fn end(&mut self, name: &str, secret: &[u8; 32]) -> Option<Session> {
        let session = self.sessions.get(name)?;
        if session.current == *secret || session.previous.as_ref() == Some(secret) { self.close(name) } else { None }
    }

    pub(crate) fn close(&mut self, name: &str) -> Option<Session> {
        let until = self.sessions.get(name)?.until;
        self.close_at(name, until)
    }

    fn close_at(&mut self, name: &str, until: i64) -> Option<Session> {
        let (name, session) = self.sessions.remove_entry(name)?;
        self.shares(session.subject.is_guest()).remove(until, &name);
        Some(session)
    }

    /// Uses a link up and begins a session, or does neither. `None` if there is no room for either.
    pub(crate) fn enter(&mut self, link: String, until: i64, name: &str, session: Session, now: i64) -> Option<bool> {
        if !self.burn(link.clone(), until, now)? {
            return Some(false);
        }
        if self.open(name, session, now) {
            return Some(true);
        }
        self.burnt.remove(&link);
        self.burnt_queue.remove(&(until, link));
        None
    }

    /// True for who comes first; `None` if there is no room to remember it.
    fn burn(&mut self, name: String, until: i64, now: i64) -> Option<bool> {
        self.sweep(now);
        if self.burnt.contains_key(&name) {
            return Some(false);
        }
        if self.burnt.len() >= MOST_BURNT {
            return None;
        }
        self.burnt_queue.insert((until, name.clone()));
        self.burnt.insert(name, until);
        Some(true)
    }

    fn sweep(&mut self, now: i64) {
        for _ in 0..SWEEP {
            let Some(name) = self.guests.pop_ended(now).or_else(|| self.named.pop_ended(now)) else { break };
            self.sessions.remove(&name);
        }
        for _ in 0..SWEEP {
            match self.burnt_queue.first() {
                Some((until, _)) if *until <= now => {
                    if let Some((_, name)) = self.burnt_queue.pop_first() {
                        self.burnt.remove(&name);
                    }
                }
                _ => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;
    use crate::refresh::RefreshToken;
    use crate::session::{Rotation, Session, SessionRules};
    use crate::subject::Subject;
    use serde_json::Map;
    use std::time::Duration;

    const RULES: SessionRules = SessionRules {
        first_ttl: Duration::from_secs(100),
        refresh_ttl: Duration::from_secs(1000),
        session_ttl: Duration::from_secs(3000),
        grace: Duration::ZERO,
    };

    fn token(number: u16) -> RefreshToken {
        let mut session = [0; 16];
        session[..2].copy_from_slice(&number.to_be_bytes());
        RefreshToken::first(session, [0; 32])
    }

    fn session(guest: bool, now: i64) -> Session {
        let subject = if guest { Subject::guest([1; 16]) } else { Subject::named("alice", Map::new()).unwrap() };
        Session::begin(subject, &token(0), now, &RULES)
    }

    fn renewed(memory: &mut Memory, name: &str, now: i64) -> Rotation {
        let used = memory.sessions.get(name).map_or([0; 32], |session| session.current);
        memory.rotate(name, &used, [7; 32], now, &RULES)
    }

    #[test]
    fn strangers_put_nobody_out_but_strangers() {
        let mut memory = Memory::with_room(10);
        assert!(memory.open("b/alice", session(false, 0), 0));
        assert!(memory.open("b/guest", session(true, 0), 0));
        assert!(memory.open("a/regular", session(true, 0), 0));
        assert!(matches!(renewed(&mut memory, "a/regular", 1), Rotation::Rotated(_)));
        for number in 0..1000 {
            assert!(memory.open(&format!("a/{number}"), session(true, 2), 2));
        }
        assert_eq!(memory.sessions.len(), 10);
        for (name, there) in
            [("b/alice", true), ("b/guest", true), ("a/regular", true), ("a/0", false), ("a/999", true)]
        {
            assert_eq!(memory.sessions.contains_key(name), there, "{name}");
        }
    }

    #[test]
    fn no_guest_comes_in_the_place_of_a_name() {
        let mut memory = Memory::with_room(3);
        for name in ["a/1", "a/2", "b/1"] {
            assert!(memory.open(name, session(false, 0), 0));
        }
        assert!(!memory.open("b/guest", session(true, 0), 0));
        assert!(memory.open("b/2", session(false, 0), 0), "of who has most");
        assert_eq!((memory.sessions.contains_key("b/1"), memory.named.len()), (true, 3));
        assert!(memory.open("b/guest", session(true, 2000), 2000), "what has ended makes room");
        assert_eq!((memory.sessions.len(), memory.named.len(), memory.guests.len()), (1, 0, 1));
    }

    #[test]
    fn a_guest_that_never_renews_is_forgotten_early() {
        let mut memory = Memory::with_room(10);
        memory.open("a/guest", session(true, 0), 0);
        memory.open("a/other", session(true, 0), 0);
        memory.open("a/alice", session(false, 0), 0);
        assert!(matches!(renewed(&mut memory, "a/guest", 99), Rotation::Rotated(_)));
        assert!(matches!(renewed(&mut memory, "a/guest", 1000), Rotation::Rotated(_)));
        assert_eq!(renewed(&mut memory, "a/other", 100), Rotation::Unknown);
        assert!(matches!(renewed(&mut memory, "a/alice", 900), Rotation::Rotated(_)));
        assert_eq!(memory.sessions.len(), memory.guests.len() + memory.named.len());
    }

    #[test]
    fn a_link_is_used_up_with_its_session_or_not_at_all() {
        let mut memory = Memory::with_room(0);
        assert_eq!(memory.enter("a/link".into(), 500, "a/s", session(false, 0), 0), None);
        memory.most = 1;
        assert_eq!(memory.enter("a/link".into(), 500, "a/s", session(false, 0), 0), Some(true));
        assert_eq!(memory.enter("a/link".into(), 500, "a/t", session(false, 0), 0), Some(false));
        assert!(memory.sessions.contains_key("a/s") && !memory.sessions.contains_key("a/t"));
    }
}
