//! Who fetches which slice, and who is reading where: the state machine of one media version. Pure: no async, no clock,
//! no disk.
//!
//! What stays true, and the model test checks: no slice is claimed by two runs; a slice that a reader waits for is
//! present, claimed, or busy; a slice under a reader is never evicted; `charge` equals present plus claimed bytes.

use crate::bits::Bits;
use crate::evict::Verdict;
use crate::geometry::Geometry;
use crate::status::Presence;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// How runs are sized; in slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) first_run: u32,
    pub(crate) max_run: u32,
    pub(crate) join_distance: u32,
    pub(crate) orphan_budget: u32,
    /// Runs of one media at once.
    pub(crate) max_fills: u32,
    /// Slices are kept from their first request on.
    pub(crate) keeps_all: bool,
}

pub(crate) type RunId = u64;
pub(crate) type ReaderId = u64;

/// What a reader meets at the slice it has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step<H> {
    /// On disk and known good.
    Present,
    /// On disk, but unchecked since the start or since its bytes left memory; the caller checks it and reports with `verified`. The slice is busy until then.
    Verify,
    /// Between two states of the disk; look again when something settles.
    Busy,
    /// Being fetched by this run.
    Join(H),
    /// Nobody has it: the caller starts a run over these slices with `begin`, under the same lock.
    Start(Range<u32>),
    /// Nobody has it, and no run may start.
    Full,
}

#[derive(Debug)]
struct Run<H> {
    id: RunId,
    /// Claimed slices are `from..end`; those before are done.
    from: u32,
    end: u32,
    /// The last slice being written: a split never cuts at or before it.
    at: u32,
    /// Slices it was planned with.
    size: u32,
    handle: H,
}

#[derive(Debug)]
struct Reader {
    at: Option<u32>,
    next: u32,
    end: u32,
    ramp: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Claims<H> {
    geometry: Geometry,
    pace: Pace,
    present: Bits,
    verified: Bits,
    claimed: Bits,
    /// Has an entry in the eviction queue.
    queued: Bits,
    /// Read once since it came, and read again: the first reader of a fill doesn't make a slice popular.
    touched: Bits,
    visited: Bits,
    busy: BTreeSet<u32>,
    /// Not present, but with bytes on disk that nobody vouches for.
    litter: BTreeSet<u32>,
    /// Present, but not to be kept.
    passing: BTreeSet<u32>,
    /// To be kept once they are present. Empty if all are.
    admitted: BTreeSet<u32>,
    pins: BTreeMap<u32, u32>,
    readers: BTreeMap<ReaderId, Reader>,
    runs: Vec<Run<H>>,
    next_id: u64,
    charge: u64,
    /// What of it is claimed.
    coming: u64,
    on_disk: u32,
}

impl<H: Clone> Claims<H> {
    pub(crate) fn new(geometry: Geometry, pace: Pace) -> Self {
        let bits = Bits::new(geometry.slices());
        Self {
            geometry,
            pace,
            present: bits.clone(),
            verified: bits.clone(),
            claimed: bits.clone(),
            queued: bits.clone(),
            touched: bits.clone(),
            visited: bits,
            busy: BTreeSet::new(),
            litter: BTreeSet::new(),
            passing: BTreeSet::new(),
            admitted: BTreeSet::new(),
            pins: BTreeMap::new(),
            readers: BTreeMap::new(),
            runs: Vec::new(),
            next_id: 0,
            charge: 0,
            coming: 0,
            on_disk: 0,
        }
    }

    /// Sizes the runs that begin from here on. How slices are kept stays as it was: what passes is told from what stays by it.
    pub(crate) fn set_pace(&mut self, pace: Pace) {
        self.pace = Pace { max_fills: self.pace.max_fills, keeps_all: self.pace.keeps_all, ..pace };
    }

    /// Bytes of all slices present or claimed.
    pub(crate) fn charge(&self) -> u64 {
        self.charge
    }

    /// Bytes of all slices claimed.
    pub(crate) fn coming(&self) -> u64 {
        self.coming
    }

    /// Slices present.
    pub(crate) fn on_disk(&self) -> u32 {
        self.on_disk
    }

