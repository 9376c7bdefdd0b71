//! Hives, pauses, deaths, outages, forgotten stores, clocks that are set and clocks that run wrong, at random: never two that may
//! call for one account, and in the end each account has somebody. `STREAMVAULT_SEED` replays one schedule.
//!
//! With `keep`, no hive is cut off alone: that is the case which the crate's documentation leaves to operators.

use super::seeds;
use crate::keeper::{Keeper, Outcome};
use crate::ledger::Ledger;
use crate::protocol::{Answer, Beat, Reply, StoreFailure};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;

const TTL: u64 = 1200;
const STEP: u64 = 5;
const CHAOS: u64 = 40 * TTL;
const CALM: u64 = 8 * TTL;
const ACCOUNTS: [i64; 4] = [1, 2, 3, 4];
const SCHEDULES: u64 = 400;

struct Store {
    ledger: Ledger,
    /// What it will come back with.
    copy: Ledger,
    life: u32,
    ahead: i64,
    away_until: u64,
}

struct Question {
    beat: Beat,
    sent: u64,
    arrives: u64,
    heard: bool,
    reply: Option<(u64, Result<Reply, StoreFailure>)>,
    lost: bool,
}

struct Hive {
    name: usize,
    lives: u32,
    keeper: Keeper,
    question: Option<Question>,
    fences: BTreeMap<i64, u64>,
    /// Not running until then: stopped, or dead and started again.
    back_at: u64,
    cut_off_until: u64,
    refused_until: u64,
    offset: u64,
    per_mille: u64,
}

impl Hive {
    fn now(&self, time: u64) -> u64 {
        self.offset + time * self.per_mille / 1000
    }

    fn begin(&mut self, keep: bool) {
        self.lives += 1;
        self.keeper = Keeper::new(format!("hive{}/{}", self.name, self.lives), TTL, keep);
        self.question = None;
        self.fences.clear();
    }

    fn may_call(&self, time: u64, account: i64) -> bool {
        time >= self.back_at && self.keeper.holds(account) && self.now(time) < self.keeper.valid_until()
    }

    fn took(&mut self, outcome: Outcome) {
        for (account, answer) in outcome.answers {
            if let Answer::Granted { fence, .. } = answer {
                self.fences.insert(account, fence);
            }
        }
    }
}

