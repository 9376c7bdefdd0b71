//! A body on its way: counts what is sent, and breaks the connection when the pool fails.

use crate::metrics::Metrics;
use crate::refusal::Refusal;
use bytes::Bytes;
use futures_core::Stream;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use pool::PoolFault;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Span;

/// Exactly `left` bytes, or an error. An error makes the HTTP server close the connection (HTTP/1) or reset the stream (HTTP/2),
/// so that a short body never looks whole. Before it tells the error it lets the server send what it has: hyper throws away a head
/// and bytes that are still in its buffer when the error comes in the same breath, and the reader would see a connection that
/// closes without an answer.
///
/// Whoever stops taking bytes would keep a session's place for ever, and the HTTP server does not ask the body again until its own
/// buffers are empty: so a task beside it gives the body up.
pub(crate) struct Sending {
    source: Arc<Mutex<Source>>,
    left: u64,
    /// To be told when the server asks for more again.
    failed: Option<PoolFault>,
    metrics: Arc<Metrics>,
    span: Span,
    /// The request's, which ends with its body.
    trace: traces::Span,
    _watch: AbortOnDropHandle<()>,
}

/// Bytes as the pool gives them.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, PoolFault>> + Send>>;

struct Source {
    /// None once it was given up.
    body: Option<Pieces>,
    /// Since when the server has had bytes and not asked for more. None while it waits for the pool.
    idle_since: Option<Instant>,
}

impl Sending {
    pub(crate) fn new(body: Pieces, left: u64, stall: Duration, metrics: Arc<Metrics>, span: Span) -> Self {
        metrics.bodies.inc();
        let source = Arc::new(Mutex::new(Source { body: Some(body), idle_since: Some(Instant::now()) }));
        let watch = watch(Arc::clone(&source), stall, span.clone());
        let (trace, watch) = (traces::Span::current(), AbortOnDropHandle::new(tokio::spawn(watch)));
        Self { source, left, failed: None, metrics, span, trace, _watch: watch }
    }

    fn broken(&mut self, fault: PoolFault, cx: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, PoolFault>>> {
        let code = Refusal::from(&fault).fault.code();
        self.metrics.broken_bodies.with_label_values(&[code]).inc();
        self.span.in_scope(|| tracing::warn!(%fault, left = self.left, "a body broke"));
        self.trace.failed(&fault);
        self.failed = Some(fault);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = PoolFault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, PoolFault>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if let Some(fault) = self.failed.take() {
            return Poll::Ready(Some(Err(fault)));
        }
        // Chunks are asked for while the body is polled: they belong to the request.
        let span = self.span.clone();
        let source = Arc::clone(&self.source);
        let mut source = source.lock();
        let Some(body) = source.body.as_mut() else {
            return self.broken(PoolFault::Reset("the reader stood still".to_owned()), cx);
        };
        let trace = self.trace.clone();
        let next = trace.in_scope(|| span.in_scope(|| body.as_mut().poll_next(cx)));
        source.idle_since = next.is_ready().then(Instant::now);
        drop(source);
        let bytes = match std::task::ready!(next) {
            Some(Ok(bytes)) => bytes,
            Some(Err(fault)) => return self.broken(fault, cx),
            None => return self.broken(PoolFault::Reset("fewer bytes than promised".to_owned()), cx),
        };
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let Some(left) = self.left.checked_sub(length) else {
            return self.broken(PoolFault::Reset("more bytes than promised".to_owned()), cx);
        };
        self.left = left;
        self.metrics.sent_bytes.inc_by(length);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Gives the body up when nobody takes its bytes for `stall`.
async fn watch(source: Arc<Mutex<Source>>, stall: Duration, span: Span) {
    loop {
        let until = source.lock().idle_since.unwrap_or_else(Instant::now) + stall;
        tokio::time::sleep_until(until).await;
        let mut source = source.lock();
        if source.idle_since.is_some_and(|since| since.elapsed() >= stall) {
            source.body = None;
            span.in_scope(|| tracing::warn!("nobody takes a body's bytes: it is given up"));
            return;
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.metrics.bodies.dec();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use futures_util::stream;
    use http_body_util::{BodyExt, Empty};
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use std::convert::Infallible;

    /// Whoever asked learns what was sent, and that it broke: not that a connection closed without a word.
    #[tokio::test]
    async fn what_was_sent_before_an_error_arrives() {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let metrics = Arc::new(Metrics::new().unwrap());
        let answer = service_fn(move |_request| {
            let pieces = stream::iter([Ok(Bytes::from_static(b"first")), Err(PoolFault::Timeout)]);
            let body = Sending::new(Box::pin(pieces), 100, Duration::from_secs(9), Arc::clone(&metrics), Span::none());
            async { Ok::<_, Infallible>(http::Response::new(body)) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(ours), answer));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(theirs)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("/").body(Empty::<Bytes>::new()).unwrap();
        let mut body = sender.send_request(request).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
        assert!(body.frame().await.unwrap().is_err());
    }
}