    /// Nothing on disk, nothing under way, nobody reading.
    pub(crate) fn is_idle_and_empty(&self) -> bool {
        self.charge == 0 && self.runs.is_empty() && self.readers.is_empty() && self.busy.is_empty()
    }

    /// Readers registered.
    pub(crate) fn readers(&self) -> usize {
        self.readers.len()
    }

    /// A slice found on disk at the start. True if it needs an entry in the eviction queue.
    pub(crate) fn restore(&mut self, slice: u32) -> bool {
        if slice >= self.geometry.slices() || self.present.put(slice, true) {
            return false;
        }
        self.charge += self.weight(slice);
        self.on_disk += 1;
        !self.queued.put(slice, true)
    }

    /// A slice that another process has made whole. True if it needs an entry in the eviction queue.
    pub(crate) fn adopt(&mut self, slice: u32) -> bool {
        let is_free = slice < self.geometry.slices() && self.is_free(slice);
        is_free && {
            self.litter.remove(&slice);
            self.restore(slice)
        }
    }

    /// What a range would meet now, without I/O.
    pub(crate) fn presence(&self, slices: Range<u32>) -> Presence {
        if self.present.all(slices.clone()) {
            return Presence::Whole;
        }
        let (mut here, mut coming, mut missing) = (false, false, false);
        for slice in slices {
            match (self.present.get(slice), self.claimed.get(slice)) {
                (true, _) => here = true,
                (_, true) => coming = true,
                _ => missing = true,
            }
            if here && (coming || missing) {
                break;
            }
        }
        match (here, coming, missing) {
            (true, ..) => Presence::Part,
            (false, true, false) => Presence::Coming,
            _ => Presence::None,
        }
    }

    /// Registers a reader of these slices.
    pub(crate) fn join(&mut self, slices: Range<u32>) -> ReaderId {
        let id = self.fresh_id();
        let ramp = self.pace.first_run;
        self.readers.insert(id, Reader { at: None, next: slices.start, end: slices.end, ramp });
        id
    }

    /// Moves a reader to a slice and pins it there.
    pub(crate) fn enter(&mut self, id: ReaderId, slice: u32) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        let before = reader.at.replace(slice);
        reader.next = slice;
        if before == Some(slice) {
            return;
        }
        *self.pins.entry(slice).or_insert(0) += 1;
        if let Some(before) = before {
            self.unpin(before);
        }
        if self.present.get(slice) && self.touched.put(slice, true) {
            self.visited.put(slice, true);
        } else {
            self.touched.put(slice, true);
        }
    }

    /// Forgets a reader and its pin.
    pub(crate) fn leave(&mut self, id: ReaderId) {
        if let Some(Reader { at: Some(at), .. }) = self.readers.remove(&id) {
            self.unpin(at);
        }
    }

