//! Media that the origin says aren't there, remembered for a while. Bounded: ids are the viewers' to choose. Pure.

use slice::{MediaId, OriginError};
use std::collections::{HashMap, VecDeque};
use tokio::time::Instant;

/// Absences remembered, the latest ones: some 2 MiB.
const MOST: usize = 16_384;

#[derive(Debug)]
struct Absence {
    error: OriginError,
    until: Instant,
    number: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Absences {
    known: HashMap<MediaId, Absence>,
    /// Oldest first; some stand no more. Never longer than `MOST`, so neither are those known.
    order: VecDeque<(u64, MediaId)>,
    next: u64,
}

impl Absences {
    /// Remembers the origin's word.
    pub(crate) fn put(&mut self, id: MediaId, error: OriginError, until: Instant) {
        while self.order.len() >= MOST {
            let Some((number, id)) = self.order.pop_front() else { break };
            if self.known.get(&id).is_some_and(|absence| absence.number == number) {
                self.known.remove(&id);
            }
        }
        self.next += 1;
        self.order.push_back((self.next, id));
        self.known.insert(id, Absence { error, until, number: self.next });
    }

    /// What the origin said, if that still counts.
    pub(crate) fn get(&mut self, id: MediaId, now: Instant) -> Option<OriginError> {
        let absence = self.known.get(&id)?;
        if now < absence.until {
            return Some(absence.error);
        }
        self.known.remove(&id);
        None
    }

    /// Forgets those that `is_meant`.
    pub(crate) fn forget(&mut self, is_meant: impl Fn(MediaId) -> bool) {
        self.known.retain(|id, _| !is_meant(*id));
    }
}

#[cfg(test)]
mod tests {
    use super::{Absences, MOST};
    use slice::{MediaId, OriginError};
    use std::time::Duration;
    use tokio::time::Instant;

    fn id(n: usize) -> MediaId {
        MediaId::message(-1, i32::try_from(n).unwrap())
    }

    #[test]
    fn absences_end_and_are_bounded() {
        let (now, mut absences) = (Instant::now(), Absences::default());
        let until = now + Duration::from_secs(5);
        absences.put(id(0), OriginError::Gone, until);
        assert_eq!(absences.get(id(0), now), Some(OriginError::Gone));
        assert_eq!(absences.get(id(1), now), None);
        assert_eq!(absences.get(id(0), until), None);
        // A scan, and one that is asked for again and again meanwhile.
        for n in 1..3 * MOST {
            absences.put(id(n), OriginError::NotFound, until);
            absences.put(id(0), OriginError::Gone, until);
            assert!(absences.known.len() <= MOST && absences.order.len() <= MOST);
        }
        assert_eq!(absences.get(id(0), now), Some(OriginError::Gone));
        assert_eq!(absences.get(id(1), now), None, "the oldest went first");
        absences.forget(|it| it == id(0));
        assert_eq!(absences.get(id(0), now), None);
    }
}
