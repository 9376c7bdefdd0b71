//! A body on its way: counts what is sent, and breaks the connection when the pool fails.

use crate::metrics::Metrics;
use crate::refusal::Refusal;
use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use mtproto::Account;
use pool::PoolFault;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tracing::Span;

/// Exactly `left` bytes, or an error. An error makes the HTTP server close the connection (HTTP/1) or reset the stream (HTTP/2),
/// so that a short body never looks whole.
pub(crate) struct Sending {
    body: pool::Body<Account>,
    left: u64,
    metrics: Arc<Metrics>,
    span: Span,
}

impl Sending {
    pub(crate) fn new(body: pool::Body<Account>, left: u64, metrics: Arc<Metrics>, span: Span) -> Self {
        metrics.bodies.inc();
        Self { body, left, metrics, span }
    }

    fn broken(&self, fault: PoolFault) -> PoolFault {
        let code = Refusal::from(&fault).fault.code();
        self.metrics.broken_bodies.with_label_values(&[code]).inc();
        self.span.in_scope(|| tracing::warn!(%fault, left = self.left, "a body broke"));
        fault
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = PoolFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, PoolFault>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        // Chunks are asked for while the body is polled: they belong to the request.
        let span = self.span.clone();
        let next = span.in_scope(|| Pin::new(&mut self.body).poll_next(cx));
        next.map(|next| {
            Some(match next {
                Some(Ok(bytes)) => {
                    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    match self.left.checked_sub(length) {
                        Some(left) => {
                            self.left = left;
                            self.metrics.sent_bytes.inc_by(length);
                            Ok(Frame::data(bytes))
                        }
                        None => Err(self.broken(PoolFault::Reset("more bytes than promised".to_owned()))),
                    }
                }
                Some(Err(fault)) => Err(self.broken(fault)),
                None => Err(self.broken(PoolFault::Reset("fewer bytes than promised".to_owned()))),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.metrics.bodies.dec();
    }
}
