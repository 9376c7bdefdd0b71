//! Plugins that do their worst, and operators who change them while requests run.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests: clippy knows only the tests themselves as such"
)]

mod guest;
mod hooks;
mod hostile;
mod pools;
mod refusals;
mod reloads;
mod rig;
