//! Which session is asked. Pure: `now` and the turn are handed in.

use crate::trust::Standing;
use mtproto::Reach;
use std::cmp::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// A session as the choice sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    /// False when this stream must not use it, or not again for now, or when it is banned.
    pub(crate) eligible: bool,
    /// When its flood wait ends.
    pub(crate) resting: Option<Instant>,
    /// What it may be asked in the data-centre that the stream is about.
    pub(crate) standing: Standing,
    /// A trial is under way.
    pub(crate) on_trial: bool,
    /// Premium accounts are not slowed down by Telegram.
    pub(crate) premium: bool,
    /// What it has to do before it can fetch there.
    pub(crate) reach: Reach,
    /// Streams that hold it.
    pub(crate) load: usize,
    /// Streams that may hold it.
    pub(crate) cap: usize,
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

/// How the choice is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taste {
    /// A session on probation comes after all others. New streams try it; one that was just let down must not be again.
    pub(crate) careful: bool,
    /// A rest that is over within this time is waited for rather than a session in quarantine asked.
    pub(crate) patience: Duration,
}

impl Candidate {
    /// A session on probation gets one stream, to see.
    fn has_room(&self) -> bool {
        match self.standing {
            Standing::Trusted => self.load < self.cap,
            Standing::Probation | Standing::Out(_) => self.load == 0 && self.cap > 0 && !self.on_trial,
        }
    }

    /// Carrying an authorization abroad is worth a stream: a session that is there already takes one more before another goes.
    fn burden(&self) -> usize {
        self.load + usize::from(self.reach == Reach::Foreign)
    }

    /// The better one is less.
    pub(crate) fn compare(&self, other: &Self, careful: bool) -> Ordering {
        let doubt = |candidate: &Self| careful && candidate.standing != Standing::Trusted;
        doubt(self)
            .cmp(&doubt(other))
            .then(other.premium.cmp(&self.premium))
            // Relative to the cap: a/b < c/d as a*d < c*b, without fractions. Caps of 0 have no room and don't come here.
            .then((self.burden().saturating_mul(other.cap)).cmp(&other.burden().saturating_mul(self.cap)))
            .then(self.reach.cmp(&other.reach))
    }
}

