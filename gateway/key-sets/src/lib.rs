//! The keys that a tenant's own issuer publishes (JWKS, RFC 7517).
//!
//! What it does: gets a key set over https or out of a file, hands its keys to a `viewer::Verifier`, and gets it again when it is old or
//! when a token names a key that is not in it. What it refuses to do: speak plain http, follow redirects, read more than 64 KiB, wait longer
//! than five seconds, ask more often than strangers may make it ask, read a clock. Who calls it: `edge`, once a second for each
//! issuer ([`KeySet::tend`]), and with a token of an unknown key ([`KeySet::renew`]). What stays true: of one issuer one request is under way
//! at a time, and goes on when who caused it leaves; however many tokens name keys that there are not, the issuer is asked every ten seconds at most; while it can't be reached
//! its last keys count, until they are older than the operator allows; what can't be read changes nothing.

mod fetch;
mod source;
mod timing;

pub use source::{KeySet, SetupError, Source};
