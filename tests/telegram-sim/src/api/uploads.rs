//! Files on their way in: parts are kept in memory until a message claims them.

use grammers_tl_types::{Serializable, enums, functions};

use super::{Answered, Context};
use crate::call::{Answer, Refusal};
use crate::query::arguments;

/// Longest part; a part's length also has to divide it.
const MAX_PART: usize = 512 * 1024;
/// Most parts of a file: 4 GiB with the longest parts, for premium accounts twice what others get.
const MAX_PARTS: i32 = 8000;
const MAX_PARTS_STANDARD: i32 = 4000;

pub(super) fn save_part(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::upload::SaveFilePart = arguments(body)?;
    save(context, asked.file_id, asked.file_part, asked.bytes)
}

pub(super) fn save_big_part(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::upload::SaveBigFilePart = arguments(body)?;
    // -1: the sender doesn't know yet how many there will be.
    if asked.file_total_parts != -1 && asked.file_part >= asked.file_total_parts {
        return Err(Refusal::bad("FILE_PARTS_INVALID"));
    }
    save(context, asked.file_id, asked.file_part, asked.bytes)
}

fn save(context: &Context<'_>, file: i64, part: i32, bytes: Vec<u8>) -> Answered {
    let most = if context.caller.account.premium { MAX_PARTS } else { MAX_PARTS_STANDARD };
    if !(0..most).contains(&part) {
        return Err(Refusal::bad("FILE_PART_INVALID"));
    }
    if bytes.is_empty() {
        return Err(Refusal::bad("FILE_PART_EMPTY"));
    }
    if bytes.len() > MAX_PART {
        return Err(Refusal::bad("FILE_PART_TOO_BIG"));
    }
    let mut uploads = context.call.shared.uploads.lock();
    uploads.entry((context.caller.index, file)).or_default().parts.insert(part, bytes);
    Ok(Answer::Object(true.to_bytes()))
}

/// Takes an uploaded file out and joins its parts.
pub(super) fn claim(context: &Context<'_>, file: &enums::InputFile) -> Result<(String, Vec<u8>), Refusal> {
    let (id, parts, name) = match file {
        enums::InputFile::File(file) => (file.id, file.parts, &file.name),
        enums::InputFile::Big(file) => (file.id, file.parts, &file.name),
        enums::InputFile::StoryDocument(_) => return Err(Refusal::bad("MEDIA_INVALID")),
    };
    let upload = context.call.shared.uploads.lock().remove(&(context.caller.index, id)).unwrap_or_default();
    let size = upload.parts.first_key_value().map_or(0, |(_, first)| first.len());
    let mut joined = Vec::new();
    for part in 0..parts.max(1) {
        let bytes = upload.parts.get(&part).ok_or_else(|| Refusal::bad(&format!("FILE_PART_{part}_MISSING")))?;
        let last = part + 1 == parts;
        // All but the last are of one length, which divides the longest there may be.
        let whole = bytes.len() == size && size.is_multiple_of(1024) && MAX_PART.is_multiple_of(size);
        if bytes.len() > size || !(last || whole) {
            return Err(Refusal::bad("FILE_PART_SIZE_INVALID"));
        }
        joined.extend_from_slice(bytes);
    }
    Ok((name.clone(), joined))
}
