//! Refusals, as problem details for HTTP APIs (RFC 9457).

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

/// Why something was not done. Its type is `about:blank`: the status says which kind it is, `detail` the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The status of the answer.
    pub status: StatusCode,
    /// For the operator who asked.
    pub detail: String,
    /// Single things that are wrong: a key, and what is wrong with it.
    pub errors: Vec<(String, String)>,
    /// When to ask again, if that is known: whole seconds.
    pub retry_after: Option<u32>,
}

/// As it is sent.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Sent<'a> {
    /// Always about:blank: the status says which kind of problem it is.
    r#type: &'static str,
    /// The status in words.
    title: &'a str,
    status: u16,
    /// What is wrong, for people.
    detail: &'a str,
    /// Single things that are wrong, if there are several or they have names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Wrong<'a>>,
}

/// One thing that is wrong.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProblemKey")]
struct Wrong<'a> {
    /// Path of the key.
    key: &'a str,
    message: &'a str,
}

impl Problem {
    /// A problem without single errors.
    #[must_use]
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// 503: to be asked again after so many seconds.
    #[must_use]
    pub fn later(seconds: u32, detail: impl Into<String>) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
    }

    /// 400.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404.
    #[must_use]
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 409.
    #[must_use]
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// The body.
    pub(crate) fn body(&self) -> Vec<u8> {
        let wrong = |(key, message): &(String, String)| (key.clone(), message.clone());
        let errors: Vec<(String, String)> = self.errors.iter().map(wrong).collect();
        let sent = Sent {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Problem"),
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: errors.iter().map(|(key, message)| Wrong { key, message }).collect(),
        };
        // Texts and a number: nothing that can't be written.
        let mut body = serde_json::to_vec_pretty(&sent).unwrap_or_default();
        body.push(b'\n');
        body
    }
}
