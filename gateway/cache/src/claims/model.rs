//! Random readers, runs, evictions and failures against the invariants. `STREAMVAULT_SEED` replays one run.

use super::{Claims, Pace, ReaderId, RunId, Step};
use crate::evict::Verdict;
use crate::geometry::Geometry;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

const SLICES: u32 = 24;
const SLICE: u64 = 65_536;

#[derive(Debug)]
struct Viewer {
    at: u32,
    end: u32,
    /// The slice it has entered, and may be reading.
    pinned: Option<u32>,
}

/// The world around the claims: a run's task is its position, the disk a set of slices that were written.
struct World {
    claims: Claims<u64>,
    viewers: BTreeMap<ReaderId, Viewer>,
    runs: BTreeMap<RunId, u32>,
    busy: HashSet<u32>,
    queue: Vec<u32>,
    written: HashSet<u32>,
    handles: u64,
    /// There is a place for every run.
    patient: bool,
}

impl World {
    fn new(rng: &mut StdRng) -> Self {
        let geometry = Geometry::new(u64::from(SLICES - 1) * SLICE + 77, 65_536).unwrap();
        let first_run = rng.random_range(1..5);
        let pace = Pace {
            first_run,
            max_run: rng.random_range(first_run..12),
            join_distance: rng.random_range(0..4),
            orphan_budget: rng.random_range(0..4),
            max_fills: 1,
            keeps_all: rng.random_bool(0.5),
        };
        let mut claims = Claims::new(geometry, pace);
        let (mut queue, mut written) = (Vec::new(), HashSet::new());
        for slice in 0..SLICES {
            if rng.random_bool(0.2) {
                assert!(claims.restore(slice));
                queue.push(slice);
                written.insert(slice);
            }
        }
        let (viewers, runs) = (BTreeMap::new(), BTreeMap::new());
        Self { claims, viewers, runs, busy: HashSet::new(), queue, written, handles: 0, patient: false }
    }

    fn begin(&mut self, slices: Range<u32>, leader: ReaderId) {
        assert!(!slices.is_empty() && slices.end <= SLICES);
        for slice in slices.clone() {
            assert!(self.claims.is_free(slice), "{slice} is claimed, present or busy already");
        }
        self.handles += 1;
        let run = self.claims.begin(slices.clone(), slices.start, leader, self.handles);
        self.runs.insert(run, slices.start);
    }

    /// One look of a viewer at its slice; true if it got past it.
    fn view(&mut self, id: ReaderId, rng: &mut StdRng) -> bool {
        let Some(Viewer { at, end, .. }) = self.viewers.get(&id) else { return false };
        let (at, end) = (*at, *end);
        self.claims.enter(id, at);
        self.viewers.get_mut(&id).unwrap().pinned = Some(at);
        self.clear();
        let may_start = self.patient || rng.random_bool(0.7);
        let step = self.claims.step(id, || may_start);
        match step {
            Step::Present => {
                assert!(self.written.contains(&at), "{at} is served but was never written, or was punched");
                if at + 1 == end {
                    self.leave(id);
                } else {
                    self.viewers.get_mut(&id).unwrap().at += 1;
                }
                return true;
            }
            Step::Verify => {
                let good = rng.random_bool(0.8);
                assert!(matches!(self.claims.step(id, || true), Step::Busy), "one verifies, the others wait");
                self.claims.verified(at, good);
            }
            Step::Busy => assert!(self.busy.contains(&at), "{at} is busy but nobody works on it"),
            Step::Join(_) => {
                let run = self.claims.runs.iter().find(|run| run.from <= at && at < run.end).expect("a run to join");
                let is_near = at <= run.at + self.claims.pace.join_distance;
                assert!(is_near || !may_start, "waits behind a long transfer");
            }
            Step::Full => assert!(!may_start && self.claims.is_free(at), "waits in line for what it could have"),
            Step::Start(slices) => {
                assert!(may_start && slices.start == at && slices.end <= end.max(at + 1));
                self.begin(slices, id);
            }
        }
        if let Some(next) = self.claims.verify_ahead(id) {
            assert!(next > at && next < end && self.written.contains(&next));
            self.claims.verified(next, rng.random_bool(0.8));
        }
        if let Some(slices) = self.claims.ahead(id, || may_start) {
            assert!(slices.start > at && slices.end <= end);
            self.begin(slices, id);
        }
        false
    }

    /// A run writes one slice, or ends.
    fn write(&mut self, run: RunId) {
        let at = self.runs[&run];
        if at >= self.claims.reserve(run, at) {
            return self.finish(run);
        }
        self.written.insert(at);
        if self.claims.complete(run, at) {
            self.queue.push(at);
        }
        self.runs.insert(run, at + 1);
    }

    /// A reader has waited too long for a run's bytes.
    fn abandon(&mut self, run: RunId) {
        let handle = self.claims.runs.iter().find(|it| it.id == run).map(|run| run.handle).unwrap();
        assert_eq!(self.claims.abandon(|it| *it == handle, |_| true), []);
        assert_eq!(self.claims.abandon(|it| *it == handle, |_| false), [handle]);
        assert_eq!(self.claims.reserve(run, SLICES), 0, "its task may write nothing more");
        self.finish(run);
    }

