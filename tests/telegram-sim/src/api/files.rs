//! `upload.getFile` and its relatives: Telegram's rules for reading a document.

use std::sync::Arc;

use grammers_tl_types::{Serializable, enums, functions, types};

use sha2::{Digest, Sha256};

use super::{Answered, Context, object};
use crate::call::{Answer, Refusal};
use crate::content::Content;
use crate::live::{LiveDocument, ReferenceFault};
use crate::query::arguments;

const KIB: i64 = 1024;
/// Longest part, and the block that a part must not cross.
const BLOCK: i64 = 1024 * KIB;
const UPLOAD_FILE: u32 = 0x096a_18d5;

/// Whether Telegram would take this offset and limit; the error it gives otherwise.
fn check_part(offset: i64, limit: i64, precise: bool) -> Result<(), &'static str> {
    let step = if precise { KIB } else { 4 * KIB };
    if offset < 0 || offset % step != 0 {
        return Err("OFFSET_INVALID");
    }
    if limit <= 0 || limit > BLOCK || limit % step != 0 || (!precise && BLOCK % limit != 0) {
        return Err("LIMIT_INVALID");
    }
    if offset / BLOCK != (offset + limit - 1) / BLOCK {
        return Err("LIMIT_INVALID");
    }
    Ok(())
}

/// The document at a location, if this account may read it on this data-centre.
fn document(context: &Context<'_>, location: &enums::InputFileLocation) -> Result<Arc<LiveDocument>, Refusal> {
    let enums::InputFileLocation::InputDocumentFileLocation(location) = location else {
        return Err(Refusal::bad("LOCATION_INVALID"));
    };
    if !location.thumb_size.is_empty() {
        return Err(Refusal::bad("LOCATION_INVALID"));
    }
    let live = context.call.shared.live.read();
    let user_id = context.caller.account.user_id;
    let document = live
        .document(location.id)
        .filter(|document| document.access_hash(live.seed, user_id) == location.access_hash)
        .ok_or_else(|| Refusal::bad("FILE_ID_INVALID"))?;
    if document.document.dc != context.call.dc {
        return Err(Refusal::new(303, format!("FILE_MIGRATE_{}", document.document.dc)));
    }
    document.check_reference(live.seed, user_id, &location.file_reference).map_err(|fault| {
        Refusal::bad(match fault {
            ReferenceFault::Empty => "FILE_REFERENCE_EMPTY",
            ReferenceFault::Expired => "FILE_REFERENCE_EXPIRED",
            ReferenceFault::Invalid => "FILE_REFERENCE_INVALID",
        })
    })?;
    Ok(Arc::clone(document))
}

pub(super) fn get_file(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::upload::GetFile = arguments(body)?;
    check_part(asked.offset, asked.limit.into(), asked.precise).map_err(Refusal::bad)?;
    let found = document(context, &asked.location)?;
    let document = &found.document;
    let (offset, limit) = (asked.offset.unsigned_abs(), u64::from(asked.limit.unsigned_abs()));
    let length = document.size.saturating_sub(offset).min(limit);
    let shared = context.call.shared;
    let account = &context.caller.account;
    shared.spend(context.caller.index, account.premium, length).map_err(|(seconds, premium)| {
        Refusal::new(420, format!("FLOOD_{}WAIT_{seconds}", if premium { "PREMIUM_" } else { "" }))
    })?;
    shared.counters.chunk_served(document.id, offset, limit, &account.name, length);
    Ok(Answer::File {
        content: document.content.clone(),
        mime: document.mime.clone(),
        date: document.date,
        offset,
        length: length as usize,
    })
}

/// How much of a document one hash covers.
const HASHED: u64 = 128 * 1024;
/// Hashes in one answer.
const HASHES: u64 = 8;

pub(super) fn get_hashes(context: &Context<'_>, body: &[u8]) -> Answered {
    let asked: functions::upload::GetFileHashes = arguments(body)?;
    let found = document(context, &asked.location)?;
    let document = &found.document;
    let from = u64::try_from(asked.offset).map_err(|_| Refusal::bad("OFFSET_INVALID"))? / HASHED;
    let mut hashes = Vec::new();
    for offset in (from..from.saturating_add(HASHES)).map_while(|index| index.checked_mul(HASHED)) {
        let length = document.size.saturating_sub(offset).min(HASHED);
        if length == 0 {
            break;
        }
        let mut part = vec![0; length as usize];
        document.content.read_at(offset, &mut part).map_err(|error| {
            tracing::error!(%error, offset, length, "a document can't be read");
            Refusal::new(500, "INTERNAL")
        })?;
        let hash = Sha256::digest(&part).to_vec();
        hashes.push(enums::FileHash::Hash(types::FileHash { offset: offset as i64, limit: length as i32, hash }));
    }
    object(&hashes)
}

/// Writes an `upload.file`, its bytes read straight to where they are sent from.
pub(crate) fn write_file(
    out: &mut Vec<u8>,
    content: &Content,
    mime: &str,
    date: i32,
    offset: u64,
    length: usize,
) -> std::io::Result<()> {
    out.extend_from_slice(&UPLOAD_FILE.to_le_bytes());
    let kind = match mime {
        "video/mp4" => enums::storage::FileType::FileMp4,
        "video/quicktime" => enums::storage::FileType::FileMov,
        "image/jpeg" => enums::storage::FileType::FileJpeg,
        "image/png" => enums::storage::FileType::FilePng,
        "image/gif" => enums::storage::FileType::FileGif,
        "image/webp" => enums::storage::FileType::FileWebp,
        "audio/mpeg" => enums::storage::FileType::FileMp3,
        "application/pdf" => enums::storage::FileType::FilePdf,
        _ => enums::storage::FileType::FileUnknown,
    };
    kind.serialize(out);
    date.serialize(out);
    let header = if length < 254 {
        out.push(length as u8);
        1
    } else {
        out.push(254);
        out.extend_from_slice(&(length as u32).to_le_bytes()[..3]);
        4
    };
    let from = out.len();
    out.resize(from + length, 0);
    content.read_at(offset, &mut out[from..])?;
    out.resize(out.len() + (4 - (header + length) % 4) % 4, 0);
    Ok(())
}
