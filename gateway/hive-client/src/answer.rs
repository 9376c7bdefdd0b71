//! Checks one answer of the hive against the contract. Nothing that fails here reaches the cache.

use crate::retry::Trouble;
use http::header::CONTENT_RANGE;
use http::{HeaderMap, StatusCode};
use slice::{ByteRange, ETag, MediaId, MediaMeta, OriginError, Spans};
use std::time::Duration;
use wire::{ContentRange, Entity, Fault, RetryClass};

/// Why one try gave no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TryError {
    /// A fault of the table, with the wait the hive asked for.
    Fault(Fault, Option<Duration>),
    /// No connection, or it broke.
    Unreachable,
    /// No answer, or no next byte, in time.
    Timeout,
    /// No answer in what was left of the retry window, which was less than a hive has for one: that says nothing of the hive.
    OutOfPatience,
    /// An answer outside the contract.
    Protocol(&'static str),
}

impl TryError {
    /// What the retry decision needs to know.
    pub(crate) fn trouble(self) -> Trouble {
        match self {
            Self::Unreachable | Self::Timeout | Self::OutOfPatience => Trouble::Passing(None),
            Self::Protocol(_) => Trouble::Final,
            Self::Fault(fault, wait) => match fault.class() {
                RetryClass::Retry | RetryClass::Elsewhere => Trouble::Passing(wait),
                RetryClass::Stop | RetryClass::Changed => Trouble::Final,
            },
        }
    }

    /// What the cache is told when no further try is made.
    pub(crate) fn into_origin(self) -> OriginError {
        match self {
            Self::Unreachable => OriginError::Unreachable,
            Self::Timeout | Self::OutOfPatience => OriginError::Timeout,
            Self::Protocol(_) => OriginError::Protocol,
            Self::Fault(fault, retry_after) => match fault {
                Fault::NotFound => OriginError::NotFound,
                Fault::Gone => OriginError::Gone,
                Fault::Changed => OriginError::Changed,
                Fault::FloodWait | Fault::NoSession => OriginError::Busy { retry_after },
                Fault::Timeout => OriginError::Timeout,
                Fault::UpstreamReset => OriginError::Unreachable,
                Fault::BadRange | Fault::BadRequest | Fault::Unauthorized => OriginError::Protocol,
            },
        }
    }
}

/// The answer to HEAD: a description, or why not.
pub(crate) fn description(status: StatusCode, headers: &HeaderMap, media: MediaId) -> Result<MediaMeta, TryError> {
    if status != StatusCode::OK {
        return Err(refusal(headers));
    }
    entity(headers, media)
}

/// The answer to GET with one range: exactly that range of exactly that version, or why not.
pub(crate) fn transfer(
    status: StatusCode,
    headers: &HeaderMap,
    media: MediaId,
    etag: &ETag,
    range: ByteRange,
) -> Result<MediaMeta, TryError> {
    if status != StatusCode::PARTIAL_CONTENT {
        return Err(refusal(headers));
    }
    let meta = entity(headers, media)?;
    if meta.etag != *etag {
        return Err(TryError::Fault(Fault::Changed, None));
    }
    let sent = headers.get(CONTENT_RANGE).and_then(|v| ContentRange::parse(v.to_str().ok()?).ok());
    let wanted = ContentRange { first: range.start, last: range.end - 1, size: meta.size };
    if sent != Some(wanted) {
        return Err(TryError::Protocol("Content-Range is not the range asked for"));
    }
    Ok(meta)
}

fn refusal(headers: &HeaderMap) -> TryError {
    match Fault::read(headers) {
        Ok((fault, wait)) => TryError::Fault(fault, wait),
        Err(_) => TryError::Protocol("neither success nor a fault of the table"),
    }
}

