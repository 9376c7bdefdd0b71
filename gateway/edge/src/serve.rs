//! Last step: the answer goes out, piece by piece, and is counted.

use crate::access_log::Entry;
use crate::plan::Ready;
use crate::refusal::Refusal;
use bytes::Bytes;
use cache::ReadError;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response};
use pingora::http::ResponseHeader;
use pingora::prelude::{Error, ErrorType};
use pingora::protocols::http::ServerSession;
use std::time::Instant;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Why an answer ended before its last byte. The caller must not let the connection end cleanly.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    #[error("the client closed the connection")]
    ClientGone,
    #[error("the client took no bytes for too long")]
    ClientStalled,
    #[error("{0}")]
    Origin(#[from] ReadError),
}

/// Writes an answer with media.
pub(crate) async fn send(
    session: &mut ServerSession,
    ready: Ready,
    entry: &mut Entry,
    started: Instant,
) -> Result<(), Cut> {
    let Ready { head, mut body } = ready;
    entry.cache = body.status().map(|status| status.as_str());
    write_head(session, head, entry).await?;
    while let Some(piece) = body.next().await? {
        let length = piece.len() as u64;
        session.write_response_body(piece, false).await.map_err(cut)?;
        entry.bytes += length;
        entry.first_byte.get_or_insert_with(|| started.elapsed());
    }
    session.write_response_body(Bytes::new(), true).await.map_err(cut)
}

/// Writes a refusal: a status, a sentence for the viewer, and nothing of what is behind it.
pub(crate) async fn refuse(session: &mut ServerSession, refusal: &Refusal, entry: &mut Entry) -> Result<(), Cut> {
    let outcome = refusal.outcome();
    let text = format!("{}\n", outcome.viewer_text());
    let mut response = Response::new(());
    // A row without a status is never a refusal's (a test of the table sees to it).
    *response.status_mut() = outcome.status().unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    retry_after(headers, refusal);
    if *refusal == Refusal::BadMethod {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    let with_body = entry.method != "HEAD";
    write_head(session, response, entry).await?;
    let body = if with_body { Bytes::from(text) } else { Bytes::new() };
    entry.bytes += body.len() as u64;
    session.write_response_body(body, true).await.map_err(cut)
}

fn retry_after(headers: &mut HeaderMap, refusal: &Refusal) {
    if let Some(wait) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
}

async fn write_head(session: &mut ServerSession, mut head: Response<()>, entry: &mut Entry) -> Result<(), Cut> {
    entry.status = head.status().as_u16();
    if let Ok(id) = HeaderValue::try_from(entry.request_id.as_str()) {
        head.headers_mut().insert(X_REQUEST_ID, id);
    }
    let (parts, ()) = head.into_parts();
    session.write_response_header(Box::new(ResponseHeader::from(parts))).await.map_err(cut)
}

#[expect(clippy::boxed_local, reason = "pingora's errors come in boxes, and this stands in map_err")]
fn cut(error: Box<Error>) -> Cut {
    match error.etype() {
        ErrorType::WriteTimedout => Cut::ClientStalled,
        _ => Cut::ClientGone,
    }
}