    /// What the reader does next at the slice it has entered. `may_start` is asked for a place when a run would start.
    pub(crate) fn step(&mut self, id: ReaderId, may_start: impl FnOnce() -> bool) -> Step<H> {
        let Some(&Reader { at: Some(slice), end, ramp, .. }) = self.readers.get(&id) else { return Step::Busy };
        if self.busy.contains(&slice) {
            return Step::Busy;
        }
        if self.present.get(slice) {
            if self.verified.get(slice) {
                return Step::Present;
            }
            self.busy.insert(slice);
            return Step::Verify;
        }
        let Some(at) = self.runs.iter().position(|run| run.from <= slice && slice < run.end) else {
            return if may_start() { Step::Start(self.plan(id, slice, end, ramp)) } else { Step::Full };
        };
        let run = &self.runs[at];
        if slice > run.at.saturating_add(self.pace.join_distance) && may_start() {
            // A seek doesn't wait behind somebody else's long download: that run now ends here.
            self.truncate(at, slice);
            return Step::Start(self.stretch(slice, ramp, end));
        }
        let (handle, size) = (run.handle.clone(), run.size);
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.ramp = size;
        }
        Step::Join(handle)
    }

    /// The slice after the reader's, if it is on disk and unchecked. The caller checks it
    /// and reports with `verified`, as after `Step::Verify`: a sequential reader doesn't wait at each slice then.
    pub(crate) fn verify_ahead(&mut self, id: ReaderId) -> Option<u32> {
        let &Reader { at: Some(at), end, .. } = self.readers.get(&id)? else { return None };
        let next = at + 1;
        let due = next < end && self.present.get(next) && !self.verified.get(next) && self.busy.insert(next);
        due.then_some(next)
    }

    /// The first present slice from `from` on that nobody is at, busy from now on: the caller checks it and reports with
    /// `verified`. Those passed over are counted.
    pub(crate) fn begin_check(&mut self, from: u32, passed: &mut u64) -> Option<u32> {
        let mut at = from;
        loop {
            let slice = self.present.next(at)?;
            if !self.pins.contains_key(&slice) && self.busy.insert(slice) {
                return Some(slice);
            }
            *passed += 1;
            at = slice + 1;
        }
    }

    /// A run has a whole slice on disk. True if it needs an entry in the eviction queue.
    pub(crate) fn complete(&mut self, id: RunId, slice: u32) -> bool {
        let Some(run) = self.runs.iter_mut().find(|run| run.id == id && run.from == slice && slice < run.end) else {
            return false;
        };
        run.from = slice + 1;
        self.claimed.put(slice, false);
        self.coming -= self.weight(slice);
        self.present.put(slice, true);
        self.on_disk += 1;
        self.litter.remove(&slice);
        self.verified.put(slice, true);
        self.touched.put(slice, self.pins.contains_key(&slice));
        self.visited.put(slice, false);
        self.is_kept(slice) && !self.queued.put(slice, true)
    }

    /// The slices with litter that nobody reads or fetches any more, for the caller to clear; busy until `settle`. To be
    /// asked for after whatever ends a run or moves a pin.
    pub(crate) fn take_litter(&mut self) -> Vec<u32> {
        self.pass();
        let is_due = |slice: &u32| self.is_free(*slice) && !self.pins.contains_key(slice);
        let due: Vec<u32> = self.litter.iter().copied().filter(is_due).collect();
        for slice in &due {
            self.litter.remove(slice);
            self.busy.insert(*slice);
        }
        due
    }

    /// The hand of the eviction queue points at a slice. After `Evict` it is busy until `settle`.
    pub(crate) fn judge(&mut self, slice: u32) -> Verdict {
        if !self.present.get(slice) {
            self.queued.put(slice, false);
            return Verdict::Gone;
        }
        if self.busy.contains(&slice) || self.pins.contains_key(&slice) || self.visited.put(slice, false) {
            return Verdict::Spare;
        }
        self.queued.put(slice, false);
        self.drop_present(slice);
        self.busy.insert(slice);
        Verdict::Evict
    }

    /// The disk is done with a busy slice.
    pub(crate) fn settle(&mut self, slice: u32) {
        self.busy.remove(&slice);
    }

    /// A slice's bytes are not in memory any more: it is checked again before the device is believed. False: there is
    /// nothing to check, it isn't whole.
    pub(crate) fn suspect(&mut self, slice: u32) -> bool {
        let present = self.present.get(slice);
        if present {
            self.verified.put(slice, false);
        }
        present
    }

    /// The outcome of `Step::Verify`.
    pub(crate) fn verified(&mut self, slice: u32, good: bool) {
        if good {
            self.verified.put(slice, true);
        } else {
            self.lose(slice);
        }
        self.settle(slice);
    }

    /// A present slice can't be read: it counts as missing from now on.
    pub(crate) fn lose(&mut self, slice: u32) {
        if self.present.get(slice) {
            self.drop_present(slice);
            self.litter.insert(slice);
        }
    }

    fn is_free(&self, slice: u32) -> bool {
        !self.present.get(slice) && !self.claimed.get(slice) && !self.busy.contains(&slice)
    }

    fn drop_present(&mut self, slice: u32) {
        self.passing.remove(&slice);
        self.present.put(slice, false);
        self.verified.put(slice, false);
        self.touched.put(slice, false);
        self.visited.put(slice, false);
        self.on_disk -= 1;
        self.charge -= self.weight(slice);
    }

    fn unpin(&mut self, slice: u32) {
        if let Some(count) = self.pins.get_mut(&slice) {
            *count -= 1;
            if *count == 0 {
                self.pins.remove(&slice);
            }
        }
    }

    fn weight(&self, slice: u32) -> u64 {
        self.geometry.end(slice) - self.geometry.start(slice)
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

#[cfg(test)]
mod model;
mod passing;
mod runs;
