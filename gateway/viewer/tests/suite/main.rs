//! What the crate promises, from outside. One program, so that it is linked once.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod find;
mod key_sets;
mod properties;
mod rules;
mod support;
mod verdicts;
