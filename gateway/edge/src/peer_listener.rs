//! The listener for the other gateways of a fleet: reads what they ask, answers out of the cache or from the hive. Never for viewers:
//! who asks here has judged them, and proves by the token that it may.

use crate::edge::Edge;
use crate::peer_answer::{Answer, answer};
use async_trait::async_trait;
use http::Response;
use peers::{Asked, Peers, Refused, Wanted};
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use prometheus::IntGauge;
use std::sync::Arc;
use traces::{Span, within};

/// Serves one fleet.
pub(crate) struct PeerListener {
    edge: Arc<Edge>,
    peers: Peers,
}

/// The answer did not reach its end: the connection must not, either.
struct Broken;

impl PeerListener {
    pub(crate) fn new(edge: Arc<Edge>, peers: Peers) -> Self {
        Self { edge, peers }
    }

    async fn serve(&self, session: &mut ServerSession) -> Result<(), Broken> {
        let head = session.req_header().as_owned_parts();
        let asked = self.peers.read(&head);
        let span = match &asked {
            Ok(Asked::Media(wanted)) => self.edge.traced.gateway(&head.headers, wanted.media),
            _ => Span::none(),
        };
        let refused = match asked {
            Ok(Asked::Life) => {
                let mut alive = Response::new(());
                *alive.status_mut() = http::StatusCode::NO_CONTENT;
                return write_head(session, alive).await;
            }
            Ok(Asked::Media(wanted)) => match within(span.clone(), answer(&self.edge, &self.peers, &wanted)).await {
                Ok(answer) => return self.send(session, &wanted, answer, span).await,
                Err(refused) => {
                    span.failed(refused.code());
                    let (media, from) = (wanted.media, wanted.from.as_str());
                    let (id, why) = (wanted.request_id.as_deref(), refused.code());
                    tracing::debug!(%media, from, id, why, "a gateway gets no bytes");
                    refused
                }
            },
            Err(refused) => {
                tracing::debug!(why = refused.code(), "not a request of the fleet's");
                refused
            }
        };
        self.peers.stats().refused();
        refuse(session, &refused, head.method == http::Method::HEAD).await
    }

    async fn send(
        &self,
        session: &mut ServerSession,
        wanted: &Wanted,
        answer: Answer,
        span: Span,
    ) -> Result<(), Broken> {
        let Answer { head, mut body, past_cache } = answer;
        self.peers.stats().served(past_cache);
        span.number("http.response.status_code", head.status().as_u16().into());
        write_head(session, head).await?;
        let mut bytes = 0;
        let done = loop {
            match within(span.clone(), body.next()).await {
                Ok(Some(piece)) => {
                    let length = piece.len() as u64;
                    if session.write_response_body(piece, false).await.is_err() {
                        break Err(Broken);
                    }
                    self.peers.stats().sent(length);
                    bytes += length;
                }
                Ok(None) => break Ok(()),
                Err(error) => {
                    span.failed(error);
                    break Err(Broken);
                }
            }
        };
        span.number("streamvault.bytes", bytes);
        let (media, from, id) = (wanted.media, wanted.from.as_str(), wanted.request_id.as_deref());
        tracing::debug!(%media, from, id, bytes, past_cache, whole = done.is_ok(), "answered a gateway");
        done
    }
}

#[async_trait]
impl HttpServerApp for PeerListener {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !matches!(session.read_request().await, Ok(true)) {
            return None;
        }
        // The drain waits for other gateways' transfers as it waits for viewers'.
        let _active = Active::new(&self.edge.metrics.active);
        let limits = self.edge.live.limits().clone();
        session.set_keepalive((!*shutdown.borrow()).then_some(limits.keepalive.as_secs().max(1)));
        session.set_write_timeout(Some(limits.write_timeout));
        let served = tokio::select! {
            biased;
            served = self.serve(&mut session) => served,
            () = self.edge.closing.cancelled() => Err(Broken),
        };
        // A connection that is dropped before its body's end is what tells the asker that there is more.
        served.ok()?;
        session.write_response_body(bytes::Bytes::new(), true).await.ok()?;
        let settings = HttpPersistentSettings::for_session(&session);
        let reusable = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(reusable, settings))
    }
}

async fn refuse(session: &mut ServerSession, refused: &Refused, is_head: bool) -> Result<(), Broken> {
    let (parts, body) = refused.response().into_parts();
    write_head(session, Response::from_parts(parts, ())).await?;
    if is_head {
        return Ok(());
    }
    session.write_response_body(body.into(), false).await.map_err(|_| Broken)
}

async fn write_head(session: &mut ServerSession, head: Response<()>) -> Result<(), Broken> {
    let (parts, ()) = head.into_parts();
    session.write_response_header(Box::new(ResponseHeader::from(parts))).await.map_err(|_| Broken)
}

/// Counts a request as under way until it is dropped.
struct Active(IntGauge);

impl Active {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}
