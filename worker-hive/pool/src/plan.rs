//! Which chunks cover a range. Pure.

/// One MiB: Telegram gives no chunk that crosses a multiple of it.
const BLOCK: u64 = 1024 * 1024;
/// Finest unit of offsets and lengths that Telegram takes.
const GRAIN: u64 = 1024;

/// One request for bytes, and the part of its answer that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// First byte to ask for, a multiple of 1 KiB.
    pub(crate) offset: u64,
    /// Bytes to ask for, a multiple of 1 KiB; the document may end before.
    pub(crate) limit: u32,
    /// Leading bytes of the answer that nobody asked for; below 1 KiB.
    pub(crate) skip: u32,
    /// Bytes of the answer wanted after `skip`, at least 1.
    pub(crate) take: u32,
}

impl Chunk {
    /// Bytes that the answer must have, for a document of `size` bytes.
    #[must_use]
    pub(crate) fn expected(&self, size: u64) -> usize {
        usize::try_from(size.saturating_sub(self.offset).min(u64::from(self.limit))).unwrap_or(usize::MAX)
    }
}

/// Cuts `start..end` into chunks, in order, that touch without overlapping.
///
/// All cuts but two lie on multiples of `chunk`: the first is small, so that a seek is answered after one short transfer, and the
/// last ends with the range. Equal ranges give equal chunks, and no byte is asked for twice.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    next: u64,
    end: u64,
    chunk: u64,
    head: Option<u64>,
}

impl Plan {
    /// Plans `start..end`. `chunk` is the grid and `head` the size of the first chunk, both in bytes; they are rounded to what
    /// Telegram takes: a power of two from 4 KiB to 512 KiB, and multiples of 1 KiB up to it.
    #[must_use]
    pub(crate) fn new(start: u64, end: u64, chunk: u32, head: u32) -> Self {
        let chunk = u64::from(chunk).clamp(4096, u64::from(mtproto::MAX_CHUNK));
        let chunk = if chunk.is_power_of_two() { chunk } else { chunk.next_power_of_two() / 2 };
        let head = u64::from(head).div_ceil(GRAIN).max(1) * GRAIN;
        Self { next: start, end, chunk, head: Some(head) }
    }
}

impl Iterator for Plan {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        if self.next >= self.end {
            return None;
        }
        let offset = self.next / GRAIN * GRAIN;
        let cell_end = (self.next / self.chunk + 1) * self.chunk;
        let wanted = cell_end.min(self.end);
        let mut stop = wanted.div_ceil(GRAIN) * GRAIN;
        // A head that would leave only crumbs of its cell is not worth another request.
        if let Some(head) = self.head.take().filter(|head| stop - offset >= head.saturating_mul(2)) {
            stop = offset + head;
        }
        debug_assert!(offset / BLOCK == (stop - 1) / BLOCK);
        let last = stop.min(self.end);
        let chunk = Chunk {
            offset,
            limit: u32::try_from(stop - offset).unwrap_or(mtproto::MAX_CHUNK),
            skip: u32::try_from(self.next - offset).unwrap_or(0),
            take: u32::try_from(last - self.next).unwrap_or(mtproto::MAX_CHUNK),
        };
        self.next = last;
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Chunk, Plan};
    use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};

    const KIB: u32 = 1024;

    fn shape(start: u64, end: u64) -> Vec<(u64, u32, u32, u32)> {
        let of = |c: Chunk| (c.offset, c.limit, c.skip, c.take);
        Plan::new(start, end, 512 * KIB, 64 * KIB).map(of).collect()
    }

    #[test]
    fn known_shapes() {
        assert_eq!(shape(0, 0), vec![]);
        assert_eq!(shape(0, 1), vec![(0, 1024, 0, 1)]);
        assert_eq!(shape(1000, 1100), vec![(0, 2048, 1000, 100)]);
        assert_eq!(shape(0, 100 * 1024), vec![(0, 100 * KIB, 0, 100 * KIB)]);
        assert_eq!(
            shape(0, BLOCK),
            vec![(0, 65_536, 0, 65_536), (65_536, 458_752, 0, 458_752), (524_288, 524_288, 0, 524_288)]
        );
        assert_eq!(shape(524_287, 524_289), vec![(523_264, 1024, 1023, 1), (524_288, 1024, 0, 1)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn every_byte_is_asked_for_once_and_within_telegrams_rules(
            start in 0_u64..6_000_000_000, length in 0_u64..9_000_000, chunk in 1_u32..2_000_000, head in 0_u32..700_000,
        ) {
            let end = start + length;
            let (mut at, mut asked) = (start, None);
            for chunk in Plan::new(start, end, chunk, head) {
                prop_assert_eq!(chunk.offset + u64::from(chunk.skip), at);
                prop_assert!(chunk.take > 0 && chunk.limit > 0 && chunk.limit <= mtproto::MAX_CHUNK && chunk.skip < KIB);
                prop_assert!(chunk.offset % 1024 == 0 && chunk.limit % KIB == 0);
                prop_assert_eq!(chunk.offset / BLOCK, (chunk.offset + u64::from(chunk.limit) - 1) / BLOCK);
                prop_assert!(chunk.skip + chunk.take <= chunk.limit);
                prop_assert!(asked.is_none_or(|asked| asked == chunk.offset), "touches the chunk before");
                asked = Some(chunk.offset + u64::from(chunk.limit));
                at += u64::from(chunk.take);
            }
            prop_assert_eq!(at, end);
        }
    }
}
