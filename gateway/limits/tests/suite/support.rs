//! Streams, seeds, and a clock with sleepers.

use limits::{Bounds, Limiter, Permit, StreamId};
use rand::{SeedableRng, rngs::StdRng};
use std::{cmp::Reverse, collections::BinaryHeap, env, net::Ipv4Addr, time::Duration};

pub(crate) const NO_BOUNDS: Bounds =
    Bounds { viewer_streams: None, tenant_streams: None, viewer_rate: None, tenant_rate: None };

pub(crate) fn stream(message_id: i32) -> StreamId {
    from(1, message_id)
}

pub(crate) fn from(address: u8, message_id: i32) -> StreamId {
    StreamId { chat_id: -1001234567890, message_id, address: Some(Ipv4Addr::new(10, 0, 0, address).into()) }
}

/// Random numbers from `SEED`, or from a seed that is printed.
pub(crate) fn random(test: &str) -> StdRng {
    let seed = env::var("SEED").ok().map_or_else(rand::random, |seed| seed.parse::<u64>().unwrap());
    println!("{test}: SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Bodies that send without end, each as fast as its permit lets it.
pub(crate) struct Bodies {
    pub(crate) permits: Vec<Permit>,
    pub(crate) sent: Vec<u64>,
    pub(crate) piece: Vec<u64>,
    /// When, and for equal times in which order.
    due: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    turns: u64,
}

impl Bodies {
    pub(crate) fn new() -> Self {
        Self { permits: Vec::new(), sent: Vec::new(), piece: Vec::new(), due: BinaryHeap::new(), turns: 0 }
    }

    /// Starts one that sends pieces of that size.
    pub(crate) fn start(&mut self, permit: Permit, piece: u64, now: Duration) {
        self.permits.push(permit);
        self.sent.push(0);
        self.piece.push(piece);
        self.book(self.sent.len() - 1, now);
    }

    fn book(&mut self, body: usize, now: Duration) {
        let wait = take(&self.permits[body], self.piece[body], now);
        self.turns += 1;
        self.due.push(Reverse((now + wait, self.turns, body)));
    }

    /// Lets everything happen up to that time, and returns how many bytes went out meanwhile.
    pub(crate) fn run(&mut self, until: Duration) -> u64 {
        let before = self.total();
        while let Some(Reverse((time, _, body))) = self.due.peek().copied().filter(|next| next.0.0 <= until) {
            self.due.pop();
            self.sent[body] += self.piece[body];
            self.book(body, time);
        }
        self.total() - before
    }

    pub(crate) fn total(&self) -> u64 {
        self.sent.iter().sum()
    }
}

/// Admits, which must succeed.
pub(crate) fn admit(limiter: &Limiter, viewer: &str, stream: StreamId, bounds: Bounds, now: Duration) -> Permit {
    limiter.admit("films", viewer, stream, &bounds, now).unwrap()
}

/// Books a piece of both at once, and says how long it waits: for tests in which nothing else happens in between.
pub(crate) fn take(permit: &Permit, bytes: u64, now: Duration) -> Duration {
    permit.take_of_viewer(bytes, now).max(permit.take_of_tenant(bytes, now))
}
