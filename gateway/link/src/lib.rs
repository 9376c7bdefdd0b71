//! Signed links: nginx `secure_link_md5` and its extensions, decided without clock or socket.
//!
//! What it does: turns a raw request target into the decoded, normalised path that nginx calls `$uri`, checks the
//! link's signature and then its expiry, names the media the path asks for, and signs new links.
//! Beside nginx's links it makes and checks tokens that open everything below a path ([`PrefixRequest`]), for playlists and what they
//! name, and reads the id by which a link can be revoked ([`Grant`]); who revokes, and remembers it, is somebody else.
//! What it refuses to do: read a clock or a socket, choose a status, read a key from anywhere. Secrets come in and never
//! come out, not even in `Debug`.
//! Who calls it: `edge`, for each request ([`Uri`], [`Verifier::check`], [`StreamTarget`]) and for `gateway sign`
//! ([`Verifier::sign`]).
//! What stays true: a path has one normal form and the signature covers that form, so a token for one path opens no
//! other by another spelling. With the default rules a link is good here when it is good on nginx, expired when it is
//! expired there, and refused when it is refused there; a live nginx is the oracle in `tests/nginx_oracle.rs`.
//!
//! ```
//! use link::{LinkKey, LinkRequest, LinkRules, SignRequest, Uri, Verdict, Verifier};
//!
//! let verifier = Verifier::new(LinkRules::nginx(vec![LinkKey::new("2026-11", "s3cret")]))?;
//! let signed = verifier.sign(&SignRequest::new("/stream/-1001234567890/7/Intro film.mp4", 1_800_000_000))?;
//! let uri = Uri::parse(signed.as_bytes())?;
//! let request = LinkRequest { uri: &uri, host: None, remote_addr: None, now: 1_700_000_000 };
//! assert!(matches!(verifier.check(&request), Verdict::Valid(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod args;
mod expression;
mod prefix;
mod rules;
mod secure_link;
mod sign;
mod target;
mod token;
mod uri;

pub use prefix::{PrefixRequest, in_path};
pub use rules::{LinkKey, LinkRules, RulesError, Scheme, SchemeRules};
pub use secure_link::{Grant, InvalidLink, LinkRequest, Verdict, Verifier};
pub use sign::{SignError, SignRequest};
pub use target::{StreamTarget, TargetError, TargetMedia};
pub use uri::{Uri, UriError, encode_path as escaped};
