//! Requests to hives.

use crate::HiveAddress;
use crate::answer::{self, TryError};
use crate::body::{self, Transfer};
use crate::fleet::Fleet;
use crate::patience::Patience;
use crate::stats::HiveStats;
use crate::transport::Connector;
use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{AUTHORIZATION, HOST, IF_MATCH, RANGE};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use slice::{ByteRange, ETag, MediaId, MediaMeta, Opened, OriginError, SliceOrigin};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use traces::{Kind, Span};
use wire::{HOP_HEADER, MediaPath, REQUEST_ID_HEADER, RequestRange, SESSIONS_PATH};

/// All requests of an HTTP/2 connection share its fate. One that a router forgot would be found out by each of them alone, and only
/// after its whole patience; asked this often for a sign of life, it ends for all within the sum of both.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest list of sessions in bytes.
const LONGEST_LISTING: usize = 4 << 20;

/// How to reach the hives and how long to be patient with them.
#[derive(Clone, Debug)]
pub struct HiveConfig {
    /// Where they listen. One that can't answer is passed over for the next; all of one fleet, which share their sessions or see the same
    /// channels. With none, nothing is ever answered.
    pub addresses: Vec<HiveAddress>,
    /// Shared bearer token, visible ASCII.
    pub token: SecretString,
    /// Speak HTTP/2 with prior knowledge instead of HTTP/1.1.
    pub http2: bool,
    /// Limit for connecting.
    pub connect_timeout: Duration,
    /// Limit from the request to the answer's headers.
    pub response_timeout: Duration,
    /// Limit between two pieces of a body.
    pub idle_timeout: Duration,
    /// How long a transfer is tried again, counted from the moment it broke, before it fails.
    pub retry_window: Duration,
    /// Idle connections kept, to each hive.
    pub max_idle: usize,
    /// What the asking gateway is called, if who is asked is another gateway and no hive; visible ASCII.
    pub hop: Option<String>,
}

/// A client of one or several hives; clones share its connections and counters.
#[derive(Clone)]
pub struct HiveClient {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    hives: Vec<Client<Connector, Empty<Bytes>>>,
    pub(crate) fleet: Mutex<Fleet>,
    authorization: HeaderValue,
    hop: Option<HeaderValue>,
    pub(crate) config: HiveConfig,
    pub(crate) stats: HiveStats,
}

impl HiveClient {
    /// A client that connects when first asked.
    ///
    /// # Errors
    /// When the token or the hop can't stand in a header.
    pub fn new(config: HiveConfig) -> Result<Self, http::header::InvalidHeaderValue> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", config.token.expose_secret()))?;
        authorization.set_sensitive(true);
        let hop = config.hop.as_deref().map(HeaderValue::try_from).transpose()?;
        let client = |address: &HiveAddress| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .http2_keep_alive_interval(PING_INTERVAL)
                .http2_keep_alive_timeout(PING_TIMEOUT)
                .http2_keep_alive_while_idle(true)
                .pool_idle_timeout(Duration::from_secs(30))
                .pool_max_idle_per_host(config.max_idle)
                .http2_only(config.http2)
                .build(Connector { address: address.clone(), timeout: config.connect_timeout })
        };
        let hives: Vec<_> = config.addresses.iter().map(client).collect();
        let addresses: Vec<&[u8]> = config.addresses.iter().map(HiveAddress::bytes).collect();
        let fleet = Mutex::new(Fleet::new(&addresses, config.response_timeout));
        let stats = HiveStats::default();
        Ok(Self { shared: Arc::new(Shared { hives, fleet, authorization, hop, config, stats }) })
    }

    /// The hives, and which of them are left alone for a while because they could not be reached.
    #[must_use]
    pub fn health(&self) -> Vec<(&HiveAddress, bool)> {
        let quarantined = self.shared.fleet.lock().quarantined(Instant::now());
        self.shared.config.addresses.iter().zip(quarantined).collect()
    }

    /// Asks the first of the addresses for nothing but a sign of life. True if it gave one within `patience`, and takes the token.
    pub async fn is_alive(&self, patience: Duration) -> bool {
        let Ok(request) = self.shared.request_to(Method::HEAD, "/") else { return false };
        let Some(client) = self.shared.hives.first() else { return false };
        let answer = tokio::time::timeout(patience, client.request(request)).await;
        matches!(answer, Ok(Ok(response)) if response.status().is_success())
    }

    /// What each hive says of its sessions: the body of `GET /v1/sessions`, or why there is none.
    pub async fn sessions(&self, patience: Duration) -> Vec<(String, Result<Vec<u8>, String>)> {
        let asked = self.shared.hives.iter().zip(&self.shared.config.addresses).map(|(client, address)| async move {
            let answer = tokio::time::timeout(patience, self.shared.listing(client)).await;
            (address.to_string(), answer.unwrap_or_else(|_| Err("no answer in time".to_owned())))
        });
        join_all(asked).await
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> &HiveStats {
        &self.shared.stats
    }
}

#[async_trait::async_trait]
impl SliceOrigin for HiveClient {
    async fn describe(&self, media: MediaId) -> Result<MediaMeta, OriginError> {
        let mut patience = Patience::new(&self.shared, media);
        loop {
            let hive = patience.hive();
            match self.shared.describe_once(hive, media, patience.for_answer()).await {
                Ok(meta) => {
                    patience.answered(hive);
                    return Ok(meta);
                }
                Err(error) => patience.pause_or_fail(hive, error).await?,
            }
        }
    }

