//! One session, and what becomes of it when a refresh token is used.

use crate::refresh::RefreshToken;
use crate::subject::Subject;
use std::time::Duration;

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// How long the first refresh token of a guest is good. Anybody can be a guest any number of times: who never comes back is forgotten.
    pub first_ttl: Duration,
    /// How long a refresh token is good that nobody uses.
    pub refresh_ttl: Duration,
    /// How long a session can be renewed at all.
    pub session_ttl: Duration,
    /// How long the token before the last one is still good for an access token. Zero for not at all.
    pub grace: Duration,
}

/// What a store keeps of a session. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub(crate) subject: Subject,
    /// Hash of the refresh token that is good now.
    pub(crate) current: [u8; 32],
    /// Of the one before.
    pub(crate) previous: Option<[u8; 32]>,
    /// When the one before was used.
    pub(crate) rotated: i64,
    pub(crate) begun: i64,
    /// The second from which on it is over.
    pub(crate) until: i64,
}

/// What came of a refresh token.
#[derive(Clone, Debug, PartialEq)]
pub enum Rotation {
    /// It was the right one. The next one is in force.
    Rotated(Subject),
    /// It was the one before, used a moment ago: by the same browser, most likely. What it gives is a token, and no refresh token.
    Lately(Subject),
    /// It was used before. The session is over: of two who have it, one has stolen it.
    Reused(Subject),
    /// There is no such session, or none any more.
    Unknown,
}

impl Session {
    /// A session that begins `now` with this token.
    #[must_use]
    pub fn begin(subject: Subject, token: &RefreshToken, now: i64, rules: &SessionRules) -> Self {
        let until = until(now, now, rules);
        let until = if subject.is_guest() { until.min(now.saturating_add(seconds(rules.first_ttl))) } else { until };
        Self { subject, current: token.secret_hash(), previous: None, rotated: now, begun: now, until }
    }

    /// Uses a token. After [`Rotation::Reused`] and [`Rotation::Unknown`] the session must go.
    pub(crate) fn rotate(&mut self, used: &[u8; 32], next: [u8; 32], now: i64, rules: &SessionRules) -> Rotation {
        if now >= self.until {
            return Rotation::Unknown;
        }
        if *used == self.current {
            self.previous = Some(std::mem::replace(&mut self.current, next));
            self.rotated = now;
            self.until = until(self.begun, now, rules);
            return Rotation::Rotated(self.subject.clone());
        }
        let grace = seconds(rules.grace);
        if self.previous.as_ref() == Some(used) && grace > 0 && now - self.rotated <= grace {
            return Rotation::Lately(self.subject.clone());
        }
        Rotation::Reused(self.subject.clone())
    }
}

fn until(begun: i64, now: i64, rules: &SessionRules) -> i64 {
    now.saturating_add(seconds(rules.refresh_ttl)).min(begun.saturating_add(seconds(rules.session_ttl)))
}

pub(crate) fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}
