//! An OpenTelemetry collector of the tests' own: takes spans by OTLP over HTTP and keeps them.

use crate::Failure;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One span as it was told. Ids are hexadecimal.
#[derive(Clone, Debug)]
pub struct ToldSpan {
    /// The program (`service.name`).
    pub service: String,
    /// Its name.
    pub name: String,
    /// The trace's id.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The id of the one above it, empty if there is none.
    pub parent: String,
    /// What was noted about it, as text.
    pub notes: BTreeMap<String, String>,
    /// Why it came to nothing.
    pub failed: Option<String>,
    /// Its beginning and end in nanoseconds since the Unix epoch.
    pub time: (u64, u64),
}

/// A running collector; dropping it ends it.
pub struct Collector {
    address: String,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    spans: Mutex<Vec<ToldSpan>>,
    wrong: Mutex<Vec<String>>,
}

impl Collector {
    /// Starts one that wants this authorization.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start(authorization: &str) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let seen = Arc::<Seen>::default();
        let (all, wanted) = (seen.clone(), authorization.to_owned());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (all, wanted) = (all.clone(), wanted.clone());
                let answer = service_fn(move |request| answer(all.clone(), wanted.clone(), request));
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                tokio::spawn(connection);
            }
        });
        Ok(Self { address, seen, task })
    }

    /// For a settings file: a TOML string.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("\"http://{}/v1/traces\"", self.address)
    }

    /// What was told so far.
    ///
    /// # Errors
    /// When something came that is no such telling.
    pub fn spans(&self) -> Result<Vec<ToldSpan>, Failure> {
        let wrong = self.seen.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.is_empty() {
            Ok(self.seen.spans.lock().unwrap_or_else(PoisonError::into_inner).clone())
        } else {
            Err(format!("{wrong:?}").into())
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    seen: Arc<Seen>,
    authorization: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let field = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_right = head.uri.path() == "/v1/traces"
        && head.method == http::Method::POST
        && field("content-type") == "application/x-protobuf"
        && field("authorization") == authorization;
    let mut response = Response::new(Full::default());
    match ExportTraceServiceRequest::decode(body) {
        Ok(told) if is_right => {
            seen.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(spans(told));
        }
        decoded => {
            let wrong = format!("{head:?}: {:?}", decoded.err());
            seen.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(wrong);
            *response.status_mut() = StatusCode::BAD_REQUEST;
        }
    }
    Ok(response)
}

fn spans(told: ExportTraceServiceRequest) -> Vec<ToldSpan> {
    let mut spans = Vec::new();
    for of_program in told.resource_spans {
        let resource = notes(of_program.resource.unwrap_or_default().attributes);
        let service = resource.get("service.name").cloned().unwrap_or_default();
        for span in of_program.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(ToldSpan {
                service: service.clone(),
                name: span.name,
                trace: hexadecimal(&span.trace_id),
                id: hexadecimal(&span.span_id),
                parent: hexadecimal(&span.parent_span_id),
                notes: notes(span.attributes),
                // 2 is STATUS_CODE_ERROR.
                failed: span.status.filter(|status| status.code == 2).map(|status| status.message),
                time: (span.start_time_unix_nano, span.end_time_unix_nano),
            });
        }
    }
    spans
}

fn notes(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes.into_iter().map(|attribute| (attribute.key, attribute.value.map_or_else(String::new, text))).collect()
}

fn text(value: AnyValue) -> String {
    match value.value {
        Some(any_value::Value::StringValue(text)) => text,
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn hexadecimal(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
