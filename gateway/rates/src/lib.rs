//! How often who may ask, how much a tenant may send in a month, and how many streams there may be at once: over all gateways.
//!
//! What it does: decides whether a request of an address, an identity and a tenant may go on ([`Rates::check`]); counts a tenant's bytes of
//! the month ([`Rates::account`]); counts streams over several gateways ([`Rates::open`]).
//! What it refuses to do: decide rates, know what a request is, have a request wait for a Redis that is gone.
//! Who calls it: `edge`. `limits` is its neighbour, which counts and paces the streams of one gateway; this crate adds what several must
//! agree about.
//! What stays true: a request takes from all its buckets or from none; with Redis a decision is one call of one script, so that gateways
//! never pass more together than the rate says; memory is bounded, whoever invents names; a route without rates costs nothing; streams
//! that run are never touched by a Redis that comes or goes.
//!
//! # When Redis is gone
//!
//! Each gateway goes on by itself. A request then costs as many tokens as there are gateways, at most all of a bucket: so each has its
//! share of every rate. It goes on from what Redis said last of the bucket, where that was lately. The first call that brings no answer
//! within [`FleetConfig::timeout`] opens the breaker: from then on no request asks, until a beat beside the requests (at once, then four a
//! second) finds Redis again.
//! What was let through meanwhile is told with the first decision about each bucket, so that an outage is no second bucket for those who
//! keep asking. How many gateways there are is what Redis said last, the most of the last minute.
//!
//! ```
//! use rates::{Rate, Rates, Route, RouteRates, Who};
//! use std::time::Duration;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let rates = Rates::new(None, None, 1_795_304_400)?;
//! let sign = RouteRates { address: Some(Rate::new(5, Duration::from_secs(60))?), ..RouteRates::default() };
//! let who = Who { tenant: "films", address: Some("192.0.2.7"), identity: None };
//! for _ in 0..5 {
//!     assert!(rates.check(Route::Sign, &sign, &who, Duration::ZERO).await.is_ok());
//! }
//! let limited = rates.check(Route::Sign, &sign, &who, Duration::ZERO).await.unwrap_err();
//! assert_eq!(limited.retry_after(), Duration::from_secs(12));
//! assert_eq!(limited.limit_field().as_deref(), Some("\"sign-address\";r=0;t=60"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In Redis
//!
//! With the default prefix `sv` and tenant `acme`; the braces make all keys of a tenant one hash slot:
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `sv:{rates:acme}:sign:address:<digest>` | string | a bucket: level, time in microseconds, window in microseconds; gone when it is empty |
//! | `sv:{rates:acme}:sent:2026-11` | hash | bytes of the month by gateway |
//! | `sv:{rates:acme}:streams` | hash | streams by gateway, with the millisecond at which that is over |
//! | `sv:{rates:acme}:viewer:<digest>` | hash | one viewer's streams by gateway, likewise |
//! | `sv:{rates}:gateways` | sorted set | gateways by the millisecond at which they were last heard of |
//!
//! From the inside out: `meter` is the arithmetic, `bucket` what a request takes from, `table` the buckets in memory, `scripts` and `remote`
//! those in Redis, `quota` and `streams` the rest of the state, `fleet` what runs beside requests, `rates` the face.

mod bucket;
mod fields;
mod fleet;
mod meter;
mod month;
mod quota;
mod rates;
mod remote;
mod scripts;
mod streams;
mod table;

pub use bucket::{Route, RouteRates, Scope, Standing, Who};
pub use meter::{Rate, RateError};
pub use quota::Account;
pub use rates::{FleetConfig, Limited, Passed, RateStats, Rates, RouteStats, StreamPlace};
pub use streams::Full;
