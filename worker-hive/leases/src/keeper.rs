//! A hive's side of the leases, pure: what it holds, until when it may believe so, and what it says next. `now` is handed in.

use crate::clock::Millis;
use crate::protocol::{Answer, Beat, Load, Reply, StoreFailure};
use std::collections::BTreeMap;

/// What is held is renewed this often in a TTL.
const BEATS: Millis = 3;
/// After a failure it is tried again this often in a TTL, and an answer is waited for no longer than that either: so whoever can be
/// reached again is reached within a sixth.
const TRIES: Millis = 12;

/// A hive's leases as it knows them.
#[derive(Debug)]
pub(crate) struct Keeper {
    run: String,
    ttl: Millis,
    /// While the store is away, what is held is kept.
    keep: bool,
    held: BTreeMap<i64, u64>,
    /// Let go, and the store has not heard so yet.
    gone: Vec<(i64, u64)>,
    told: BTreeMap<i64, Load>,
    leaving: bool,
    valid_until: Millis,
    next: Millis,
    /// When the last beat that was answered was sent.
    heard: Millis,
    /// Since then something happened that others may not have had: the store may have given away what is held.
    doubt: bool,
    /// The last beat was not answered.
    away: bool,
}

/// What came of a beat.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Held no more, from this moment on.
    pub(crate) lost: Vec<i64>,
    /// One for each account that was wanted.
    pub(crate) answers: Vec<(i64, Answer)>,
}

impl Keeper {
    pub(crate) fn new(run: String, ttl: Millis, keep: bool) -> Self {
        Self {
            run,
            ttl,
            keep,
            held: BTreeMap::new(),
            gone: Vec::new(),
            told: BTreeMap::new(),
            leaving: false,
            valid_until: 0,
            next: 0,
            heard: 0,
            doubt: true,
            away: false,
        }
    }

    /// Until when the hive may call with what it holds, unless it hears otherwise before.
    pub(crate) fn valid_until(&self) -> Millis {
        self.valid_until
    }

    /// When the next beat is due.
    pub(crate) fn next(&self) -> Millis {
        self.next
    }

    /// How long an answer is waited for.
    pub(crate) fn patience(&self) -> Millis {
        self.ttl / TRIES
    }

    #[cfg(test)]
    pub(crate) fn holds(&self, account: i64) -> bool {
        self.held.contains_key(&account)
    }

    /// Lets an account go. True if it was held with that fence.
    pub(crate) fn release(&mut self, account: i64, fence: u64) -> bool {
        let held = self.held.get(&account) == Some(&fence);
        if held {
            self.held.remove(&account);
            self.gone.push((account, fence));
        }
        held
    }

    /// Lets everything go, with the next beat. Returns what was held.
    pub(crate) fn leave(&mut self) -> Vec<i64> {
        self.leaving = true;
        std::mem::take(&mut self.held)
            .into_iter()
            .map(|(account, fence)| {
                self.gone.push((account, fence));
                account
            })
            .collect()
    }

    pub(crate) fn tell(&mut self, account: i64, load: Load) {
        self.told.insert(account, load);
    }

    /// What to say now.
    pub(crate) fn beat(&self, now: Millis, wanted: Vec<i64>) -> Beat {
        Beat {
            run: self.run.clone(),
            ttl: self.ttl,
            leave: self.leaving,
            sure: now < self.valid_until,
            held: self.held.iter().map(|(account, fence)| (*account, *fence)).collect(),
            told: self.told.iter().map(|(account, load)| (*account, *load)).collect(),
            gone: self.gone.clone(),
            wanted,
        }
    }

    /// Takes the answer to a beat that was sent at `sent`.
    pub(crate) fn answered(&mut self, sent: Millis, now: Millis, beat: &Beat, reply: &Reply) -> Outcome {
        // Counted from before the question left: whenever the store heard it, its TTL ends later. The last sixth is for clocks that
        // run differently, and for calls that are on their way out.
        self.valid_until = self.valid_until.max(sent + self.ttl - self.ttl / 6);
        self.next = if now < self.valid_until { (sent + self.ttl / BEATS).max(now) } else { now };
        (self.heard, self.doubt, self.away) = (sent, false, false);
        let mut outcome = Outcome::default();
        for ((account, fence), kept) in beat.held.iter().zip(&reply.kept) {
            // What was let go, or taken anew, while the question was under way is not what the answer speaks of.
            if !kept && self.held.get(account) == Some(fence) {
                self.held.remove(account);
                outcome.lost.push(*account);
            }
        }
        for (account, load) in &beat.told {
            // A wait that was told must be heard once; then it is the store's to remember.
            if self.told.get(account) == Some(load) {
                self.told.remove(account);
            }
        }
        self.gone.retain(|gone| !beat.gone.contains(gone));
        for (account, answer) in beat.wanted.iter().zip(&reply.answers) {
            if let Answer::Granted { fence, .. } = answer {
                self.held.insert(*account, *fence);
            }
            outcome.answers.push((*account, answer.clone()));
        }
        outcome
    }