struct World {
    rng: StdRng,
    keep: bool,
    calm: bool,
    /// Which way the store's clock is set in this world.
    forwards: bool,
    time: u64,
    store: Store,
    hives: Vec<Hive>,
    newest: BTreeMap<i64, u64>,
    clock_was_set_back: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let (keep, forwards) = (rng.random(), rng.random());
        let count = rng.random_range(2..5);
        let mut hives = Vec::new();
        for name in 0..count {
            let keeper = Keeper::new(format!("hive{name}/0"), TTL, keep);
            hives.push(Hive {
                name,
                lives: 0,
                keeper,
                question: None,
                fences: BTreeMap::new(),
                back_at: rng.random_range(0..TTL),
                cut_off_until: 0,
                refused_until: 0,
                offset: rng.random_range(0..1_000_000),
                per_mille: rng.random_range(980..1021),
            });
        }
        let store = Store { ledger: Ledger::default(), copy: Ledger::default(), life: 0, ahead: 0, away_until: 0 };
        Self {
            rng,
            keep,
            calm: false,
            forwards,
            time: 0,
            store,
            hives,
            newest: BTreeMap::new(),
            clock_was_set_back: false,
        }
    }

    /// Something goes wrong, some five times in a TTL.
    fn disturb(&mut self) {
        let (time, keep) = (self.time, self.keep);
        let long = self.rng.random_range(1..4 * TTL);
        let index = self.rng.random_range(0..self.hives.len());
        let hive = &mut self.hives[index];
        match self.rng.random_range(0..12) {
            // Stopped as it is, and maybe in the middle of a question.
            0 | 1 => hive.back_at = time + long,
            2 => {
                hive.begin(keep);
                hive.back_at = time + long;
            }
            3 | 4 => self.store.away_until = time + long,
            5 => {
                self.store.away_until = time + long / 4;
                self.store.life += 1;
                self.store.ledger = std::mem::take(&mut self.store.copy);
            }
            6 => self.store.copy = Ledger::default(),
            // A shorter jump, or two that make a shorter one, is no gap: see the crate's documentation.
            7 if self.forwards => self.store.ahead += i64::try_from(long.max(TTL / 2 + STEP)).unwrap(),
            8 if !self.forwards && self.rng.random_bool(0.3) => {
                self.store.ahead -= i64::try_from(long).unwrap();
                self.clock_was_set_back = true;
            }
            9 => hive.refused_until = time + long,
            10 if !keep => hive.cut_off_until = time + long,
            _ => {
                if let Some((account, fence)) = hive.fences.iter().next().map(|(account, fence)| (*account, *fence))
                    && time >= hive.back_at
                {
                    hive.keeper.release(account, fence);
                    hive.fences.remove(&account);
                }
            }
        }
    }

    fn step(&mut self) {
        let time = self.time;
        for hive in &mut self.hives {
            // Questions travel and are answered whether or not whoever asked runs.
            if let Some(question) = &mut hive.question
                && !question.heard
                && time >= question.arrives
            {
                question.heard = true;
                let back = time + self.rng.random_range(0..TTL / 48);
                if time < self.store.away_until || time < hive.cut_off_until {
                    let refused = StoreFailure::Away("refused".into());
                    question.reply = self.rng.random_bool(0.5).then_some((back, Err(refused)));
                } else if time < hive.refused_until {
                    question.reply = Some((back, Err(StoreFailure::Refused("NOAUTH".into()))));
                } else {
                    let now = u64::try_from(10_000_000 + i64::try_from(time).unwrap() + self.store.ahead).unwrap();
                    let life = self.store.life.to_string();
                    let reply = self.store.ledger.beat(now, &life, &question.beat).unwrap();
                    for (account, answer) in question.beat.wanted.iter().zip(&reply.answers) {
                        if let Answer::Granted { fence, .. } = answer {
                            let before = self.newest.insert(*account, *fence).unwrap_or(0);
                            assert!(
                                self.clock_was_set_back || *fence > before,
                                "fence of {account}: {before}, {fence}"
                            );
                        }
                    }
                    question.reply = (!question.lost).then_some((back, Ok(reply)));
                }
            }
            if time < hive.back_at {
                continue;
            }
            let now = hive.now(time);
            match hive.question.take() {
                Some(question) => match question.reply {
                    Some((at, Ok(ref reply))) if time >= at => {
                        let outcome = hive.keeper.answered(question.sent, now, &question.beat, reply);
                        hive.took(outcome);
                    }
                    Some((at, Err(ref failure))) if time >= at => drop(hive.keeper.failed(question.sent, now, failure)),
                    _ if now >= question.sent + hive.keeper.patience() => {
                        drop(hive.keeper.failed(question.sent, now, &StoreFailure::Away("late".into())));
                    }
                    _ => hive.question = Some(question),
                },
                None if now >= hive.keeper.next() => {
                    let wanted: Vec<i64> =
                        ACCOUNTS.into_iter().filter(|account| !hive.keeper.holds(*account)).collect();
                    let wanted: Vec<i64> = wanted.choose(&mut self.rng).copied().into_iter().collect();
                    // With `keep` nothing is lost on the way while the store is there, or one hive would be cut off alone.
                    let troubled = !self.keep && !self.calm && self.rng.random_bool(0.2);
                    let late = if troubled { TTL } else { TTL / 48 };
                    hive.question = Some(Question {
                        beat: hive.keeper.beat(now, wanted),
                        sent: now,
                        arrives: time + self.rng.random_range(0..late),
                        heard: false,
                        reply: None,
                        lost: troubled && self.rng.random(),
                    });
                }
                None => {}
            }
        }
    }

    fn check(&self, seed: u64) {
        for account in ACCOUNTS {
            let who: Vec<usize> =
                self.hives.iter().filter(|hive| hive.may_call(self.time, account)).map(|hive| hive.name).collect();
            assert!(
                who.len() < 2,
                "seed {seed}, at {}, account {account}: {who:?} may call, keep {}",
                self.time,
                self.keep
            );
        }
    }

    fn is_healthy(&self) -> bool {
        ACCOUNTS.iter().all(|account| self.hives.iter().any(|hive| hive.may_call(self.time, *account)))
    }
}

#[test]
fn never_two_and_in_the_end_one() {
    for seed in seeds(SCHEDULES) {
        let mut world = World::new(seed);
        while world.time < CHAOS {
            world.time += STEP;
            if world.rng.random_bool(0.02) {
                world.disturb();
            }
            if world.rng.random_bool(0.01) {
                world.store.copy = world.store.ledger.clone();
            }
            // Before and after: who wakes up may call before anything else happens.
            world.check(seed);
            world.step();
            world.check(seed);
        }
        let time = world.time;
        world.calm = true;
        world.store.away_until = time;
        for hive in &mut world.hives {
            (hive.back_at, hive.cut_off_until, hive.refused_until) = (time, time, time);
        }
        let mut healthy_at = None;
        while world.time < time + CALM {
            world.time += STEP;
            world.step();
            world.check(seed);
            healthy_at = healthy_at.or(world.is_healthy().then_some(world.time));
        }
        // A clock that was set back keeps the leases of the dead for longer.
        let keepers: Vec<&Keeper> = world.hives.iter().map(|hive| &hive.keeper).collect();
        let state = format!("{:?}\n{keepers:?}", world.store.ledger);
        assert!(healthy_at.is_some() || world.clock_was_set_back, "seed {seed}: some account has nobody: {state}");
    }
}
