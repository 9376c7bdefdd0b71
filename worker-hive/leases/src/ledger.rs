//! The store's side of the leases, pure: the store of a single process, and the model that the script in Redis is held to.

use crate::clock::Millis;
use crate::protocol::{Answer, Beat, Reply, Row};
use std::collections::BTreeMap;

/// Records that nobody has touched for this long are forgotten.
const KEPT: Millis = 24 * 3600 * 1000;
const SWEEP_EVERY: Millis = 3600 * 1000;

/// Who holds what. See the crate's documentation for the rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    meta: Option<Meta>,
    hives: BTreeMap<String, Millis>,
    accounts: BTreeMap<i64, Record>,
}

#[derive(Clone, Debug)]
struct Meta {
    /// Which life of the store it is.
    server: String,
    ttl: Millis,
    /// The last beat of any hive.
    last: Millis,
    /// Until when nobody takes anything: a TTL from the last gap.
    quiet_until: Millis,
    /// The highest fence ever given.
    fence: u64,
    swept: Millis,
}

#[derive(Clone, Debug, Default)]
struct Record {
    fence: u64,
    expires: Millis,
    rest_until: Millis,
    streams: u32,
    speed: u64,
    touched: Millis,
    asked: Millis,
    holder: String,
    asker: String,
}

impl Ledger {
    /// A ledger in which nobody can hold anything from before, because it dies with all that use it.
    pub(crate) fn of_one_process(ttl: Millis, now: Millis) -> Self {
        let meta = Meta { server: String::new(), ttl, last: now, quiet_until: 0, fence: 0, swept: now };
        Self { meta: Some(meta), ..Self::default() }
    }

    /// Takes a beat. `server` names the store's life: it changes whenever the store may have forgotten something.
    ///
    /// # Errors
    /// The TTL of the others, when it is another one: gaps would be judged differently.
    pub(crate) fn beat(&mut self, now: Millis, server: &str, beat: &Beat) -> Result<Reply, Millis> {
        let others = self.hives.keys().any(|run| *run != beat.run);
        // Those that died are forgotten by beats, and here there may have been none since.
        let living = |meta: &Meta| {
            let lives = |heard: Millis| now.saturating_sub(heard.max(meta.quiet_until)) <= 2 * meta.ttl;
            self.hives.iter().any(|(run, heard)| *run != beat.run && lives(*heard))
        };
        let mut meta = match self.meta.take() {
            Some(meta) if meta.ttl != beat.ttl && living(&meta) => {
                let theirs = meta.ttl;
                self.meta = Some(meta);
                return Err(theirs);
            }
            Some(mut meta) => {
                // While it is quiet, those who hold something may not have been heard yet.
                let others = others || meta.last < meta.quiet_until;
                let gap = now.saturating_sub(meta.last) > beat.ttl * 5 / 12 && others;
                if meta.server != server || now < meta.last || gap {
                    meta.quiet_until = now + beat.ttl;
                }
                Meta { server: server.to_owned(), ttl: beat.ttl, last: now, ..meta }
            }
            None => Meta {
                server: server.to_owned(),
                ttl: beat.ttl,
                last: now,
                quiet_until: now + beat.ttl,
                fence: 0,
                swept: now,
            },
        };
        // Who may hold something since before a gap is counted until that gap is long over.
        self.hives.retain(|_, heard| now.saturating_sub((*heard).max(meta.quiet_until)) <= 2 * beat.ttl);
        let kept =
            beat.held.iter().map(|(account, fence)| self.renew(now, beat, *account, *fence, &mut meta)).collect();
        self.told(now, beat);
        for (account, fence) in &beat.gone {
            self.release(now, &beat.run, *account, Some(*fence));
        }
        if beat.leave {
            let mine: Vec<i64> =
                self.accounts.iter().filter(|(_, r)| r.holder == beat.run).map(|(account, _)| *account).collect();
            mine.into_iter().for_each(|account| self.release(now, &beat.run, account, None));
            self.hives.remove(&beat.run);
        } else {
            self.hives.insert(beat.run.clone(), now);
        }
        let answers = beat.wanted.iter().map(|account| self.grant(now, beat, *account, &mut meta)).collect();
        if now.saturating_sub(meta.swept) > SWEEP_EVERY {
            meta.swept = now;
            self.accounts.retain(|_, r| r.touched + KEPT > now || r.rest_until > now || r.expires > now);
        }
        self.meta = Some(meta);
        let hives = self.hives.iter().filter(|(_, heard)| now.saturating_sub(**heard) <= beat.ttl);
        Ok(Reply {
            kept,
            answers,
            hives: hives.map(|(run, _)| run.clone()).collect(),
            table: self.accounts.iter().map(|(account, record)| record.row(now, *account, beat.ttl)).collect(),
        })
    }

