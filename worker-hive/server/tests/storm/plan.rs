//! What happens in a storm: everything follows from one number.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;
use telegram_sim::{Account, Document, Fault, Reachability, Rule, When};

use crate::rig::{KIB, film};

/// Data-centres of every storm. Nobody is at home in the first one.
pub(crate) const DATA_CENTRES: [i32; 3] = [1, 2, 4];
/// Calls of one account that a plan thinks of.
const CALLS: u64 = 400;
/// Makes other dice of a seed for who leaves, so that all else stays what it was without them.
const LEAVERS: u64 = 1 << 63;
/// Questions about messages that a plan thinks of.
const QUESTIONS: u64 = 12;

/// Numbers that follow from a seed.
struct Dice(StdRng);

impl Dice {
    /// In `[from, to)`.
    fn between(&mut self, from: u64, to: u64) -> u64 {
        self.0.random_range(from..to)
    }

    /// True in so many of a thousand cases.
    fn per_mille(&mut self, part: u64) -> bool {
        self.between(0, 1000) < part
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.between(0, of.len() as u64)).unwrap()].clone()
    }
}

/// One body that somebody asks for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Its place among the documents.
    pub(crate) film: usize,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The viewer leaves when so many bytes are here.
    pub(crate) leaves_after: Option<u64>,
}

/// Something that happens once.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Ban(&'static str, &'static str),
    /// Lifted after the time, or when the storm is over.
    Outage(i32, Reachability, Option<Duration>),
    ExpireReferences,
    SpoilSalts,
    /// Whoever asks is told to wait for so many seconds.
    FloodEverybody(u32),
}

/// What may be left of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hope {
    /// Some session can always serve: every body is exact.
    Every,
    /// For a time nobody may be able to. Afterwards every body is exact again.
    Later,
    /// From some moment on nobody can.
    None,
}

/// A storm.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) hope: Hope,
    pub(crate) accounts: Vec<Account>,
    pub(crate) films: Vec<(i32, u64)>,
    /// By viewer, what they watch one after the other. No two watch the same film.
    pub(crate) viewers: Vec<Vec<Asked>>,
    pub(crate) rules: Vec<Rule>,
    /// What happens when so many bodies were asked for.
    pub(crate) events: Vec<(u64, Event)>,
    pub(crate) streams_premium: usize,
    pub(crate) streams_standard: usize,
    pub(crate) rtt_ms: u64,
    /// Whether straggling chunks are asked for twice.
    pub(crate) hedges: bool,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice(StdRng::seed_from_u64(seed));
        let hope = match seed % 8 {
            6 => Hope::Later,
            7 => Hope::None,
            _ => Hope::Every,
        };
        let accounts = accounts(&mut dice);
        let names: Vec<_> = accounts.iter().map(|account| account.name.clone()).collect();
        let viewers = dice.between(2, 6);
        // By their size they are told apart.
        let films: Vec<_> = (0..viewers * 2)
            .map(|number| (dice.pick(&DATA_CENTRES), dice.between(64 * KIB, 500 * KIB) / 64 * 64 + number))
            .collect();
        let mut viewers: Vec<Vec<Asked>> = (0..viewers)
            .map(|viewer| (0..dice.between(2, 5)).map(|_| asked(&mut dice, &films, viewer)).collect())
            .collect();
        leave(&mut Dice(StdRng::seed_from_u64(seed ^ LEAVERS)), &mut viewers);
        let bodies = viewers.iter().map(|asked| asked.len() as u64).sum();
        let rate = dice.pick(&[20, 50, 100, 200]);
        let mut rules: Vec<_> = accounts.iter().flat_map(|account| floods(&mut dice, account)).collect();
        rules.extend(names.iter().flat_map(|name| faults(&mut dice, name, rate)));
        Self {
            events: events(&mut dice, hope, &accounts, bodies),
            streams_premium: usize::try_from(dice.between(2, 5)).unwrap(),
            streams_standard: usize::try_from(dice.between(1, 3)).unwrap(),
            rtt_ms: dice.between(2, 9),
            hedges: dice.per_mille(500),
            hope,
            accounts,
            films,
            viewers,
            rules,
        }
    }

    pub(crate) fn documents(&self) -> Vec<Document> {
        self.films.iter().map(|(dc, size)| film(*dc, *size)).collect()
    }
}

fn accounts(dice: &mut Dice) -> Vec<Account> {
    let all = [
        Account::user("ann", 7001),
        Account::bot("ben", 7002).at_home_on(4),
        Account::user("cleo", 7003).at_home_on(4).premium(),
        Account::bot("dan", 7004),
    ];
    let count = usize::try_from(dice.between(2, 5)).unwrap();
    all.into_iter().take(count).collect()
}

fn asked(dice: &mut Dice, films: &[(i32, u64)], viewer: u64) -> Asked {
    let film = usize::try_from(viewer * 2 + dice.between(0, 2)).unwrap();
    let size = films[film].1;
    let first = dice.between(0, size);
    Asked { film, first, last: dice.between(first, size), leaves_after: None }
}

