//! `.case` files: what a viewer asks, what must come back. One step a line; indented lines say what must hold of the step above.
//!
//! The language is in `tests/cases/README.md`; each verb is one arm in `run.rs`.

mod parse;
mod run;

pub use parse::{Case, Line, ParseError, parse};
pub use run::run;
