//! One question's way: which gateway to ask next, and when to ask the hive.

use crate::board::Away;
use crate::origin::Shared;
use crate::peer::{Peer, Silent};
use slice::{MediaId, OriginError};
use std::sync::Arc;

/// Gateways that fail a question before the hive is asked.
const MOST_FAILURES: u32 = 2;

/// Who has been asked, and who is left to ask.
pub(crate) struct Route {
    shared: Arc<Shared>,
    media: MediaId,
    /// The rest of the ring's order.
    left: std::vec::IntoIter<usize>,
    /// Held for as long as bytes may come from a gateway.
    away: Option<Away>,
    /// The media's owner was not asked, or failed.
    bypassed: bool,
    failures: u32,
}

/// What to make of a gateway that did not give what was asked for.
pub(crate) enum Verdict {
    /// It knows, and the hive would say the same.
    Final(OriginError),
    /// Somebody else may know.
    Elsewhere,
}

impl Route {
    pub(crate) fn new(shared: Arc<Shared>, media: MediaId) -> Self {
        let order = shared.ring.order(media.to_string().as_bytes());
        let away = match order.first() {
            Some(owner) if *owner != shared.own => shared.board.go_away(media),
            _ => None,
        };
        let left = if away.is_some() { order } else { Vec::new() }.into_iter();
        Self { shared, media, left, away, bypassed: false, failures: 0 }
    }

    /// The gateway to ask next; `None`: the hive.
    pub(crate) fn next(&mut self) -> Option<Arc<Peer>> {
        while let Some(member) = self.left.next().filter(|member| *member != self.shared.own) {
            if let Some(peer) = self.shared.members.get(member).filter(|peer| peer.is_reachable()) {
                self.shared.stats.asked.add(1);
                return Some(Arc::clone(peer));
            }
            self.bypass();
        }
        self.go_home();
        None
    }

    /// Takes note of what came instead of an answer.
    pub(crate) fn failed(&mut self, peer: &Arc<Peer>, error: Result<OriginError, Silent>) -> Verdict {
        let (why, silent) = match error {
            Ok(error @ (OriginError::NotFound | OriginError::Gone | OriginError::Busy { .. })) => {
                return Verdict::Final(error);
            }
            // Its description may be older than ours, or newer. The hive knows.
            Ok(OriginError::Changed) => {
                self.go_home();
                return Verdict::Elsewhere;
            }
            Ok(OriginError::Timeout) => ("no answer in time", true),
            Ok(OriginError::Unreachable) => ("no connection, or it broke", false),
            Ok(OriginError::Protocol) => ("an answer outside the contract", false),
            Err(Silent) => ("no sign of life", true),
        };
        tracing::debug!(media = %self.media, peer = %peer.name, why, "asking elsewhere");
        if peer.lose(why) {
            self.shared.stats.lost.add(1);
        }
        self.bypass();
        self.failures += 1;
        if silent || self.failures >= MOST_FAILURES {
            // A viewer has waited for this one; who is next may be as dead, and the hive is not.
            self.go_home();
        }
        Verdict::Elsewhere
    }

    /// From here on nobody waits for a gateway.
    fn go_home(&mut self) {
        self.left = Vec::new().into_iter();
        self.away = None;
    }

    fn bypass(&mut self) {
        if !std::mem::replace(&mut self.bypassed, true) {
            self.shared.stats.bypassed.add(1);
        }
    }
}
