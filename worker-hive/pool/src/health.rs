//! When a session may be asked, and which one is asked. Pure: `now` and the turn are handed in.

use mtproto::CallFault;
use std::time::Duration;
use tokio::time::Instant;

/// Faults in a row after which a session is asked only when no better one is left.
const SUSPECT_AFTER: u32 = 3;
const SUSPECT_FIRST: Duration = Duration::from_secs(1);
const SUSPECT_LAST: Duration = Duration::from_secs(60);
/// Telegram's word is in whole seconds, and clocks differ: come a little later rather than a little early.
const FLOOD_MARGIN: Duration = Duration::from_millis(250);

/// What a session's calls told of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    resting_until: Option<Instant>,
    suspect_until: Option<Instant>,
    failures: u32,
    banned: bool,
}

impl Health {
    /// Takes note of a fault.
    pub(crate) fn fault(&mut self, fault: &CallFault, now: Instant) {
        match fault {
            CallFault::Flood { seconds, .. } => {
                let until = now + Duration::from_secs(u64::from(*seconds)) + FLOOD_MARGIN;
                // A shorter wait told later doesn't cut a longer one short.
                self.resting_until = Some(self.resting_until.map_or(until, |known| known.max(until)));
            }
            CallFault::Banned(_) => self.banned = true,
            CallFault::Dropped(_) | CallFault::Timeout | CallFault::Unauthorized | CallFault::Other(_) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= SUSPECT_AFTER {
                    let doubled = SUSPECT_FIRST.saturating_mul(1 << (self.failures - SUSPECT_AFTER).min(10));
                    self.suspect_until = Some(now + doubled.min(SUSPECT_LAST));
                }
            }
            // Facts about the document, not about the session.
            CallFault::Migrate(_) | CallFault::ReferenceExpired => {}
        }
    }

    /// Takes note of an answer.
    pub(crate) fn success(&mut self) {
        self.failures = 0;
        self.suspect_until = None;
    }

    /// When the flood wait ends, if there is one.
    #[must_use]
    pub(crate) fn resting_until(&self, now: Instant) -> Option<Instant> {
        self.resting_until.filter(|until| *until > now)
    }

    /// True when Telegram revoked the account.
    #[must_use]
    pub(crate) fn is_banned(&self) -> bool {
        self.banned
    }

    fn is_suspect(&self, now: Instant) -> bool {
        self.suspect_until.is_some_and(|until| until > now)
    }
}

/// A session as the choice sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// Its health.
    pub(crate) health: Health,
    /// Premium accounts are not slowed down by Telegram.
    pub(crate) premium: bool,
    /// Streams that hold it.
    pub(crate) load: usize,
    /// Streams that may hold it.
    pub(crate) cap: usize,
    /// False when this stream must not use it again for now.
    pub(crate) eligible: bool,
}

/// What came of choosing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Take the session of this index.
    Take(usize),
    /// All that could be asked rest; the first one is back at this time.
    Resting(Instant),
    /// All that could be asked are at their cap.
    Busy,
    /// None is left that could be asked.
    Nobody,
}

