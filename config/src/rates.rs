//! How often who may ask.

use crate::text::text_value;
use crate::units::TimeSpan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Rates are counted in whole numbers, of requests times microseconds.
const MOST_UNITS: u128 = 1 << 51;

/// Rates of each kind of request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Requests for media, each of a player's ranges by itself. If unset, unlimited.
    pub stream: RouteRates,
    /// Requests for signed links. If unset, "5/1m" for an address and "5/1m" for an identity.
    pub sign: RouteRates,
    /// Requests for tokens that say who somebody is. If unset, "10/1m" for an address.
    pub auth: RouteRates,
    /// Other requests that the gateway answers by itself. If unset, "60/1m" for an address and "60/1m" for an identity.
    pub api: RouteRates,
}

/// Rates of one kind of request, written as "5/1m": so many in so long, all at once if need be, and coming back evenly; or "unlimited".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteRates {
    /// Of one address; of IPv6, of one /64. Many viewers may share one.
    #[schemars(extend("example" = "5/1m"))]
    pub address: Option<RateLimit>,
    /// Of one identity: of who has a token that holds. Who asks for a first token has none yet.
    #[schemars(extend("example" = "5/1m"))]
    pub identity: Option<RateLimit>,
    /// Of the tenant, all its viewers together.
    #[schemars(extend("example" = "1000/1s"))]
    pub tenant: Option<RateLimit>,
}

/// A rate: `5/1m`, `60/30s`, or `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimit {
    /// No bound, where there would be one by default.
    Unlimited,
    /// So many in so long.
    Bounded {
        /// At least 1.
        count: u32,
        /// At least a millisecond.
        window: TimeSpan,
    },
}

/// Why a text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateLimitError {
    /// Not a number, a slash and a time.
    #[error("not a rate; write how many in how long, such as \"5/1m\", or \"unlimited\"")]
    Form,
    /// None at all.
    #[error("a rate is at least 1, in at least 1ms; suspend a tenant to serve nobody")]
    Nothing,
    /// More than can be counted.
    #[error("so many in so long can't be counted exactly; write it for a shorter time")]
    TooLarge,
}

impl FromStr for RateLimit {
    type Err = RateLimitError;

    fn from_str(text: &str) -> Result<Self, RateLimitError> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let (count, window) = text.split_once('/').ok_or(RateLimitError::Form)?;
        let window: TimeSpan = window.parse().map_err(|_| RateLimitError::Form)?;
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(RateLimitError::Form);
        }
        let count: u32 = count.parse().map_err(|_| RateLimitError::TooLarge)?;
        if count == 0 || window.is_zero() {
            return Err(RateLimitError::Nothing);
        }
        if u128::from(count) * window.get().as_micros() > MOST_UNITS {
            return Err(RateLimitError::TooLarge);
        }
        Ok(Self::Bounded { count, window })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::Bounded { count, window } => write!(f, "{count}/{window}"),
        }
    }
}

text_value!(RateLimit, "a rate such as \"5/1m\", or \"unlimited\"");

#[cfg(test)]
mod tests {
    use super::{RateLimit, RateLimitError};

    #[test]
    fn rates_are_read_as_they_are_printed() {
        for text in ["5/1m", "1/1ms", "60/30s", "unlimited", "26000/1d"] {
            let rate: RateLimit = text.parse().unwrap();
            assert_eq!(rate.to_string(), text);
        }
        for (text, error) in [
            ("", RateLimitError::Form),
            ("5", RateLimitError::Form),
            ("5/m", RateLimitError::Form),
            ("+5/1m", RateLimitError::Form),
            ("5/1m/1m", RateLimitError::Form),
            ("0/1m", RateLimitError::Nothing),
            ("5/0s", RateLimitError::Nothing),
            ("30000/1d", RateLimitError::TooLarge),
            ("99999999999/1s", RateLimitError::TooLarge),
        ] {
            assert_eq!(text.parse::<RateLimit>(), Err(error), "{text}");
        }
    }
}
