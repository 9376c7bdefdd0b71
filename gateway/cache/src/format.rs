//! The sidecar: what a version is, and which of its slices are on disk. Pure.
//!
//! Beside each extent file `<hash>-<incarnation>.data`, which holds slice `i` at byte `i * slice size` and holes for
//! what is missing, lies `<hash>-<incarnation>.meta`. All numbers are little-endian:
//!
//! ```text
//!    0  magic, "svslice\n"
//!    8  u32 format version, 1
//!   12  u32 slice size
//!   16  u64 media size
//!   24  i64 chat id, 0 for a virtual file
//!   32  i32 message id, 0 for a virtual file
//!   36  u32 flags: 1 last modified is known, 2 a file name is known
//!   40  u64 last modified, Unix seconds
//!   48  u64 incarnation, as in the file's name
//!   56  u16 length of the ETag, u16 of the content type, u16 of the file name, u16 of the slug, 0 for a message
//!   64  these four texts, one after the other; zeros
//! 4088  u64 xxh3-64 of bytes 0..4088
//! 4096  one record of 16 bytes for each slice: u64 xxh3-64 of its bytes, u64 seal
//! ```
//!
//! A slice is on disk exactly if its record's seal is `xxh3-64(checksum, slice number; seed incarnation)`. Record and
//! presence are one aligned write of 16 bytes, where a bitmap beside the checksums would be two, and share its bytes with
//! other slices: a torn, stray or flipped record is no presence at all, and no two writers meet in one byte.
//!
//! Why this survives `kill -9` at any instant: a fill writes the whole slice, then its record. An eviction zeroes the
//! record, then punches the hole. What the kernel has taken outlives the process, so a sealed record always has its bytes.
//! A purge deletes the sidecar, then the extent file; when it is acknowledged, both names are gone for every process to come.
//!
//! What a power cut leaves: of what the kernel had not written yet, anything, sector by sector and name by name. Order is no
//! help against that without waiting for the device at each slice, which no viewer would like; so order is not what bytes are
//! believed for. A record may be there without its bytes, or bytes that were punched: a slice's checksum is verified
//! before the first read after a start. A header may be torn: it has a checksum of its own. What order and waiting are for is that
//! nothing is lost: every `sync_interval`, `sync` brings what was committed since the last time to the device, first a
//! version's bytes, then the records that vouch for them (the other way round, a cut in between would leave records of nothing,
//! each a false alarm of a bad disk), then the folders that the files' names are in. Slices and purges that a finished pass covered
//! survive a power cut. A purge that none has covered may be undone by one.
//!
//! A slice's checksum is verified again whenever bytes of it have left memory and would come from the device; a
//! mismatch is a miss. Reads from memory cost no check. Two things can't be caught: bytes of a slice that is not yet whole
//! and has no checksum, and, where the file system can't say what is in memory (no `RWF_NOWAIT`), what rots between a slice's
//! first read after a start and the next start. The header is written whole to `.tmp` and renamed,
//! and checked by its own checksum. A file name that doesn't fit is left out: the origin is asked for it anyway. The chats of a virtual
//! file are not here for the same reason: rights are judged by what the origin says now.

use crate::geometry::Geometry;
use slice::{ETag, MediaId, MediaMeta, Slug};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const MAGIC: &[u8; 8] = b"svslice\n";
const VERSION: u32 = 1;
const TEXTS: usize = 64;
const CHECK: usize = 4088;
/// Bytes before the first record.
pub(crate) const HEADER: usize = 4096;
/// Bytes of a record.
pub(crate) const RECORD: usize = 16;
const HAS_MODIFIED: u32 = 1;
const HAS_NAME: u32 = 2;

/// Why a sidecar is of no use. Its slices are fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormatError {
    #[error("not a sidecar, or torn")]
    Garbled,
    #[error("written by another format version")]
    OtherVersion,
    #[error("written with another slice size")]
    OtherSliceSize,
    #[error("the texts of this version don't fit a sidecar")]
    TooLong,
}

/// The fixed part of a sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) media: MediaId,
    pub(crate) meta: MediaMeta,
    pub(crate) slice_size: u32,
    pub(crate) incarnation: u64,
}

