//! Slices that were not asked for often enough to be kept: they pass through the extent file, for whoever reads them
//! meanwhile.

use super::Claims;
use std::ops::Range;

impl<H: Clone> Claims<H> {
    /// A slice is to be kept, once it is whole. True if it is and needs an entry in the eviction queue.
    pub(crate) fn admit(&mut self, slice: u32) -> bool {
        if self.passing.remove(&slice) {
            return !self.queued.put(slice, true);
        }
        if !self.present.get(slice) && slice < self.geometry.slices() {
            self.admitted.insert(slice);
        }
        false
    }

    /// Decides about a slice that has just become whole. True: it is kept.
    pub(super) fn is_kept(&mut self, slice: u32) -> bool {
        let is_kept = self.admitted.remove(&slice) || self.pace.keeps_all;
        if !is_kept {
            self.passing.insert(slice);
        }
        is_kept
    }

    /// Makes litter of passing slices that no reader is at or will come to soon.
    pub(super) fn pass(&mut self) {
        if self.passing.is_empty() {
            return;
        }
        let mut ways: Vec<Range<u32>> = self
            .readers
            .values()
            .map(|reader| reader.next..reader.end.min(reader.next.saturating_add(reader.ramp.saturating_mul(2))))
            .collect();
        ways.sort_unstable_by_key(|way| way.start);
        let (mut ways, mut reach) = (ways.into_iter().peekable(), 0);
        let mut due = Vec::new();
        for &slice in &self.passing {
            while let Some(way) = ways.next_if(|way| way.start <= slice) {
                reach = reach.max(way.end);
            }
            if slice >= reach && !self.pins.contains_key(&slice) && !self.busy.contains(&slice) {
                due.push(slice);
            }
        }
        due.into_iter().for_each(|slice| self.lose(slice));
    }
}
