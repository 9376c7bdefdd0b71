//! The media face: one request in, one description or one body out.

use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::sending::Sending;
use crate::virtual_files::VirtualFiles;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use config::Secret;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use mtproto::{Account, Location, MessageRef};
use pool::{Freshness, Pool, PoolFault};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use traces::Traces;
use tracing::{Instrument, Span};
use wire::{
    ContentRange, Entity, Fault, HEADER_CHAT_ID, HEADER_MESSAGE_ID, MediaPath, MediaRequest, REQUEST_ID_HEADER, Spans,
    is_authorized, request_id,
};

const CHAT: HeaderName = HeaderName::from_static(HEADER_CHAT_ID);
const MESSAGE: HeaderName = HeaderName::from_static(HEADER_MESSAGE_ID);
const REQUEST_ID: HeaderName = HeaderName::from_static(REQUEST_ID_HEADER);

/// What every request needs.
pub(crate) struct Face {
    pub(crate) pool: Pool<Account>,
    pub(crate) files: VirtualFiles,
    pub(crate) token: Secret,
    pub(crate) metrics: Arc<Metrics>,
    /// See [`crate::HiveOptions::stall`].
    pub(crate) stall: Duration,
    pub(crate) traces: Traces,
}

/// Answers any request; nothing outside the contract gets further than [`MediaRequest::read`].
pub(crate) async fn serve(State(face): State<Arc<Face>>, request: Request) -> Response {
    let started = Instant::now();
    // A request of the contract has no body; whatever is sent as one is not read.
    let (request, _) = request.into_parts();
    let method = match request.method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        _ => "other",
    };
    let given = request_id(&request.headers).map(str::to_owned);
    let id = given.unwrap_or_else(|| format!("{:016x}", rand::random::<u64>()));
    let span = tracing::info_span!("request", id, media = tracing::field::Empty);
    // Who has the token may say what is traced.
    let asker = is_authorized(&request.headers, face.token.expose()).then_some(&request.headers);
    let trace = face.traces.begin("hive", asker, rand::random);
    trace.text("http.request.method", method);
    trace.text("streamvault.request_id", &id);
    let answered = face.answer(&request, started).instrument(span.clone());
    let answer = traces::within(trace.clone(), answered).await;
    let (outcome, mut response) = match answer {
        Ok(response) => ("ok", response),
        Err(refusal) => {
            span.in_scope(|| tracing::debug!(fault = refusal.fault.code(), "refused"));
            let (code, response) = (refusal.fault.code(), refusal.response());
            // A range outside of a film is no fault of ours.
            if response.status().is_server_error() {
                trace.failed(code);
            } else {
                trace.text("streamvault.reason", code);
            }
            (code, response)
        }
    };
    face.metrics.requests.with_label_values(&[method, outcome]).inc();
    trace.number("http.response.status_code", response.status().as_u16().into());
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

impl Face {
    async fn answer(&self, request: &Parts, started: Instant) -> Result<Response, Refusal> {
        if !is_authorized(&request.headers, self.token.expose()) {
            return Err(Fault::Unauthorized.into());
        }
        let asked = MediaRequest::read(&request.method, request.uri.path(), &request.headers)?;
        if request.uri.query().is_some() {
            return Err(Fault::BadRequest.into());
        }
        Span::current().record("media", tracing::field::display(asked.media.to_path()));
        traces::Span::current().text("url.path", asked.media.to_path());
        let freshness = if asked.no_cache { Freshness::Now } else { Freshness::Recent };
        let message = match asked.media {
            MediaPath::Message { chat_id, message_id } => MessageRef { chat_id, message_id },
            MediaPath::Virtual(slug) => return self.answer_virtual(&asked, slug, started).await,
        };
        let found = Found::Message(message);
        if asked.head {
            let location = self.pool.describe(message, freshness).await.map_err(refused)?;
            let (range, entity) = accept(&asked, entity(&location))?;
            return head_of(&found, &entity, &range, None).map(|head| head.map(|()| Body::empty()));
        }
        let opened = self.pool.open(message, freshness).await.map_err(refused)?;
        let (range, entity) = accept(&asked, entity(opened.location()))?;
        let partial = asked.range.map(|range| ContentRange { first: range.first, last: range.last, size: entity.size });
        let head = head_of(&found, &entity, &range, partial)?;
        let length = range.end - range.start;
        let mut body = opened.read(range);
        // Nothing is promised before the first bytes are here: until then a fault is an answer, afterwards it is a broken body.
        body.prime().await.map_err(refused)?;
        self.metrics.first_byte.observe(started.elapsed().max(Duration::from_micros(1)).as_secs_f64());
        let sending = Sending::new(Box::pin(body), length, self.stall, Arc::clone(&self.metrics), Span::current());
        Ok(head.map(|()| Body::new(sending)))
    }
}

pub(crate) fn refused(fault: PoolFault) -> Refusal {
    tracing::info!(%fault, "no bytes");
    Refusal::from(&fault)
}

/// Where the bytes of an answer come from.
pub(crate) enum Found {
    Message(MessageRef),
    Virtual(Spans),
}

fn entity(location: &Location) -> Entity {
    Entity {
        etag: location.identity.etag(),
        size: location.identity.size(),
        content_type: location.mime_type.clone(),
        last_modified: location.date,
        file_name: location.file_name.clone(),
    }
}

/// Checks the request against the version that is there; gives the bytes to send.
pub(crate) fn accept(asked: &MediaRequest, entity: Entity) -> Result<(Range<u64>, Entity), Refusal> {
    let size = entity.size;
    if !asked.if_match.allows(&entity.etag) {
        return Err(Fault::Changed.into());
    }
    let range = match asked.range {
        None => 0..size,
        Some(range) if range.last < size => range.first..range.last + 1,
        Some(_) => return Err(Refusal::outside(size)),
    };
    Ok((range, entity))
}

pub(crate) fn head_of(
    found: &Found,
    entity: &Entity,
    range: &Range<u64>,
    partial: Option<ContentRange>,
) -> Result<Response<()>, Refusal> {
    let mut response = Response::new(());
    *response.status_mut() = if partial.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let headers = response.headers_mut();
    let written = match found {
        Found::Message(message) => {
            headers.insert(CHAT, HeaderValue::from(message.chat_id));
            headers.insert(MESSAGE, HeaderValue::from(message.message_id));
            entity.write(headers)
        }
        Found::Virtual(spans) => entity.write(headers).and_then(|()| spans.write(headers)),
    };
    written.map_err(|error| {
        tracing::error!(%error, "an entity outside the contract");
        Refusal::from(Fault::UpstreamReset)
    })?;
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if let Some(value) = partial.and_then(|partial| HeaderValue::try_from(partial.to_string()).ok()) {
        headers.insert(CONTENT_RANGE, value);
    }
    Ok(response)
}
