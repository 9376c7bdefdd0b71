//! A request's trace: whether it has one, and what is noted about it at its end.

use crate::access_log::Entry;
use crate::outcome::Outcome;
use crate::refusal::Refusal;
use config::GatewaySettings;
use http::HeaderMap;
use secrecy::SecretString;
use slice::MediaId;
use std::future::Future;
use traces::{Export, Span, Traces, TracesError};

/// Whom traces are told to.
pub(crate) struct Traced {
    traces: Traces,
    /// What viewers' requests say of traces comes from a proxy in front.
    follow: bool,
}

impl Traced {
    pub(crate) fn new(settings: &GatewaySettings) -> Result<Self, TracesError> {
        let Some(settings) = &settings.traces else { return Ok(Self { traces: Traces::off(), follow: false }) };
        Ok(Self { traces: Traces::start(&export(settings))?, follow: settings.follow })
    }

    /// The span of a viewer's request.
    pub(crate) fn viewer(&self, headers: &HeaderMap) -> Span {
        self.traces.begin("viewer", self.follow.then_some(headers), rand::random)
    }

    /// The span of another gateway's, which has proved that it may ask.
    pub(crate) fn gateway(&self, headers: &HeaderMap, media: MediaId) -> Span {
        let span = self.traces.begin("gateway", Some(headers), rand::random);
        span.text("streamvault.media", media);
        span
    }

    /// Tells what is left, for two seconds at most. Blocks.
    pub(crate) fn end(&self) {
        self.traces.end();
    }
}

/// Whether what the settings say of traces can be done.
pub(crate) fn check(settings: &GatewaySettings) -> Result<(), TracesError> {
    settings.traces.as_ref().map_or(Ok(()), |settings| Traces::check(&export(settings)))
}

fn export(settings: &config::Traces) -> Export {
    Export {
        service: "streamvault-gateway",
        version: env!("CARGO_PKG_VERSION"),
        endpoint: settings.endpoint.clone(),
        authorization: settings.authorization.as_ref().map(|secret| SecretString::from(secret.expose())),
        sample: settings.sample,
    }
}

/// A step of a request's way, as a span below the request's. What viewers do wrong is no fault of ours (OpenTelemetry, HTTP spans: 4xx of
/// a server is no error). Steps are handed over pinned: their futures are large, and would be copied on their way in here.
pub(crate) fn step<T>(
    name: &'static str,
    step: impl Future<Output = Result<T, Refusal>>,
) -> impl Future<Output = Result<T, Refusal>> {
    traces::step(name, step, |refusal: &Refusal| refusal.status().is_server_error())
}

/// Notes what the access log says of a request, but for who asked, and ends its span.
pub(crate) fn finish(span: &Span, entry: &Entry, outcome: Outcome) {
    if !span.is_told() {
        return;
    }
    span.text("http.request.method", &entry.method);
    if entry.status != 0 {
        span.number("http.response.status_code", entry.status.into());
    }
    span.text("url.path", &entry.path);
    span.text("network.protocol.name", entry.protocol);
    span.text("streamvault.request_id", entry.request_id.as_str());
    span.text("streamvault.outcome", outcome.word());
    span.number("streamvault.bytes", entry.bytes);
    if let Some(tenant) = &entry.tenant {
        span.text("streamvault.tenant", tenant);
    }
    if let Some(media) = &entry.media {
        span.text("streamvault.media", media);
    }
    if let Some(cache) = entry.cache {
        span.text("streamvault.cache", cache);
    }
    if let Some(reason) = &entry.reason {
        span.text("streamvault.reason", reason);
    }
    let ours = outcome.status().is_some_and(|status| status.is_server_error());
    if ours || matches!(outcome, Outcome::BodyCut | Outcome::Internal) {
        span.failed(outcome.word());
    }
    span.end();
}
