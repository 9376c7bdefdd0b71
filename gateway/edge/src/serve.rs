//! Last step: the answer goes out, piece by piece, and is counted.

use crate::access_log::Entry;
use crate::answer::set_cookies;
use crate::clock;
use crate::crowd::Crowd;
use crate::downstream::{Downstream, Went};
use crate::fields::{AnswerHead, Fields};
use crate::plan::{Pace, Ready};
use crate::rates::tell;
use crate::refusal::Refusal;
use crate::service;
use crate::small::Small;
use crate::takedown::Standing;
use bytes::Bytes;
use cache::{Piece, ReadError};
use http::HeaderMap;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, VARY, WWW_AUTHENTICATE,
};
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
    #[error("the tenant's bytes of this month are spent")]
    QuotaSpent,
    #[error("the gateway stops")]
    Draining,
    #[error("the time that a policy set for the link is over")]
    Expired,
}

/// Bytes written by copy when a client takes no more of a stretch: its socket is waited for with them.
/// Few, as they stay in memory for as long.
const WAITED_FOR: usize = 256;

/// What is left of a turn that isn't worth a system call.
const LEAST: u64 = 16 << 10;

/// Writes an answer with media.
pub(crate) async fn send(
    downstream: &mut impl Downstream,
    ready: Ready,
    entry: &mut Entry,
    started: Instant,
    crowd: &Crowd,
) -> Result<(), Cut> {
    let mut waits = Some(crowd.join());
    let Ready { head, mut body, pace, standing } = ready;
    entry.cache = body.status().map(|status| status.as_str());
    write_head(downstream, head, entry).await?;
    let (mut turn, mut rest) = (0, None);
    loop {
        let piece = match rest.take() {
            None => body.next().await?,
            rest => rest.map(Piece::Stretch),
        };
        let Some(piece) = piece else { break };
        let longest = crowd.turn().min(downstream.turn());
        if turn + LEAST > longest {
            tokio::task::yield_now().await;
            turn = 0;
        }
        turn += match piece {
            Piece::Bytes(bytes) => {
                let length = bytes.len() as u64;
                write(downstream, bytes, &pace, &standing, entry, started).await?;
                // A head of a part, or what leads a stretch, takes nothing from its turn.
                if length < LEAST { 0 } else { length }
            }
            Piece::Stretch(stretch) => {
                let most = stretch.len().min(pace.piece() as u64).min(longest - turn);
                pace.wait(most).await?;
                standing.check().await.map_err(|_| Cut::TakenDown)?;
                let went = downstream.stretch(&stretch, most).await.inspect_err(|_| pace.give_back(most))?;
                let (Went::On(sent) | Went::Full(sent)) = went;
                pace.give_back(most - sent);
                note(entry, &pace, sent, started);
                body.sent(sent);
                match went {
                    Went::On(sent) => rest = stretch.after(sent),
                    Went::Full(_) => {
                        if let Some(bytes) = body.next_bytes(WAITED_FOR).await? {
                            write(downstream, bytes, &pace, &standing, entry, started).await?;
                        }
                    }
                }
                sent
            }
        };
        waits = waits.filter(|_| entry.bytes == 0);
    }
    downstream.end().await
}

/// Writes bytes, no faster than they may go.
async fn write(
    downstream: &mut impl Downstream,
    mut bytes: Bytes,
    pace: &Pace,
    standing: &Standing,
    entry: &mut Entry,
    started: Instant,
) -> Result<(), Cut> {
    while !bytes.is_empty() {
        let most = pace.piece();
        let piece = if bytes.len() <= most { std::mem::take(&mut bytes) } else { bytes.split_to(most) };
        let length = piece.len() as u64;
        pace.wait(length).await?;
        standing.check().await.map_err(|_| Cut::TakenDown)?;
        downstream.bytes(piece).await.inspect_err(|_| pace.give_back(length))?;
        note(entry, pace, length, started);
    }
    Ok(())
}

fn note(entry: &mut Entry, pace: &Pace, sent: u64, started: Instant) {
    if sent > 0 {
        if let Some(month) = &pace.month {
            month.account.add(sent);
        }
        entry.bytes += sent;
        entry.first_byte.get_or_insert_with(|| started.elapsed());
    }
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
            _ if self.month.as_ref().is_some_and(|month| month.cut && month.account.is_spent()) => Err(Cut::QuotaSpent),
            Some(until) if clock::unix() > until => Err(Cut::Expired),
            _ => Ok(()),
        }
    }
}

/// Writes an answer of the gateway's own.
pub(crate) async fn small(downstream: &mut impl Downstream, small: Small, entry: &mut Entry) -> Result<(), Cut> {
    let Small { mut head, body } = small;
    if !head.status.is_informational() && head.status != http::StatusCode::NO_CONTENT {
        head.fields.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    whole(downstream, head, body, entry).await
}

/// Writes a head, the body unless only the head was asked for, and the end.
async fn whole(downstream: &mut impl Downstream, head: AnswerHead, body: Bytes, entry: &mut Entry) -> Result<(), Cut> {
    let with_body = entry.method != http::Method::HEAD;
    write_head(downstream, head, entry).await?;
    if with_body && !body.is_empty() {
        entry.bytes += body.len() as u64;
        downstream.bytes(body).await?;
    }
    downstream.end().await
}

/// Writes a refusal: a status, a sentence for the viewer, and nothing of what is behind it.
pub(crate) async fn refuse(
    downstream: &mut impl Downstream,
    refusal: &Refusal,
    entry: &mut Entry,
    asked: AskedFor,
) -> Result<(), Cut> {
    let (origin, refusal) = match refusal {
        Refusal::Shared { origin, refusal } => (Some(origin), &**refusal),
        refusal => (None, refusal),
    };
    let mut head = AnswerHead::new(refusal.status());
    let headers = &mut head.fields;
    let text = match refusal {
        Refusal::Suspended { page, .. } if asked.html => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
            page.html.clone()
        }
        _ => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            format!("{}\n", refusal.viewer_text())
        }
    };
    match refusal {
        Refusal::Suspended { .. } => headers.insert(VARY, HeaderValue::from_static("Accept")),
        Refusal::Redirected { url, cookies, .. } => {
            // Both were checked when the plugin gave them.
            if let Ok(url) = HeaderValue::try_from(url.as_str()) {
                headers.insert(LOCATION, url);
            }
            let _ = set_cookies(headers, cookies, asked.secure);
        }
        _ => {}
    }
    if let Refusal::TooOften(limited) = refusal {
        tell(headers, limited.policy_field(), limited.limit_field());
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    retry_after(headers, refusal);
    if refusal.status() == http::StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(methods) = refusal.allowed() {
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    if let Some(origin) = origin {
        service::allow(headers, origin.clone());
    }
    whole(downstream, head, Bytes::from(text), entry).await
}

/// What a refusal needs to know of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedFor {
    /// Over TLS.
    pub(crate) secure: bool,
    /// By a browser that shows a page, rather than a player that wants a film.
    pub(crate) html: bool,
}

/// Whether pages are wanted.
pub(crate) fn wants_html(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
}

fn retry_after(headers: &mut Fields, refusal: &Refusal) {
    if let Some(wait) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
}

async fn write_head(downstream: &mut impl Downstream, mut head: AnswerHead, entry: &mut Entry) -> Result<(), Cut> {
    entry.status = head.status.as_u16();
    if let Ok(id) = HeaderValue::from_bytes(entry.request_id.as_bytes()) {
        head.fields.append(X_REQUEST_ID, id);
    }
    if let Some(hsts) = &entry.hsts {
        head.fields.append(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    downstream.head(head).await
}