impl Header {
    /// The header's bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, FormatError> {
        let etag = self.meta.etag.as_str();
        let kind = self.meta.content_type.as_str();
        let (chat_id, message_id, slug) = parts_of(&self.media);
        let needed = etag.len() + kind.len() + slug.len();
        let room = CHECK - TEXTS;
        let name = self.meta.file_name.as_deref().filter(|name| needed + name.len() <= room);
        let lengths = [etag.len(), kind.len(), name.map_or(0, str::len), slug.len()];
        if needed > room {
            return Err(FormatError::TooLong);
        }
        let mut flags = 0;
        flags |= if self.meta.last_modified.is_some() { HAS_MODIFIED } else { 0 };
        flags |= if name.is_some() { HAS_NAME } else { 0 };
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.slice_size.to_le_bytes());
        out.extend_from_slice(&self.meta.size.to_le_bytes());
        out.extend_from_slice(&chat_id.to_le_bytes());
        out.extend_from_slice(&message_id.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        out.extend_from_slice(&self.meta.last_modified.unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.incarnation.to_le_bytes());
        for length in lengths {
            out.extend_from_slice(&u16::try_from(length).map_err(|_| FormatError::TooLong)?.to_le_bytes());
        }
        out.resize(TEXTS, 0);
        for text in [etag, kind, name.unwrap_or_default(), slug] {
            out.extend_from_slice(text.as_bytes());
        }
        out.resize(CHECK, 0);
        let check = xxh3_64(&out);
        out.extend_from_slice(&check.to_le_bytes());
        Ok(out)
    }

    /// Reads a header back. `slice_size` is the one in use: slices of another size can't be told apart by this process.
    pub(crate) fn decode(bytes: &[u8], slice_size: u32) -> Result<Self, FormatError> {
        let header = bytes.get(..HEADER).ok_or(FormatError::Garbled)?;
        if header.get(..8) != Some(MAGIC) {
            return Err(FormatError::Garbled);
        }
        if u32::from_le_bytes(array(header, 8)) != VERSION {
            return Err(FormatError::OtherVersion);
        }
        if u64::from_le_bytes(array(header, CHECK)) != xxh3_64(&header[..CHECK]) {
            return Err(FormatError::Garbled);
        }
        let found = u32::from_le_bytes(array(header, 12));
        if found != slice_size {
            return Err(FormatError::OtherSliceSize);
        }
        let flags = u32::from_le_bytes(array(header, 36));
        let mut at = TEXTS;
        let mut texts = [""; 4];
        for (text, length_at) in texts.iter_mut().zip([56, 58, 60, 62]) {
            let end = at + usize::from(u16::from_le_bytes(array(header, length_at)));
            let bytes = header.get(at..end).filter(|_| end <= CHECK).ok_or(FormatError::Garbled)?;
            *text = std::str::from_utf8(bytes).map_err(|_| FormatError::Garbled)?;
            at = end;
        }
        let [etag, kind, name, slug] = texts;
        let media = match (i64::from_le_bytes(array(header, 24)), i32::from_le_bytes(array(header, 32))) {
            (chat_id, message_id) if slug.is_empty() => MediaId::Message { chat_id, message_id },
            (0, 0) => MediaId::Virtual(Slug::parse(slug).map_err(|_| FormatError::Garbled)?),
            _ => return Err(FormatError::Garbled),
        };
        Ok(Self {
            media,
            meta: MediaMeta {
                etag: ETag::new(etag),
                size: u64::from_le_bytes(array(header, 16)),
                content_type: kind.to_owned(),
                last_modified: (flags & HAS_MODIFIED != 0).then(|| u64::from_le_bytes(array(header, 40))),
                file_name: (flags & HAS_NAME != 0).then(|| name.to_owned()),
                spans: None,
            },
            slice_size,
            incarnation: u64::from_le_bytes(array(header, 48)),
        })
    }
}

/// Chat, message and slug, as they stand in a sidecar: either numbers or a text.
fn parts_of(media: &MediaId) -> (i64, i32, &str) {
    match media {
        MediaId::Message { chat_id, message_id } => (*chat_id, *message_id, ""),
        MediaId::Virtual(slug) => (0, 0, slug.as_str()),
    }
}