/// Chooses: healthy before suspect, premium first, then the least loaded, ties by turn. Never one that rests, is banned, is at its
/// cap or is not eligible.
#[must_use]
pub(crate) fn choose(candidates: &[Candidate], now: Instant, turn: usize) -> Choice {
    let count = candidates.len();
    let mut best: Option<((bool, bool, usize), usize)> = None;
    let (mut resting, mut busy) = (None::<Instant>, false);
    for step in 0..count {
        let index = (turn % count + step) % count;
        let candidate = &candidates[index];
        if !candidate.eligible || candidate.health.is_banned() {
            continue;
        }
        if let Some(until) = candidate.health.resting_until(now) {
            resting = Some(resting.map_or(until, |known| known.min(until)));
        } else if candidate.load >= candidate.cap {
            busy = true;
        } else {
            let rank = (candidate.health.is_suspect(now), !candidate.premium, candidate.load);
            if best.is_none_or(|(known, _)| rank < known) {
                best = Some((rank, index));
            }
        }
    }
    match (best, busy, resting) {
        (Some((_, index)), ..) => Choice::Take(index),
        (None, true, _) => Choice::Busy,
        (None, false, Some(until)) => Choice::Resting(until),
        (None, false, None) => Choice::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidate, Choice, FLOOD_MARGIN, Health, choose};
    use mtproto::CallFault;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
    use std::time::Duration;
    use tokio::time::Instant;

    fn flood(seconds: u32) -> CallFault {
        CallFault::Flood { seconds, premium_exempt: false }
    }

    #[test]
    fn a_flood_is_obeyed_to_its_end_and_never_cut_short() {
        let now = Instant::now();
        let mut health = Health::default();
        health.fault(&flood(7), now);
        health.fault(&flood(2), now);
        let end = now + Duration::from_secs(7) + FLOOD_MARGIN;
        assert_eq!(health.resting_until(now), Some(end));
        health.success();
        assert_eq!(health.resting_until(end - Duration::from_millis(1)), Some(end));
        assert_eq!(health.resting_until(end), None);
    }

    #[test]
    fn a_session_that_keeps_failing_is_the_last_resort_until_it_answers() {
        let now = Instant::now();
        let mut bad = Health::default();
        (0..5).for_each(|_| bad.fault(&CallFault::Timeout, now));
        let fine = Candidate { health: Health::default(), premium: false, load: 3, cap: 15, eligible: true };
        let suspect = Candidate { health: bad, premium: true, load: 0, ..fine };
        assert_eq!(choose(&[suspect, fine], now, 0), Choice::Take(1));
        assert_eq!(choose(&[suspect], now, 0), Choice::Take(0));
        bad.success();
        assert_eq!(choose(&[Candidate { health: bad, ..suspect }, fine], now, 1), Choice::Take(0));
    }

    #[test]
    fn says_why_nobody_is_there() {
        let now = Instant::now();
        let fine = Candidate { health: Health::default(), premium: false, load: 0, cap: 1, eligible: true };
        let mut rests = fine;
        rests.health.fault(&flood(5), now);
        let mut longer = fine;
        longer.health.fault(&flood(9), now);
        let mut banned = fine;
        banned.health.fault(&CallFault::Banned("X".into()), now);
        assert_eq!(choose(&[], now, 3), Choice::Nobody);
        assert_eq!(choose(&[banned, Candidate { eligible: false, ..fine }], now, 0), Choice::Nobody);
        assert_eq!(choose(&[longer, rests], now, 0), Choice::Resting(now + Duration::from_secs(5) + FLOOD_MARGIN));
        assert_eq!(choose(&[Candidate { load: 1, ..fine }, rests], now, 0), Choice::Busy);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn never_takes_one_that_must_not_be_asked_and_none_better_is_left(
            seeds in proptest::collection::vec((any::<bool>(), 0_usize..5, any::<bool>(), 0_u8..4), 0..8), turn in any::<usize>(),
        ) {
            let now = Instant::now();
            let candidates: Vec<Candidate> = seeds.iter().map(|(premium, load, eligible, state)| {
                let mut health = Health::default();
                match state {
                    1 => health.fault(&flood(3), now),
                    2 => health.fault(&CallFault::Banned("X".into()), now),
                    3 => (0..4).for_each(|_| health.fault(&CallFault::Timeout, now)),
                    _ => {}
                }
                Candidate { health, premium: *premium, load: *load, cap: 4, eligible: *eligible }
            }).collect();
            let usable = |c: &Candidate| c.eligible && c.load < c.cap && !c.health.is_banned() && c.health.resting_until(now).is_none();
            match choose(&candidates, now, turn) {
                Choice::Take(index) => {
                    let taken = &candidates[index];
                    prop_assert!(usable(taken));
                    let rank = |c: &Candidate| (c.health.is_suspect(now), !c.premium, c.load);
                    prop_assert!(candidates.iter().filter(|c| usable(c)).all(|c| rank(taken) <= rank(c)));
                }
                _ => prop_assert_eq!(candidates.iter().filter(|c| usable(c)).count(), 0),
            }
        }
    }
}
