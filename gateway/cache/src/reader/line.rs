//! Waiting: in line for a fill of one's own, and for somebody else's fill that may never bring anything.

use super::{Act, Reader};
use crate::claims::ReaderId;
use crate::fill::{Fill, Reach};
use crate::shared::Shared;
use crate::status::ReadError;
use crate::version::Version;
use slice::OriginError;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The patience with fills doubles so many times.
const MOST_DOUBLINGS: u32 = 6;

/// Between two looks at a fill that can't be ended just now.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// Counts a reader in line. Dropping it is leaving.
struct InLine<'a>(&'a Shared);

impl<'a> InLine<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.counters.fill_waits.add(1);
        shared.counters.waiting_fills.add(1);
        Self(shared)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.counters.waiting_fills.sub(1);
    }
}

impl Reader {
    /// Waits for a place, or until somebody else fetches the slice. Who has waited for too long is refused: a transfer of its
    /// own past the cache would be one more for the origin, which the bound is to protect.
    pub(super) async fn stand_in_line(&mut self, slice: u32) -> Result<Act, ReadError> {
        let (shared, version) = (self.shared.clone(), self.version.clone());
        let _in_line = InLine::new(&shared);
        let mut place = pin!(shared.places.next(&version));
        let patience = shared.config().fill_patience;
        let mut patience = pin!(sleep(patience));
        loop {
            // Made before looking: it is woken by runs that begin from here on.
            let settled = version.settled.notified();
            let act = self.look(slice, None);
            if !matches!(act, Act::Line) {
                return Ok(act);
            }
            tokio::select! {
                biased;
                place = &mut place => return Ok(self.look(slice, place)),
                () = settled => {}
                () = &mut patience => {
                    shared.counters.fill_refusals.add(1);
                    return Err(OriginError::Busy { retry_after: None }.into());
                }
            }
        }
    }
}

impl Shared {
    /// Waits as [`Fill::wait`] does, but for its own reader's fill no longer than that has brought nothing for `lock_age`: then
    /// the fill is ended and the caller looks anew.
    pub(super) async fn wait_for(&self, version: &Version, fill: &Arc<Fill>, pos: u64, id: Option<ReaderId>) -> Reach {
        if Some(fill.leader) == id {
            // Whether to try again is for the origin to judge, which has been asked on this reader's behalf.
            return fill.wait(pos).await;
        }
        loop {
            let doublings = version.stalls.load(Ordering::Relaxed).min(MOST_DOUBLINGS);
            let patience = self.config().lock_age.saturating_mul(1 << doublings);
            let left = patience.saturating_sub(fill.stalled(pos).1);
            if left.is_zero() && self.abandon(version, fill, pos, patience) {
                return Reach::Ended(None);
            }
            if let Ok(reach) = timeout(left.max(SHORTEST_WAIT), fill.wait(pos)).await {
                return reach;
            }
        }
    }

    /// Ends a fill that has brought nothing for so long. False: it moves again, or is at the disk.
    fn abandon(&self, version: &Version, fill: &Arc<Fill>, pos: u64, patience: Duration) -> bool {
        let ended = version.with(|claims, _| {
            let (stalled, waited) = fill.stalled(pos);
            if waited < patience {
                Vec::new()
            } else {
                claims.abandon(|it| it.ends_with(stalled), |it| it.is_at_work())
            }
        });
        if ended.is_empty() {
            return false;
        }
        version.stalls.fetch_add(1, Ordering::Relaxed);
        self.counters.fills_abandoned.add(ended.len() as u64);
        tracing::warn!(media = %version.media, ?patience, "a fill brought nothing and is started anew");
        ended.iter().for_each(|fill| fill.abandon());
        version.settled.notify_waiters();
        true
    }
}
