//! What became of an account's connections to one data-centre, counted.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Connections of one account to one data-centre: now, and since the account was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// The data-centre.
    pub dc: i32,
    /// Warm now.
    pub open: usize,
    /// Being made now.
    pub connecting: usize,
    /// Waiting for the next try after a failure.
    pub down: usize,
    /// Closed because nobody needed them; made again when somebody does.
    pub idle: usize,
    /// Made since.
    pub made: u64,
    /// Ended since, by reason: `closed`, `broken`, `silent`, `complaint`, `died`, `clock`, `rekeyed`
    /// or `idle`. Each but the last is followed by a reconnect.
    pub ended: BTreeMap<&'static str, u64>,
    /// Attempts that failed, by reason: `timeout`, `unreachable`, `no-address`, `proxy`, `proxy-name`, `proxy-denied`, `proxy-refused`,
    /// `proxy-strange`, `handshake`, `clock`, `unknown-key` or `revoked`.
    pub failed: BTreeMap<&'static str, u64>,
}

/// Counts for all links of one account and data-centre.
#[derive(Default)]
pub(crate) struct Tally {
    made: AtomicU64,
    ended: Mutex<BTreeMap<&'static str, u64>>,
    failed: Mutex<BTreeMap<&'static str, u64>>,
}

impl Tally {
    pub(crate) fn made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, reason: &'static str) {
        *self.ended.lock().entry(reason).or_default() += 1;
    }

    pub(crate) fn failed(&self, reason: &'static str) {
        *self.failed.lock().entry(reason).or_default() += 1;
    }

    /// The counts, without what stands now.
    pub(crate) fn counts(&self, dc: i32) -> Connections {
        Connections {
            dc,
            made: self.made.load(Ordering::Relaxed),
            ended: self.ended.lock().clone(),
            failed: self.failed.lock().clone(),
            ..Connections::default()
        }
    }
}
