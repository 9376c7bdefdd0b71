//! A fixed set of bits, one per slice. Pure.

/// Bits addressed by slice number; numbers past the end read as unset and are never set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    words: Box<[u64]>,
}

impl Bits {
    pub(crate) fn new(len: u32) -> Self {
        Self { words: vec![0; (len as usize).div_ceil(64)].into_boxed_slice() }
    }

    pub(crate) fn get(&self, at: u32) -> bool {
        self.words.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Sets or clears a bit and returns what it was.
    pub(crate) fn put(&mut self, at: u32, on: bool) -> bool {
        let Some(word) = self.words.get_mut(at as usize / 64) else { return false };
        let mask = 1 << (at % 64);
        let was = *word & mask != 0;
        if on {
            *word |= mask;
        } else {
            *word &= !mask;
        }
        was
    }
}
