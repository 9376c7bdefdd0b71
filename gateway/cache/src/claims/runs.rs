//! Runs: how far one reaches, when it ends, and what is started before anybody waits for it.

use super::{Claims, Reader, ReaderId, Run, RunId};
use std::ops::Range;

impl<H: Clone> Claims<H> {
    /// A run that the reader should start early, so that the origin is asked before the reader gets there.
    /// `may_start` is asked for a place when there is something to start.
    pub(crate) fn ahead(&mut self, id: ReaderId, may_start: impl FnOnce() -> bool) -> Option<Range<u32>> {
        let &Reader { at: Some(at), end, ramp, .. } = self.readers.get(&id)? else { return None };
        let low_water = (ramp / 2).max(2);
        let mut near = at + 1..end.min(at + 1 + low_water);
        // A busy slice may be missing in a moment: starting behind it would leave a gap for a request of its own.
        let missing = near.find(|slice| self.is_free(*slice) || self.busy.contains(slice))?;
        if self.busy.contains(&missing) || !may_start() {
            return None;
        }
        // No run ends just there: the last one was done before its reader came near, and was larger than it had to be.
        Some(self.plan(id, missing, end, (ramp / 2).max(self.pace.first_run)))
    }

    /// Claims a stretch that `step` or `ahead` named. `at` is the slice whose bytes come first.
    pub(crate) fn begin(&mut self, slices: Range<u32>, at: u32, leader: ReaderId, handle: H) -> RunId {
        let id = self.fresh_id();
        for slice in slices.clone() {
            self.claimed.put(slice, true);
            self.charge += self.weight(slice);
            self.coming += self.weight(slice);
        }
        // As planned: a stretch cut short by a present slice says nothing about how fast its reader is.
        let size = self.readers.get(&leader).map_or(self.pace.first_run, |reader| reader.ramp);
        self.runs.push(Run { id, from: slices.start, end: slices.end, at, size, handle });
        id
    }

    /// A run is about to write bytes up to and including slice `upto`: from now on no split cuts at or before it. Returns
    /// the slice that the run must end before, which shrinks when a seek split it off or nobody wants the rest.
    pub(crate) fn reserve(&mut self, id: RunId, upto: u32) -> u32 {
        let Some(at) = self.runs.iter().position(|run| run.id == id) else { return 0 };
        if !self.is_wanted(at) {
            let keep = self.runs[at].at.saturating_add(1).saturating_add(self.pace.orphan_budget);
            self.truncate(at, keep);
        }
        let run = &mut self.runs[at];
        run.at = run.at.max(upto.min(run.end.saturating_sub(1)));
        run.end
    }

    /// A run is over, for whatever reason: what it still claims is free again, and what it wrote of a slice is litter.
    pub(crate) fn finish(&mut self, id: RunId) {
        let Some(at) = self.runs.iter().position(|run| run.id == id) else { return };
        let run = self.runs.swap_remove(at);
        self.release(run.from..run.end);
        if run.from < run.end && run.from <= run.at {
            self.litter.insert(run.from);
        }
    }

    /// Ends the runs that are meant, as `finish` does, and returns their handles: all of them, or none if one is busy.
    pub(crate) fn abandon(&mut self, is_meant: impl Fn(&H) -> bool, is_busy: impl Fn(&H) -> bool) -> Vec<H> {
        let meant = self.runs.iter().filter(|run| is_meant(&run.handle));
        let (runs, handles): (Vec<RunId>, Vec<H>) = meant.map(|run| (run.id, run.handle.clone())).unzip();
        if handles.iter().any(is_busy) {
            return Vec::new();
        }
        runs.into_iter().for_each(|id| self.finish(id));
        handles
    }

    /// The free slices from `first` on, at most `size` and not past what the reader asked for.
    pub(super) fn stretch(&self, first: u32, size: u32, end: u32) -> Range<u32> {
        let cap = first.saturating_add(size.max(1)).min(end);
        let end = (first + 1..cap).find(|&slice| !self.is_free(slice)).unwrap_or(cap);
        first..end.max(first + 1)
    }

    /// A stretch from `first` on. Readers that keep up with a run that ends just there get twice its size, so that the
    /// origin's window doesn't drain between runs; others get `ramp` and pull little ahead.
    pub(super) fn plan(&mut self, id: ReaderId, first: u32, end: u32, ramp: u32) -> Range<u32> {
        let before = self.runs.iter().find(|run| run.end == first);
        let size = before.map_or(ramp, |run| run.size.saturating_mul(2)).min(self.pace.max_run);
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.ramp = size;
        }
        self.stretch(first, size, end)
    }

    /// Some reader will come to what the run has yet to write, within twice its own read-ahead.
    fn is_wanted(&self, at: usize) -> bool {
        let run = &self.runs[at];
        self.readers.values().any(|reader| {
            let horizon = reader.end.min(reader.next.saturating_add(reader.ramp.saturating_mul(2)));
            reader.next < run.end.max(run.at + 1) && run.at < horizon
        })
    }

    pub(super) fn truncate(&mut self, at: usize, end: u32) {
        let run = &mut self.runs[at];
        let end = end.max(run.from).min(run.end);
        let freed = end..run.end;
        run.end = end;
        self.release(freed);
    }

    fn release(&mut self, slices: Range<u32>) {
        for slice in slices {
            if self.claimed.put(slice, false) {
                self.charge -= self.weight(slice);
                self.coming -= self.weight(slice);
            }
        }
    }
}
