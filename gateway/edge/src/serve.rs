//! Last step: the answer goes out, piece by piece, and is counted.

use crate::access_log::Entry;
use crate::answer::set_cookies;
use crate::clock;
use crate::plan::{Pace, Ready};
use crate::refusal::Refusal;
use bytes::Bytes;
use cache::ReadError;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE,
};
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
    #[error("the media was taken down")]
    TakenDown,
    #[error("the gateway stops")]
    Draining,
    #[error("the time that a policy set for the link is over")]
    Expired,
}

/// Writes an answer with media.
pub(crate) async fn send(
    session: &mut ServerSession,
    ready: Ready,
    entry: &mut Entry,
    started: Instant,
) -> Result<(), Cut> {
    let Ready { head, mut body, pace, standing } = ready;
    entry.cache = body.status().map(|status| status.as_str());
    write_head(session, head, entry).await?;
    while let Some(piece) = body.next().await? {
        let mut rest = piece;
        while !rest.is_empty() {
            let most = pace.piece();
            let piece = if rest.len() <= most { std::mem::take(&mut rest) } else { rest.split_to(most) };
            let length = piece.len() as u64;
            pace.wait(length).await?;
            standing.check().await.map_err(|_| Cut::TakenDown)?;
            if let Err(error) = session.write_response_body(piece, false).await {
                pace.give_back(length);
                return Err(cut(error));
            }
            entry.bytes += length;
            entry.first_byte.get_or_insert_with(|| started.elapsed());
        }
    }
    session.write_response_body(Bytes::new(), true).await.map_err(cut)
}

impl Pace {
    /// Bytes to send at once.
    fn piece(&self) -> usize {
        self.permit.as_ref().and_then(limits::Permit::piece).unwrap_or(usize::MAX)
    }

    /// A piece that was booked did not go out.
    fn give_back(&self, bytes: u64) {
        if let Some(permit) = &self.permit {
            permit.give_back(bytes, clock::tick());
        }
    }

    /// Waits until a piece may go out.
    async fn wait(&self, bytes: u64) -> Result<(), Cut> {
        if let Some(permit) = &self.permit {
            // The tenant's share is booked once the viewer's own wait is over: who may not send yet takes nothing from others.
            for take in [limits::Permit::take_of_viewer, limits::Permit::take_of_tenant] {
                let wait = take(permit, bytes, clock::tick());
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
            }
        }
        match self.until {
            Some(until) if clock::unix() > until => Err(Cut::Expired),
            _ => Ok(()),
        }
    }
}

/// Writes a refusal: a status, a sentence for the viewer, and nothing of what is behind it.
pub(crate) async fn refuse(
    session: &mut ServerSession,
    refusal: &Refusal,
    entry: &mut Entry,
    secure: bool,
) -> Result<(), Cut> {
    let mut response = Response::new(());
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    let text = match refusal {
        Refusal::Suspended { page, .. } if wants_html(&session.req_header().headers) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            page.html.clone()
        }
        _ => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            format!("{}\n", refusal.viewer_text())
        }
    };
    match refusal {
        Refusal::Suspended { .. } => drop(headers.insert(VARY, HeaderValue::from_static("Accept"))),
        Refusal::Redirected { url, cookies, .. } => {
            // Both were checked when the plugin gave them.
            if let Ok(url) = HeaderValue::try_from(url.as_str()) {
                headers.insert(LOCATION, url);
            }
            let _ = set_cookies(headers, cookies, secure);
        }
        _ => {}
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    retry_after(headers, refusal);
    if refusal.status() == http::StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if *refusal == Refusal::BadMethod {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    let with_body = entry.method != "HEAD";
    write_head(session, response, entry).await?;
    let body = if with_body { Bytes::from(text) } else { Bytes::new() };
    entry.bytes += body.len() as u64;
    session.write_response_body(body, true).await.map_err(cut)
}

/// A browser that shows a page, rather than a player that wants a film.
fn wants_html(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
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
