//! The `gateway plugin` command.
//!
//! What it does: for authors, makes a project, builds it, checks, tests, measures, shows and signs it; for operators, asks a
//! running gateway's admin listener for its plugins and changes to them.
//! What it refuses to do: judge by rules of its own (a folder is loaded by `plugin-package`, run by `plugin-host`), overwrite a
//! key or a folder that is there, print a secret.
//! Who calls it: the `gateway` command, which mounts [`PluginCommand`].
//! What stays true: results go to standard output, everything else to standard error. What passes `check` is loaded by a
//! gateway of the same version. What `new` makes can be built wherever crates.io can be reached.

mod admin;
mod answer;
mod ask;
mod bench;
mod build;
mod check;
mod cli;
mod diff;
mod disk;
mod error;
mod expect;
mod facts;
mod inspect;
mod keys;
mod listing;
mod pattern;
mod recorded;
mod scaffold;
mod session;
mod testing;
mod vendored;

pub use cli::{PluginCommand, run};
pub use error::CommandError;
