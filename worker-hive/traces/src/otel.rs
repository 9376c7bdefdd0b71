//! The face over OpenTelemetry's own kit.

use crate::export::{Export, TracesError};
use crate::sender::{Checked, PATIENCE, Sender};
use http::HeaderMap;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanBuilder, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue, StringValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanLimits,
};
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

/// How often what ended is sent, how much at once, and how much may wait.
const DELAY: Duration = Duration::from_secs(5);
const BATCH: usize = 512;
const QUEUE: usize = 2048;

/// Longest wait at a program's end for the last spans to be taken.
const LAST: Duration = Duration::from_secs(2);

/// Somebody in this process is told of spans: until then nobody looks for one.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Tells a collector, or nobody.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Telling>>);

#[derive(Debug)]
struct Telling {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    sample: f64,
}

/// What spans below one are made with; travels with the context that a task runs in.
struct Maker(SdkTracer);

impl Traces {
    /// Tells nobody.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Whether an export is one that can be tried.
    ///
    /// # Errors
    /// [`TracesError::Setup`] when the address or the authorization can't be used.
    pub fn check(export: &Export) -> Result<(), TracesError> {
        Checked::new(export).map(drop)
    }

    /// Tells a collector. What ended is sent every five seconds or 512 spans, once; while 2,048 wait, further ones are dropped.
    /// `OTEL_RESOURCE_ATTRIBUTES` adds to what it is told of the program.
    ///
    /// # Errors
    /// As [`Self::check`]'s. Whether a collector is there shows later, in the log.
    pub fn start(export: &Export) -> Result<Self, TracesError> {
        let setup = |error: &dyn std::fmt::Display| TracesError::Setup(error.to_string());
        let checked = Checked::new(export)?;
        // All that the process' environment could say otherwise is said here (OTEL_EXPORTER_OTLP_*, OTEL_BSP_*), but for a compression,
        // with which this fails.
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new(checked).map_err(|error| setup(&error))?)
            .with_retry_policy(RetryPolicy::disabled())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&export.endpoint)
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| setup(&error))?;
        let batches = BatchConfigBuilder::default()
            .with_scheduled_delay(DELAY)
            .with_max_export_batch_size(BATCH)
            .with_max_queue_size(QUEUE)
            .build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let version = KeyValue::new("service.version", export.version);
        let resource = Resource::builder().with_service_name(export.service).with_attribute(version).build();
        // Who is traced is drawn in `begin`: what gets as far as a span is told.
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .with_span_limits(SpanLimits::default())
            .with_span_processor(batches)
            .build();
        let tracer = provider.tracer("streamvault");
        TOLD.store(true, Ordering::Relaxed);
        Ok(Self(Some(Arc::new(Telling { provider, tracer, sample: export.sample }))))
    }

    /// The span of a request that came in. If its headers are to be followed and say whether whoever asked is traced, so is this; else `draw`,
    /// a random number from 0 to 1, decides.
    #[must_use]
    pub fn begin(&self, name: &'static str, headers: Option<&HeaderMap>, draw: impl FnOnce() -> f64) -> Span {
        let Some(telling) = &self.0 else { return Span::none() };
        let asked = headers.map(|headers| TraceContextPropagator::new().extract(&HeaderExtractor(headers)));
        let asked = asked.filter(|asked| asked.span().span_context().is_valid());
        let drawn = match &asked {
            Some(asked) => asked.span().span_context().is_sampled(),
            None => draw() < telling.sample,
        };
        if !drawn {
            return Span::none();
        }
        let above = asked.unwrap_or_default().with_value(Maker(telling.tracer.clone()));
        Span::below(&above, name, SpanKind::Server)
    }

    /// Sends what is left, for two seconds at most. Blocks.
    pub fn end(&self) {
        if let Some(telling) = &self.0 {
            // It failed: the exporter has said so.
            let _ = telling.provider.shutdown_with_timeout(LAST);
        }
    }
}

/// What a span is to those on its two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Work of the program's own.
    Internal,
    /// A question to another program.
    Client,
}

/// One stretch of a request's time, which ends when it is told to, or with its last clone. Or none: then all of this is nothing.
#[derive(Clone, Debug, Default)]
pub struct Span(Option<Context>);