    /// Takes note that a beat that was sent at `sent` brought no answer.
    pub(crate) fn failed(&mut self, sent: Millis, now: Millis, failure: &StoreFailure) -> Outcome {
        self.next = now + self.ttl / TRIES;
        // An outage that others have too begins before a beat is late, and then either ends before a lease does or is a gap.
        self.doubt |=
            matches!(failure, StoreFailure::Refused(_)) || (!self.away && sent > self.heard + self.ttl * 5 / 12);
        self.away = true;
        if now < self.valid_until {
            // Only while nothing was missed: a process that was stopped for longer does not know what happened meanwhile.
            if self.keep && !self.doubt {
                self.valid_until = self.valid_until.max(now + self.ttl / BEATS);
            }
            return Outcome::default();
        }
        let lost = std::mem::take(&mut self.held);
        self.gone.extend(lost.iter().map(|(account, fence)| (*account, *fence)));
        Outcome { lost: lost.into_keys().collect(), answers: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::Keeper;
    use crate::ledger::Ledger;
    use crate::protocol::{Answer, Load, StoreFailure};
    use std::time::Duration;

    const TTL: u64 = 12_000;

    fn away() -> StoreFailure {
        StoreFailure::Away("x".into())
    }

    fn ask(keeper: &mut Keeper, ledger: &mut Ledger, now: u64, wanted: Vec<i64>) -> super::Outcome {
        let beat = keeper.beat(now, wanted);
        let reply = ledger.beat(now, "", &beat).unwrap();
        keeper.answered(now, now, &beat, &reply)
    }

    fn granted(outcome: &super::Outcome) -> u64 {
        match outcome.answers.as_slice() {
            [(_, Answer::Granted { fence, .. })] => *fence,
            other => panic!("{other:?}"),
        }
    }

    fn ledger() -> Ledger {
        Ledger::of_one_process(TTL, 0)
    }

    #[test]
    fn fences_grow_and_only_the_newest_holder_renews() {
        let (mut ledger, mut a, mut b) =
            (ledger(), Keeper::new("a".into(), TTL, true), Keeper::new("b".into(), TTL, true));
        let first = granted(&ask(&mut a, &mut ledger, 10, vec![7]));
        assert!(matches!(
            ask(&mut b, &mut ledger, 20, vec![7]).answers.as_slice(),
            [(7, Answer::Busy { holder, left })] if holder == "a" && *left == TTL - 10
        ));
        // Nobody hears of `a` for a TTL, while `b` is there all the time.
        (1..=12).for_each(|beat| drop(ask(&mut b, &mut ledger, beat * TTL / 6, vec![])));
        let second = granted(&ask(&mut b, &mut ledger, 2 * TTL + 1, vec![7]));
        assert!(second > first);
        assert_eq!(ask(&mut a, &mut ledger, 2 * TTL + 2, vec![]).lost, vec![7]);
        assert!(!a.holds(7) && b.holds(7));
        // Not even when `b` has let it go.
        assert!(b.release(7, second) && !b.release(7, second));
        ask(&mut b, &mut ledger, 2 * TTL + 3, vec![]);
        assert!(granted(&ask(&mut a, &mut ledger, 2 * TTL + 4, vec![7])) > second);
    }

    #[test]
    fn what_is_let_go_is_free_at_once_and_its_flood_wait_stays() {
        let (mut ledger, mut a, mut b) =
            (ledger(), Keeper::new("a".into(), TTL, true), Keeper::new("b".into(), TTL, true));
        granted(&ask(&mut a, &mut ledger, 10, vec![7]));
        a.tell(7, Load { rests_for: Duration::from_secs(60), ..Load::default() });
        assert_eq!(a.leave(), vec![7]);
        ask(&mut a, &mut ledger, 20, vec![]);
        let answers = ask(&mut b, &mut ledger, 30, vec![7]).answers;
        assert!(matches!(answers[0].1, Answer::Granted { rests_for: 59_990, .. }), "{answers:?}");
    }

    #[test]
    fn a_store_that_forgot_everything_hears_former_holders_first() {
        let (mut ledger, mut a, mut b) =
            (ledger(), Keeper::new("a".into(), TTL, true), Keeper::new("b".into(), TTL, true));
        granted(&ask(&mut a, &mut ledger, 10, vec![7]));
        let mut ledger = Ledger::default();
        let left = |outcome: &super::Outcome| match outcome.answers[0].1 {
            Answer::NotYet { left } => left,
            ref other => panic!("{other:?}"),
        };
        for beat in 0..4 {
            assert_eq!(left(&ask(&mut b, &mut ledger, 50 + beat * TTL / 4, vec![8])), TTL - beat * TTL / 4);
            if beat < 3 {
                assert!(ask(&mut a, &mut ledger, 60 + beat * TTL / 4, vec![]).lost.is_empty());
            }
        }
        let answers = ask(&mut b, &mut ledger, 50 + TTL, vec![7]).answers;
        assert!(matches!(answers[0].1, Answer::Busy { .. }), "{answers:?}");
    }

    #[test]
    fn an_outage_is_sat_out_or_not_as_asked_for_and_never_after_a_pause() {
        for keep in [true, false] {
            let (mut ledger, mut a) = (ledger(), Keeper::new("a".into(), TTL, keep));
            granted(&ask(&mut a, &mut ledger, 0, vec![7]));
            let mut now = 0;
            while now < 10 * TTL && a.holds(7) {
                now = a.next().max(now) + a.patience();
                a.failed(now - a.patience(), now, &away());
            }
            assert_eq!(a.holds(7), keep);
            assert!(keep || now <= TTL + a.patience());
            if keep {
                assert!(now < a.valid_until());
                // Stopped for a TTL: it doesn't know, so it must not call, and without an answer it lets go.
                now += TTL;
                assert!(now >= a.valid_until());
                assert_eq!(a.failed(now, now, &away()).lost, vec![7]);
            }
        }
        // A store that answers is not away, whatever it says.
        let (mut ledger, mut a) = (ledger(), Keeper::new("a".into(), TTL, true));
        granted(&ask(&mut a, &mut ledger, 0, vec![7]));
        assert!(a.failed(TTL / 3, TTL / 3, &StoreFailure::Refused("NOAUTH".into())).lost.is_empty());
        // And if it is away afterwards, others may have got the account before.
        assert_eq!(a.failed(TTL, TTL, &away()).lost, vec![7]);
        // Nor is a hive that was late the judge of what others had.
        let (mut ledger, mut a) = (Ledger::of_one_process(TTL, 0), Keeper::new("a".into(), TTL, true));
        granted(&ask(&mut a, &mut ledger, 0, vec![7]));
        assert!(a.failed(TTL / 2, TTL / 2, &away()).lost.is_empty());
        assert_eq!(a.failed(TTL, TTL, &away()).lost, vec![7]);
    }

    #[test]
    fn an_answer_that_comes_late_is_not_trusted() {
        let (mut ledger, mut a) = (ledger(), Keeper::new("a".into(), TTL, true));
        let beat = a.beat(0, vec![7]);
        let reply = ledger.beat(5, "", &beat).unwrap();
        a.answered(0, 2 * TTL, &beat, &reply);
        assert!(a.holds(7) && a.valid_until() < 2 * TTL && a.next() == 2 * TTL, "asked again before it is used");
    }

    #[test]
    fn another_lease_time_is_refused_while_others_are_there() {
        let mut ledger = ledger();
        ask(&mut Keeper::new("a".into(), TTL, true), &mut ledger, 0, vec![]);
        let other = Keeper::new("b".into(), 2 * TTL, true).beat(0, vec![]);
        assert_eq!(ledger.beat(1, "", &other), Err(TTL));
        assert_eq!(ledger.beat(2 * TTL, "", &other), Err(TTL), "it may be back");
    }

    #[test]
    fn another_lease_time_is_taken_once_the_others_are_long_dead() {
        let (mut ledger, mut a, mut b) =
            (ledger(), Keeper::new("a".into(), TTL, true), Keeper::new("b".into(), 2 * TTL, true));
        granted(&ask(&mut a, &mut ledger, 0, vec![7]));
        // Killed, so that it could not say that it leaves; and no hive of its lease time comes again.
        let answers = ask(&mut b, &mut ledger, 10 * TTL, vec![7]).answers;
        assert!(matches!(answers[0].1, Answer::NotYet { .. }), "a gap is a gap: {answers:?}");
        let mut now = 10 * TTL;
        while now < 12 * TTL {
            now += TTL / 2;
            ask(&mut b, &mut ledger, now, vec![]);
        }
        granted(&ask(&mut b, &mut ledger, now, vec![7]));
        // And what was only stopped is the one that is refused now.
        let back = a.beat(now, vec![]);
        assert_eq!(ledger.beat(now, "", &back), Err(2 * TTL));
    }
}