    fn renew(&mut self, now: Millis, beat: &Beat, account: i64, fence: u64, meta: &mut Meta) -> bool {
        let mut record = self.accounts.get(&account).cloned().unwrap_or_default();
        let known = record.fence == fence && record.holder == beat.run;
        // The highest fence is the newest word, also when the store has come back with old ones. But who has been out of touch for longer than
        // its lease may be remembered by an old copy of a store that had given the account to another.
        let mine = if beat.sure { known || record.fence < fence } else { known && now >= meta.quiet_until };
        if mine {
            record.holder.clone_from(&beat.run);
            (record.fence, record.expires, record.touched) = (fence, now + beat.ttl, now);
            meta.fence = meta.fence.max(fence);
            self.accounts.insert(account, record);
        }
        mine
    }

    fn told(&mut self, now: Millis, beat: &Beat) {
        for (account, load) in &beat.told {
            let Some(record) = self.accounts.get_mut(account).filter(|r| r.holder == beat.run) else { continue };
            (record.streams, record.speed) = (load.streams, load.bytes_per_second);
            // Nobody but Telegram can shorten a wait, and it doesn't.
            record.rest_until = record.rest_until.max(now + crate::clock::millis(load.rests_for));
        }
    }

    fn release(&mut self, now: Millis, run: &str, account: i64, fence: Option<u64>) {
        let Some(record) = self.accounts.get_mut(&account) else { return };
        if record.holder == run && fence.is_none_or(|fence| fence == record.fence) {
            record.holder.clear();
            (record.expires, record.streams, record.speed, record.touched) = (0, 0, 0, now);
        }
    }

    fn grant(&mut self, now: Millis, beat: &Beat, account: i64, meta: &mut Meta) -> Answer {
        let record = self.accounts.entry(account).or_default();
        if record.is_held(now) && record.holder != beat.run {
            (record.asker, record.asked) = (beat.run.clone(), now);
            return Answer::Busy { holder: record.holder.clone(), left: record.expires - now };
        }
        if now < meta.quiet_until {
            record.touched = now;
            return Answer::NotYet { left: meta.quiet_until - now };
        }
        // Told from the clock, so that it grows even if the store forgets what it gave.
        meta.fence = meta.fence.max(record.fence).max(now) + 1;
        let rest_until = record.rest_until;
        *record = Record {
            fence: meta.fence,
            expires: now + beat.ttl,
            rest_until,
            touched: now,
            holder: beat.run.clone(),
            ..Record::default()
        };
        Answer::Granted { fence: meta.fence, rests_for: rest_until.saturating_sub(now) }
    }
}

impl Record {
    fn is_held(&self, now: Millis) -> bool {
        !self.holder.is_empty() && self.expires > now
    }

    fn row(&self, now: Millis, account: i64, ttl: Millis) -> Row {
        let held = self.is_held(now);
        let asked = !self.asker.is_empty() && now.saturating_sub(self.asked) <= ttl;
        Row {
            account,
            fence: self.fence,
            holder: if held { self.holder.clone() } else { String::new() },
            streams: if held { self.streams } else { 0 },
            speed: if held { self.speed } else { 0 },
            rests_for: self.rest_until.saturating_sub(now),
            asker: if asked { self.asker.clone() } else { String::new() },
        }
    }
}