/// Where a slice's record lies in the sidecar.
pub(crate) fn record_at(slice: u32) -> u64 {
    HEADER as u64 + u64::from(slice) * RECORD as u64
}

/// The record of a slice that is on disk.
pub(crate) fn record(incarnation: u64, slice: u32, checksum: u64) -> [u8; RECORD] {
    let mut out = [0; RECORD];
    out[..8].copy_from_slice(&checksum.to_le_bytes());
    out[8..].copy_from_slice(&seal(incarnation, slice, checksum).to_le_bytes());
    out
}

/// The checksum of slice `slice`, if its record says that it is on disk.
pub(crate) fn read_record(incarnation: u64, slice: u32, record: &[u8; RECORD]) -> Option<u64> {
    let checksum = u64::from_le_bytes(array(record, 0));
    (u64::from_le_bytes(array(record, 8)) == seal(incarnation, slice, checksum)).then_some(checksum)
}

/// The slices that the records after a header say are on disk. Records that a cut file lacks are absent.
pub(crate) fn present(incarnation: u64, geometry: Geometry, records: &[u8]) -> Vec<u32> {
    let (records, _) = records.as_chunks::<RECORD>();
    (0..geometry.slices())
        .zip(records)
        .filter_map(|(slice, record)| read_record(incarnation, slice, record).map(|_| slice))
        .collect()
}

/// The version's name on disk, without folder and ending. The hash only spreads; the incarnation makes it unique, so
/// that deleting a dropped version can never hit the one that follows it.
pub(crate) fn stem(media: MediaId, etag: &ETag, incarnation: u64) -> String {
    let mut key = Vec::with_capacity(64);
    let (chat_id, message_id, slug) = parts_of(&media);
    key.extend_from_slice(&chat_id.to_le_bytes());
    key.extend_from_slice(&message_id.to_le_bytes());
    key.extend_from_slice(slug.as_bytes());
    key.extend_from_slice(etag.as_str().as_bytes());
    format!("{:016x}-{incarnation:x}", xxh3_64(&key))
}

/// The incarnation in a file name, whatever its ending.
pub(crate) fn incarnation_of(file_name: &str) -> Option<u64> {
    let (_, rest) = file_name.split_once('-')?;
    let (number, _) = rest.split_once('.')?;
    u64::from_str_radix(number, 16).ok()
}

fn seal(incarnation: u64, slice: u32, checksum: u64) -> u64 {
    let mut input = [0; 12];
    input[..8].copy_from_slice(&checksum.to_le_bytes());
    input[8..].copy_from_slice(&slice.to_le_bytes());
    xxh3_64_with_seed(&input, incarnation)
}

