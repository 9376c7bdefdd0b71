//! One request's way through the hives: whom to ask next, how long to wait, when to give up.

use crate::answer::TryError;
use crate::client::Shared;
use crate::fleet::{self, Conduct};
use crate::retry::{self, Trouble};
use slice::{MediaId, OriginError};
use std::time::Duration;
use tokio::time::Instant;
use wire::Fault;

/// The tries made since bytes last flowed.
pub(crate) struct Patience<'a> {
    shared: &'a Shared,
    media: MediaId,
    hash: u64,
    /// When it first failed, and the rounds through all hives since.
    failing: Option<(Instant, u32)>,
    /// Asked in this round.
    tried: Vec<bool>,
    /// Said that there is no such media.
    absent: Vec<bool>,
    /// The error of a hive that could not say.
    unknown: Option<TryError>,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(shared: &'a Shared, media: MediaId) -> Self {
        let hash = fleet::hash_of(media.to_string().as_bytes());
        let count = shared.count();
        Self {
            shared,
            media,
            hash,
            failing: None,
            tried: vec![false; count],
            absent: vec![false; count],
            unknown: None,
        }
    }

    /// The hive to ask next.
    pub(crate) fn hive(&mut self) -> usize {
        let skip: Vec<bool> = self.tried.iter().zip(&self.absent).map(|(tried, absent)| *tried || *absent).collect();
        let hive = self.shared.fleet.lock().pick(self.hash, &skip, Instant::now()).unwrap_or(0);
        if let Some(tried) = self.tried.get_mut(hive) {
            *tried = true;
        }
        hive
    }

    /// How long the next answer may take: a try after a failure ends with the window.
    pub(crate) fn for_answer(&self) -> Duration {
        let config = &self.shared.config;
        let rest = self.failing.map(|(since, _)| config.retry_window.saturating_sub(since.elapsed()));
        rest.map_or(config.response_timeout, |rest| rest.min(config.response_timeout))
    }

    /// Takes note that a hive answered as it should.
    pub(crate) fn answered(&self, hive: usize) {
        self.shared.fleet.lock().note(hive, Conduct::Answered, Instant::now());
    }

    /// Returns when the next try may begin: at once while there is a hive that was not asked in this round, else after a pause. Or says
    /// what the cache is to be told.
    pub(crate) async fn pause_or_fail(&mut self, hive: usize, error: TryError) -> Result<(), OriginError> {
        if let Some(tried) = self.tried.get_mut(hive) {
            *tried = true;
        }
        let stats = &self.shared.stats;
        match error {
            TryError::Fault(fault, _) => stats.fault(fault),
            TryError::Protocol(_) => stats.protocol(),
            TryError::Unreachable | TryError::Timeout | TryError::OutOfPatience => stats.unreachable(),
        }
        let now = Instant::now();
        if let Some(conduct) = conduct(error) {
            self.shared.fleet.lock().note(hive, conduct, now);
        }
        let (since, rounds) = *self.failing.get_or_insert((now, 0));
        let is_absent = matches!(error, TryError::Fault(Fault::NotFound | Fault::Gone, _));
        if is_absent && let Some(absent) = self.absent.get_mut(hive) {
            // Another hive has other sessions, which may see the chat. Only all of them together know that it is nowhere.
            *absent = true;
        } else {
            self.unknown = Some(error);
        }
        let everybody = self.absent.iter().all(|absent| *absent);
        let error = if is_absent && !everybody { self.unknown.unwrap_or(error) } else { error };
        let left = self.tried.iter().zip(&self.absent).any(|(tried, absent)| !tried && !absent);
        let may_pass = matches!(error.trouble(), Trouble::Passing(_)) || (is_absent && !everybody);
        if may_pass && left && now - since <= self.shared.config.retry_window {
            stats.retry();
            tracing::debug!(media = %self.media, ?error, hive, "asking another hive");
            return Ok(());
        }
        self.tried.fill(false);
        match retry::pause(error.trouble(), rounds, now - since, self.shared.config.retry_window, self.hash) {
            Some(pause) => {
                tracing::debug!(media = %self.media, ?error, ?pause, rounds, "asking the hives again");
                self.failing = Some((since, rounds + 1));
                stats.retry();
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => {
                // Without a window who asks has others to turn to, and says by itself what that means.
                match self.shared.config.retry_window.is_zero() {
                    true => tracing::debug!(media = %self.media, ?error, "no bytes"),
                    false => tracing::warn!(media = %self.media, ?error, rounds, "the hives gave no bytes"),
                }
                Err(error.into_origin())
            }
        }
    }
}

/// None for what says nothing of the hive.
fn conduct(error: TryError) -> Option<Conduct> {
    match error {
        TryError::Unreachable | TryError::Timeout => Some(Conduct::Lost),
        TryError::OutOfPatience => None,
        TryError::Fault(Fault::FloodWait | Fault::NoSession, wait) => Some(Conduct::Busy(wait)),
        TryError::Fault(..) | TryError::Protocol(_) => Some(Conduct::Answered),
    }
}
