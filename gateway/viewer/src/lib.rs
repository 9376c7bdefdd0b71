//! Who a viewer is: verified claims of a JSON web token.
//!
//! What it does: finds the token in a request's headers ([`find_token`]), verifies it against keys that the operator set
//! ([`Verifier`]) or that its issuer published ([`read_key_set`], [`Verifier::publish`]), and hands out its claims ([`Viewer`]). What it refuses to do: read a clock or a file, fetch keys, issue
//! tokens, believe anything of a token's header but which of our keys to try. Who calls it: `edge`, once for each request of
//! a tenant with viewer rules. What stays true: the key alone decides the algorithm, so a public key never verifies as a
//! shared secret and `none` is no algorithm; a token without expiry is refused; no text of a token reaches an error, and
//! none that failed is remembered.
//!
//! `jsonwebtoken` takes the token apart and applies the rules; the cryptography is `ring`'s (`crypto`), which is in the
//! binary for TLS. The crate's own back ends would add either `rsa`, which has an open advisory (RUSTSEC-2023-0071), or a
//! second C library.
//!
//! ```
//! use viewer::{Algorithm, Key, Rules, TokenError, Verifier};
//!
//! let key = Key::new("2026", Algorithm::Hs256, "a secret that nobody guesses, 32 bytes at least");
//! let verifier = Verifier::new(Rules { leeway: 30, ..Rules::new(vec![key]) })?;
//! assert_eq!(verifier.verify("not.a.token", 1_800_000_000).unwrap_err(), TokenError::Malformed);
//! # Ok::<(), viewer::RulesError>(())
//! ```

mod claims;
mod crypto;
mod find;
mod jwks;
mod keys;
mod rules;
mod verify;

pub use claims::Viewer;
pub use find::find_token;
pub use jwks::{KeySetError, LONGEST_KEY_SET, read_key_set};
pub use rules::{Algorithm, Key, PublicKey, Rules, RulesError};
pub use verify::{TokenError, Verifier};
