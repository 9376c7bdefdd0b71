//! What a hive says to the store, and what it hears: one question and one answer at a time, so that all of it is atomic.

use crate::clock::Millis;
use std::time::Duration;

/// What an account is doing, as its holder tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Streams that use it.
    pub streams: u32,
    /// Bytes a second that it has brought of late.
    pub bytes_per_second: u64,
    /// What is left of its flood wait; zero for none. Kept to the millisecond, and for whoever holds the account next.
    pub rests_for: Duration,
}

/// One beat of a hive: renews, releases, tells and asks, all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beat {
    /// The hive's name, a slash, and a random part: a hive that was started again is another one.
    pub(crate) run: String,
    pub(crate) ttl: Millis,
    /// The hive lets everything go and is not counted any more.
    pub(crate) leave: bool,
    /// The hive's leases were good when it said so: what it holds is not another's, whatever the store remembers.
    pub(crate) sure: bool,
    /// Accounts and fences that the hive holds.
    pub(crate) held: Vec<(i64, u64)>,
    pub(crate) told: Vec<(i64, Load)>,
    pub(crate) gone: Vec<(i64, u64)>,
    pub(crate) wanted: Vec<i64>,
}

/// The answer to a [`Beat`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reply {
    /// For each of `held`: it is this hive's for another TTL.
    pub(crate) kept: Vec<bool>,
    /// For each of `wanted`.
    pub(crate) answers: Vec<Answer>,
    /// Runs that were heard within a TTL, this one among them unless it left. Sorted.
    pub(crate) hives: Vec<String>,
    /// Every account that the store knows. Sorted.
    pub(crate) table: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Granted {
        fence: u64,
        rests_for: Millis,
    },
    Busy {
        holder: String,
        left: Millis,
    },
    /// Those who held accounts before the store was away come first.
    NotYet {
        left: Millis,
    },
}

/// An account as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) account: i64,
    pub(crate) fence: u64,
    /// Empty when nobody holds it.
    pub(crate) holder: String,
    pub(crate) streams: u32,
    pub(crate) speed: u64,
    pub(crate) rests_for: Millis,
    /// Who was refused it within a TTL; empty for nobody.
    pub(crate) asker: String,
}

/// Why a beat brought no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreFailure {
    /// Nobody answers, or nobody may write: as far as can be told, nobody else gets anything either.
    Away(String),
    /// The store is there and refuses this hive: others may get what it doesn't.
    Refused(String),
}
