//! Small answers of the gateway's own: a status, some headers, a text.

use crate::fields::AnswerHead;
use crate::rates::tell;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS};
use serde::Serialize;

/// An answer that is whole before its head goes out. Nobody stores it, unless it says otherwise.
#[derive(Debug)]
pub(crate) struct Small {
    pub(crate) head: AnswerHead,
    pub(crate) body: Bytes,
}

impl Small {
    /// An answer without a body.
    pub(crate) fn empty(status: StatusCode) -> Self {
        let mut head = AnswerHead::new(status);
        head.fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        head.fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Self { head, body: Bytes::new() }
    }

    /// A text of this type.
    pub(crate) fn text(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let small = Self { body: body.into(), ..Self::empty(StatusCode::OK) };
        small.with(CONTENT_TYPE, HeaderValue::from_static(content_type))
    }

    /// An object.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self::text("application/json", serde_json::to_vec(value)?))
    }

    /// Sends the client elsewhere for good: by 308, which keeps the method (RFC 9110 §15.4.9).
    pub(crate) fn moved(url: HeaderValue) -> Self {
        Self::empty(StatusCode::PERMANENT_REDIRECT).with(LOCATION, url)
    }

    /// The same with a header more, or another value of it.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.head.fields.insert(name, value);
        self
    }

    /// The same, with what its client may still ask for.
    #[must_use]
    pub(crate) fn told(mut self, passed: &rates::Passed) -> Self {
        tell(&mut self.head.fields, passed.policy_field(), passed.limit_field());
        self
    }
}