impl Span {
    /// None.
    #[must_use]
    pub const fn none() -> Self {
        Self(None)
    }

    /// That of the task that runs.
    #[must_use]
    pub fn current() -> Self {
        if !TOLD.load(Ordering::Relaxed) {
            return Self(None);
        }
        Self(Context::map_current(|context| context.get::<Maker>().is_some().then(|| context.clone())))
    }

    /// There is one.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.0.is_some()
    }

    /// A span below this one, which may outlive it.
    #[must_use]
    pub fn child(&self, name: &'static str, kind: Kind) -> Self {
        let kind = match kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Client => SpanKind::Client,
        };
        self.0.as_ref().map_or(Self(None), |above| Self::below(above, name, kind))
    }

    fn below(above: &Context, name: &'static str, kind: SpanKind) -> Self {
        let Some(Maker(tracer)) = above.get::<Maker>() else { return Self(None) };
        let span = tracer.build_with_context(SpanBuilder::from_name(name).with_kind(kind), above);
        Self(Some(above.with_span(span)))
    }

    /// Notes something about it.
    pub fn text(&self, key: &'static str, value: impl ToString) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, StringValue::from(value.to_string())));
        }
    }

    /// Notes a number.
    pub fn number(&self, key: &'static str, value: u64) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }

    /// It came to nothing, and why.
    pub fn failed(&self, why: impl ToString) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(why.to_string()));
        }
    }

    /// Tells whoever is asked which trace its work belongs to.
    pub fn inject(&self, headers: &mut HeaderMap) {
        if let Some(context) = &self.0 {
            TraceContextPropagator::new().inject_context(context, &mut HeaderInjector(headers));
        }
    }

    /// Ends it, whoever still holds it.
    pub fn end(&self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }

    /// Calls, with this as the current one.
    pub fn in_scope<T>(&self, call: impl FnOnce() -> T) -> T {
        let _guard = self.0.clone().map(Context::attach);
        call()
    }

    /// Which one it is.
    #[cfg(test)]
    pub(crate) fn context(&self) -> Option<opentelemetry::trace::SpanContext> {
        self.0.as_ref().map(|context| context.span().span_context().clone())
    }
}

pin_project! {
    /// A future with a span as the current one.
    #[must_use = "a future does nothing until it is polled"]
    pub struct Within<F> {
        #[pin]
        future: F,
        span: Span,
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.span.in_scope(|| this.future.poll(cx))
    }
}

pin_project! {
    /// A future that is a span of its own.
    #[must_use = "a future does nothing until it is polled"]
    pub struct Step<F, J> {
        #[pin]
        future: F,
        span: Span,
        is_fault: J,
    }
}

impl<F, J, T, E> Future for Step<F, J>
where
    F: Future<Output = Result<T, E>>,
    J: Fn(&E) -> bool,
    E: std::fmt::Display,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Result<T, E>> {
        let this = self.project();
        let polled = this.span.in_scope(|| this.future.poll(cx));
        if let Poll::Ready(done) = &polled {
            match done {
                Err(error) if (this.is_fault)(error) => this.span.failed(error),
                Err(error) => this.span.text("streamvault.reason", error),
                Ok(_) => {}
            }
            this.span.end();
        }
        polled
    }
}

/// The future, with this span as its current one. Ends no span.
pub fn within<F: Future>(span: Span, future: F) -> Within<F> {
    Within { future, span }
}

/// The future as a span below the current one. It ends with the future, and has failed if that came to an error that is a fault.
pub fn step<F, T, E, J>(name: &'static str, future: F, is_fault: J) -> Step<F, J>
where
    F: Future<Output = Result<T, E>>,
    J: Fn(&E) -> bool,
{
    Step { future, span: Span::current().child(name, Kind::Internal), is_fault }
}

/// The future as this span, which ends with it, and has failed if it has.
pub fn spanned<F, T, E>(span: Span, future: F) -> Step<F, fn(&E) -> bool>
where
    F: Future<Output = Result<T, E>>,
{
    Step { future, span, is_fault: |_| true }
}

/// The same for a task that nobody waits for: its end is its own, and so is what it comes to.
pub fn detached<F: Future>(name: &'static str, future: F) -> Within<F> {
    within(Span::current().child(name, Kind::Internal), future)
}
