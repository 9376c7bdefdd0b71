//! What other gateways ask, and the answers' heads. Pure.

use crate::origin::Peers;
use http::header::{ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use secrecy::ExposeSecret;
use slice::{ByteRange, MediaId, MediaMeta, OriginError};
use std::time::Duration;
use wire::{
    ContentRange, Entity, Fault, HEADER_CHAT_ID, HEADER_MESSAGE_ID, HOP_HEADER, IfMatch, MediaPath, MediaRequest,
    RequestRange, Spans, is_authorized, request_id,
};

const CHAT: HeaderName = HeaderName::from_static(HEADER_CHAT_ID);
const MESSAGE: HeaderName = HeaderName::from_static(HEADER_MESSAGE_ID);

/// A request of another gateway that holds to the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// For a sign of life.
    Life,
    /// For a media.
    Media(Wanted),
}

/// What is asked of a media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub media: MediaId,
    /// Its description only.
    pub head: bool,
    /// Who asks, by its name in the fleet.
    pub from: String,
    /// The asker's id for the request.
    pub request_id: Option<String>,
    range: Option<RequestRange>,
    if_match: IfMatch,
}

/// A fault of the contract, and what goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    fault: Fault,
    retry_after: Option<Duration>,
    /// Size of the media, told with a range that lies outside it.
    size: Option<u64>,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { fault, retry_after: None, size: None }
    }
}

impl From<OriginError> for Refused {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::NotFound => Fault::NotFound.into(),
            OriginError::Gone => Fault::Gone.into(),
            OriginError::Changed => Fault::Changed.into(),
            OriginError::Busy { retry_after } => Self { retry_after, ..Fault::FloodWait.into() },
            OriginError::Timeout => Fault::Timeout.into(),
            // Who asks may reach a hive that this gateway can't.
            OriginError::Unreachable | OriginError::Protocol => Fault::UpstreamReset.into(),
        }
    }
}

impl Peers {
    /// Reads a request on the gateways' listener.
    ///
    /// # Errors
    /// [`Refused`] for whoever lacks the token or does not say which gateway it is, for a request that is this gateway's own, and for
    /// what is not of the contract.
    pub fn read(&self, head: &Parts) -> Result<Asked, Refused> {
        let headers = &head.headers;
        if !is_authorized(headers, self.shared.token.expose_secret()) {
            return Err(Fault::Unauthorized.into());
        }
        let from =
            single(headers, HOP_HEADER).filter(|name| (1..=255).contains(&name.len())).ok_or(Fault::BadRequest)?;
        if from == self.shared.name {
            tracing::warn!(
                "this gateway asked itself: peers.members has an address that leads here, and is not peers.self"
            );
            return Err(Fault::BadRequest.into());
        }
        if head.uri.query().is_some() {
            return Err(Fault::BadRequest.into());
        }
        if head.uri.path() == "/" && head.method == http::Method::HEAD {
            return Ok(Asked::Life);
        }
        let MediaRequest { media, head: is_head, range, if_match, .. } =
            MediaRequest::read(&head.method, head.uri.path(), headers)?;
        let media = match media {
            MediaPath::Message { chat_id, message_id } => MediaId::message(chat_id, message_id),
            MediaPath::Virtual(slug) => MediaId::Virtual(slug),
        };
        let request_id = request_id(headers).map(str::to_owned);
        Ok(Asked::Media(Wanted { media, head: is_head, from: from.to_owned(), request_id, range, if_match }))
    }
}

impl Wanted {
    /// The bytes to send of a media that is this now; all of it if no range was asked for.
    ///
    /// # Errors
    /// [`Refused`] when the asker wants another version, or a range outside.
    pub fn accept(&self, meta: &MediaMeta) -> Result<ByteRange, Refused> {
        if !self.if_match.allows(meta.etag.as_str()) {
            return Err(Fault::Changed.into());
        }
        match self.range {
            None => Ok(ByteRange { start: 0, end: meta.size }),
            Some(range) if range.last < meta.size => Ok(ByteRange { start: range.first, end: range.last + 1 }),
            Some(_) => Err(Refused { size: Some(meta.size), ..Fault::BadRange.into() }),
        }
    }

    /// The head of an answer with these bytes of the media, or with none of them for a description.
    ///
    /// # Errors
    /// [`Refused`] when what is known of the media can't stand in headers.
    pub fn head_of(&self, meta: &MediaMeta, range: ByteRange) -> Result<Response<()>, Refused> {
        let mut response = Response::new(());
        let headers = response.headers_mut();
        let broken = |_| Refused::from(Fault::UpstreamReset);
        let entity = Entity {
            etag: meta.etag.as_str().to_owned(),
            size: meta.size,
            content_type: meta.content_type.clone(),
            last_modified: meta.last_modified,
            file_name: meta.file_name.clone(),
        };
        entity.write(headers).map_err(broken)?;
        match (self.media, &meta.spans) {
            (MediaId::Message { chat_id, message_id }, _) => {
                headers.insert(CHAT, HeaderValue::from(chat_id));
                headers.insert(MESSAGE, HeaderValue::from(message_id));
            }
            (MediaId::Virtual(_), Some(spans)) => {
                let slice::Spans { chat_id, message_id, chats } = spans.clone();
                Spans { chat_id, message_id, chats }.write(headers).map_err(broken)?;
            }
            // Nobody could judge who may see it.
            (MediaId::Virtual(_), None) => return Err(Fault::UpstreamReset.into()),
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(range.len()));
        if self.range.is_some() && !range.is_empty() {
            let sent = ContentRange { first: range.start, last: range.end - 1, size: meta.size };
            let sent = HeaderValue::try_from(sent.to_string()).map_err(|_| Refused::from(Fault::UpstreamReset))?;
            headers.insert(CONTENT_RANGE, sent);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }
}

impl Refused {
    /// The media was taken down here: whoever asks must not have it either.
    #[must_use]
    pub fn taken_down() -> Self {
        Fault::Gone.into()
    }

    /// Its word in the contract, for logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.fault.code()
    }

    /// The whole answer. Not for HEAD, whose answers have no body.
    #[must_use]
    pub fn response(&self) -> Response<Vec<u8>> {
        let body = serde_json::to_vec(&self.fault.body(self.retry_after)).unwrap_or_default();
        let mut response = Response::new(body);
        *response.status_mut() = self.fault.status();
        let length = response.body().len();
        let headers = response.headers_mut();
        self.fault.write(self.retry_after, headers);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.fault == Fault::BadRequest {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        let outside = self.size.and_then(|size| HeaderValue::try_from(format!("bytes */{size}")).ok());
        if let Some(outside) = outside {
            headers.insert(CONTENT_RANGE, outside);
        }
        response
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}
