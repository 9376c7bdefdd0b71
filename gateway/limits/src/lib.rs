//! Streams and bytes per second of viewers and tenants, counted and paced.
//!
//! What it does: admits a request to its viewer's and its tenant's streams at once ([`Limiter::admit`]), and says how long
//! each piece of its body has to wait so that viewer and tenant keep to their bytes per second ([`Permit::take_of_viewer`], [`Permit::take_of_tenant`]).
//! What it refuses to do: sleep, read a clock, decide bounds, know what a request is. Who calls it: `edge`, between the policy
//! hook and the cache; the permit lives as long as the body. What stays true: a stream is one media on one address of one
//! viewer, counted once however many requests fetch it; counts are given back when the permit is dropped, whatever the
//! reason; what a viewer owes outlives its connections, so that reconnecting buys nothing; memory is bounded by who is
//! active or owes; a request without any bound takes no lock and is not seen.
//!
//! ```
//! use limits::{Bounds, Full, Limiter, StreamId};
//! use std::time::Duration;
//!
//! let limiter = Limiter::new();
//! let bounds = Bounds { viewer_streams: Some(1), viewer_rate: Some(131_072), ..Bounds::default() };
//! let film = StreamId { chat_id: -1001234567890, message_id: 7, address: None };
//! let other = StreamId { chat_id: -1001234567890, message_id: 8, address: None };
//! let start = Duration::ZERO;
//!
//! let permit = limiter.admit("films", "alice", film, &bounds, start)?;
//! assert_eq!(limiter.admit("films", "alice", other, &bounds, start).err(), Some(Full::Viewer));
//! assert_eq!(permit.take_of_viewer(131_072, start), Duration::ZERO);
//! assert_eq!(permit.take_of_viewer(65_536, start), Duration::from_millis(500));
//! # Ok::<(), Full>(())
//! ```
//!
//! From the inside out: `bucket` is the arithmetic, `scope` what viewers and tenants have, `table` who is known, `limiter` the
//! face.

mod bucket;
mod limiter;
mod scope;
mod stats;
mod table;

pub use limiter::{Bounds, Full, Limiter, Permit, StreamId};
pub use stats::LimitStats;
