//! A fixed set of bits, one per slice. Pure.

use std::ops::Range;

/// Bits addressed by slice number; numbers past the end read as unset and are never set. Up to 64 take no memory of their
/// own: of small media there may be very many.
#[derive(Clone, Debug)]
pub(crate) enum Bits {
    Few(u64),
    Many(Box<[u64]>),
}

impl Bits {
    pub(crate) fn new(len: u32) -> Self {
        if len <= 64 { Self::Few(0) } else { Self::Many(vec![0; (len as usize).div_ceil(64)].into_boxed_slice()) }
    }

    fn words(&self) -> &[u64] {
        match self {
            Self::Few(word) => std::slice::from_ref(word),
            Self::Many(words) => words,
        }
    }

    fn words_mut(&mut self) -> &mut [u64] {
        match self {
            Self::Few(word) => std::slice::from_mut(word),
            Self::Many(words) => words,
        }
    }

    pub(crate) fn get(&self, at: u32) -> bool {
        self.words().get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Sets or clears a bit and returns what it was.
    pub(crate) fn put(&mut self, at: u32, on: bool) -> bool {
        let Some(word) = self.words_mut().get_mut(at as usize / 64) else { return false };
        let mask = 1 << (at % 64);
        let was = *word & mask != 0;
        if on {
            *word |= mask;
        } else {
            *word &= !mask;
        }
        was
    }

    /// The first set bit at or behind `from`.
    pub(crate) fn next(&self, from: u32) -> Option<u32> {
        let first = from as usize / 64;
        let masked =
            |(at, word): (usize, &u64)| (at, if at == first { word & (u64::MAX << (from % 64)) } else { *word });
        let mut words = self.words().iter().enumerate().skip(first).map(masked);
        let (at, word) = words.find(|(_, word)| *word != 0)?;
        u32::try_from(at * 64).ok().map(|at| at + word.trailing_zeros())
    }

    /// True if all bits of the range are set. A word at a time: a long range is planned under a lock.
    pub(crate) fn all(&self, range: Range<u32>) -> bool {
        let mut at = range.start;
        while at < range.end {
            let (word, bit) = (at as usize / 64, at % 64);
            let len = (64 - bit).min(range.end - at);
            let mask = (u64::MAX >> (64 - len)) << bit;
            if self.words().get(word).is_none_or(|word| word & mask != mask) {
                return false;
            }
            at += len;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn next_agrees_with_a_look_at_each_bit() {
        let mut bits = Bits::new(300);
        for at in [0, 5, 63, 64, 200, 255, 256] {
            bits.put(at, true);
        }
        for from in 0..400 {
            assert_eq!(bits.next(from), (from..300).find(|&at| bits.get(at)), "from {from}");
        }
    }

    #[test]
    fn all_agrees_with_a_look_at_each_bit() {
        for hole in [0, 1, 63, 64, 65, 127, 128, 199] {
            let mut bits = Bits::new(200);
            (0..200).for_each(|at| assert!(!bits.put(at, at != hole)));
            for start in 0..200 {
                for end in start..=200 {
                    assert_eq!(bits.all(start..end), (start..end).all(|at| bits.get(at)), "{hole}: {start}..{end}");
                }
            }
        }
        assert!(!Bits::new(3).all(0..65), "past the end nothing is set");
    }
}
