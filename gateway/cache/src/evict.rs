//! Which slice goes first when room is needed: SIEVE. Pure: no clock, no disk.
//!
//! A queue in order of arrival and a hand that moves from old to new. What was read again since the hand last came by is
//! spared once; the first that wasn't goes. Nothing moves on a hit, so a hit costs one bit and not a lock on the queue,
//! and a film watched once end to end doesn't push out what many people watch. The bits live with the media (`claims.rs`);
//! an entry here is 16 bytes.

const NONE: u32 = u32::MAX;

/// A slice of a registered version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Registration number of the media version.
    pub(crate) version: u32,
    /// Slice number.
    pub(crate) slice: u32,
}

/// What the owner of a slice says when the hand points at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Unused: take it.
    Evict,
    /// Read lately, or being read: pass on.
    Spare,
    /// Not on disk any more: forget the entry.
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    key: Key,
    newer: u32,
    older: u32,
}

/// The queue and its hand.
#[derive(Debug)]
pub(crate) struct Sieve {
    nodes: Vec<Node>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    hand: u32,
}

impl Sieve {
    pub(crate) fn new() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), newest: NONE, oldest: NONE, hand: NONE }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Adds a slice as the newest. The caller adds no key twice.
    pub(crate) fn insert(&mut self, key: Key) {
        let node = Node { key, newer: NONE, older: self.newest };
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
            }
        };
        match self.newest {
            NONE => self.oldest = at,
            newest => self.nodes[newest as usize].newer = at,
        }
        self.newest = at;
    }

    /// Moves the hand until a slice may go. `None`: two whole rounds found nothing, all is in use.
    pub(crate) fn evict(&mut self, mut judge: impl FnMut(Key) -> Verdict) -> Option<Key> {
        // The first round may only clear marks; a second one finds what they hid.
        for _ in 0..=2 * self.len() {
            let at = if self.hand == NONE { self.oldest } else { self.hand };
            if at == NONE {
                return None;
            }
            let Node { key, newer, .. } = self.nodes[at as usize];
            let verdict = judge(key);
            self.hand = newer;
            if verdict != Verdict::Spare {
                self.unlink(at);
            }
            if verdict == Verdict::Evict {
                return Some(key);
            }
        }
        None
    }

    /// Drops the entries that `keep` refuses.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Key) -> bool) {
        let mut at = self.oldest;
        while at != NONE {
            let Node { key, newer, .. } = self.nodes[at as usize];
            if !keep(key) {
                self.unlink(at);
            }
            at = newer;
        }
    }

    fn unlink(&mut self, at: u32) {
        let Node { newer, older, .. } = self.nodes[at as usize];
        match newer {
            NONE => self.newest = older,
            newer => self.nodes[newer as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => self.nodes[older as usize].newer = newer,
        }
        if self.hand == at {
            self.hand = newer;
        }
        self.free.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Sieve, Verdict};
    use proptest::prelude::{ProptestConfig, prop, prop_oneof, proptest};
    use proptest::strategy::{Just, Strategy};
    use std::collections::{BTreeMap, HashMap, HashSet};

    /// SIEVE spelled out over a plain list, oldest first.
    #[derive(Default)]
    struct Model {
        queue: Vec<(Key, bool)>,
        hand: Option<Key>,
    }

    impl Model {
        fn evict(&mut self, pinned: &HashSet<Key>) -> Option<Key> {
            for _ in 0..=2 * self.queue.len() {
                if self.queue.is_empty() {
                    return None;
                }
                let at = self.hand.and_then(|hand| self.queue.iter().position(|e| e.0 == hand)).unwrap_or(0);
                self.hand = self.queue.get(at + 1).map(|e| e.0);
                let (key, visited) = self.queue[at];
                if pinned.contains(&key) {
                    continue;
                }
                if visited {
                    self.queue[at].1 = false;
                    continue;
                }
                self.queue.remove(at);
                return Some(key);
            }
            None
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Insert,
        Visit(usize),
        Pin(usize),
        Unpin,
        Evict,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        prop::collection::vec(
            prop_oneof![
                4 => Just(Act::Insert),
                4 => (0usize..64).prop_map(Act::Visit),
                1 => (0usize..64).prop_map(Act::Pin),
                1 => Just(Act::Unpin),
                3 => Just(Act::Evict),
            ],
            0..300,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn evicts_what_the_model_evicts(acts in acts()) {
            let (mut sieve, mut model) = (Sieve::new(), Model::default());
            let (mut visited, mut pinned) = (HashSet::new(), HashSet::new());
            for (n, act) in acts.into_iter().enumerate() {
                let pick = |i: usize, m: &Model| m.queue.get(i % m.queue.len().max(1)).map(|e| e.0);
                match act {
                    Act::Insert => {
                        let key = Key { version: u32::try_from(n % 7).unwrap(), slice: u32::try_from(n).unwrap() };
                        sieve.insert(key);
                        model.queue.push((key, false));
                    }
                    Act::Visit(i) => if let Some(key) = pick(i, &model) {
                        visited.insert(key);
                        model.queue.iter_mut().filter(|e| e.0 == key).for_each(|e| e.1 = true);
                    },
                    Act::Pin(i) => if let Some(key) = pick(i, &model) { pinned.insert(key); },
                    Act::Unpin => pinned.clear(),
                    Act::Evict => {
                        let got = sieve.evict(|key| {
                            let spare = pinned.contains(&key) || visited.remove(&key);
                            if spare { Verdict::Spare } else { Verdict::Evict }
                        });
                        assert_eq!(got, model.evict(&pinned));
                        assert!(got.is_none_or(|key| !pinned.contains(&key)));
                    }
                }
                assert_eq!(sieve.len(), model.queue.len());
            }
            sieve.retain(|key| key.version != 3);
            model.queue.retain(|e| e.0.version != 3);
            assert_eq!(sieve.len(), model.queue.len());
        }
    }

    #[test]
    fn forgets_entries_that_are_gone_and_goes_on() {
        let mut sieve = Sieve::new();
        (0..4).for_each(|slice| sieve.insert(Key { version: 0, slice }));
        let got = sieve.evict(|key| if key.slice < 2 { Verdict::Gone } else { Verdict::Evict });
        assert_eq!(got, Some(Key { version: 0, slice: 2 }));
        assert_eq!(sieve.len(), 1);
    }

    #[test]
    fn gives_up_when_all_is_in_use() {
        let mut sieve = Sieve::new();
        (0..4).for_each(|slice| sieve.insert(Key { version: 0, slice }));
        assert_eq!(sieve.evict(|_| Verdict::Spare), None);
        assert_eq!(sieve.len(), 4);
    }

    /// What a policy makes of a trace: reads that found their slice.
    fn sieve_hits(trace: &[u32], room: usize) -> usize {
        let (mut sieve, mut held, mut hits) = (Sieve::new(), HashMap::<u32, bool>::new(), 0);
        for &slice in trace {
            if let Some(visited) = held.get_mut(&slice) {
                *visited = true;
                hits += 1;
                continue;
            }
            if held.len() == room {
                let gone = sieve.evict(|key| {
                    let visited = held.get_mut(&key.slice).unwrap();
                    if std::mem::take(visited) { Verdict::Spare } else { Verdict::Evict }
                });
                held.remove(&gone.unwrap().slice);
            }
            sieve.insert(Key { version: 0, slice });
            held.insert(slice, false);
        }
        hits
    }

    fn lru_hits(trace: &[u32], room: usize) -> usize {
        let (mut used, mut order, mut hits) = (HashMap::new(), BTreeMap::new(), 0);
        for (now, &slice) in trace.iter().enumerate() {
            match used.insert(slice, now) {
                Some(before) => {
                    order.remove(&before);
                    hits += 1;
                }
                None if order.len() == room => {
                    let (_, oldest) = order.pop_first().unwrap();
                    used.remove(&oldest);
                }
                None => {}
            }
            order.insert(now, slice);
        }
        hits
    }

    /// Numbers that look random and are the same in each run.
    fn draw(state: &mut u64) -> f64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Slices that some people read again and again, the first ones most (Zipf), beside films that one person watches once.
    fn mixed(reads: u32, popular: u32, scans: f64) -> Vec<u32> {
        let (mut state, mut film) = (7, popular);
        (0..reads)
            .map(|_| {
                if draw(&mut state) < scans {
                    film += 1;
                    return film;
                }
                let rank = f64::from(popular).powf(draw(&mut state)).floor();
                rank as u32 - 1
            })
            .collect()
    }

    #[test]
    fn what_is_watched_once_costs_less_than_with_lru() {
        // Room for a tenth of what is popular. Share of reads that are of films watched once; hits of SIEVE less those of LRU, at
        // least, in percent of all reads.
        for (scans, gain) in [(0.0, 1.0), (0.3, 3.0), (0.6, 3.0), (0.9, 0.9)] {
            let trace = mixed(200_000, 10_000, scans);
            let percent = |hits: usize| hits as f64 * 100.0 / trace.len() as f64;
            let (sieve, lru) = (percent(sieve_hits(&trace, 1_000)), percent(lru_hits(&trace, 1_000)));
            println!("{scans}: SIEVE {sieve:.1} %, LRU {lru:.1} %");
            assert!(sieve - lru >= gain, "{scans}: SIEVE {sieve:.1} %, LRU {lru:.1} %");
        }
    }

    #[test]
    fn one_long_film_leaves_the_popular_slices_alone() {
        let popular: Vec<u32> = (0..500).collect();
        let film: Vec<u32> = (1_000..11_000).collect();
        // Read twice, then a film ten times the room, then once more.
        let trace = [&popular[..], &popular, &film, &popular].concat();
        assert_eq!(sieve_hits(&trace, 1_000), 500 + 500, "the film went past them");
        assert_eq!(lru_hits(&trace, 1_000), 500, "the film took their place");
    }
}