fn entity(headers: &HeaderMap, media: MediaId) -> Result<MediaMeta, TryError> {
    let entity = Entity::read(headers).map_err(|_| TryError::Protocol("entity headers missing or malformed"))?;
    let spans = match media {
        MediaId::Message { .. } => None,
        // Without them nobody could judge who may see it.
        MediaId::Virtual(_) => {
            let spans = wire::Spans::read(headers).map_err(|_| TryError::Protocol("no chats of a virtual file"))?;
            Some(Spans { chat_id: spans.chat_id, message_id: spans.message_id, chats: spans.chats })
        }
    };
    Ok(MediaMeta {
        etag: ETag::new(&entity.etag),
        size: entity.size,
        content_type: entity.content_type,
        last_modified: entity.last_modified,
        file_name: entity.file_name,
        spans,
    })
}

#[cfg(test)]
mod tests {
    use super::{TryError, description, transfer};
    use crate::retry::Trouble;
    use http::{HeaderMap, StatusCode};
    use slice::{ByteRange, ETag, MediaId, Slug};
    use wire::{Entity, Fault, RetryClass};

    const MESSAGE: MediaId = MediaId::message(-5, 7);

    fn good() -> HeaderMap {
        let mut headers = HeaderMap::new();
        let entity =
            Entity { etag: "v1".into(), size: 100, content_type: "a/b".into(), last_modified: None, file_name: None };
        entity.write(&mut headers).unwrap();
        headers.insert("content-range", "bytes 10-19/100".parse().unwrap());
        headers
    }

    fn check(status: u16, edit: impl FnOnce(&mut HeaderMap)) -> Result<(), TryError> {
        let mut headers = good();
        edit(&mut headers);
        let range = ByteRange { start: 10, end: 20 };
        transfer(StatusCode::from_u16(status).unwrap(), &headers, MESSAGE, &ETag::new("v1"), range).map(drop)
    }

    #[test]
    fn only_the_exact_range_of_the_exact_version_passes() {
        assert_eq!(check(206, |_| ()), Ok(()));
        assert!(matches!(check(200, |_| ()), Err(TryError::Protocol(_))));
        for wrong in ["bytes 10-18/100", "bytes 11-19/100", "bytes 10-19/101", "bytes 10-19/*", "garbage"] {
            let result = check(206, |h| drop(h.insert("content-range", wrong.parse().unwrap())));
            assert!(matches!(result, Err(TryError::Protocol(_))), "{wrong}");
        }
        let other = check(206, |h| drop(h.insert("etag", "\"v2\"".parse().unwrap())));
        assert_eq!(other, Err(TryError::Fault(Fault::Changed, None)));
        assert!(matches!(check(206, |h| drop(h.remove("etag"))), Err(TryError::Protocol(_))));
    }

    #[test]
    fn a_virtual_file_is_taken_with_its_chats_or_not_at_all() {
        let media = MediaId::Virtual(Slug::parse("abc").unwrap());
        let mut headers = good();
        let refused = description(StatusCode::OK, &headers, media);
        assert!(matches!(refused, Err(TryError::Protocol(_))), "{refused:?}");
        wire::Spans { chat_id: -5, message_id: 7, chats: vec![-5, -6] }.write(&mut headers).unwrap();
        let spans = description(StatusCode::OK, &headers, media).unwrap().spans.unwrap();
        assert_eq!((spans.chat_id, spans.message_id, spans.chats), (-5, 7, vec![-5, -6]));
        let range = ByteRange { start: 10, end: 20 };
        let opened = transfer(StatusCode::PARTIAL_CONTENT, &headers, media, &ETag::new("v1"), range);
        assert!(opened.unwrap().spans.is_some());
        // Of a message they mean nothing.
        assert_eq!(description(StatusCode::OK, &headers, MESSAGE).unwrap().spans, None);
    }

    #[test]
    fn every_fault_is_retried_or_not_by_its_class() {
        for fault in Fault::ALL {
            let mut headers = HeaderMap::new();
            fault.write(None, &mut headers);
            let error = description(fault.status(), &headers, MESSAGE).unwrap_err();
            assert_eq!(error, TryError::Fault(*fault, None));
            let passing = matches!(fault.class(), RetryClass::Retry | RetryClass::Elsewhere);
            assert_eq!(matches!(error.trouble(), Trouble::Passing(_)), passing);
        }
    }
}
