//! Calls and answers as they are on the wire, read without unpacking them.

use crate::fault::CallFault;
use bytes::Bytes;
use grammers_tl_types::{Identifiable, RemoteCall, types};

/// Every serialized call begins with its method's id.
pub(crate) fn method_id<R: RemoteCall>(request: &R) -> u32 {
    struct First([u8; 4], usize);
    impl Extend<u8> for First {
        fn extend<I: IntoIterator<Item = u8>>(&mut self, bytes: I) {
            for byte in bytes {
                let Some(place) = self.0.get_mut(self.1) else { break };
                *place = byte;
                self.1 += 1;
            }
        }
    }
    let mut first = First([0; 4], 0);
    request.serialize(&mut first);
    u32::from_le_bytes(first.0)
}

/// The bytes of an `upload.file` answer, without copying them: constructor, type and time are 12 bytes, then a TL string.
pub(crate) fn file_bytes(answer: Vec<u8>, limit: u32) -> Result<Bytes, CallFault> {
    let unexpected = || CallFault::unexpected("answer to a chunk");
    let constructor = answer.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)).ok_or_else(unexpected)?;
    if constructor != types::upload::File::CONSTRUCTOR_ID {
        return Err(unexpected());
    }
    let (start, length) = match answer.get(12..16).ok_or_else(unexpected)? {
        [254, low, middle, high] => (16, usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16),
        [255, ..] => return Err(unexpected()),
        [short, ..] => (13, usize::from(*short)),
        [] => return Err(unexpected()),
    };
    let end = start + length;
    if end > answer.len() || length > usize::try_from(limit).unwrap_or(usize::MAX) {
        return Err(unexpected());
    }
    Ok(Bytes::from(answer).slice(start..end))
}

#[cfg(test)]
mod tests {
    use super::file_bytes;
    use grammers_tl_types::{Serializable, enums, types};

    #[test]
    fn chunk_answers_are_read_in_place() {
        for length in [0_usize, 1, 3, 253, 254, 255, 1024, 524_288] {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let file =
                types::upload::File { r#type: enums::storage::FileType::FilePartial, mtime: 9, bytes: bytes.clone() };
            let answer = enums::upload::File::File(file).to_bytes();
            assert_eq!(file_bytes(answer.clone(), 524_288).unwrap(), bytes);
            if length > 0 {
                assert!(file_bytes(answer.clone(), u32::try_from(length).unwrap() - 1).is_err(), "more than asked for");
            }
            for cut in [0, 3, 4, 12, 13] {
                assert!(file_bytes(answer[..cut].to_vec(), 524_288).is_err());
            }
        }
    }
}
