//! Ranges cut at slice borders.

use crate::origin::ByteRange;

/// Size of a slice: a power of two from 64 KiB to 8 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SliceSize {
    shift: u32,
}

/// The number is no slice size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a slice is a power of two from 65536 to 8388608 bytes, not {0}")]
pub struct SliceSizeError(
    /// The number.
    pub u64,
);

impl Default for SliceSize {
    /// 1 MiB, the size of the chunks that Telegram gives.
    fn default() -> Self {
        Self { shift: 20 }
    }
}

impl SliceSize {
    /// The smallest size, 64 KiB.
    pub const MIN: Self = Self { shift: 16 };
    /// The largest size, 8 MiB.
    pub const MAX: Self = Self { shift: 23 };

    /// A size in bytes.
    ///
    /// # Errors
    /// [`SliceSizeError`] when it is no power of two or out of bounds.
    pub fn new(bytes: u64) -> Result<Self, SliceSizeError> {
        if bytes.is_power_of_two() && (Self::MIN.bytes()..=Self::MAX.bytes()).contains(&bytes) {
            Ok(Self { shift: bytes.trailing_zeros() })
        } else {
            Err(SliceSizeError(bytes))
        }
    }

    /// The size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        1 << self.shift
    }

    /// The slice that holds the byte at `offset`.
    #[must_use]
    pub fn index_of(self, offset: u64) -> u64 {
        offset >> self.shift
    }

    /// How many slices a media of `size` bytes has; the last one may be short.
    #[must_use]
    pub fn count(self, size: u64) -> u64 {
        size.div_ceil(self.bytes())
    }

    /// The bytes of slice `index` of a media of `size` bytes; `None` past the end.
    #[must_use]
    pub fn slice(self, index: u64, size: u64) -> Option<ByteRange> {
        let start = index.checked_mul(self.bytes()).filter(|start| *start < size)?;
        Some(ByteRange { start, end: start.saturating_add(self.bytes()).min(size) })
    }

    /// Cuts a range at slice borders. The parts come in order and cover exactly the range.
    #[must_use]
    pub fn split(self, range: ByteRange) -> Slices {
        Slices { size: self, rest: range }
    }
}

/// The part of a range that lies in one slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlicePart {
    /// Which slice.
    pub index: u64,
    /// Bytes of the slice before the part.
    pub skip: u32,
    /// Bytes in the part, 1 or more.
    pub len: u32,
}

/// Iterator over the parts of a range, first to last.
#[derive(Clone, Debug)]
pub struct Slices {
    size: SliceSize,
    rest: ByteRange,
}

impl Iterator for Slices {
    type Item = SlicePart;

    fn next(&mut self) -> Option<SlicePart> {
        if self.rest.is_empty() {
            return None;
        }
        let index = self.size.index_of(self.rest.start);
        let skip = self.rest.start & (self.size.bytes() - 1);
        let len = (self.size.bytes() - skip).min(self.rest.len());
        self.rest.start += len;
        // Both are at most 8 MiB.
        Some(SlicePart { index, skip: u32::try_from(skip).ok()?, len: u32::try_from(len).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::{SliceSize, SliceSizeError};
    use crate::origin::ByteRange;

    #[test]
    fn only_powers_of_two_in_bounds() {
        for bytes in [65_536, 1 << 20, 8 << 20] {
            assert_eq!(SliceSize::new(bytes).map(SliceSize::bytes), Ok(bytes));
        }
        for bytes in [0, 1, 32_768, 65_537, 100_000, 16 << 20, u64::MAX, 1 << 63] {
            assert_eq!(SliceSize::new(bytes), Err(SliceSizeError(bytes)));
        }
        assert_eq!(SliceSize::default().bytes(), 1 << 20);
    }

    #[test]
    fn slices_of_a_media() {
        let size = SliceSize::MIN;
        let range = |start, end| Some(ByteRange { start, end });
        for (media, count) in [(0, 0), (1, 1), (65_536, 1), (65_537, 2), (u64::MAX, 1 << 48)] {
            assert_eq!(size.count(media), count, "{media}");
        }
        assert_eq!(size.slice(0, 0), None);
        assert_eq!(size.slice(1, 65_537), range(65_536, 65_537));
        assert_eq!(size.slice(2, 65_537), None);
        assert_eq!(size.slice(u64::MAX, u64::MAX), None);
        assert_eq!(size.slice((1 << 48) - 1, u64::MAX), range(u64::MAX - 65_535, u64::MAX));
    }
}
