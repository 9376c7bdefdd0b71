//! The line of those who wait for a place. Pure.

use std::collections::VecDeque;

/// First come, first served; streams that run already, and lost their place, before those that have not begun.
#[derive(Debug)]
pub(crate) struct Line<T> {
    waiters: VecDeque<(u64, bool, T)>,
    next: u64,
    most: usize,
}

impl<T> Line<T> {
    /// For at most so many that have not begun. Those that run already are bounded by the caps.
    pub(crate) fn new(most: usize) -> Self {
        Self { waiters: VecDeque::new(), next: 0, most }
    }

    /// Joins; the number leaves it again. `None` when the line is too long.
    pub(crate) fn join(&mut self, running: bool, waiter: T) -> Option<u64> {
        let at = if running {
            self.waiters.iter().take_while(|(_, running, _)| *running).count()
        } else if self.waiters.iter().filter(|(_, running, _)| !running).count() < self.most {
            self.waiters.len()
        } else {
            return None;
        };
        let number = self.next;
        self.next += 1;
        self.waiters.insert(at, (number, running, waiter));
        Some(number)
    }

    pub(crate) fn leave(&mut self, number: u64) {
        self.waiters.retain(|(known, ..)| *known != number);
    }

    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Waiters in front of this one.
    pub(crate) fn ahead_of(&self, number: u64) -> usize {
        self.waiters.iter().take_while(|(known, ..)| *known != number).count()
    }

    /// In order: takes out those for whom `serve` has something, which is returned with them.
    pub(crate) fn serve<R>(&mut self, mut serve: impl FnMut(&T) -> Option<R>) -> Vec<(T, R)> {
        let mut served = Vec::new();
        let mut left = VecDeque::with_capacity(self.waiters.len());
        for (number, running, waiter) in self.waiters.drain(..) {
            match serve(&waiter) {
                Some(result) => served.push((waiter, result)),
                None => left.push_back((number, running, waiter)),
            }
        }
        self.waiters = left;
        served
    }
}

#[cfg(test)]
mod tests {
    use super::Line;
    use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

    #[test]
    fn running_ones_come_first_and_newcomers_are_bounded() {
        let mut line = Line::new(2);
        let first = line.join(false, 'a').unwrap();
        line.join(false, 'b').unwrap();
        assert_eq!(line.join(false, 'c'), None);
        let running = line.join(true, 'r').unwrap();
        line.join(true, 's').unwrap();
        assert_eq!((line.ahead_of(running), line.ahead_of(first), line.len()), (0, 2, 4));
        let order: String = line.serve(|_| Some(())).into_iter().map(|(waiter, ())| waiter).collect();
        assert_eq!(order, "rsab");
        assert!(line.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn each_waiter_is_served_once_in_order_or_leaves(steps in proptest::collection::vec((any::<bool>(), 0_u8..4), 0..100)) {
            let mut line = Line::new(10);
            let (mut waiting, mut served): (Vec<(u64, bool)>, Vec<u64>) = (Vec::new(), Vec::new());
            for (step, (running, what)) in steps.into_iter().enumerate() {
                if what < 2 {
                    let step = u64::try_from(step).unwrap();
                    if let Some(number) = line.join(running, step) {
                        waiting.push((number, running));
                    }
                } else if what == 2 && !waiting.is_empty() {
                    line.leave(waiting.remove(step % waiting.len()).0);
                } else {
                    let mut one = Some(());
                    let got = line.serve(|_| one.take());
                    prop_assert_eq!(got.len(), usize::from(!waiting.is_empty()));
                    if let Some(at) = waiting.iter().position(|(_, running)| *running).or((!waiting.is_empty()).then_some(0)) {
                        served.push(waiting.remove(at).0);
                    }
                }
                prop_assert_eq!(line.len(), waiting.len());
                prop_assert!(waiting.iter().filter(|(_, running)| !running).count() <= 10);
            }
        }
    }
}
