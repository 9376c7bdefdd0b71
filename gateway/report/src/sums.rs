//! Counts of what ended.

use serde::{Deserialize, Serialize};

/// How a request ended, in the words of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The viewer got what it asked for, or left.
    Served,
    /// It was not to be had, or not by this viewer.
    Refused,
    /// Through no fault of the viewer's.
    Failed,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Served, Self::Refused, Self::Failed];

    /// The word in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Where an answer with media came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheUse {
    /// No request to the hive was made for it.
    Hit,
    /// One was.
    Miss,
}

/// A link that leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dead {
    /// There is no such media.
    NotFound,
    /// There was.
    Gone,
}

/// Counts of one tenant, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// [`Verdict::Served`].
    pub served: u64,
    /// [`Verdict::Refused`].
    pub refused: u64,
    /// [`Verdict::Failed`].
    pub failed: u64,
    /// [`CacheUse::Hit`].
    pub hits: u64,
    /// [`CacheUse::Miss`].
    pub misses: u64,
    /// Body bytes sent.
    pub bytes: u64,
}

impl Sums {
    pub(crate) fn note(&mut self, verdict: Verdict, cache: Option<CacheUse>, bytes: u64) {
        let count = match verdict {
            Verdict::Served => &mut self.served,
            Verdict::Refused => &mut self.refused,
            Verdict::Failed => &mut self.failed,
        };
        *count = count.saturating_add(1);
        match cache {
            Some(CacheUse::Hit) => self.hits = self.hits.saturating_add(1),
            Some(CacheUse::Miss) => self.misses = self.misses.saturating_add(1),
            None => {}
        }
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.served = self.served.saturating_add(other.served);
        self.refused = self.refused.saturating_add(other.refused);
        self.failed = self.failed.saturating_add(other.failed);
        self.hits = self.hits.saturating_add(other.hits);
        self.misses = self.misses.saturating_add(other.misses);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// How many ended so.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> u64 {
        match verdict {
            Verdict::Served => self.served,
            Verdict::Refused => self.refused,
            Verdict::Failed => self.failed,
        }
    }

    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.served.saturating_add(self.refused).saturating_add(self.failed)
    }

    /// Hits of all answers with media, from 0 to 1; none if there was no such answer.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    pub fn hit_ratio(&self) -> Option<f64> {
        let all = self.hits.saturating_add(self.misses);
        (all > 0).then(|| self.hits as f64 / all as f64)
    }
}
