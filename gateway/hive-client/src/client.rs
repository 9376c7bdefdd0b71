//! Requests to one hive.

use crate::HiveAddress;
use crate::answer::{self, TryError};
use crate::body::{self, Transfer};
use crate::retry;
use crate::stats::HiveStats;
use crate::transport::Connector;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, IF_MATCH, RANGE};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use slice::{ByteRange, ETag, MediaId, MediaMeta, Opened, OriginError, SliceOrigin};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::{MediaPath, RequestRange, Slug};

/// How to reach a hive and how long to be patient with it.
#[derive(Clone, Debug)]
pub struct HiveConfig {
    /// Where it listens.
    pub address: HiveAddress,
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
    /// Idle connections kept.
    pub max_idle: usize,
}

/// A client of one hive; clones share its connections and counters.
#[derive(Clone)]
pub struct HiveClient {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    client: Client<Connector, Empty<Bytes>>,
    authorization: HeaderValue,
    pub(crate) config: HiveConfig,
    pub(crate) stats: HiveStats,
}

impl HiveClient {
    /// A client that connects when first asked.
    ///
    /// # Errors
    /// When the token can't stand in a header.
    pub fn new(config: HiveConfig) -> Result<Self, http::header::InvalidHeaderValue> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", config.token.expose_secret()))?;
        authorization.set_sensitive(true);
        let connector = Connector { address: config.address.clone(), timeout: config.connect_timeout };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(config.max_idle)
            .http2_only(config.http2)
            .build(connector);
        Ok(Self { shared: Arc::new(Shared { client, authorization, config, stats: HiveStats::default() }) })
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
            match self.shared.describe_once(media, patience.for_answer()).await {
                Ok(meta) => return Ok(meta),
                Err(error) => patience.pause_or_fail(error).await?,
            }
        }
    }

    async fn open(&self, media: MediaId, etag: &ETag, range: ByteRange) -> Result<Opened, OriginError> {
        let mut patience = Patience::new(&self.shared, media);
        loop {
            match self.shared.open_once(media, etag, range, patience.for_answer()).await {
                Ok((meta, incoming)) => {
                    let transfer = Transfer { shared: self.shared.clone(), media, etag: etag.clone(), range };
                    return Ok(Opened { meta, body: body::resuming(transfer, incoming) });
                }
                Err(error) => patience.pause_or_fail(error).await?,
            }
        }
    }
}

impl Shared {
    async fn describe_once(&self, media: MediaId, patience: Duration) -> Result<MediaMeta, TryError> {
        let response = self.send(self.request(Method::HEAD, media)?, patience).await?;
        answer::description(response.status(), response.headers(), media)
    }

    pub(crate) async fn open_once(
        &self,
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
        let response = self.send(request, patience).await?;
        let meta = answer::transfer(response.status(), response.headers(), media, etag, range)?;
        Ok((meta, response.into_body()))
    }

    fn request(&self, method: Method, media: MediaId) -> Result<Request<Empty<Bytes>>, TryError> {
        let path = path(media)?;
        Request::builder()
            .method(method)
            .uri(format!("http://hive{path}"))
            .header(HOST, "hive")
            .header(AUTHORIZATION, self.authorization.clone())
            .body(Empty::new())
            .map_err(|_| TryError::Protocol("a request of ours could not be built"))
    }

    async fn send(&self, request: Request<Empty<Bytes>>, patience: Duration) -> Result<Response<Incoming>, TryError> {
        self.stats.request();
        match tokio::time::timeout(patience, self.client.request(request)).await {
            Err(_) => Err(TryError::Timeout),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the hive gave no answer");
                Err(TryError::Unreachable)
            }
        }
    }
}

/// Where the hive has the media.
fn path(media: MediaId) -> Result<String, TryError> {
    let path = match media {
        MediaId::Message { chat_id, message_id } => MediaPath::Message { chat_id, message_id },
        MediaId::Virtual(slug) => MediaPath::Virtual(
            Slug::parse(slug.as_str()).map_err(|_| TryError::Protocol("a slug that the hive can't have"))?,
        ),
    };
    Ok(path.to_path())
}

/// The tries made since bytes last flowed.
pub(crate) struct Patience<'a> {
    shared: &'a Shared,
    media: MediaId,
    failing: Option<(Instant, u32)>,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(shared: &'a Shared, media: MediaId) -> Self {
        Self { shared, media, failing: None }
    }

    /// How long the next answer may take: a try after a failure ends with the window.
    pub(crate) fn for_answer(&self) -> Duration {
        let config = &self.shared.config;
        let rest = self.failing.map(|(since, _)| config.retry_window.saturating_sub(since.elapsed()));
        rest.map_or(config.response_timeout, |rest| rest.min(config.response_timeout))
    }

    /// Sleeps until the next try, or says what the cache is to be told.
    pub(crate) async fn pause_or_fail(&mut self, error: TryError) -> Result<(), OriginError> {
        let stats = &self.shared.stats;
        match error {
            TryError::Fault(fault, _) => stats.fault(fault),
            TryError::Protocol(_) => stats.protocol(),
            TryError::Unreachable | TryError::Timeout => stats.unreachable(),
        }
        let now = Instant::now();
        let (since, tries) = *self.failing.get_or_insert((now, 0));
        let text = self.media.to_string();
        let spread = text.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        match retry::pause(error.trouble(), tries, now - since, self.shared.config.retry_window, spread) {
            Some(pause) => {
                tracing::debug!(media = %self.media, ?error, ?pause, tries, "asking the hive again");
                self.failing = Some((since, tries + 1));
                stats.retry();
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => {
                tracing::warn!(media = %self.media, ?error, tries, "the hive gave no bytes");
                Err(error.into_origin())
            }
        }
    }
}
