//! What a broken or hostile process at the other end of the wire can write.
//!
//! Input: lines; the first byte of a line chooses the header, the rest is its value. Each line is also tried as a range
//! and as a path.

#![no_main]

use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED, RETRY_AFTER};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use wire::{ContentRange, Entity, FAULT_HEADER, Fault, MediaPath, RequestRange, Slug, Spans};

const NAMES: [HeaderName; 10] = [
    ETAG,
    CONTENT_TYPE,
    LAST_MODIFIED,
    CONTENT_DISPOSITION,
    RETRY_AFTER,
    HeaderName::from_static(FAULT_HEADER),
    HeaderName::from_static("x-media-size"),
    HeaderName::from_static("x-media-chats"),
    HeaderName::from_static("x-location-chat-id"),
    HeaderName::from_static("x-location-msg-id"),
];

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    let mut texts = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(NAMES[usize::from(*name) % NAMES.len()].clone(), value);
        }
        if let Ok(text) = str::from_utf8(value) {
            parse(text);
            texts.push(text);
        }
    }
    read(&headers);
    write(&texts);
});

/// What parses is written back equal.
fn parse(text: &str) {
    if let Ok(range) = RequestRange::parse(text) {
        assert!(range.first <= range.last);
        assert_eq!(RequestRange::parse(&range.to_string()), Ok(range));
    }
    if let Ok(range) = ContentRange::parse(text) {
        assert!(range.first <= range.last && range.last < range.size);
        assert_eq!(ContentRange::parse(&range.to_string()), Ok(range));
    }
    if let Ok(path) = MediaPath::parse(text) {
        match path {
            MediaPath::Message { chat_id, message_id } => assert!(message_id >= 1 && chat_id != 0),
            MediaPath::Virtual(slug) => assert_eq!(Slug::parse(slug.as_str()), Ok(slug)),
        }
        assert_eq!(path.to_path(), text);
    }
}

fn read(headers: &HeaderMap) {
    if let Ok(entity) = Entity::read(headers) {
        let mut written = HeaderMap::new();
        entity.write(&mut written).expect("what was read is in the contract");
        assert_eq!(Entity::read(&written), Ok(entity));
    }
    if let Ok(spans) = Spans::read(headers) {
        let mut written = HeaderMap::new();
        spans.write(&mut written).expect("what was read is in the contract");
        assert_eq!(Spans::read(&written), Ok(spans));
    }
    if let Ok((fault, wait)) = Fault::read(headers) {
        let mut written = HeaderMap::new();
        fault.write(wait, &mut written);
        assert_eq!(Fault::read(&written), Ok((fault, wait)));
    }
}

/// Whatever Telegram calls a file, the hive writes headers that the gateway reads back.
fn write(texts: &[&str]) {
    let [etag, content_type, file_name, rest @ ..] = texts else { return };
    let entity = Entity {
        etag: (*etag).to_owned(),
        size: rest.len() as u64,
        content_type: (*content_type).to_owned(),
        last_modified: rest.first().map(|text| text.bytes().fold(0, |n, byte| n * 31 % (1 << 50) + u64::from(byte))),
        file_name: Some((*file_name).to_owned()),
    };
    let mut headers = HeaderMap::new();
    if entity.write(&mut headers).is_err() {
        return;
    }
    let read = Entity::read(&headers).expect("what was written is in the contract");
    assert_eq!((&read.etag, read.size), (&entity.etag, entity.size));
    assert!(read.content_type == entity.content_type || read.content_type == "application/octet-stream");
    assert!(read.file_name.is_none() || read.file_name == entity.file_name);
}
