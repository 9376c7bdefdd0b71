//! Folds an SQLite write-ahead journal into the database's image, as SQLite would on opening both, but in memory: the files of
//! another program are not touched, and no copy of somebody's keys lands in a temporary folder.
//!
//! The layout is <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>: a header of 32 bytes, then frames of a header of 24
//! bytes and a page. A frame counts if its salts are the header's, the running checksum is right up to it, and a frame that
//! commits comes at it or after it.

use secrecy::zeroize::Zeroizing;

const HEADER: usize = 32;
const FRAME: usize = 24;
const MAGIC: u32 = 0x377f_0682;

/// Returns what the database is with its journal. A journal that isn't one, or begins with garbage, changes nothing.
pub(crate) fn fold(image: Vec<u8>, journal: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut image = Zeroizing::new(image);
    if let Some(frames) = Frames::read(journal)
        && page_size(&image) == Some(frames.page_size)
    {
        frames.apply(&mut image);
    }
    // A database that says it has a journal can't be opened from memory.
    if let Some(versions) = image.get_mut(18..20) {
        versions.fill(1);
    }
    image
}

/// Bytes of the database's pages; 1 stands for 65536.
pub(crate) fn page_size(image: &[u8]) -> Option<usize> {
    let bytes: [u8; 2] = image.get(16..18)?.try_into().ok()?;
    Some(match u16::from_be_bytes(bytes) {
        1 => 65536,
        size => usize::from(size),
    })
}

struct Frames<'a> {
    page_size: usize,
    little_endian: bool,
    salts: &'a [u8],
    sums: (u32, u32),
    frames: &'a [u8],
}

impl<'a> Frames<'a> {
    fn read(journal: &'a [u8]) -> Option<Self> {
        let (header, frames) = journal.split_at_checked(HEADER)?;
        let magic = word(header, 0)?;
        if magic & !1 != MAGIC {
            return None;
        }
        let little_endian = magic & 1 == 0;
        let page_size = usize::try_from(word(header, 8)?).ok()?;
        if !(512..=65536).contains(&page_size) || !page_size.is_power_of_two() {
            return None;
        }
        let sums = sum((0, 0), header.get(..24)?, little_endian);
        let stored = (word(header, 24)?, word(header, 28)?);
        (sums == stored).then_some(Self { page_size, little_endian, salts: header.get(16..24)?, sums, frames })
    }

    /// The last commit alone says how large the database is: a journal in which the sizes of earlier ones go up and down costs no more
    /// than another.
    fn apply(&self, image: &mut Vec<u8>) {
        // A page that is new to the database has a frame: a journal that asks for more is made up.
        let most = (image.len() / self.page_size).saturating_add(self.frames.len() / (FRAME + self.page_size));
        let (pages, frames) = self.committed(most);
        if pages == 0 {
            return;
        }
        image.resize(pages * self.page_size, 0);
        for (index, page) in frames.into_iter().filter(|(index, _)| *index < pages) {
            image[index * self.page_size..][..self.page_size].copy_from_slice(page);
        }
    }

    /// The database's pages after the last commit, and the frames up to it, each with the index of its page. No pages if nothing was
    /// ever committed.
    fn committed(&self, most: usize) -> (usize, Vec<(usize, &'a [u8])>) {
        let mut sums = self.sums;
        let (mut frames, mut committed) = (Vec::new(), (0, 0));
        for frame in self.frames.chunks_exact(FRAME + self.page_size) {
            let (header, page) = frame.split_at(FRAME);
            let (Some(number), Some(pages)) = (word(header, 0), word(header, 4)) else { break };
            sums = sum(sum(sums, &header[..8], self.little_endian), page, self.little_endian);
            let stored = (word(header, 16), word(header, 20));
            if header[8..16] != *self.salts || stored != (Some(sums.0), Some(sums.1)) {
                break;
            }
            let Some(index) = usize::try_from(number).ok().and_then(|number| number.checked_sub(1)) else { break };
            let Some(pages) = usize::try_from(pages).ok().filter(|pages| *pages <= most) else { break };
            frames.push((index, page));
            if pages > 0 {
                committed = (pages, frames.len());
            }
        }
        let (pages, count) = committed;
        frames.truncate(count);
        (pages, frames)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// The running checksum; `bytes` are a multiple of eight.
fn sum((mut one, mut two): (u32, u32), bytes: &[u8], little_endian: bool) -> (u32, u32) {
    for pair in bytes.chunks_exact(8) {
        let [a, b, c, d, e, f, g, h] = *pair else { continue };
        let (x, y) = if little_endian {
            (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
        } else {
            (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
        };
        one = one.wrapping_add(x).wrapping_add(two);
        two = two.wrapping_add(y).wrapping_add(one);
    }
    (one, two)
}