    fn finish(&mut self, run: RunId) {
        self.runs.remove(&run);
        self.claims.finish(run);
        self.clear();
    }

    fn leave(&mut self, id: ReaderId) {
        self.claims.leave(id);
        self.viewers.remove(&id);
        self.clear();
    }

    fn clear(&mut self) {
        for slice in self.claims.take_litter() {
            let pinned = self.viewers.values().any(|viewer| viewer.pinned == Some(slice));
            assert!(!pinned && !self.claims.present.get(slice), "{slice} is cleared under a reader");
            self.written.remove(&slice);
            self.busy.insert(slice);
        }
    }

    fn evict(&mut self, at: usize) {
        let slice = self.queue[at];
        match self.claims.judge(slice) {
            Verdict::Spare => {}
            Verdict::Gone => drop(self.queue.swap_remove(at)),
            Verdict::Evict => {
                let pinned = self.viewers.values().any(|viewer| viewer.pinned == Some(slice));
                assert!(!pinned, "{slice} was evicted under a reader");
                self.queue.swap_remove(at);
                self.written.remove(&slice);
                self.busy.insert(slice);
            }
        }
    }

    fn settle(&mut self) {
        for slice in self.busy.drain() {
            self.claims.settle(slice);
        }
    }

    fn check(&self) {
        let claims = &self.claims;
        let (mut held, mut claimed) = (0, HashSet::new());
        for run in &claims.runs {
            for slice in run.from..run.end {
                assert!(claimed.insert(slice), "{slice} is claimed twice");
            }
        }
        for slice in 0..SLICES {
            assert_eq!(claims.claimed.get(slice), claimed.contains(&slice), "{slice}");
            assert!(!(claims.present.get(slice) && claims.claimed.get(slice)), "{slice} is present and claimed");
            let is_passing = claims.passing.contains(&slice);
            assert!(!is_passing || claims.present.get(slice), "{slice} passes but is not there");
            assert!(!claims.present.get(slice) || claims.queued.get(slice) || is_passing, "{slice} stays forever");
            let is_held = claims.present.get(slice) || claims.claimed.get(slice);
            held += if is_held { claims.weight(slice) } else { 0 };
        }
        assert_eq!(claims.charge(), held);
        assert_eq!(claims.runs.len(), self.runs.len());
        assert_eq!(
            claims.pins.values().sum::<u32>() as usize,
            self.viewers.values().filter(|it| it.pinned.is_some()).count()
        );
        let queued: HashSet<_> = self.queue.iter().collect();
        assert_eq!(queued.len(), self.queue.len(), "a slice is queued twice");
    }
}

fn play(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(&mut rng);
    for _ in 0..400 {
        let (viewers, runs): (Vec<_>, Vec<_>) =
            (world.viewers.keys().copied().collect(), world.runs.keys().copied().collect());
        match rng.random_range(0..20) {
            0..=2 => {
                let first = rng.random_range(0..SLICES);
                let end = rng.random_range(first + 1..=SLICES);
                let id = world.claims.join(first..end);
                world.viewers.insert(id, Viewer { at: first, end, pinned: None });
            }
            3..=9 if !viewers.is_empty() => {
                world.view(viewers[rng.random_range(0..viewers.len())], &mut rng);
            }
            10..=14 if !runs.is_empty() => world.write(runs[rng.random_range(0..runs.len())]),
            15 if !runs.is_empty() => {
                let run = runs[rng.random_range(0..runs.len())];
                if rng.random_bool(0.5) { world.finish(run) } else { world.abandon(run) }
            }
            16 | 17 if !world.queue.is_empty() => world.evict(rng.random_range(0..world.queue.len())),
            18 if rng.random_bool(0.5) => {
                let slice = rng.random_range(0..SLICES);
                if world.claims.admit(slice) {
                    world.queue.push(slice);
                }
            }
            18 => world.settle(),
            19 if !viewers.is_empty() => {
                let id = viewers[rng.random_range(0..viewers.len())];
                world.leave(id);
            }
            _ => {}
        }
        world.check();
    }
    // Nobody is forgotten: with disk and origin at work, and places for all, they get to their ends.
    world.patient = true;
    let mut rounds = 0;
    while !world.viewers.is_empty() || !world.runs.is_empty() {
        rounds += 1;
        assert!(rounds < 2_000, "stuck with {:?} and {:?}", world.viewers, world.claims.runs);
        world.settle();
        for id in world.viewers.keys().copied().collect::<Vec<_>>() {
            world.view(id, &mut rng);
        }
        for run in world.runs.keys().copied().collect::<Vec<_>>() {
            world.write(run);
        }
        world.check();
    }
    world.settle();
    assert!(world.claims.litter.is_empty(), "litter stays");
    assert!(world.claims.passing.is_empty(), "slices stay that were to pass");
    assert!(world.claims.pins.is_empty() && world.claims.runs.is_empty());
}

#[test]
fn holds_its_invariants_in_random_worlds() {
    if let Ok(seed) = std::env::var("STREAMVAULT_SEED") {
        return play(seed.parse().expect("a number"));
    }
    for _ in 0..500 {
        let seed = rand::random();
        let played = std::panic::catch_unwind(|| play(seed));
        assert!(played.is_ok(), "replay with STREAMVAULT_SEED={seed}");
    }
}
