//! The closed table of faults. One row is a code, its HTTP status and what the gateway may do about it.

use http::{HeaderMap, HeaderValue, StatusCode, header::RETRY_AFTER};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Header that carries the fault's code on every answer of the hive that is not 200 or 206.
pub const FAULT_HEADER: &str = "x-hive-fault";

/// What the gateway may do, decided from the class alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryClass {
    /// The same hive may answer the same request soon: ask again, no earlier than retry-after.
    Retry,
    /// This hive can't, another one may: ask elsewhere, else wait for retry-after and ask again.
    Elsewhere,
    /// The media is not to be had for now or any more; what the cache holds of it must not be served as fresh.
    Stop,
    /// The media's bytes are others than asked for (another ETag): drop the old version and start over.
    Changed,
}

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $class:ident;)*) => {
        /// Why the hive gave no bytes. Closed: a code outside this table is a protocol error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            /// Every row of the table.
            pub const ALL: &'static [Fault] = &[$(Fault::$name),*];

            /// The code on the wire.
            #[must_use]
            pub fn code(self) -> &'static str { match self { $(Fault::$name => $code,)* } }

            /// The HTTP status that the hive answers with.
            #[must_use]
            pub fn status(self) -> StatusCode { match self { $(Fault::$name => StatusCode::$status,)* } }

            /// What the gateway may do about it.
            #[must_use]
            pub fn class(self) -> RetryClass { match self { $(Fault::$name => RetryClass::$class,)* } }
        }
    };
}

faults! {
    /// No such chat or message, or none that any session can see.
    NotFound = "not-found", NOT_FOUND, Stop;
    /// The message was there and is deleted, or carries no document any more.
    Gone = "gone", GONE, Stop;
    /// Every session that could answer rests until retry-after.
    FloodWait = "flood-wait", SERVICE_UNAVAILABLE, Elsewhere;
    /// No session is connected, or all are at their cap.
    NoSession = "no-session", SERVICE_UNAVAILABLE, Elsewhere;
    /// Telegram did not answer in time, from any session tried.
    Timeout = "timeout", GATEWAY_TIMEOUT, Retry;
    /// Telegram closed the connection or broke the protocol, on every session tried.
    UpstreamReset = "upstream-reset", BAD_GATEWAY, Retry;
    /// The range does not lie inside the media, or is not of the contract's form.
    BadRange = "bad-range", RANGE_NOT_SATISFIABLE, Stop;
    /// `If-Match` names another version than the message holds now.
    Changed = "changed", PRECONDITION_FAILED, Changed;
    /// The request is not one of the contract (path, method, headers).
    BadRequest = "bad-request", BAD_REQUEST, Stop;
    /// The bearer token is missing or wrong.
    Unauthorized = "unauthorized", UNAUTHORIZED, Stop;
}

/// JSON body of a fault, for people and logs; the header is what programs read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultBody {
    /// The code of the table.
    pub fault: String,
    /// Seconds to wait, if the hive knows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after: Option<u64>,
}

/// The answer is no fault of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer carries no fault of the table")]
pub struct FaultParseError;

/// A hive can't make a gateway wait longer than this by a retry-after.
const MAX_RETRY_AFTER: u64 = 86_400;

impl Fault {
    /// Writes the code and, in whole seconds rounded up, how long to wait.
    pub fn write(self, retry_after: Option<Duration>, headers: &mut HeaderMap) {
        headers.insert(FAULT_HEADER, HeaderValue::from_static(self.code()));
        if let Some(wait) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
    }

    /// The JSON body for the same fault.
    #[must_use]
    pub fn body(self, retry_after: Option<Duration>) -> FaultBody {
        FaultBody { fault: self.code().to_owned(), retry_after: retry_after.map(whole_seconds) }
    }

    /// Reads the code and the wait (at most a day) from the hive's headers.
    ///
    /// # Errors
    /// [`FaultParseError`] when the code is missing or not in the table.
    pub fn read(headers: &HeaderMap) -> Result<(Self, Option<Duration>), FaultParseError> {
        let code = headers.get(FAULT_HEADER).ok_or(FaultParseError)?;
        let fault = Self::ALL.iter().find(|f| f.code().as_bytes() == code.as_bytes()).ok_or(FaultParseError)?;
        let wait = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
        Ok((*fault, wait.map(|seconds| Duration::from_secs(seconds.min(MAX_RETRY_AFTER)))))
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::{Fault, FaultParseError};
    use http::HeaderMap;
    use std::time::Duration;

    #[test]
    fn every_row_round_trips_and_codes_are_unique() {
        let mut codes = std::collections::HashSet::new();
        for fault in Fault::ALL {
            assert!(codes.insert(fault.code()));
            assert!(fault.status().is_client_error() || fault.status().is_server_error());
            let mut headers = HeaderMap::new();
            fault.write(Some(Duration::from_millis(6_001)), &mut headers);
            assert_eq!(Fault::read(&headers), Ok((*fault, Some(Duration::from_secs(7)))));
        }
    }

    #[test]
    fn outside_the_table_is_an_error() {
        assert_eq!(Fault::read(&HeaderMap::new()), Err(FaultParseError));
        let mut headers = HeaderMap::new();
        headers.insert("x-hive-fault", "melted".parse().unwrap());
        assert_eq!(Fault::read(&headers), Err(FaultParseError));
    }
}