/// Has a part of the viewers, in some storms, leave in the middle of a body.
fn leave(dice: &mut Dice, viewers: &mut [Vec<Asked>]) {
    let share = dice.pick(&[0, 100, 500]);
    for asked in viewers.iter_mut().flatten() {
        if dice.per_mille(share) {
            asked.leaves_after = Some(dice.between(0, asked.last - asked.first + 1));
        }
    }
}

/// Few, as each takes a second and more.
fn floods(dice: &mut Dice, account: &Account) -> Vec<Rule> {
    let mut rules = Vec::new();
    let on = |method: &str, fault, nth| Rule::on(method, fault).account(&account.name).when(When::Nth(nth));
    for _ in 0..dice.between(0, 3) {
        let fault = dice.pick(&[Fault::FloodWait(1), Fault::FloodWait(2), Fault::FloodPremiumWait(1)]);
        rules.push(on("upload.getFile", fault, dice.between(1, 60)));
    }
    if dice.per_mille(100) {
        rules.push(on("channels.getMessages", Fault::FloodWait(1), dice.between(1, 6)));
    }
    // Once: a data-centre that refuses again what was just carried there is left alone for a minute.
    let foreign: Vec<_> = DATA_CENTRES.into_iter().filter(|dc| *dc != account.home_dc).collect();
    rules.push(on("upload.getFile", Fault::KeyUnregistered, dice.between(1, 30)).dc(dice.pick(&foreign)));
    rules
}

/// The `rate`, in thousandths, of all calls of an account. A rule counts what others decide, too, so that the rates add up.
fn faults(dice: &mut Dice, account: &str, rate: u64) -> Vec<Rule> {
    let kinds = [
        Fault::Drop,
        Fault::Drop,
        Fault::Silence,
        Fault::ReferenceExpired,
        Fault::ReferenceExpired,
        Fault::Migrate(0),
        Fault::Truncate,
        Fault::Truncate,
        Fault::Slow(0),
        Fault::Delay(0),
        Fault::Transport(404),
        Fault::Transport(429),
        Fault::WrongSalt,
        Fault::Error(500, "INTERNAL".to_owned()),
    ];
    let mut rules = Vec::new();
    for nth in 1..=CALLS {
        if !dice.per_mille(rate) {
            continue;
        }
        let fault = match dice.pick(&kinds) {
            Fault::Migrate(_) => Fault::Migrate(dice.pick(&DATA_CENTRES)),
            Fault::Slow(_) => Fault::Slow(dice.between(50, 400) * 1000),
            Fault::Delay(_) => Fault::Delay(dice.between(20, 300)),
            fault => fault,
        };
        rules.push(Rule::on("upload.getFile", fault).account(account).when(When::Nth(nth)));
    }
    for nth in 1..=QUESTIONS {
        if dice.per_mille(rate / 2) {
            let fault = dice.pick(&[Fault::Drop, Fault::Silence, Fault::Truncate, Fault::WrongSalt]);
            rules.push(Rule::on("channels.getMessages", fault).account(account).when(When::Nth(nth)));
        }
    }
    rules
}

fn events(dice: &mut Dice, hope: Hope, accounts: &[Account], bodies: u64) -> Vec<(u64, Event)> {
    let names = ["ann", "ben", "cleo", "dan"];
    let mut events = Vec::new();
    let reasons = ["USER_DEACTIVATED", "AUTH_KEY_UNREGISTERED"];
    // At least one lives.
    let lives = usize::try_from(dice.between(0, accounts.len() as u64)).unwrap();
    for (index, name) in names.iter().enumerate().take(accounts.len()) {
        if index != lives && dice.per_mille(250) {
            events.push((dice.between(0, bodies), Event::Ban(name, dice.pick(&reasons))));
        }
    }
    if dice.per_mille(300) {
        events.push((dice.between(0, bodies), Event::ExpireReferences));
    }
    if dice.per_mille(200) {
        events.push((dice.between(0, bodies), Event::SpoilSalts));
    }
    let how = dice.pick(&[Reachability::Refused, Reachability::Silent]);
    if dice.per_mille(400) {
        let time = Duration::from_millis(dice.between(50, 600));
        events.push((dice.between(0, bodies), Event::Outage(dice.pick(&DATA_CENTRES), how, Some(time))));
    }
    let begins = dice.between(0, bodies / 2 + 1);
    match hope {
        Hope::Every => {}
        Hope::Later => events.push((begins, Event::Outage(1, how, None))),
        Hope::None if dice.per_mille(500) => events.push((begins, Event::FloodEverybody(300))),
        Hope::None => {
            let all = names.iter().take(accounts.len());
            events.extend(all.map(|name| (begins + dice.between(0, bodies / 2 + 1), Event::Ban(name, reasons[0]))));
        }
    }
    events
}