/// `N` bytes at `at`; zeros past the end, which callers have ruled out.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::{FormatError, HEADER, Header, RECORD, incarnation_of, present, read_record, record, stem};
    use crate::geometry::Geometry;
    use slice::{ETag, MediaId, MediaMeta, Slug};

    fn header() -> Header {
        Header {
            media: MediaId::message(-1_001_234, 77),
            meta: MediaMeta {
                etag: ETag::new("5f-1234"),
                size: 300_000,
                content_type: "video/mp4".to_owned(),
                last_modified: Some(1_700_000_000),
                file_name: Some("Ein Film.mp4".to_owned()),
                spans: None,
            },
            slice_size: 65_536,
            incarnation: 9,
        }
    }

    #[test]
    fn a_header_comes_back() {
        for (modified, name) in [(Some(3), Some("a")), (None, None), (Some(0), Some(""))] {
            let mut header = header();
            header.meta.last_modified = modified;
            header.meta.file_name = name.map(str::to_owned);
            let bytes = header.encode().unwrap();
            assert_eq!(bytes.len(), HEADER);
            assert_eq!(Header::decode(&bytes, 65_536), Ok(header));
        }
    }

    #[test]
    fn a_virtual_files_header_comes_back_and_has_one_spelling() {
        for slug in ["k3x9abc", "7", "x".repeat(32).as_str()] {
            let media = MediaId::Virtual(Slug::parse(slug).unwrap());
            let header = Header { media, ..header() };
            assert_eq!(Header::decode(&header.encode().unwrap(), 65_536), Ok(header));
        }
        let resealed = |change: &dyn Fn(&mut Vec<u8>)| {
            let media = MediaId::Virtual(Slug::parse("abc").unwrap());
            let mut bytes = Header { media, ..header() }.encode().unwrap();
            change(&mut bytes);
            let check = xxhash_rust::xxh3::xxh3_64(&bytes[..super::CHECK]);
            bytes[super::CHECK..].copy_from_slice(&check.to_le_bytes());
            Header::decode(&bytes, 65_536)
        };
        assert!(resealed(&|_| ()).is_ok());
        assert_eq!(resealed(&|bytes| bytes[24] = 1), Err(FormatError::Garbled), "numbers and a slug");
        let at = 64 + "5f-1234video/mp4Ein Film.mp4".len();
        assert_eq!(resealed(&|bytes| bytes[at] = b'.'), Err(FormatError::Garbled), "no slug");
    }

    /// Written by the release before virtual files: whoever upgrades keeps what is cached.
    #[test]
    fn sidecars_of_messages_stay_as_they_were() {
        let bytes = header().encode().unwrap();
        assert_eq!(bytes[24..36], [238, 184, 240, 0xff, 0xff, 0xff, 0xff, 0xff, 77, 0, 0, 0]);
        assert_eq!(bytes[56..64], [7, 0, 9, 0, 12, 0, 0, 0]);
        assert_eq!(&bytes[64..92], b"5f-1234video/mp4Ein Film.mp4");
        assert_eq!(xxhash_rust::xxh3::xxh3_64(&bytes), 0xfe00_84d9_6a4a_a66c);
        assert_eq!(stem(header().media, &header().meta.etag, 9), "03f07187d00687ba-9");
    }

    #[test]
    fn every_flipped_byte_of_a_header_is_noticed() {
        let good = header().encode().unwrap();
        for at in 0..HEADER {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(Header::decode(&bad, 65_536).is_err(), "byte {at}");
        }
        assert_eq!(Header::decode(&good[..HEADER - 1], 65_536), Err(FormatError::Garbled));
        assert_eq!(Header::decode(&good, 131_072), Err(FormatError::OtherSliceSize));
    }

    #[test]
    fn long_texts_lose_the_name_but_never_the_tag() {
        let mut header = header();
        header.meta.file_name = Some("x".repeat(5_000));
        let back = Header::decode(&header.encode().unwrap(), 65_536).unwrap();
        assert_eq!((back.meta.file_name, back.meta.etag), (None, header.meta.etag.clone()));
        header.meta.etag = ETag::new(&"e".repeat(5_000));
        assert_eq!(header.encode(), Err(FormatError::TooLong));
    }

    #[test]
    fn a_record_is_bound_to_its_slice_incarnation_and_bytes() {
        let good = record(9, 3, 0xfeed);
        assert_eq!(read_record(9, 3, &good), Some(0xfeed));
        assert_eq!(read_record(9, 4, &good), None);
        assert_eq!(read_record(8, 3, &good), None);
        for at in 0..RECORD {
            let mut bad = good;
            bad[at] ^= 1;
            assert_eq!(read_record(9, 3, &bad), None, "byte {at}");
        }
        assert_eq!(read_record(9, 0, &[0; RECORD]), None, "zeros are no presence");
    }

    #[test]
    fn a_cut_table_reads_as_absent() {
        let geometry = Geometry::new(300_000, 65_536).unwrap();
        let table: Vec<u8> = (0..5).flat_map(|slice| record(9, slice, 1)).collect();
        assert_eq!(present(9, geometry, &table), [0, 1, 2, 3, 4]);
        assert_eq!(present(9, geometry, &table[..40]), [0, 1]);
    }

    #[test]
    fn names_carry_their_incarnation() {
        let header = header();
        let stem = stem(header.media, &header.meta.etag, 0xab);
        assert_eq!(incarnation_of(&format!("{stem}.data")), Some(0xab));
        assert_eq!(incarnation_of("notes.txt"), None);
    }
}
