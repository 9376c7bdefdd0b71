//! The one place that turns what went wrong into an answer.

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, WWW_AUTHENTICATE};
use pool::PoolFault;
use std::time::Duration;
use wire::Fault;

/// A fault of the contract, and what goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) fault: Fault,
    pub(crate) retry_after: Option<Duration>,
    /// Size of the media, told with a range that lies outside it.
    pub(crate) size: Option<u64>,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { fault, retry_after: None, size: None }
    }
}

impl From<&PoolFault> for Refusal {
    fn from(fault: &PoolFault) -> Self {
        let (fault, retry_after) = match fault {
            PoolFault::NotFound => (Fault::NotFound, None),
            PoolFault::Gone => (Fault::Gone, None),
            PoolFault::Changed => (Fault::Changed, None),
            PoolFault::FloodWait { retry_after } => (Fault::FloodWait, Some(*retry_after)),
            PoolFault::NoSession { retry_after } => (Fault::NoSession, *retry_after),
            PoolFault::Timeout => (Fault::Timeout, None),
            PoolFault::Reset(_) => (Fault::UpstreamReset, None),
        };
        Self { fault, retry_after, size: None }
    }
}

impl Refusal {
    /// A range outside a media of this size.
    pub(crate) fn outside(size: u64) -> Self {
        Self { fault: Fault::BadRange, retry_after: None, size: Some(size) }
    }

    /// The answer. For HEAD the server leaves the body out.
    pub(crate) fn response(self) -> Response {
        let body = serde_json::to_vec(&self.fault.body(self.retry_after)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.fault.status();
        let headers = response.headers_mut();
        self.fault.write(self.retry_after, headers);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.fault {
            Fault::Unauthorized => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Fault::BadRequest => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            _ => {}
        }
        if let Some(size) = self.size
            && let Ok(value) = HeaderValue::try_from(format!("bytes */{size}"))
        {
            headers.insert(CONTENT_RANGE, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::Refusal;
    use pool::PoolFault;
    use std::time::Duration;
    use wire::Fault;

    #[test]
    fn every_fault_of_the_pool_has_its_row() {
        let wait = Duration::from_millis(6_500);
        for (fault, expected, retry_after) in [
            (PoolFault::NotFound, Fault::NotFound, None),
            (PoolFault::Gone, Fault::Gone, None),
            (PoolFault::Changed, Fault::Changed, None),
            (PoolFault::FloodWait { retry_after: wait }, Fault::FloodWait, Some(7)),
            (PoolFault::NoSession { retry_after: None }, Fault::NoSession, None),
            (PoolFault::Timeout, Fault::Timeout, None),
            (PoolFault::Reset("auth key 00ff".into()), Fault::UpstreamReset, None),
        ] {
            let response = Refusal::from(&fault).response();
            assert_eq!(response.status(), expected.status());
            let (read, told) = Fault::read(response.headers()).unwrap();
            assert_eq!((read, told), (expected, retry_after.map(Duration::from_secs)));
        }
    }

    #[test]
    fn a_range_outside_tells_the_size() {
        let response = Refusal::outside(0).response();
        assert_eq!(response.headers()["content-range"], "bytes */0");
    }
}
