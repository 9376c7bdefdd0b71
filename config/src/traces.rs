//! Where both programs tell what requests' time went to.

use crate::report::Report;
use crate::secret::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An OpenTelemetry collector.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// Where it takes traces by OTLP over HTTP, as Protocol Buffers: an http or https address with its path.
    #[schemars(extend("example" = "http://127.0.0.1:4318/v1/traces"))]
    pub endpoint: String,
    /// Value of the Authorization field that it wants.
    #[schemars(extend("example" = { "file": "/etc/streamvault/traces.authorization" }))]
    pub authorization: Option<Secret>,
    /// Share of requests that are traced, from 0 to 1. The hive traces what the gateway does, too.
    #[serde(default = "Traces::default_sample")]
    pub sample: f64,
    /// For the gateway: a proxy in front, and nobody else, sets traceparent (W3C Trace Context): what it says is followed. Viewers who could
    /// set it would decide what is traced.
    #[serde(default)]
    pub follow: bool,
}

impl Traces {
    fn default_sample() -> f64 {
        0.01
    }

    pub(crate) fn check(&self, report: &mut Report<'_>) {
        let rest = self.endpoint.strip_prefix("http://").or_else(|| self.endpoint.strip_prefix("https://"));
        let host = rest.and_then(|rest| rest.split_once('/')).map(|(host, _)| host);
        let is_address = host.is_some_and(|host| !host.is_empty() && !host.contains('@'));
        let is_address = is_address && self.endpoint.bytes().all(|byte| byte.is_ascii_graphic());
        let needs = "must be an http:// or https:// address with a path, as in http://127.0.0.1:4318/v1/traces";
        report.require(is_address, "traces.endpoint", needs);
        let is_field = |value: &Secret| value.expose().bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let fits = self.authorization.as_ref().is_none_or(is_field);
        report.require(fits, "traces.authorization", "must be visible ASCII");
        report.require((0.0..=1.0).contains(&self.sample), "traces.sample", "must be from 0 to 1");
    }

    pub(crate) fn secret(&self) -> Option<(String, &Secret)> {
        self.authorization.as_ref().map(|secret| ("traces.authorization".to_owned(), secret))
    }
}
