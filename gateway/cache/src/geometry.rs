//! Slice arithmetic of one media: which bytes a slice covers. Pure.

use slice::ByteRange;
use std::ops::Range;

/// More slices than this are refused: a garbled size from an origin must not become a bitmap of gigabytes.
const MAX_SLICES: u64 = 1 << 24;

/// Size of a media and of its slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    size: u64,
    shift: u32,
}

impl Geometry {
    /// `slice_size` is a power of two, checked with the configuration. `None`: more slices than any real media has.
    pub(crate) fn new(size: u64, slice_size: u32) -> Option<Self> {
        let shift = slice_size.trailing_zeros();
        (size.div_ceil(u64::from(slice_size)) <= MAX_SLICES).then_some(Self { size, shift })
    }

    pub(crate) fn size(self) -> u64 {
        self.size
    }

    pub(crate) fn slice_size(self) -> u32 {
        1 << self.shift
    }

    pub(crate) fn slices(self) -> u32 {
        index(self.size.div_ceil(u64::from(self.slice_size())))
    }

    /// The slice that byte `pos` lies in.
    pub(crate) fn slice_of(self, pos: u64) -> u32 {
        index(pos >> self.shift)
    }

    /// First byte of a slice.
    pub(crate) fn start(self, slice: u32) -> u64 {
        u64::from(slice) << self.shift
    }

    /// One past the last byte of a slice; the last slice is cut by the media's end.
    pub(crate) fn end(self, slice: u32) -> u64 {
        (self.start(slice) + u64::from(self.slice_size())).min(self.size)
    }

    /// The bytes of slice `slice`, for a `usize` length.
    pub(crate) fn len(self, slice: u32) -> usize {
        usize::try_from(self.end(slice) - self.start(slice)).unwrap_or(usize::MAX)
    }

    /// The slices that `range` touches.
    pub(crate) fn cover(self, range: ByteRange) -> Range<u32> {
        if range.is_empty() { 0..0 } else { self.slice_of(range.start)..self.slice_of(range.end - 1) + 1 }
    }

    /// The bytes of a stretch of slices, cut by the media's end.
    pub(crate) fn bytes(self, slices: &Range<u32>) -> ByteRange {
        ByteRange { start: self.start(slices.start), end: self.start(slices.end).min(self.size) }
    }
}

/// Slice counts are bounded by `MAX_SLICES`, so this never saturates for positions inside the media.
fn index(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{ByteRange, Geometry};

    #[test]
    fn the_last_slice_is_cut_by_the_media() {
        for (size, slices, last) in [(0, 0, 0), (1, 1, 1), (65_536, 1, 65_536), (65_537, 2, 1), (200_000, 4, 3_392)] {
            let g = Geometry::new(size, 65_536).unwrap();
            assert_eq!(g.slices(), slices, "size {size}");
            if slices > 0 {
                assert_eq!(g.len(slices - 1), last, "size {size}");
                assert_eq!(g.end(slices - 1), size);
            }
        }
    }

    #[test]
    fn a_range_is_covered_exactly() {
        let g = Geometry::new(10 * 65_536, 65_536).unwrap();
        assert_eq!(g.cover(ByteRange { start: 65_535, end: 65_537 }), 0..2);
        assert_eq!(g.cover(ByteRange { start: 65_536, end: 131_072 }), 1..2);
        assert_eq!(g.cover(ByteRange { start: 5, end: 5 }), 0..0);
    }

    #[test]
    fn an_absurd_size_is_refused() {
        assert_eq!(Geometry::new(u64::MAX, 1 << 20), None);
    }
}