/// Chooses: premium first, then the least loaded for its cap, then who is nearest to the document, ties by turn. Never one that
/// rests, is not eligible or has no room; one in quarantine only when nobody else will be there soon.
#[must_use]
pub(crate) fn choose(candidates: &[Candidate], taste: Taste, now: Instant, turn: usize) -> Choice {
    let count = candidates.len();
    let (mut best, mut out): (Option<usize>, Option<(Instant, usize)>) = (None, None);
    let (mut resting, mut busy, mut stuck) = (None::<Instant>, false, false);
    for index in (0..count).map(|step| (turn % count + step) % count) {
        let candidate = &candidates[index];
        if !candidate.eligible {
            continue;
        }
        if let Some(until) = candidate.resting.filter(|until| *until > now) {
            resting = Some(resting.map_or(until, |known| known.min(until)));
            continue;
        }
        if let Standing::Out(until) = candidate.standing {
            if candidate.load >= candidate.cap || candidate.on_trial {
                stuck = true;
            } else if out.is_none_or(|(first, _)| until < first) {
                out = Some((until, index));
            }
        } else if !candidate.has_room() {
            busy = true;
        } else if best.is_none_or(|best| candidate.compare(&candidates[best], taste.careful).is_lt()) {
            best = Some(index);
        }
    }
    let soon = |until: &Instant| until.saturating_duration_since(now) <= taste.patience;
    match (best, resting, out) {
        (Some(index), ..) => Choice::Take(index),
        _ if busy => Choice::Busy,
        (None, Some(until), _) if soon(&until) => Choice::Resting(until),
        (None, _, Some((_, index))) => Choice::Take(index),
        _ if stuck => Choice::Busy,
        (None, Some(until), None) => Choice::Resting(until),
        (None, None, None) => Choice::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidate, Choice, Taste, choose};
    use crate::trust::Standing;
    use mtproto::Reach;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
    use std::time::Duration;
    use tokio::time::Instant;

    const TASTE: Taste = Taste { careful: false, patience: Duration::from_secs(10) };
    const CAREFUL: Taste = Taste { careful: true, ..TASTE };
    const FINE: Candidate = Candidate {
        eligible: true,
        resting: None,
        standing: Standing::Trusted,
        on_trial: false,
        premium: false,
        reach: Reach::Warm,
        load: 0,
        cap: 15,
    };

    #[test]
    fn premium_then_relative_load_then_nearness_then_turn() {
        let now = Instant::now();
        let premium = Candidate { premium: true, load: 14, ..FINE };
        assert_eq!(choose(&[FINE, premium], TASTE, now, 0), Choice::Take(1));
        let (small, large) = (Candidate { load: 1, cap: 2, ..FINE }, Candidate { load: 5, cap: 15, ..FINE });
        assert_eq!(choose(&[small, large], TASTE, now, 0), Choice::Take(1));
        let foreign = Candidate { reach: Reach::Foreign, ..FINE };
        let loaded = |load| Candidate { load, ..FINE };
        assert_eq!(choose(&[foreign, loaded(1)], TASTE, now, 0), Choice::Take(1), "an export is worth a stream");
        assert_eq!(choose(&[foreign, loaded(2)], TASTE, now, 0), Choice::Take(0), "and not more");
        let cold = Candidate { reach: Reach::Authorized, ..FINE };
        assert_eq!(choose(&[cold, FINE], TASTE, now, 0), Choice::Take(1));
        let turns: Vec<_> = (0..4).map(|turn| choose(&[FINE, FINE, loaded(1), FINE], TASTE, now, turn)).collect();
        assert_eq!(turns, [0, 1, 3, 3].map(Choice::Take));
    }

    #[test]
    fn probation_is_one_stream_and_quarantine_the_last_resort() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let probation = Candidate { standing: Standing::Probation, premium: true, ..FINE };
        assert_eq!(choose(&[FINE, probation], TASTE, now, 0), Choice::Take(1));
        assert_eq!(choose(&[FINE, probation], CAREFUL, now, 0), Choice::Take(0));
        for busy in [Candidate { load: 1, ..probation }, Candidate { on_trial: true, ..probation }] {
            assert_eq!(choose(&[FINE, busy], TASTE, now, 0), Choice::Take(0));
            assert_eq!(choose(&[busy], TASTE, now, 0), Choice::Busy);
        }
        let out = |seconds| Candidate { standing: Standing::Out(at(seconds)), ..FINE };
        assert_eq!(choose(&[out(1), FINE], TASTE, now, 0), Choice::Take(1));
        assert_eq!(choose(&[out(5), out(3)], TASTE, now, 0), Choice::Take(1));
        assert_eq!(choose(&[out(5), Candidate { load: 15, ..FINE }], TASTE, now, 0), Choice::Busy);
        let rests = |seconds| Candidate { resting: Some(at(seconds)), ..FINE };
        assert_eq!(choose(&[out(5), rests(9)], TASTE, now, 0), Choice::Resting(at(9)));
        assert_eq!(choose(&[out(5), rests(11)], TASTE, now, 0), Choice::Take(0));
        assert_eq!(choose(&[Candidate { on_trial: true, ..out(5) }], TASTE, now, 0), Choice::Busy);
    }

    #[test]
    fn says_why_nobody_is_there() {
        let now = Instant::now();
        let rests = |seconds| Candidate { resting: Some(now + Duration::from_secs(seconds)), ..FINE };
        assert_eq!(choose(&[], TASTE, now, 3), Choice::Nobody);
        assert_eq!(choose(&[Candidate { eligible: false, ..FINE }], TASTE, now, 0), Choice::Nobody);
        assert_eq!(choose(&[rests(9), rests(5)], TASTE, now, 0), Choice::Resting(now + Duration::from_secs(5)));
        assert_eq!(choose(&[Candidate { load: 15, ..FINE }, rests(5)], TASTE, now, 0), Choice::Busy);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn never_takes_one_that_must_not_be_asked_and_none_better_is_left(
            seeds in proptest::collection::vec(
                (any::<bool>(), 0_usize..5, 0_usize..5, any::<bool>(), 0_u8..5, 0_u8..3, any::<bool>()), 0..8),
            turn in any::<usize>(), careful in any::<bool>(),
        ) {
            let now = Instant::now();
            let soon = now + Duration::from_secs(3);
            let taste = Taste { careful, ..TASTE };
            let candidates: Vec<Candidate> = seeds.iter().map(|(premium, load, cap, eligible, state, reach, on_trial)| Candidate {
                eligible: *eligible,
                resting: (*state == 1).then_some(soon),
                standing: match state { 2 => Standing::Out(soon), 3 => Standing::Probation, _ => Standing::Trusted },
                on_trial: *on_trial,
                premium: *premium,
                reach: [Reach::Warm, Reach::Authorized, Reach::Foreign][usize::from(*reach)],
                load: *load,
                cap: *cap,
            }).collect();
            let usable = |c: &&Candidate| c.eligible && c.resting.is_none() && !matches!(c.standing, Standing::Out(_)) && c.has_room();
            match choose(&candidates, taste, now, turn) {
                Choice::Take(index) => {
                    let taken = &candidates[index];
                    prop_assert!(taken.eligible && taken.resting.is_none() && taken.load < taken.cap);
                    if matches!(taken.standing, Standing::Out(_)) {
                        prop_assert!(!taken.on_trial && candidates.iter().filter(usable).count() == 0);
                    } else {
                        prop_assert!(usable(&taken));
                        prop_assert!(candidates.iter().filter(usable).all(|c| taken.compare(c, careful).is_le()));
                    }
                }
                _ => prop_assert_eq!(candidates.iter().filter(usable).count(), 0),
            }
        }
    }
}
