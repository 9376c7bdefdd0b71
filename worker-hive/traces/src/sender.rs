//! How spans get to a collector: one request after the other, on the exporter's own thread.

use crate::export::{Export, TracesError};
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{HttpClient, HttpError};
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;

/// A collector that doesn't answer within this loses the batch.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer that is read, in bytes: collectors have next to nothing to say.
const LONGEST_ANSWER: usize = 64 << 10;

/// A client with a runtime of its own. The exporter calls it from a thread that it keeps for this: it may block.
pub(crate) struct Sender {
    /// None while it is dropped, wherever that is.
    runtime: Option<Runtime>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    authorization: Option<HeaderValue>,
    /// The last batch was lost, which the log has been told.
    failing: AtomicBool,
}

/// What an export asks for, as far as it can be told without trying.
pub(crate) struct Checked {
    authorization: Option<HeaderValue>,
}

impl Checked {
    pub(crate) fn new(export: &Export) -> Result<Self, TracesError> {
        let address: Result<Uri, _> = export.endpoint.parse();
        let is_address = address.is_ok_and(|address| {
            address.host().is_some_and(|host| !host.is_empty())
                && (address.scheme() == Some(&Scheme::HTTP) || address.scheme() == Some(&Scheme::HTTPS))
        });
        if !is_address {
            return Err(TracesError::Setup("the endpoint is no http or https address".to_owned()));
        }
        let authorization = export.authorization.as_ref().map(|authorization| {
            let mut value = HeaderValue::from_str(authorization.expose_secret())
                .map_err(|_| TracesError::Setup("the authorization can't stand in a header".to_owned()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self { authorization: authorization.transpose()? })
    }
}

impl Sender {
    pub(crate) fn new(Checked { authorization }: Checked) -> Result<Self, HttpError> {
        let mut roots = RootCertStore::empty();
        // A system without any can still tell a collector without TLS.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector);
        let runtime = Some(tokio::runtime::Builder::new_current_thread().enable_all().build()?);
        Ok(Self { runtime, client, authorization, failing: AtomicBool::new(false) })
    }

    /// Sends what is to be sent, and nothing that the process' environment adds to it.
    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (given, body) = request.into_parts();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = given.method;
        *request.uri_mut() = given.uri;
        let fields = [(CONTENT_TYPE, given.headers.get(CONTENT_TYPE)), (AUTHORIZATION, self.authorization.as_ref())];
        request.headers_mut().extend(fields.into_iter().filter_map(|(name, value)| Some((name, value?.clone()))));
        let (head, body) = self.client.request(request).await?.into_parts();
        // What it says of a batch that it took is nobody's to read.
        let body = Limited::new(body, LONGEST_ANSWER).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Response::from_parts(head, body))
    }

    /// Says it once when spans begin to be lost, and once when that is over.
    fn tell(&self, answer: &Result<Response<Bytes>, HttpError>) {
        let why = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(refusal(answer.status())),
            Err(error) => Some(causes(&**error)),
        };
        let failed_before = self.failing.swap(why.is_some(), Ordering::Relaxed);
        match why {
            Some(why) if !failed_before => tracing::warn!(why, "traces are lost: the collector does not take them"),
            None if failed_before => tracing::info!("the collector takes traces again"),
            _ => {}
        }
    }
}

fn refusal(status: StatusCode) -> String {
    format!("it answered {status}")
}

/// An error with what is behind it: by itself it says that something failed.
fn causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        said = format!("{said}: {error}");
        behind = error.source();
    }
    said
}

impl Drop for Sender {
    fn drop(&mut self) {
        // Dropped by itself, a runtime panics inside of another one, which is where a hive is started.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sender")
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let Some(runtime) = &self.runtime else { return Err("it ends".into()) };
        let asked = async { tokio::time::timeout(PATIENCE, self.ask(request)).await };
        let answer = runtime.block_on(asked).unwrap_or_else(|_| Err("no answer in time".into()));
        self.tell(&answer);
        answer
    }
}
