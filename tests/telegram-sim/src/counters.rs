//! What was asked, so that a test can say "this chunk was asked for once".

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;

use crate::conduct::{Book, Conduct};

/// Calls of one method by one account on one data-centre.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallCount {
    /// As in the schema.
    pub method: String,
    /// The account's name; empty before signing in.
    pub account: String,
    /// The data-centre that was asked.
    pub dc: i32,
    /// How often.
    pub calls: u64,
}

/// getFile calls for one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ChunkCount {
    /// The document's id.
    pub document: i64,
    /// First byte asked for.
    pub offset: u64,
    /// Bytes asked for.
    pub limit: u64,
    /// How often it was asked for, whatever came of it.
    pub asked: u64,
    /// How often it was answered with bytes.
    pub served: u64,
}

/// A copy of the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// By method, account and data-centre.
    pub calls: Vec<CallCount>,
    /// By document, offset and limit.
    pub chunks: Vec<ChunkCount>,
    /// Connections accepted, by data-centre.
    pub accepted: BTreeMap<i32, u64>,
    /// Connections open now, by data-centre.
    pub open: BTreeMap<i32, u64>,
    /// Connections accepted by the data-centres themselves, by the address they came from.
    pub accepted_from: BTreeMap<IpAddr, u64>,
    /// Connections that came through the MTProxy in front, by data-centre.
    pub fronted: BTreeMap<i32, u64>,
    /// Connections that the MTProxy in front turned away.
    pub turned_away: u64,
    /// Pings answered.
    pub pings: u64,
    /// File bytes served, by account.
    pub bytes: BTreeMap<String, u64>,
    /// Faults applied, by rules.
    pub faults: u64,
    /// How each account's clients behaved.
    pub conduct: Vec<Conduct>,
}

impl Counts {
    /// Calls of `method` by all accounts on all data-centres.
    pub fn calls(&self, method: &str) -> u64 {
        self.calls.iter().filter(|count| count.method == method).map(|count| count.calls).sum()
    }

    /// Calls of `method` by `account` on data-centre `dc`.
    pub fn calls_of(&self, method: &str, account: &str, dc: i32) -> u64 {
        let mine = |count: &&CallCount| count.method == method && count.account == account && count.dc == dc;
        self.calls.iter().filter(mine).map(|count| count.calls).sum()
    }

    /// The chunks asked for of one document.
    pub fn chunks_of(&self, document: i64) -> Vec<ChunkCount> {
        self.chunks.iter().filter(|chunk| chunk.document == document).copied().collect()
    }
}

#[derive(Default)]
struct Inner {
    calls: BTreeMap<(&'static str, String, i32), u64>,
    chunks: BTreeMap<(i64, u64, u64), (u64, u64)>,
    accepted: BTreeMap<i32, u64>,
    open: BTreeMap<i32, u64>,
    accepted_from: BTreeMap<IpAddr, u64>,
    fronted: BTreeMap<i32, u64>,
    turned_away: u64,
    pings: u64,
    bytes: BTreeMap<String, u64>,
    faults: u64,
}

/// Which way a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Address(IpAddr),
    Front,
}

/// The counters of a running simulation.
#[derive(Default)]
pub struct Counters {
    inner: Mutex<Inner>,
    pub(crate) book: Arc<Book>,
}

impl Counters {
    /// A copy of all counters.
    pub fn snapshot(&self) -> Counts {
        let inner = self.inner.lock();
        let call = |((method, account, dc), calls): (&(&'static str, String, i32), &u64)| CallCount {
            method: (*method).to_owned(),
            account: account.clone(),
            dc: *dc,
            calls: *calls,
        };
        let chunk = |((document, offset, limit), (asked, served)): (&(i64, u64, u64), &(u64, u64))| ChunkCount {
            document: *document,
            offset: *offset,
            limit: *limit,
            asked: *asked,
            served: *served,
        };
        Counts {
            calls: inner.calls.iter().map(call).collect(),
            chunks: inner.chunks.iter().map(chunk).collect(),
            accepted: inner.accepted.clone(),
            open: inner.open.clone(),
            accepted_from: inner.accepted_from.clone(),
            fronted: inner.fronted.clone(),
            turned_away: inner.turned_away,
            pings: inner.pings,
            bytes: inner.bytes.clone(),
            faults: inner.faults,
            conduct: self.book.snapshot(),
        }
    }

    /// Sets everything to 0 but the open connections.
    pub fn reset(&self) {
        let mut inner = self.inner.lock();
        let open = std::mem::take(&mut inner.open);
        *inner = Inner { open, ..Inner::default() };
        drop(inner);
        self.book.reset();
    }

    pub(crate) fn called(&self, method: &'static str, account: &str, dc: i32) {
        *self.inner.lock().calls.entry((method, account.to_owned(), dc)).or_default() += 1;
        self.book.asked(account, method);
    }

    pub(crate) fn chunk_asked(&self, document: i64, offset: u64, limit: u64) {
        self.inner.lock().chunks.entry((document, offset, limit)).or_default().0 += 1;
    }

    pub(crate) fn chunk_served(&self, document: i64, offset: u64, limit: u64, account: &str, bytes: u64) {
        let mut inner = self.inner.lock();
        inner.chunks.entry((document, offset, limit)).or_default().1 += 1;
        match inner.bytes.get_mut(account) {
            Some(sum) => *sum += bytes,
            None => {
                inner.bytes.insert(account.to_owned(), bytes);
            }
        }
    }

    pub(crate) fn faulted(&self) {
        self.inner.lock().faults += 1;
    }

    pub(crate) fn pinged(&self) {
        self.inner.lock().pings += 1;
    }

    pub(crate) fn turned_away(&self) {
        self.inner.lock().turned_away += 1;
    }

    pub(crate) fn opened(&self, dc: i32, from: From) {
        let mut inner = self.inner.lock();
        *match from {
            From::Address(address) => inner.accepted_from.entry(address).or_default(),
            From::Front => inner.fronted.entry(dc).or_default(),
        } += 1;
        *inner.accepted.entry(dc).or_default() += 1;
        *inner.open.entry(dc).or_default() += 1;
    }

    pub(crate) fn closed(&self, dc: i32) {
        if let Some(open) = self.inner.lock().open.get_mut(&dc) {
            *open = open.saturating_sub(1);
        }
    }
}
