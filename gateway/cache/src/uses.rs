//! How often slices were asked for of late: a count-min sketch that never says less than it was. Pure.

/// Rows, each with a hash of its own; the least of them counts.
const ROWS: usize = 4;
/// Counters of a row: 1 MiB in all, good for some hundred thousand slices.
const WIDTH: usize = 1 << 18;
/// After so many requests all counts are halved: what nobody asks for any more is forgotten.
const AGE: u32 = 4 * WIDTH as u32;
/// Odd, and far from each other.
const FACTORS: [u64; ROWS] =
    [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0xd6e8_feb8_6659_fd93];

/// See the module.
pub(crate) struct Uses {
    counts: Box<[u8]>,
    noted: u32,
}

impl Uses {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; ROWS * WIDTH].into_boxed_slice(), noted: 0 }
    }

    /// Counts a request and returns how many there were, this one included; 255 stands for more. `key` is a good hash.
    pub(crate) fn note(&mut self, key: u64) -> u8 {
        self.noted += 1;
        if self.noted >= AGE {
            self.noted /= 2;
            self.counts.iter_mut().for_each(|count| *count /= 2);
        }
        let bits = WIDTH.trailing_zeros();
        let places = FACTORS.map(|factor| usize::try_from(key.wrapping_mul(factor) >> (64 - bits)).unwrap_or(0));
        let rows = || self.counts.chunks_exact(WIDTH).zip(places);
        let count = rows().filter_map(|(row, at)| row.get(at)).min().map_or(0, |least| least.saturating_add(1));
        // Only the least are raised: others count somebody else's requests too.
        for (row, at) in self.counts.chunks_exact_mut(WIDTH).zip(places) {
            if let Some(place) = row.get_mut(at) {
                *place = (*place).max(count);
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::{AGE, Uses};
    use xxhash_rust::xxh3::xxh3_64;

    #[test]
    fn requests_are_counted_and_forgotten() {
        let key = |n: u32| xxh3_64(&n.to_le_bytes());
        let mut uses = Uses::new();
        for n in 0..20_000 {
            assert_eq!(uses.note(key(n)), 1, "slice {n}");
        }
        assert_eq!((uses.note(key(7)), uses.note(key(7))), (2, 3));
        // A scan of ever new slices.
        let mut wrong = 0;
        for n in 20_000..3 * AGE {
            wrong += u32::from(uses.note(key(n)) > 20);
        }
        assert!(wrong == 0, "{wrong} slices seem to be popular");
        for _ in 0..300 {
            uses.note(key(9));
        }
        assert_eq!(uses.note(key(9)), 255);
    }
}