    async fn open(&self, media: MediaId, etag: &ETag, range: ByteRange) -> Result<Opened, OriginError> {
        let mut patience = Patience::new(&self.shared, media);
        loop {
            let hive = patience.hive();
            match self.shared.open_once(hive, media, etag, range, patience.for_answer()).await {
                Ok((meta, incoming)) => {
                    patience.answered(hive);
                    let transfer = Transfer { shared: self.shared.clone(), hive, media, etag: etag.clone(), range };
                    return Ok(Opened { meta, body: body::resuming(transfer, incoming) });
                }
                Err(error) => patience.pause_or_fail(hive, error).await?,
            }
        }
    }
}

impl Shared {
    pub(crate) fn count(&self) -> usize {
        self.fleet.lock().len()
    }

    async fn describe_once(&self, hive: usize, media: MediaId, patience: Duration) -> Result<MediaMeta, TryError> {
        let response = self.send(hive, self.request(Method::HEAD, media)?, patience).await?;
        answer::description(response.status(), response.headers(), media)
    }

    pub(crate) async fn open_once(
        &self,
        hive: usize,
        media: MediaId,
        etag: &ETag,
        range: ByteRange,
        patience: Duration,
    ) -> Result<(MediaMeta, Incoming), TryError> {
        let mut request = self.request(Method::GET, media)?;
        let wanted = RequestRange { first: range.start, last: range.end - 1 };
        let bad = |_| TryError::Protocol("a header of ours could not be written");
        request.headers_mut().insert(RANGE, HeaderValue::try_from(wanted.to_string()).map_err(bad)?);
        let quoted = HeaderValue::try_from(format!("\"{}\"", etag.as_str())).map_err(bad)?;
        request.headers_mut().insert(IF_MATCH, quoted);
        let response = self.send(hive, request, patience).await?;
        let meta = answer::transfer(response.status(), response.headers(), media, etag, range)?;
        Ok((meta, response.into_body()))
    }

    async fn listing(&self, client: &Client<Connector, Empty<Bytes>>) -> Result<Vec<u8>, String> {
        let failed = |_| "a request of ours could not be built".to_owned();
        let request = self.request_to(Method::GET, SESSIONS_PATH).map_err(failed)?;
        let response = client.request(request).await.map_err(|_| "it can't be reached".to_owned())?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        let body = Limited::new(response.into_body(), LONGEST_LISTING).collect().await;
        body.map(|body| body.to_bytes().to_vec()).map_err(|_| "its answer broke off, or is too long".to_owned())
    }

    fn request(&self, method: Method, media: MediaId) -> Result<Request<Empty<Bytes>>, TryError> {
        let request = self
            .request_to(method, &path(media))
            .map_err(|_| TryError::Protocol("a request of ours could not be built"))?;
        if let Some(id) = request.headers().get(REQUEST_ID_HEADER) {
            tracing::debug!(%media, ?id, method = %request.method(), "asking");
        }
        Ok(request)
    }

    /// Each with an id of its own, by which its way can be followed through the log of whoever is asked.
    fn request_to(&self, method: Method, path: &str) -> http::Result<Request<Empty<Bytes>>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://hive{path}"))
            .header(HOST, "hive")
            .header(AUTHORIZATION, self.authorization.clone())
            .header(REQUEST_ID_HEADER, format!("{:016x}", rand::random::<u64>()));
        if let Some(hop) = &self.hop {
            request = request.header(HOP_HEADER, hop.clone());
        }
        request.body(Empty::new())
    }

    /// A question's span, of which whoever is asked is told.
    fn span(&self, hive: usize, request: &mut Request<Empty<Bytes>>) -> Span {
        let span = Span::current().child("ask", Kind::Client);
        if span.is_told() {
            span.text("http.request.method", request.method());
            span.text("url.path", request.uri().path());
            if let Some(address) = self.config.addresses.get(hive) {
                span.text("server.address", address);
            }
            span.inject(request.headers_mut());
        }
        span
    }

    async fn send(
        &self,
        hive: usize,
        mut request: Request<Empty<Bytes>>,
        patience: Duration,
    ) -> Result<Response<Incoming>, TryError> {
        self.stats.request();
        let client = self.hives.get(hive).ok_or(TryError::Unreachable)?;
        let span = self.span(hive, &mut request);
        let answer = match tokio::time::timeout(patience, client.request(request)).await {
            Err(_) if patience < self.config.response_timeout => Err(TryError::OutOfPatience),
            Err(_) => Err(TryError::Timeout),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the hive gave no answer");
                Err(TryError::Unreachable)
            }
        };
        match &answer {
            Ok(response) => span.number("http.response.status_code", response.status().as_u16().into()),
            Err(error) => span.failed(error.into_origin()),
        }
        answer
    }
}

/// Where the hive has the media.
fn path(media: MediaId) -> String {
    let path = match media {
        MediaId::Message { chat_id, message_id } => MediaPath::Message { chat_id, message_id },
        MediaId::Virtual(slug) => MediaPath::Virtual(slug),
    };
    path.to_path()
}
