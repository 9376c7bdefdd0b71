//! What a streamvault plugin in Rust is written against.
//!
//! A plugin answers one question of the gateway (its *hook*): which tenant serves a host ([`Tenants`]), who may stream what
//! ([`Policy`]), what is sold beside the media ([`Ads`]), or it hears what has happened ([`Observe`]). It is a WebAssembly
//! component without files, network or environment; what it may use is [`config`], [`kv`], [`clock`], [`random`] and a line
//! in the gateway's log ([`info!`] and its siblings). `plugins/wit` is the contract, this crate is a convenience over it.
//!
//! ```
//! #![cfg_attr(target_family = "wasm", no_std)]
//! use streamvault_sdk::{Identity, Request, Verdict, config};
//!
//! fn decide(request: &Request) -> Verdict {
//!     match request.identity() {
//!         Identity::Verified => Verdict::allow().viewer_streams(3),
//!         Identity::Anonymous => Verdict::allow().viewer_streams(1).bytes_per_second(500_000),
//!         Identity::Invalid => Verdict::deny(401, config::text("message").unwrap_or("Sign in again.")),
//!     }
//! }
//!
//! streamvault_sdk::policy!(fn decide);
//! # fn main() {}
//! ```
//!
//! A plugin that reads its settings once implements the hook's trait for a type of its own and hands that to the macro:
//! `streamvault_sdk::policy!(Tiers);`.
//!
//! # What stays true
//! - An instance is used by one call at a time, for many calls, and there are several of each: what has to be known to all
//!   belongs into [`kv`]. A panic ends the call and the instance; its message is in the gateway's log.
//! - On the wasm target a plugin is `no_std` with `alloc` and imports nothing but the contract. The feature `std` is for
//!   plugins that want the standard library: they are larger, and the gateway gives them an empty WASI.
//! - On any other target the crate runs without a gateway: [`testing`] makes requests, settings, a clock and a store in
//!   memory, so `cargo test` is all a plugin's tests need.
//!
//! Who calls it: plugins, and through what the macros export, the gateway. What it does is no more than the contract says; what
//! it refuses to do is to check what the gateway checks anyway (statuses, bounds, header names): a verdict that doesn't hold is
//! counted by the gateway as a bad reply and ends as the plugin's fail policy says.
#![cfg_attr(all(target_family = "wasm", not(feature = "std")), no_std)]

extern crate alloc;

mod ads;
pub mod clock;
pub mod config;
mod edits;
mod hls;
pub mod kv;
mod log;
mod macros;
mod observe;
mod policy;
pub mod random;
mod request;
#[cfg(feature = "signature")]
pub mod signature;
mod tenants;
mod vast;

#[cfg(target_family = "wasm")]
#[doc(hidden)]
#[path = "export.rs"]
pub mod __export;
#[cfg(target_family = "wasm")]
mod bindings;
#[cfg(target_family = "wasm")]
mod host;
#[cfg(target_family = "wasm")]
mod runtime;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
#[cfg(not(target_family = "wasm"))]
use testing::host;

pub use ads::{Ads, AdsVerdict, Cookie, PlaylistKind};
#[doc(hidden)]
pub use alloc::string::String as __String;
pub use edits::{Edit, Edits};
pub use hls::{Line, MediaPlaylist, Segment};
pub use log::Level;
#[doc(hidden)]
pub use log::write as __write;
pub use observe::{Finished, Observe};
pub use policy::{ByteRange, Limits, Policy, Verdict};
pub use request::{Identity, Link, Media, Request};
pub use tenants::{Branding, Resolution, Status, Tenant, Tenants};
pub use vast::AdPods;
