//! `.case` files: what a viewer asks, what must come back. One step a line; indented lines say what must hold of the step above.
//!
//! The language is in `tests/cases/README.md`; each verb is one arm in `prepare.rs` (before `start`) or in `run.rs`, each option of
//! a request one in `request.rs`, each expectation one in `expect.rs`.

mod expect;
mod parse;
mod prepare;
mod request;
mod run;
mod saved;

pub use parse::{Case, Line, ParseError, parse};
pub use run::run;
