//! Translates an nginx configuration with `secure_link` and `slice` into settings of the gateway.
//!
//! What it does: reads nginx's language as nginx does (quotes, escapes, comments, includes, inheritance), finds what has a counterpart here, and
//! writes a `gateway.toml` whose links are the ones that nginx took. Link secrets come apart from the text, for files of their own.
//! What it refuses to do: touch a file (included ones are asked of the caller), guess what Telegram's channels are, print a secret. Who
//! calls it: the command `gateway import-nginx`. What stays true: each directive either is in the settings or is named in a comment with its
//! file and line; the text passes the gateway's own check; a link that nginx took opens here, and one that it refused does not.

mod cache;
mod domains;
mod import;
mod ledger;
mod lexer;
mod links;
mod listeners;
mod reasons;
mod scope;
mod settings;
mod tenants;
mod tree;
mod units;

pub use import::{ImportError, Imported, Options, import};
pub use lexer::{SyntaxError, SyntaxErrorKind};
pub use tenants::LinkSecretFile;
pub use tree::{Includes, NginxFile, ReadError};
