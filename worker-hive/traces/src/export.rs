//! Where traces go.

use secrecy::SecretString;

/// Where spans are sent, and of which requests.
#[derive(Clone, Debug)]
pub struct Export {
    /// What the program is called there (`service.name`).
    pub service: &'static str,
    /// Its version (`service.version`).
    pub version: &'static str,
    /// Where a collector takes traces: an http or https address with its path, as in `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// Value of the `Authorization` field that it wants.
    pub authorization: Option<SecretString>,
    /// Share of the requests that are traced, from 0 to 1, where nobody else has drawn.
    pub sample: f64,
}

/// Traces can't be told.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The program lacks the feature.
    #[error("this program was built without traces: build it with the feature otel")]
    Absent,
    /// The address, or what stands beside it, is no good.
    #[error("{0}")]
    Setup(String),
}
