//! Where a request's time went, told to an OpenTelemetry collector by gateway and hive together.
//!
//! What it does: begins a span for a request that is drawn, or that whoever asked has drawn; spans below it for the steps on its way; puts
//! its place in the trace into requests to others, and takes it out of theirs (W3C Trace Context); sends what ended to a collector (OTLP over
//! HTTP), behind everybody's back. What it refuses to do: keep a request waiting, know what steps there are, tell anything that it was not
//! given. Who calls it: `edge`, `cache`, `hive-client`, `hive-server` and `pool`. What stays true: without a collector each step costs one look
//! at a flag, and a request that isn't drawn one at its thread's context; what a collector can't take is dropped, never waited for.
//!
//! The feature `otel` brings all this. Without it the same calls do nothing.

mod export;
#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod otel;
#[cfg(feature = "otel")]
mod sender;
#[cfg(all(test, feature = "otel"))]
mod tests;

pub use export::{Export, TracesError};
#[cfg(not(feature = "otel"))]
pub use off::{Kind, Span, Traces, Within, detached, spanned, step, within};
#[cfg(feature = "otel")]
pub use otel::{Kind, Span, Step, Traces, Within, detached, spanned, step, within};
