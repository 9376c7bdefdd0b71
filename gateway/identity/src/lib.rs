//! Who viewers are, by the gateway's own word.
//!
//! What it does: signs and verifies viewers' tokens with a tenant's ring of keys ([`Issuer`]); keeps their sessions, whose refresh tokens
//! change with each use ([`Store`]); makes links that let somebody in once; remembers what was revoked until it would have expired
//! ([`Revoked`]). What it refuses to do: read a clock or make randomness (both are passed in, but for the nonces of ES256, which are ring's
//! own matter), know HTTP or cookies, decide who may stream. Who calls it: `edge`, and `gateway auth`. What stays true: a token of one
//! tenant is nothing at another, whatever keys they share; a token that lets in is no token that streams, nor the other way round; no refresh
//! token is kept, only its hash; one that is used again after its time ends its session; a one-time link lets in once, also where
//! several gateways share a Redis, and with it begins the session that it is for; what strangers can make, sessions of guests and the ends
//! of those, has bounds, and takes the place of nothing else; what can't be decided because the store is away is not decided.
//!
//! # Tokens
//!
//! | | form | signed for (`aud`) | kept |
//! | --- | --- | --- | --- |
//! | access token | JWT: `iss`, `aud`, `sub`, `guest`, `sid`, `jti`, `iat`, `exp`, and claims for plugins | the tenant's id | nowhere |
//! | one-time link | JWT of the same form, without `sid` | the tenant's id and `/magic` | its `jti`, once used, until it expires |
//! | refresh token | 48 random bytes as base64url: 16 name the session, 32 are its secret | - | hashes of both |
//!
//! `sid` is the hash of the session's name, cut to 16 bytes: whoever reads an access token learns it, and can't make of it what a refresh
//! token needs. So a refresh token with the right name and a wrong secret was the right one once, and somebody has kept it.
//!
//! # In Redis
//!
//! | key | type | what |
//! | --- | --- | --- |
//! | `PREFIX:{auth:TENANT}:s:SID` | hash | a session; expires with it |
//! | `PREFIX:{auth:TENANT}:guests` | sorted set | sessions of guests, by their ends: at most 200,000 |
//! | `PREFIX:{auth:TENANT}:m:JTI` | string | a one-time link that was used; expires with it |

mod issuer;
mod jws;
mod keys;
mod memory;
mod redis_store;
mod refresh;
mod revoked;
mod session;
mod shares;
mod store;
mod subject;

pub use issuer::{Issuer, Magic};
pub use keys::{KeyError, SignAlgorithm, SigningKey};
pub use refresh::RefreshToken;
pub use revoked::{By, Full, Kind, Revoked};
pub use session::{Rotation, Session, SessionRules};
pub use store::{Away, Link, Store};
pub use subject::{Subject, SubjectError};
